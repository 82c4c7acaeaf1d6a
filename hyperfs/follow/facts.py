"""What is known of one name in a folder: the source's, or that of its copy."""

import os
import stat
from dataclasses import dataclass
from typing import NewType

Parts = tuple[bytes, ...]
"""A path below the followed folder: its names. () is the folder itself."""
Identity = NewType("Identity", tuple[int, int])
"""Device and inode number."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What lstat says, as far as a copy has it too or a change shows in it."""

    kind: int
    mode: int
    uid: int
    gid: int
    size: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    identity: Identity
    nlink: int
    rdev: int

    @classmethod
    def of(cls, found: os.stat_result) -> "Facts":
        return cls(
            stat.S_IFMT(found.st_mode),
            stat.S_IMODE(found.st_mode),
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_atime_ns,
            found.st_mtime_ns,
            found.st_ctime_ns,
            Identity((found.st_dev, found.st_ino)),
            found.st_nlink,
            found.st_rdev,
        )

    @property
    def is_folder(self) -> bool:
        return self.kind == stat.S_IFDIR

    @property
    def is_file(self) -> bool:
        return self.kind == stat.S_IFREG

    @property
    def is_link(self) -> bool:
        return self.kind == stat.S_IFLNK

    @property
    def rights(self) -> tuple[int, int, int]:
        return self.mode, self.uid, self.gid

    def is_state_of(self, other: "Facts") -> bool:
        """Whether nothing was done to an inode between two looks."""
        return (self.identity, self.ctime_ns, self.mtime_ns, self.size, self.kind) == (
            other.identity,
            other.ctime_ns,
            other.mtime_ns,
            other.size,
            other.kind,
        )

    def holds_what(self, other: "Facts") -> bool:
        """Whether source and copy are the same by the look of them: kind, size and mtime; for a folder its kind."""
        if self.kind != other.kind:
            return False
        if self.is_folder:
            return True
        return (self.size, self.mtime_ns, self.rdev) == (other.size, other.mtime_ns, other.rdev)


@dataclass(frozen=True, slots=True)
class Record:
    """Of which inode a copy was made, and the ctime that it had."""

    number: int
    identity: Identity
    ctime_ns: int
    is_folder: bool
