"""Files of a store: the one seam through which logs, journal, keys and control chain reach the disk.

Fault tests put a subclass of `Disk` and `DiskFile` in the place of these, so nothing else in the store may
call the operating system for its data. All errors of the system go up as OSError (ENOSPC, EIO, ...) with the
path in them.

A failed fsync or fdatasync is final for its file: the kernel may have dropped the dirty pages and will report
the next sync as fine, so the file remembers the failure and refuses every later write and sync.
"""

import ctypes
import errno
import os
import threading
from pathlib import Path
from typing import ClassVar, Final

from hyperfs.errors import SyncFailed

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

_PUNCH_HOLE_KEEP_SIZE: Final = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE needs FALLOC_FL_KEEP_SIZE; linux/falloc.h
_ZEROS: Final = bytes(1 << 20)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate64.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.fallocate64.restype = ctypes.c_int


_LITTLE_BYTES: Final = 64 << 10
"""A longer read asks for the file's size first, which costs under a microsecond."""
_LAST_OFFSET: Final = (1 << 63) - 1
"""Of the kernel's; beyond it Python raises OverflowError."""


class DiskFile:
    """An open file, addressed by offset only: there is no position that two threads could fight over.

    pread and pwrite may run in any number of threads. The owner closes it.
    """

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self.path = path
        # Set once, by whichever thread meets the failed sync; read by all. A plain store is atomic enough.
        self._failure: SyncFailed | None = None

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes; fewer only at the end of the file, and none past it, however far.

        Allocates no more than the file has: sizes and offsets may come out of a tree that was forged.
        """
        if size > _LITTLE_BYTES or offset > _LAST_OFFSET:
            size = min(size, max(0, self.size() - offset))
            offset = min(offset, _LAST_OFFSET)
        data = os.pread(self._fd, size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]
        got = len(data)
        while got < size and (data := os.pread(self._fd, size - got, offset + got)):
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """All of `data` or an OSError, after which any part of it may have been written."""
        self._check()
        written = os.pwrite(self._fd, data, offset)
        if written == len(data):
            return
        rest = memoryview(data).cast("B")[written:]
        offset += written
        while rest:
            written = os.pwrite(self._fd, rest, offset)
            if written == 0:
                raise OSError(errno.EIO, "write made no progress", self.path)
            rest = rest[written:]
            offset += written

    def fdatasync(self) -> None:
        """Returns when all written before the call is on the disk; SyncFailed from the first failure on."""
        self._check()
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._failure = SyncFailed(error.errno, f"sync failed: {error.strerror}", self.path)
            raise self._failure from error

    def refresh(self) -> None:
        """Returns when all that any process wrote to the file is on the disk; what is read next comes from there.

        After a sync that failed the kernel may hold as clean what the disk does not have; so, right after opening,
        does whoever must not promise what is only in memory.
        """
        self.fdatasync()
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def allocated(self) -> int:
        """Bytes of disk that the file takes: less than its size once holes were punched."""
        return os.fstat(self._fd).st_blocks * 512

    def is_hole(self, offset: int, length: int) -> bool:
        """Whether [offset, offset+length) takes no disk but for pages that it shares, and reads as zeros. Where the
        filesystem knows no holes, it is read."""
        if length <= 0:
            return False
        try:
            start = os.lseek(self._fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True  # only hole up to the end
            raise
        return start >= offset + length or not any(self.pread(length, offset))

    def is_all_hole(self, offset: int, length: int) -> bool:
        """As is_hole, without ever reading: False also where something else shares a page with it."""
        if length <= 0:
            return False
        try:
            return os.lseek(self._fd, offset, os.SEEK_DATA) >= offset + length
        except OSError as error:
            if error.errno == errno.ENXIO:
                return True
            raise

    def truncate(self, size: int) -> None:
        self._check()
        os.ftruncate(self._fd, size)

    def punch(self, offset: int, length: int) -> None:
        """Make [offset, offset+length) read as zeros and give its space back; the size stays.

        Where the filesystem can't punch, zeros are written: the bytes are gone all the same.
        """
        self._check()
        if length <= 0:
            return
        if _libc.fallocate64(self._fd, _PUNCH_HOLE_KEEP_SIZE, offset, length) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(code, os.strerror(code), self.path)
        end = min(offset + length, self.size())
        while offset < end:
            part = min(len(_ZEROS), end - offset)
            self.pwrite(_ZEROS[:part], offset)
            offset += part

    def preallocate(self, size: int) -> None:
        """Take space for `size` bytes from the start (ENOSPC if there is none); the size grows to that."""
        self._check()
        if size > 0:
            os.posix_fallocate(self._fd, 0, size)

    def close(self) -> None:
        """Closing twice is harmless. Closing syncs nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _check(self) -> None:
        if self._failure is not None:
            raise SyncFailed(*self._failure.args, self.path) from self._failure


class Disk:
    """A folder of the disk. Names are relative to it, parts joined by '/'; none leads out of it.

    Files are made with mode 0600 and folders with 0700.
    """

    file_type: ClassVar[type[DiskFile]] = DiskFile

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, name: str, create: bool = False, writable: bool = True) -> DiskFile:
        """`create` makes the file if it is missing; its name is durable only after sync_folder."""
        path = self._path(name)
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_RDWR if writable else os.O_RDONLY)
        if create:
            flags |= os.O_CREAT
        return self.file_type(os.open(path, flags, FILE_MODE), path)

    def read_all(self, name: str) -> bytes:
        file = self.open(name, writable=False)
        try:
            return file.pread(file.size(), 0)
        finally:
            file.close()

    def replace(self, name: str, data: bytes, mode: int = FILE_MODE) -> None:
        """Put `data` in the place of the file, durably: after a crash it is the old one or the new, whole.

        Two threads may replace two names at once, and even the same one.
        """
        temporary = f"{name}.{threading.get_ident():x}.new"
        file = self.open(temporary, create=True)
        try:
            os.chmod(self._path(temporary), mode)
            file.truncate(0)  # what a crash left under this name
            file.pwrite(data, 0)
            file.fdatasync()
            self.rename(temporary, name)
        except BaseException:
            # The old file is untouched; a part of the new one would only be litter.
            if self.exists(temporary):
                self.remove(temporary)
            raise
        finally:
            file.close()
        self.sync_folder(os.path.dirname(name))

    def exists(self, name: str) -> bool:
        return os.path.lexists(self._path(name))

    def size(self, name: str) -> int:
        """Bytes of a file that need not be open."""
        return os.stat(self._path(name), follow_symlinks=False).st_size

    def listdir(self, name: str = "") -> list[str]:
        """Names in the folder, sorted."""
        return sorted(os.listdir(self._path(name)))

    def makedirs(self, name: str) -> None:
        """Make the folder and those above it, durably; fine if they are there."""
        path = self.root
        for part in [p for p in name.split("/") if p]:
            parent, path = path, path / part
            self._path(str(path.relative_to(self.root)))
            if not path.is_dir():
                path.mkdir(FOLDER_MODE)
                self._sync(str(parent))

    def remove(self, name: str) -> None:
        """Unlink a file. Durable only after sync_folder."""
        os.unlink(self._path(name))

    def rename(self, old: str, new: str) -> None:
        """Replaces what stood at `new`. Durable only after sync_folder."""
        os.rename(self._path(old), self._path(new))

    def sync_folder(self, name: str = "") -> None:
        """Returns when names made, removed and renamed in the folder are on the disk."""
        self._sync(self._path(name))

    def _path(self, name: str) -> str:
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise ValueError(f"{name!r} leads out of the store")
        return os.path.join(self.root, name)

    def _sync(self, folder: str) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
