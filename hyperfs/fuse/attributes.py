"""Inodes as the kernel wants them."""

from typing import Final

from pyfuse3 import EntryAttributes

from hyperfs.volume.inode import Inode

LONG_SECONDS: Final = 3600.0
"""On one machine the mount is the only writer: what the kernel knows stays true until it changes it."""
BLOCK_BYTES: Final = 4096
IO_BYTES: Final = 128 << 10
DIRECTORY_BYTES: Final = 4096


def entry_of(inode: Inode) -> EntryAttributes:
    """The kernel's view of a live inode; kept with the inode until that changes."""
    entry: EntryAttributes | None = inode.entry
    if entry is None:
        entry = inode.entry = fill(EntryAttributes(), inode, inode.ino)
    return entry


def fill(entry: EntryAttributes, inode: Inode, number: int) -> EntryAttributes:
    """Sets all fields from the inode, which appears under `number`."""
    entry.st_ino = number
    entry.generation = inode.generation
    entry.entry_timeout = LONG_SECONDS
    entry.attr_timeout = LONG_SECONDS
    entry.st_mode = inode.mode
    entry.st_nlink = inode.nlink
    entry.st_uid = inode.uid
    entry.st_gid = inode.gid
    entry.st_rdev = inode.rdev
    entry.st_size = DIRECTORY_BYTES if inode.is_directory else inode.size
    entry.st_blksize = IO_BYTES
    stored = inode.stored
    if inode.dirty is not None:
        stored += inode.dirty.nbytes
    if inode.flushing:
        stored += sum(len(run) for _, run in inode.flushing)
    if stored:
        stored = min(stored, inode.size) if inode.is_file else stored
        entry.st_blocks = (stored + BLOCK_BYTES - 1) // BLOCK_BYTES * (BLOCK_BYTES // 512)
    else:
        entry.st_blocks = 0
    entry.st_atime_ns = inode.atime_ns
    entry.st_mtime_ns = inode.mtime_ns
    entry.st_ctime_ns = inode.ctime_ns
    return entry


def nothing(seconds: float = LONG_SECONDS) -> EntryAttributes:
    """The answer that there is no such name, which the kernel may remember for so long."""
    entry = EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = seconds
    return entry
