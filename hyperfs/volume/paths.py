"""Paths in a tree: from a path to its inode, and from an inode back to its paths.

A path is bytes, relative to the drive's root, its parts joined by '/'; b"" is the root. Symlinks are not
followed. Everything here reads only.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from hyperfs.errors import Corrupt, NotFound
from hyperfs.trie.walk import walk
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.entries import decode_dentry
from hyperfs.volume.inode import Inode
from hyperfs.volume.tree import Tree

NEAR_MOST: Final = 1000
"""So deep a file may lie for `near_path`."""
PREDECESSORS_MOST: Final = 1000
"""How many replaced inodes are gone back through in search of one that a version has."""


def parts_of(path: bytes) -> list[bytes]:
    """The names in a path; empty ones and `.` mean nothing."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def inside(path: bytes, folder: bytes) -> bool:
    """Whether a path is the folder's own or lies below it."""
    return not folder or path == folder or path.startswith(folder + b"/")


def find(tree: Tree, path: bytes) -> int | None:
    """The inode number that the path names in the tree, None if it names nothing."""
    return find_below(tree, ROOT_INO, path)


def find_below(tree: Tree, ino: int, path: bytes) -> int | None:
    """The inode number that the path names from a directory on."""
    for name in parts_of(path):
        dentry = tree.dentry(ino, name)
        if dentry is None:
            return None
        ino = dentry[0]
    return ino


def locate(live: Tree, past: Tree, path: bytes) -> Inode:
    """What a path of today meant in a version. Raises NotFound.

    As `.versions` has it, the folder that holds the name today decides, whatever it was called then; else the
    path as it stands; else the file that has the name today, under whatever name it, or one that it replaced,
    had then.
    """
    *folders, name = parts_of(path) or [b""]
    ino: int | None = ROOT_INO if not name else None
    if name:
        parent = find(live, b"/".join(folders))
        dentry = past.dentry(parent, name) if parent is not None else None
        ino = dentry[0] if dentry is not None else find(past, path)
        if ino is None:
            ino = _older_self(live, past, path)
    inode = past.inode(ino) if ino is not None else None
    if inode is None:
        raise NotFound(f"that version has no {path.decode(errors='replace')!r}")
    return inode


def _older_self(live: Tree, past: Tree, path: bytes) -> int | None:
    ino = find(live, path)
    inode = live.inode(ino) if ino is not None else None
    for _ in range(PREDECESSORS_MOST):
        if inode is None:
            return None
        if past.inode(inode.ino) is not None:
            return inode.ino
        if not inode.predecessor:
            return None
        if past.inode(inode.predecessor) is not None:
            return inode.predecessor
        inode = live.inode(inode.predecessor)
    return None


def scope(live: Tree, paths: "Paths", path: bytes) -> bytes:
    """The path that what a path means today had in a version; the path itself where that version has no such."""
    try:
        inode = locate(live, paths.tree, path)
    except NotFound:
        return b"/".join(parts_of(path))
    found = paths.of(inode)
    return path if path in found else found[0]


def near_path(live: Tree, inode: Inode, names_most: int) -> bytes | None:
    """A path of an inode, found by looking through the first `names_most` names of each folder on the way up; None
    where that is not enough. Other than `Paths` it never takes long, and never looks elsewhere for a further name."""
    parts: list[bytes] = []
    ino, parent = inode.ino, inode.parent
    while ino != ROOT_INO:
        name = next((name for name, (other, _) in islice(live.dentries(parent), names_most) if other == ino), None)
        folder = live.inode(parent)
        if name is None or folder is None or len(parts) >= NEAR_MOST:
            return None
        parts.append(name)
        ino, parent = parent, folder.parent
    return b"/".join(reversed(parts))


class Paths:
    """The paths of inodes in one version. Keeps what it has looked up: for one piece of work, not for long."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._directories: dict[int, bytes] = {ROOT_INO: b""}
        self._names: dict[int, dict[int, list[bytes]]] = {}
        self._everywhere: dict[int, list[tuple[int, bytes]]] | None = None

    def directory(self, ino: int) -> bytes:
        """Raises Corrupt when the tree has no such directory, or none that hangs on the root."""
        above: list[tuple[int, bytes]] = []
        at = ino
        while at not in self._directories:
            inode = self.tree.whole.inode(at)
            names = self._names_in(inode.parent).get(at, []) if inode is not None else []
            if not names or len(above) > 10_000:
                raise Corrupt("a directory hangs on no name", f"inode {at}")
            assert inode is not None
            above.append((at, names[0]))
            at = inode.parent
        path = self._directories[at]
        for at, name in reversed(above):
            path = self._directories[at] = join(path, name)
        return path

    def of(self, inode: Inode) -> list[bytes]:
        """All paths of an inode of this tree, sorted."""
        if inode.is_directory:
            return [self.directory(inode.ino)]
        return sorted(join(self.directory(parent), name) for parent, name in self.names(inode))

    def names_nearby(self, inode: Inode) -> list[tuple[int, bytes]]:
        """Those in the directory that its record names: quick, and most often all."""
        return [(inode.parent, name) for name in self._names_in(inode.parent).get(inode.ino, [])]

    def names(self, inode: Inode) -> list[tuple[int, bytes]]:
        """(directory, name) of every name of an inode."""
        found = self.names_nearby(inode)
        if inode.is_directory or len(found) >= inode.nlink:
            return found
        # Names in other directories: a record knows only the directory of one of them.
        if self._everywhere is None:
            self._everywhere = {}
            for parent, name, ino in self._all_names():
                self._everywhere.setdefault(ino, []).append((parent, name))
        return self._everywhere.get(inode.ino, [])

    def _names_in(self, directory: int) -> dict[int, list[bytes]]:
        names = self._names.get(directory)
        if names is None:
            names = self._names[directory] = {}
            for name, (ino, _) in self.tree.whole.dentries(directory):
                names.setdefault(ino, []).append(name)
        return names

    def _all_names(self) -> Iterator[tuple[int, bytes, int]]:
        for key, value, _ in walk(self.tree.load, self.tree.root):
            if key[keys.PREFIX_BYTES - 1] == keys.DENTRY and key[: keys.PREFIX_BYTES - 1] != bytes(8):
                parent = int.from_bytes(key[: keys.PREFIX_BYTES - 1], "big")
                yield parent, key[keys.PREFIX_BYTES :], decode_dentry(value, f"inode {parent}")[0]
