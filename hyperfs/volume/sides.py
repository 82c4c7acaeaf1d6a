"""What the three-way comparison asks of a tree, and what a version or the live tree answers.

A side is one of three: `start`, the tree as the step left it; `goal`, the tree as it was before the step; `now`.
For a redo the first two change places. The comparison is pure: its tests answer from dictionaries.
"""

from collections.abc import Hashable, Iterator
from typing import NamedTuple, Protocol

from hyperfs.chunks.extents import Extent
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.paths import Paths
from hyperfs.volume.tree import Tree
from hyperfs.volume.xattrs import HAS_XATTRS

Name = tuple[int, bytes]
"""(directory, name)."""
Xattrs = tuple[tuple[bytes, bytes], ...]


class Thing(NamedTuple):
    """What an inode is, apart from its number and names. Equal values, equal things.

    `content` is a file's bytes or a symlink's target in any form that is equal where these are; None of a directory.
    """

    mode: int
    uid: int
    gid: int
    rdev: int
    mtime_ns: int
    content: Hashable
    xattrs: Xattrs

    @property
    def is_directory(self) -> bool:
        return self.mode >> 12 == 4


class Side(Protocol):
    """A tree, as the comparison asks it. What is not there is None, or nothing."""

    def thing(self, ino: int) -> Thing | None: ...

    def parent(self, ino: int) -> int:
        """A directory's parent; of anything else a directory that has a name of it. 0 for the root."""

    def entry(self, directory: int, name: bytes) -> int | None: ...

    def entries(self, directory: int) -> Iterator[tuple[bytes, int]]: ...

    def names(self, ino: int) -> list[Name]:
        """All names of an inode, sorted. Where they are in several directories it may take long."""

    def links(self, ino: int) -> int:
        """How many names an inode has that is no directory."""


class Copy(NamedTuple):
    """All that a tree has of an inode but its names."""

    inode: Inode
    extents: list[Extent]
    xattrs: dict[bytes, bytes]


def copy_of(tree: Tree, inode: Inode) -> Copy:
    extents = tree.extents(inode.ino, 0, MAX_FILE_BYTES) if inode.is_file and inode.inline is None else []
    return Copy(inode, extents, tree.xattrs(inode.ino) if inode.flags & HAS_XATTRS else {})


class TreeSide:
    """A tree of the drive as a side. Keeps what it has read: for one piece of work, between whose steps a live tree
    must not change.

    What retention has made absent from a version counts as there, or its absence would look like a deletion; but it
    can't be had: see `is_let_go`."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree.whole
        self.is_let_go = tree.hides
        self.paths = Paths(self.tree)
        self._inodes: dict[int, Inode | None] = {}
        self._copies: dict[int, Copy] = {}
        self._things: dict[int, Thing] = {}

    def inode(self, ino: int) -> Inode | None:
        if ino not in self._inodes:
            self._inodes[ino] = self.tree.inode(ino)
        return self._inodes[ino]

    def copy(self, ino: int) -> Copy | None:
        inode = self.inode(ino)
        if inode is None:
            return None
        if ino not in self._copies:
            self._copies[ino] = copy_of(self.tree, inode)
        return self._copies[ino]

    def thing(self, ino: int) -> Thing | None:
        copy = self.copy(ino)
        if copy is None:
            return None
        if ino not in self._things:
            self._things[ino] = _thing_of(copy)
        return self._things[ino]

    def parent(self, ino: int) -> int:
        inode = self.inode(ino)
        return 0 if inode is None else inode.parent

    def entry(self, directory: int, name: bytes) -> int | None:
        dentry = self.tree.dentry(directory, name)
        return None if dentry is None else dentry[0]

    def entries(self, directory: int) -> Iterator[tuple[bytes, int]]:
        return ((name, dentry[0]) for name, dentry in self.tree.dentries(directory))

    def names(self, ino: int) -> list[Name]:
        inode = self.inode(ino)
        return [] if inode is None else sorted(self.paths.names(inode))

    def links(self, ino: int) -> int:
        inode = self.inode(ino)
        return 0 if inode is None else inode.nlink


def _thing_of(copy: Copy) -> Thing:
    inode = copy.inode
    content: Hashable = None
    if not inode.is_directory:
        # Extents by what they are and not by where they lie, which may change between versions.
        cut = tuple((e.offset, e.chunk, e.skip, e.length) for e in copy.extents)
        content = (inode.size, inode.inline or b"", cut)
    xattrs = tuple(sorted(copy.xattrs.items()))
    return Thing(inode.mode, inode.uid, inode.gid, inode.rdev, inode.mtime_ns, content, xattrs)
