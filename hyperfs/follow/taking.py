"""A source's bytes onto the drive: into a temporary name beside its copy, in pieces, holes left as holes."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Final

from hyperfs.errors import HyperfsError
from hyperfs.follow.facts import Facts
from hyperfs.follow.tree import Folder, Unknown

PIECE_BYTES: Final = 1 << 20
LOOK_AGAIN_BYTES: Final = 64 << 20
"""So often it is looked whether a file that is being read has changed: the rest of it need not be read then."""
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Restless(HyperfsError):
    """The source changed while it was read; nothing was done."""


def temporary_name(name: bytes) -> bytes:
    """rsync's form: the drive knows by it which file will be replaced, and stores what differs from that one."""
    ending = "".join(secrets.choice(_LETTERS) for _ in range(6)).encode()
    return b".%s.%s" % (name[: 255 - 8], ending)


def take(
    source: Folder, name: bytes, facts: Facts, into: Folder, temporary: bytes, alive: Callable[[], None]
) -> int:
    """Makes a new file of that name with the source's bytes; returns how many were read. The caller removes it
    when anything is raised: Restless, Unknown for the source, OSError for the copy. `alive` hears of each piece."""
    if not facts.is_file:
        _make_other(source, name, facts, into, temporary)
        return 0
    reading = _open_source(source, name, facts)
    try:
        writing = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, facts.mode & 0o777, dir_fd=into.fd
        )
        try:
            done = _copy(reading, writing, facts, alive)
        finally:
            os.close(writing)
        _check(reading, facts)
    finally:
        os.close(reading)
    found = source.facts(name)
    if found is None or not found.is_state_of(facts):
        raise Restless(os.fsdecode(name))
    return done


def holds_same_bytes(
    source: Folder, name: bytes, facts: Facts, copy: Folder, copy_name: bytes, alive: Callable[[], None]
) -> bool:
    """Compares source and copy, which have the same size; of symlinks the targets. Raises as `take`."""
    if facts.is_link:
        return _target(source, name) == os.readlink(copy_name, dir_fd=copy.fd)
    reading = _open_source(source, name, facts)
    try:
        beside = os.open(copy_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=copy.fd)
        try:
            for start in range(0, facts.size, PIECE_BYTES):
                alive()
                if _piece(reading, start, PIECE_BYTES) != os.pread(beside, PIECE_BYTES, start):
                    return False
        finally:
            os.close(beside)
        _check(reading, facts)
    finally:
        os.close(reading)
    return True


def _make_other(source: Folder, name: bytes, facts: Facts, into: Folder, temporary: bytes) -> None:
    if facts.is_link:
        os.symlink(_target(source, name), temporary, dir_fd=into.fd)
    else:
        os.mknod(temporary, facts.kind | 0o600, facts.rdev, dir_fd=into.fd)


def _target(source: Folder, name: bytes) -> bytes:
    try:
        return os.readlink(name, dir_fd=source.fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            raise Restless(os.fsdecode(name)) from None
        raise Unknown(error) from error


def _open_source(source: Folder, name: bytes, facts: Facts) -> int:
    """Without changing its atime where that is allowed. It may have become anything since it was looked at."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        try:
            fd = os.open(name, flags | os.O_NOATIME, dir_fd=source.fd)
        except PermissionError:
            fd = os.open(name, flags, dir_fd=source.fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            raise Restless(os.fsdecode(name)) from None
        raise Unknown(error) from error
    try:
        _check(fd, facts)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check(fd: int, facts: Facts) -> None:
    try:
        now = Facts.of(os.fstat(fd))
    except OSError as error:
        raise Unknown(error) from error
    if not now.is_state_of(facts):
        raise Restless("it changes")


def _copy(reading: int, writing: int, facts: Facts, alive: Callable[[], None]) -> int:
    done, looked, end = 0, 0, 0
    for start, end in _data(reading, facts.size):
        while start < end:
            alive()
            piece = _piece(reading, start, min(PIECE_BYTES, end - start))
            if not piece:
                raise Restless("it got shorter")
            _write(writing, piece, start)
            start += len(piece)
            done += len(piece)
            if done - looked >= LOOK_AGAIN_BYTES:
                looked = done
                _check(reading, facts)
    if end < facts.size:
        os.ftruncate(writing, facts.size)
    return done


def _data(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file that are no holes, as far as its filesystem tells."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole to the end
                return
            start, end = at, size
        yield start, min(end, size)
        at = end


def _piece(fd: int, start: int, size: int) -> bytes:
    try:
        return os.pread(fd, size, start)
    except OSError as error:
        raise Unknown(error) from error


def _write(fd: int, piece: bytes, start: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(fd, view, start)
        view, start = view[written:], start + written
