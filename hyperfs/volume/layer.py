"""A layer of changes over a trie root: what was done and is not folded into a version yet.

A drive has at most two: the active one, which handlers change, and the frozen one, which a commit is folding.
A value of None says that the thing is gone. Values are the trie's own (value, hint) pairs for names and
attributes; extents are kept by file offset in a sorted map, since reads ask for ranges.
"""

from collections.abc import Iterator, MutableMapping
from operator import itemgetter
from typing import Final

from sortedcontainers import SortedDict

from hyperfs.chunks.extents import Extent
from hyperfs.volume.entries import Dentry
from hyperfs.volume.inode import Inode

# What a change takes in memory, in bytes, with what it takes until the next record and in the commit: measured.
INODE_BYTES: Final = 1500
NAME_BYTES: Final = 500
EXTENT_BYTES: Final = 500
XATTR_BYTES: Final = 300
FEW_EXTENTS: Final = 16
"""So many of one file are sorted when somebody asks. Most files have one: a sorted map costs a quarter of their commit.
"""

Extents = MutableMapping[int, Extent | None]


class Layer:
    """Owned by the trio thread; changed only between awaits. A frozen layer is not changed at all."""

    def __init__(self) -> None:
        self.inodes: dict[int, Inode | None] = {}
        self.dentries: dict[int, dict[bytes, Dentry | None]] = {}
        self.extents: dict[int, Extents] = {}  # by inode, then by file offset; in order once they are not few
        self.xattrs: dict[int, dict[bytes, bytes | None]] = {}
        self.facts: dict[bytes, bytes | None] = {}  # whole trie keys: snapshots, settings
        self.began_ns = 0
        """When the first inode of the layer changed; 0 while none has."""
        self._more_bytes = 0  # of names, extents and attributes; of those dropped again too

    @property
    def nbytes(self) -> int:
        """About what the layer takes in memory."""
        return INODE_BYTES * len(self.inodes) + self._more_bytes

    def add_bytes(self, count: int) -> None:
        """An inode of the layer holds so many bytes itself: the target of a symlink."""
        self._more_bytes += count

    def __bool__(self) -> bool:
        return bool(self.inodes or self.dentries or self.extents or self.xattrs or self.facts)

    @property
    def only_facts(self) -> bool:
        """Whether no file, name or attribute has changed."""
        return not (self.inodes or self.dentries or self.extents or self.xattrs)

    def changed_files(self, version: int) -> int:
        """How many files that others had changed or went in it, once it is that version; rather too many: with
        attributes, folders that went, and what came and went again."""
        return sum(inode is None or (inode.is_file and inode.born < version) for inode in self.inodes.values())

    def set_dentry(self, parent: int, name: bytes, dentry: Dentry | None) -> None:
        names = self.dentries.get(parent)
        if names is None:
            names = self.dentries[parent] = {}
        if name not in names:
            self._more_bytes += NAME_BYTES
        names[name] = dentry

    def set_extent(self, ino: int, offset: int, extent: Extent | None) -> None:
        extents = self.extents.get(ino)
        if extents is None:
            extents = self.extents[ino] = {}
        if offset not in extents:
            self._more_bytes += EXTENT_BYTES
            if len(extents) == FEW_EXTENTS:
                extents = self.extents[ino] = SortedDict(extents)
        extents[offset] = extent

    def set_xattr(self, ino: int, name: bytes, value: bytes | None) -> None:
        values = self.xattrs.setdefault(ino, {})
        before = values.get(name)
        self._more_bytes += len(value or b"") - len(before or b"") + (XATTR_BYTES if name not in values else 0)
        values[name] = value

    def extents_between(self, ino: int, start: int, end: int) -> Iterator[tuple[int, Extent | None]]:
        """The changes to extents whose offset lies in [start, end), in order."""
        extents = self.extents.get(ino)
        if extents is None:
            return
        for offset in _offsets(extents, start, end):
            yield offset, extents[offset]

    def extent_before(self, ino: int, start: int, least: int) -> Extent | None:
        """The last extent of the layer that begins in [least, start): no other of those can reach past it."""
        extents = self.extents.get(ino)
        if extents is None:
            return None
        for offset in _offsets(extents, least, start, reverse=True):
            extent: Extent | None = extents[offset]
            if extent is not None:
                return extent
        return None

    def extents_of(self, ino: int) -> list[tuple[int, Extent | None]]:
        """All changes to a file's extents, in order of offset."""
        return sorted(self.extents.get(ino, {}).items(), key=itemgetter(0))

    def only(self, ino: int) -> "Layer":
        """What the layer says about an inode's extents and attributes: shared, not copied."""
        kept = Layer()
        if ino in self.extents:
            kept.extents[ino] = self.extents[ino]
        if ino in self.xattrs:
            kept.xattrs[ino] = self.xattrs[ino]
        return kept

    def drop_inode(self, ino: int) -> None:
        """Forgets all that the layer says about an inode, and says that it is gone."""
        self.dentries.pop(ino, None)
        self.extents.pop(ino, None)
        self.xattrs.pop(ino, None)
        self.inodes[ino] = None


def _offsets(extents: Extents, start: int, end: int, reverse: bool = False) -> Iterator[int]:
    """Those in [start, end), in order."""
    if isinstance(extents, SortedDict):
        return extents.irange(start, end, (True, False), reverse)  # type: ignore[no-any-return]
    return iter(sorted((offset for offset in extents if start <= offset < end), reverse=reverse))
