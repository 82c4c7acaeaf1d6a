"""In which versions something changed at or below a path, newest first, by the rows of `changes`.

A folder is followed by its inode, whatever it was called and wherever it was; before it came into being, what had the
path before it. A file is its name: what had it before, of whatever number.
"""

from collections.abc import Iterator
from itertools import dropwhile

from hyperfs.errors import NotFound
from hyperfs.values import ROOT_INO
from hyperfs.volume.paths import find, parts_of
from hyperfs.volume.sides import Name
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume


class PathEvents:
    """The versions of one path. Ask `changes.caught_up` first, with nothing uncommitted that counts."""

    def __init__(self, volume: Volume, path: bytes) -> None:
        """Raises NotFound for a path that no kept version has."""
        self._volume = volume
        self._versions = volume.versions
        self._live = volume.overlay.live
        self.parts = parts_of(path)
        self.path = b"/".join(self.parts)
        self.ino = find(self._live, self.path)
        self.went: int | None = None
        """The version in which the path went, where it is not there now."""
        if self.ino is None:
            self._find_lost()

    def _find_lost(self) -> None:
        """The newest version in which the path, or a folder above it, went."""
        at: int = ROOT_INO
        for depth, name in enumerate(self.parts):
            dentry = self._live.dentry(at, name)
            if dentry is not None:
                at = dentry[0]
                continue
            rest = b"/".join(self.parts[depth + 1 :])
            for went in self._volume.changes.went(at, name):
                version = self._kept(went.version)
                if version is None:
                    continue
                tree = self._versions.whole_tree(self._versions.before(version))
                found = find(tree, self.path) if not rest else _below(tree, went.ino, rest)
                if found is not None and tree.inode(found) is not None:
                    self.ino, self.went = found, version
                    return
            break
        raise NotFound(f"no version that is kept has {self.path.decode(errors='replace')!r}")

    def _kept(self, version: int) -> int | None:
        """A row of a version that is no more stands for the next kept one."""
        if self._versions.is_kept(version):
            return version
        found = self._versions.some(version, 1)
        return found[0].version if found else None

    @property
    def spot(self) -> Name | None:
        """The directory and name that the path is today, or was when it went; None for the root."""
        if not self.parts:
            return None
        tree = self.last_tree()
        parent = find(tree, b"/".join(self.parts[:-1]))
        return None if parent is None else (parent, self.parts[-1])

    def last_tree(self) -> Tree:
        """The newest version that has the path."""
        version = self._versions.newest.version
        return self._versions.whole_tree(version if self.went is None else self._versions.before(self.went))

    def ino_in(self, tree: Tree) -> int | None:
        """What the path is in a version."""
        if self.ino is not None and tree.inode(self.ino) is not None:
            return self.ino
        return find(tree, self.path)

    def versions(self) -> Iterator[int]:
        """Kept versions in which something changed there; now and then one in which nothing did."""
        assert self.ino is not None
        inode = self.last_tree().inode(self.ino)
        if inode is not None and not inode.is_directory:
            yield from self._of_file()
            return
        last = self.went
        if last is not None:
            yield last
        for version in self._of_folder(self.ino, self.parts):
            if last is None or version < last:
                yield version
                last = version

    def _of_folder(self, ino: int | None, parts: list[bytes]) -> Iterator[int]:
        through: int | None = None
        while ino is not None:
            for touched in self._volume.changes.touched(ino, through):
                version = self._kept(touched.version)
                if version is not None:
                    yield version
            born = self._born(ino, through)
            if born is None or ino == ROOT_INO:
                return
            yield born
            before = self._versions.before(born)
            tree = self._versions.whole_tree(before)
            ino, through = find(tree, b"/".join(parts)), before
            if ino is None:
                ino, through = self._lost_before(born, parts)
                if through is not None:
                    yield through

    def _born(self, ino: int, through: int | None) -> int | None:
        version = self._versions.newest.version if through is None else through
        inode = self._live.inode(ino) or self._versions.whole_tree(version).inode(ino)
        if inode is None and self.went is not None:
            inode = self.last_tree().inode(ino)
        return self._kept(inode.born) if inode is not None and inode.born else None

    def _lost_before(self, version: int, parts: list[bytes]) -> tuple[int | None, int | None]:
        """What had the path before it was missing: its number, and the version in which it went."""
        parent = find(self._live, b"/".join(parts[:-1]))
        if parent is None or not parts:
            return None, None
        for went in dropwhile(lambda w: w.version >= version, self._volume.changes.went(parent, parts[-1])):
            kept = self._kept(went.version)
            if kept is not None and kept < version:
                return went.ino, kept
        return None, None

    def _of_file(self) -> Iterator[int]:
        """Those of its folder in which the name, or what it means, is another before."""
        spot = self.spot
        if spot is None:
            return
        last = None
        for version in self._of_folder(spot[0], self.parts[:-1]):
            before = self._versions.before(version)
            old, new = self._versions.whole_tree(before), self._versions.whole_tree(version)
            if version != last and _differs(old, new, spot):
                yield version
            last = version


def _below(tree: Tree, ino: int, rest: bytes) -> int | None:
    for name in parts_of(rest):
        dentry = tree.dentry(ino, name)
        if dentry is None:
            return None
        ino = dentry[0]
    return ino


def _differs(old: Tree, new: Tree, spot: Name) -> bool:
    before, after = old.dentry(*spot), new.dentry(*spot)
    if before is None or after is None or before[0] != after[0]:
        return before != after
    a, b = old.inode(before[0]), new.inode(after[0])
    return a is None or b is None or a.encode() != b.encode()
