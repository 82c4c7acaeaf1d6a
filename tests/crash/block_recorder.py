"""A disk in memory that writes down all that is written to it: `block_recorder.py POINT BYTES RECORD`.

Mounts a folder at POINT with the one file `disk`, for a loop device. Each write, and each flush (an fsync of the
file: that is what the loop device makes of the block layer's flushes) is appended to the file RECORD before it is
answered: what stands there when a program's fsync has returned has happened before. Says `ready` when it is mounted.
"""

import errno
import os
import stat
import struct
import sys

import pyfuse3
import trio

ENTRY = struct.Struct("<BQI")  # kind, offset, bytes of data that follow
WRITE, FLUSH = 1, 2
DISK = b"disk"
DISK_INO = pyfuse3.InodeT(2)


class Recorder(pyfuse3.Operations):
    enable_writeback_cache = False

    def __init__(self, size: int, record: int) -> None:
        super().__init__()
        self._image = bytearray(size)
        self._record = record

    def _attributes(self, ino: int) -> pyfuse3.EntryAttributes:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = pyfuse3.InodeT(ino)
        entry.st_mode = stat.S_IFREG | 0o600 if ino == DISK_INO else stat.S_IFDIR | 0o700
        entry.st_size = len(self._image) if ino == DISK_INO else 0
        return entry

    async def getattr(self, inode: pyfuse3.InodeT, ctx: object = None) -> pyfuse3.EntryAttributes:
        return self._attributes(inode)

    async def lookup(self, parent: pyfuse3.InodeT, name: bytes, ctx: object = None) -> pyfuse3.EntryAttributes:
        if name != DISK:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return self._attributes(DISK_INO)

    async def open(self, inode: pyfuse3.InodeT, flags: int, ctx: object) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(1))

    async def read(self, fh: pyfuse3.FileHandleT, offset: int, size: int) -> bytes:
        return bytes(self._image[offset : offset + size])

    async def write(self, fh: pyfuse3.FileHandleT, offset: int, data: bytes) -> int:
        os.writev(self._record, [ENTRY.pack(WRITE, offset, len(data)), data])
        self._image[offset : offset + len(data)] = data
        return len(data)

    async def fsync(self, fh: pyfuse3.FileHandleT, datasync: bool) -> None:
        os.write(self._record, ENTRY.pack(FLUSH, 0, 0))

    async def flush(self, fh: pyfuse3.FileHandleT) -> None:
        """Closing makes nothing durable."""


def main(point: str, size: int, record: str) -> None:
    fd = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    options = {*pyfuse3.default_options, "fsname=block_recorder"}
    pyfuse3.init(Recorder(size, fd), point, options)
    print("ready", flush=True)
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
