"""What was deleted at or below a path and can still be had: for `find --deleted`, by the rules of docs/history.md."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.values import ROOT_INO
from hyperfs.volume.changes import DIRECTORY
from hyperfs.volume.deleted import Deleted, all_deleted
from hyperfs.volume.paths import Paths, find_below, inside, join, parts_of
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume


class Found(NamedTuple):
    """Something deleted: the path that it would have now, and the state in `version`.

    `entry` is its path in the `.deleted` of a folder that is still there, relative to the drive's root; None in one
    that is not. `kind`: as d_type.
    """

    path: bytes
    kind: int
    size: int
    how: int
    deleted_ns: int
    version: int
    entry: bytes | None


@dataclass
class _Search:
    volume: Volume
    base: bytes
    pattern: bytes | None
    newest: Paths
    whole: dict[int, int] = field(default_factory=dict)  # deleted folders, by inode: the version that shows each
    looked: dict[int, bool] = field(default_factory=dict)  # directories, whether they may have what is asked for

    def wants(self, path: bytes) -> bool:
        """Whether something at this path is asked for."""
        if not inside(path, self.base):
            return False
        if self.pattern is None:
            return True
        relative = path[len(self.base) :].lstrip(b"/")
        return fnmatchcase(relative if b"/" in self.pattern else relative.rpartition(b"/")[2], self.pattern)

    def may_be_in(self, directory: int) -> bool:
        """Whether what went from a directory may be asked for, or have held what is. Of one that is gone too, nobody
        knows before."""
        known = self.looked.get(directory)
        if known is None:
            path = self.base
            if self.base and self.newest.tree.inode(directory) is not None:
                with suppress(Corrupt):
                    path = self.newest.directory(directory)
            known = self.looked[directory] = inside(path, self.base) or inside(self.base, path)
        return known

    def tree(self, version: int) -> Tree:
        return self.volume.versions.tree(version)


def find_deleted(volume: Volume, base: bytes, pattern: bytes | None = None) -> Iterator[Found | None]:
    """In no order. None now and then, for whoever works in slices. For the versions that have their rows."""
    newest = Paths(volume.versions.tree(volume.versions.newest.version))
    search = _Search(volume, b"/".join(parts_of(base)), pattern, newest)
    homeless: list[Deleted] = []
    for of_a_name in all_deleted(volume, search.may_be_in):
        for deleted in of_a_name:
            if deleted.went.kind == DIRECTORY:
                search.whole[deleted.went.ino] = deleted.version
            if newest.tree.inode(deleted.went.directory) is not None:
                yield from _here(search, deleted)
            else:
                homeless.append(deleted)
        yield None
    for deleted in homeless:
        if not _is_in_a_whole_one(search, deleted):
            yield from _here(search, deleted)
        yield None


def _is_in_a_whole_one(search: _Search, deleted: Deleted) -> bool:
    """Whether a folder that was deleted later is shown with this in it."""
    went, tree = deleted.went, search.tree(deleted.version)
    ino: int = went.directory
    while ino != ROOT_INO:
        shown = search.whole.get(ino)
        if shown is not None:
            dentry = search.tree(shown).dentry(went.directory, went.name)
            if dentry is not None and dentry[0] == went.ino:
                return True
        inode = tree.inode(ino)
        if inode is None:
            return False
        ino = inode.parent
    return False


def _here(search: _Search, deleted: Deleted) -> Iterator[Found | None]:
    """The deletion, and with a pattern, or a base below it, what is in it."""
    directory = _path_now(search, deleted)
    if directory is None:
        return
    is_there = search.newest.tree.inode(deleted.went.directory) is not None
    entry = join(directory, b".versions/.deleted/" + deleted.entry) if is_there else None
    path = join(directory, deleted.went.name)
    if search.base != path and inside(search.base, path):
        ino = find_below(search.tree(deleted.version), deleted.went.ino, search.base[len(path) :])
        if ino is not None:
            entry = None if entry is None else entry + search.base[len(path) :]
            yield from _below(search, deleted, ino, search.base, entry)
        return
    if search.pattern is None and not search.wants(path):
        return
    yield from _below(search, deleted, deleted.went.ino, path, entry)


def _below(search: _Search, deleted: Deleted, ino: int, path: bytes, entry: bytes | None) -> Iterator[Found | None]:
    """What is asked for of something and all below it."""
    tree = search.tree(deleted.version)
    waiting = [(ino, 0, path, entry)]
    while waiting:
        ino, folder, path, entry = waiting.pop()
        inode = tree.inode(ino)
        if inode is None or (folder and inode.is_directory and inode.parent != folder):
            continue  # a folder lies in one other: one that says otherwise may lie in itself
        if search.wants(path):
            size, went = 0 if inode.is_directory else inode.size, deleted.went
            yield Found(path, inode.mode >> 12, size, went.how, went.time_ns, deleted.version, entry)
        else:
            yield None
        if inode.is_directory and search.pattern is not None:
            for name, (child, _) in tree.dentries(ino):
                waiting.append((child, ino, join(path, name), None if entry is None else join(entry, name)))


def _path_now(search: _Search, deleted: Deleted) -> bytes | None:
    """The path of the directory: as it is now, below one that is gone as it was then; None where that can't be told."""
    names: list[bytes] = []
    directory, tree = deleted.went.directory, search.tree(deleted.version)
    while search.newest.tree.inode(directory) is None:
        inode = tree.inode(directory)
        found = None if inode is None else (n for n, (ino, _) in tree.dentries(inode.parent) if ino == directory)
        name = None if found is None else next(found, None)
        if inode is None or name is None:
            return None
        names.append(name)
        directory = inode.parent
    try:
        path = search.newest.directory(directory)
    except Corrupt:
        return None
    return b"/".join([path, *reversed(names)] if path else reversed(names))
