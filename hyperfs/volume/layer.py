"""A layer of changes over a trie root: what was done and is not folded into a version yet.

A drive has at most two: the active one, which handlers change, and the frozen one, which a commit is folding.
A value of None says that the thing is gone. Values are the trie's own (value, hint) pairs for names and
attributes; extents are kept by file offset in a sorted map, since reads ask for ranges.
"""

from collections.abc import Iterator

from sortedcontainers import SortedDict

from hyperfs.chunks.extents import Extent
from hyperfs.volume.entries import Dentry
from hyperfs.volume.inode import Inode


class Layer:
    """Owned by the trio thread; changed only between awaits. A frozen layer is not changed at all."""

    def __init__(self) -> None:
        self.inodes: dict[int, Inode | None] = {}
        self.dentries: dict[int, dict[bytes, Dentry | None]] = {}
        self.extents: dict[int, SortedDict[int, Extent | None]] = {}
        self.xattrs: dict[int, dict[bytes, bytes | None]] = {}
        self.facts: dict[bytes, bytes | None] = {}  # whole trie keys: snapshots, settings

    def __bool__(self) -> bool:
        return bool(self.inodes or self.dentries or self.extents or self.xattrs or self.facts)

    @property
    def only_facts(self) -> bool:
        """Whether no file, name or attribute has changed."""
        return not (self.inodes or self.dentries or self.extents or self.xattrs)

    def set_dentry(self, parent: int, name: bytes, dentry: Dentry | None) -> None:
        names = self.dentries.get(parent)
        if names is None:
            names = self.dentries[parent] = {}
        names[name] = dentry

    def set_extent(self, ino: int, offset: int, extent: Extent | None) -> None:
        extents = self.extents.get(ino)
        if extents is None:
            extents = self.extents[ino] = SortedDict()
        extents[offset] = extent

    def set_xattr(self, ino: int, name: bytes, value: bytes | None) -> None:
        self.xattrs.setdefault(ino, {})[name] = value

    def extents_between(self, ino: int, start: int, end: int) -> Iterator[tuple[int, Extent | None]]:
        """The changes to extents whose offset lies in [start, end), in order."""
        extents = self.extents.get(ino)
        if extents is None:
            return
        for offset in extents.irange(start, end, (True, False)):
            yield offset, extents[offset]

    def drop_inode(self, ino: int) -> None:
        """Forgets all that the layer says about an inode, and says that it is gone."""
        self.dentries.pop(ino, None)
        self.extents.pop(ino, None)
        self.xattrs.pop(ino, None)
        self.inodes[ino] = None
