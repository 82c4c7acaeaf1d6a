"""An inode: its record in the trie, and the object that stands for it while it is in memory.

Format: docs/formats/inode.md.
"""

import stat
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from hyperfs.chunks.extents import Extent
from hyperfs.errors import Corrupt
from hyperfs.volume.buffer import DirtyBytes

if TYPE_CHECKING:
    from hyperfs.volume.tree import LiveTree

RECORD: Final = struct.Struct("<IIIIQQqqqqQIIQQQ")
INLINE_MAX_BYTES: Final = 128
"""A file of at most this many bytes keeps them in its record."""
TARGET_MAX_BYTES: Final = 4095
"""A symlink's target always stays in its record."""


_RECORDED: Final = (
    *("mode", "uid", "gid", "nlink", "size", "stored", "atime_ns", "mtime_ns", "ctime_ns", "btime_ns", "rdev", "flags"),
    *("generation", "born", "predecessor", "parent", "inline", "durable_size"),
)


class Inode:
    """A file, directory or other object of the live tree. Owned by the trio thread; mutated between awaits.

    Times are nanoseconds since the epoch. `stored` counts the bytes of the file that are not holes. `parent` is
    a directory's parent, and for anything else the directory of its newest name. `born` is the version that
    first holds it, 0 until it is committed. `inline` holds a tiny file's bytes when it has no extents.
    """

    __slots__ = (
        "__weakref__",
        "atime_ns",
        "born",
        "btime_ns",
        "ctime_ns",
        "dirty",
        "durable_size",
        "entry",
        "flags",
        "flushing",
        "generation",
        "gid",
        "inline",
        "ino",
        "mode",
        "mtime_ns",
        "nlink",
        "orphan_extents",
        "orphan_source",
        "orphan_tree",
        "parent",
        "predecessor",
        "rdev",
        "replaces",
        "size",
        "stored",
        "uid",
        "users",
        "writers",
    )

    def __init__(self, ino: int, mode: int) -> None:
        self.ino = ino
        self.mode = mode
        self.uid = self.gid = self.nlink = 0
        self.size = self.stored = 0
        self.atime_ns = self.mtime_ns = self.ctime_ns = self.btime_ns = 0
        self.rdev = self.flags = self.generation = 0
        self.born = self.predecessor = self.parent = 0
        self.inline: bytes | None = None
        # Not in the record: what this process knows.
        self.dirty: DirtyBytes | None = None  # bytes not yet in any chunk; guarded by the trio thread
        self.flushing: tuple[tuple[int, memoryview], ...] = ()  # (offset, bytes) on their way into chunks
        self.durable_size = 0  # the size that the last journal record or commit gave it
        self.users = 0  # open handles
        self.writers = 0  # of them, for writing
        self.orphan_extents: dict[int, Extent] | None = None  # the extents of an unlinked file
        self.orphan_source: Callable[[], list[Extent]] | None = None  # gives them first, when somebody asks
        self.orphan_tree: LiveTree | None = None  # what was said of it when its last name went, and since
        self.replaces: Inode | Sequence[Extent] | None = None  # whose bytes its own are like: see `predecessors`
        self.entry: Any = None  # the kernel boundary's cached answer; None when it must be made anew

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)

    def encode(self, size: int | None = None, born: int | None = None) -> bytes:
        """The record's bytes; `size` and `born` stand in for the object's own where given."""
        record = RECORD.pack(
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            self.size if size is None else size,
            self.stored,
            self.atime_ns,
            self.mtime_ns,
            self.ctime_ns,
            self.btime_ns,
            self.rdev,
            self.flags,
            self.generation,
            self.born if born is None else born,
            self.predecessor,
            self.parent,
        )
        return record if self.inline is None else record + self.inline

    def become(self, other: "Inode") -> None:
        """What another's record says of it; of what this process knows of it nothing changes but the answers given."""
        for name in _RECORDED:
            setattr(self, name, getattr(other, name))
        self.entry = None

    @classmethod
    def decode(cls, ino: int, record: bytes) -> "Inode":
        """Raises Corrupt when the record is too short or its inline bytes do not fit its size."""
        if len(record) < RECORD.size or len(record) > RECORD.size + TARGET_MAX_BYTES:
            raise Corrupt("inode record has an impossible length", f"inode {ino}")
        inode = cls(ino, 0)
        (
            inode.mode,
            inode.uid,
            inode.gid,
            inode.nlink,
            inode.size,
            inode.stored,
            inode.atime_ns,
            inode.mtime_ns,
            inode.ctime_ns,
            inode.btime_ns,
            inode.rdev,
            inode.flags,
            inode.generation,
            inode.born,
            inode.predecessor,
            inode.parent,
        ) = RECORD.unpack_from(record)
        if len(record) > RECORD.size:
            inode.inline = record[RECORD.size :]
            if len(inode.inline) > inode.size:
                raise Corrupt("inode holds more inline bytes than its size", f"inode {ino}")
        inode.durable_size = inode.size
        return inode
