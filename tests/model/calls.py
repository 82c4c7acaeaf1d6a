"""The calls that a comparison makes: as one of several users, relative to a folder, their answers as plain values.

Each answer is what a program would see, without what must differ between two filesystems (descriptors, inode numbers).
"""

import contextlib
import ctypes
import errno
import mmap
import os
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.alike import some_bytes

Answer = object

UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2
AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
GETDENTS64 = 217 if os.uname().machine == "x86_64" else 61

_libc = ctypes.CDLL(None, use_errno=True)


class User(NamedTuple):
    uid: int
    gid: int
    groups: tuple[int, ...]


ROOT = User(0, 0, ())
ANN = User(61001, 61001, (61001, 62000))
BEN = User(61002, 61002, (62000,))


@contextlib.contextmanager
def acting_as(user: User) -> Iterator[None]:
    """What is done inside is done with the user's rights. Only root can; for anybody else it changes nothing."""
    if user is ROOT or os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups(user.groups)
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@dataclass
class Place:
    """A folder in which calls are made, and the files that they hold open there, by our numbers."""

    root: bytes
    files: dict[int, int] = field(default_factory=dict)

    def do(self, user: User, call: Callable[..., Answer], *args: Any) -> Answer:
        """The call's answer, or the name of the errno with which it failed."""
        os.chdir(self.root)
        try:
            with acting_as(user):
                return call(*args)
        except OSError as error:
            return "fails", errno.errorcode[error.errno or 0]
        except ValueError as error:
            return "refused", str(error)
        finally:
            os.chdir("/")

    def open(self, number: int, path: bytes, flags: int, mode: int) -> Answer:
        fd = os.open(path, flags, mode)
        if stat.S_IFMT(os.fstat(fd).st_mode) in (stat.S_IFCHR, stat.S_IFBLK):
            os.close(fd)
            return "device"
        self.files[number] = fd
        return "opened", stat.S_IFMT(os.fstat(fd).st_mode)

    def close(self, number: int) -> None:
        os.close(self.files.pop(number))

    def close_all(self) -> None:
        for number in list(self.files):
            with contextlib.suppress(OSError):
                self.close(number)


def bytes_of(seed: int, size: int) -> bytes:
    return some_bytes(seed, size) if seed % 5 else bytes([seed % 256]) * size


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]  # ctypes wants a list


def _timespec(time_ns: int) -> _Timespec:
    """UTIME_NOW and UTIME_OMIT stand for themselves."""
    if time_ns in (UTIME_NOW, UTIME_OMIT):
        return _Timespec(0, time_ns)
    return _Timespec(*divmod(time_ns, 10**9))


def set_times(path: bytes | int, atime_ns: int, mtime_ns: int, follow: bool = True) -> None:
    """utimensat or futimens."""
    times = (_Timespec * 2)(_timespec(atime_ns), _timespec(mtime_ns))
    if isinstance(path, int):
        _checked(_libc.futimens(path, times))
    else:
        _checked(_libc.utimensat(AT_FDCWD, path, times, 0 if follow else AT_SYMLINK_NOFOLLOW))


def rename(old: bytes, new: bytes, flags: int) -> None:
    _checked(_libc.renameat2(AT_FDCWD, old, AT_FDCWD, new, flags))


def list_some(fd: int, size: int) -> list[bytes] | None:
    """One getdents64 with a small buffer: some names, or None at the end."""
    buffer = ctypes.create_string_buffer(size)
    got = _checked(_libc.syscall(GETDENTS64, fd, buffer, size))
    names, at = [], 0
    while at < got:
        _, _, length, _ = struct.unpack_from("=QqHB", buffer, at)
        names.append(buffer.raw[at + 19 : at + length].split(b"\0", 1)[0])
        at += length
    return [name for name in names if name not in (b".", b"..")] if got else None


def list_all(path: bytes) -> list[bytes]:
    return sorted(os.listdir(path))


def status(path: bytes, follow: bool) -> Answer:
    return shown(os.stat(path, follow_symlinks=follow))


def shown(facts: os.stat_result) -> tuple[int, ...]:
    """What must be the same on both sides at once; of times see `seen`."""
    size = 0 if stat.S_ISDIR(facts.st_mode) else facts.st_size
    return facts.st_mode, facts.st_nlink, facts.st_uid, facts.st_gid, size, facts.st_rdev


def read_whole(path: bytes) -> Answer:
    if not stat.S_ISREG(os.stat(path).st_mode):
        return "no file"
    with open(path, "rb") as file:
        return file.read()


def map_and_write(fd: int, offset: int, data: bytes, flush: bool) -> Answer:
    """Writes through a shared mapping, as far as the file goes."""
    with mmap.mmap(fd, 0) as mapped:
        at = offset % len(mapped)
        data = data[: len(mapped) - at]
        mapped[at : at + len(data)] = data
        if flush:
            mapped.flush()
    return len(data)


def map_and_read(fd: int) -> Answer:
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapped:
        return mapped[:]


def copy_range(source: int, target: int, count: int, at: int, to: int) -> Answer:
    return os.copy_file_range(source, target, count, at, to)
