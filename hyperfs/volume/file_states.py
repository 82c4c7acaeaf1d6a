"""The distinct states of one file, across renames and saving by rename: from the rows of `changes`, without a look into
each version.

A file is followed from what has a name now back to its birth; there what it replaced goes on, else what had the name
before, else what had it before that was deleted.
"""

from array import array
from bisect import bisect_right
from collections.abc import Generator, Iterator
from typing import Final, NamedTuple

from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.changes import ATTRIBUTES, CONTENT, NAMED, REPLACED
from hyperfs.volume.inode import Inode
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

_STATE: Final = CONTENT | ATTRIBUTES | REPLACED


class Spot(NamedTuple):
    """A name in a directory: where a file is looked for."""

    directory: int
    name: bytes


class State(NamedTuple):
    """Inode `ino` was the file, and stood the same, in the kept versions from `first` to `last`."""

    ino: int
    first: VersionFacts
    last: int


class _Life(NamedTuple):
    """An inode as the file, in versions up to `last`; under the name `spot` in that one."""

    ino: int
    last: int
    spot: Spot


def states(volume: Volume, spot: Spot) -> Iterator[State]:
    """Newest first, of a name in a directory that is live. For the versions that have their rows."""
    life = _at(volume, volume.versions.newest.version, spot) or _lost(volume, volume.versions.newest.version, spot)
    while life is not None:
        life = yield from _states_of(volume, life)


def pinned_states(volume: Volume, spot: Spot) -> Iterator[tuple[int, int]]:
    """Inode and version of what was deleted under the name lately and stands in no kept version."""
    for pin in volume.versions.offers.pinned_from(spot.directory):
        inode = volume.versions.tree(pin.version).inode(pin.ino) if pin.name == spot.name else None
        if inode is not None and not inode.is_directory and not volume.versions.is_kept(pin.version):
            yield pin.ino, pin.version


def file_at(tree: Tree, spot: Spot) -> Inode | None:
    """What had the name in a version, if it was no folder: a folder's history is another one."""
    dentry = tree.dentry(*spot)
    inode = tree.inode(dentry[0]) if dentry is not None else None
    return None if inode is None or inode.is_directory else inode


def spot_of(tree: Tree, inode: Inode, spot: Spot) -> Spot:
    """The name that a file had in a version: `spot` if it had that then, else one in the directory that it knows of."""
    dentry = tree.dentry(*spot)
    if dentry is not None and dentry[0] == inode.ino:
        return spot
    names = (Spot(inode.parent, name) for name, (ino, _) in tree.dentries(inode.parent) if ino == inode.ino)
    return next(names, spot)


def _spot_before(volume: Volume, kept: VersionFacts, ino: int, spot: Spot) -> Spot:
    """The name before a version that changed the names of the file."""
    tree = volume.versions.whole_tree(volume.versions.kept_before(kept.time_ns))
    inode = tree.inode(ino)
    return spot if inode is None else spot_of(tree, inode, spot)


def _states_of(volume: Volume, life: _Life) -> Generator[State, None, _Life | None]:
    """Those of one inode; returns what went on before it."""
    versions, (ino, until, spot) = volume.versions, life
    inode = versions.whole_tree(until).inode(ino)
    assert inode is not None
    for row in volume.changes.touched(ino, until):
        kept = versions.kept_from(row.version)
        if kept is None or row.version <= inode.born:
            break
        if row.flags & NAMED:
            spot = _spot_before(volume, kept, ino, spot)
        if not row.flags & _STATE or kept.version > until:
            continue
        if (offered := versions.offered_from(kept, until, ino)) is not None:
            yield State(ino, offered, until)
        until = versions.kept_before(kept.time_ns)
        if row.flags & REPLACED:
            return _earlier(volume, kept, ino, spot)
    first = versions.kept_from(inode.born)
    assert first is not None
    if first.version <= until and (offered := versions.offered_from(first, until, ino)) is not None:
        yield State(ino, offered, until)
    return _earlier(volume, first, ino, spot)


def _earlier(volume: Volume, kept: VersionFacts, ino: int, spot: Spot) -> _Life | None:
    """What was the file before the version in which this inode became it."""
    before = volume.versions.kept_before(kept.time_ns)
    if not before:
        return None
    tree, inode = volume.versions.whole_tree(before), volume.versions.whole_tree(kept.version).inode(ino)
    predecessor = inode.predecessor if inode is not None else 0
    replaced = tree.inode(predecessor) if predecessor else None
    if replaced is not None and not replaced.is_directory:
        return _Life(predecessor, before, spot_of(tree, replaced, spot))
    earlier = tree.inode(ino)
    if earlier is not None and file_at(tree, spot) is None:
        return _Life(ino, before, spot_of(tree, earlier, spot))
    return _at(volume, before, spot) or _lost(volume, before, spot)


def _at(volume: Volume, version: int, spot: Spot) -> _Life | None:
    inode = file_at(volume.versions.whole_tree(version), spot)
    return None if inode is None else _Life(inode.ino, version, spot)


def _lost(volume: Volume, version: int, spot: Spot) -> _Life | None:
    """The last file that had the name and lost it, in this version or before."""
    for went in volume.changes.went(*spot, version):
        before = volume.versions.kept_before(went.time_ns)
        found = _at(volume, before, spot) if before else None
        if found is not None:
            return found
    return None


class States:
    """The states of a file, oldest first; 24 bytes each, for there may be a hundred thousand."""

    def __init__(self) -> None:
        self._inos = array("Q")
        self._firsts = array("Q")
        self._lasts = array("Q")

    def __len__(self) -> int:
        return len(self._inos)

    def add(self, ino: int, first: int, last: int) -> None:
        """In any order: `sort` puts them in theirs."""
        self._inos.append(ino)
        self._firsts.append(first)
        self._lasts.append(last)

    def sort(self) -> None:
        if not len(self):
            return
        ordered = sorted(zip(self._firsts, self._lasts, self._inos, strict=True))
        self._firsts, self._lasts, self._inos = (array("Q", column) for column in zip(*ordered, strict=True))

    def at(self, position: int) -> tuple[int, int, int]:
        """Inode, first and last version."""
        return self._inos[position], self._firsts[position], self._lasts[position]

    def position(self, version: int) -> int | None:
        """Of the state that the file had in a version; None where that does not have it."""
        position = bisect_right(self._firsts, version) - 1
        return position if position >= 0 and version <= self._lasts[position] else None

    def after(self, version: int) -> int:
        """The position of the first state that began behind a version."""
        return bisect_right(self._firsts, version)
