"""An object store that is a folder: of a second disk, or of a machine in the network that is mounted here.

    FOLDER/hyperfs-cold      text: this is the place. Written when it is added; while it is missing, nothing is
    FOLDER/a/b/name          the object a/b/name
    FOLDER/a/b/name.PID.new  one that is being written, or was when the power went

Files are written beside their place, synced and renamed, and so is the folder: what was put survives a power cut. Their
pages leave the kernel's cache then, so that reading back asks the disk, as far as there is one here.
"""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from hyperfs.errors import HyperfsError, NoSuchObject, PlaceFull, PlaceRefuses, Unreachable
from hyperfs.store.objects import ObjectInfo

MARKER: Final = "hyperfs-cold"
MARKER_TEXT: Final = b"Here hyperfs keeps sealed blocks of drives. While this file is missing it touches nothing.\n"
NEW: Final = ".new"
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class FolderObjects:
    """Holds no file open between calls, so that the disk can be unmounted at any time."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        """Makes the last part of the path, where that is missing: not those above it, which may be a mount point."""
        try:
            self._root.mkdir(mode=FOLDER_MODE, exist_ok=True)
            if not (self._root / MARKER).exists():
                self._write(self._root / MARKER, MARKER_TEXT)
        except FileNotFoundError:
            raise Unreachable(f"{self._root.parent} does not exist, as if its disk were not mounted") from None
        except OSError as error:
            self._fail(error)

    def put(self, name: str, data: bytes, storage_class: str = "") -> bool:
        self._check()
        path = self._path(name)
        try:
            self._make_folders(path.parent)
            self._write(path, data)
        except OSError as error:
            self._fail(error)
        return not storage_class

    def read(self, name: str, start: int, end: int) -> bytes:
        try:
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            self._absent(name)
        except OSError as error:
            self._fail(error)
        try:
            data = _read(fd, start, end)
        except OSError as error:
            self._fail(error)
        finally:
            os.close(fd)
        if len(data) != end - start:
            raise Unreachable(f"the object {name} in {self._root} ends before byte {end}")
        return data

    def info(self, name: str) -> ObjectInfo:
        try:
            return _info(name, os.stat(self._path(name), follow_symlinks=False))
        except FileNotFoundError:
            self._absent(name)
        except OSError as error:
            self._fail(error)

    def list(self, folder: str) -> Iterator[ObjectInfo]:
        self._check()
        try:
            yield from self._below(folder)
        except OSError as error:
            self._fail(error)

    def remove(self, name: str) -> None:
        self._check()
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            self._fail(error)

    def _path(self, name: str) -> Path:
        if name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
            raise ValueError(f"{name!r} is no object's name")
        return self._root / name

    def _below(self, folder: str) -> Iterator[ObjectInfo]:
        try:
            entries = list(os.scandir(self._path(folder)))
        except FileNotFoundError:
            return  # none yet, or removed since it was listed
        for entry in entries:
            name = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from self._below(name)
            elif entry.is_file(follow_symlinks=False) and not name.endswith(NEW):
                yield _info(name, entry.stat(follow_symlinks=False))

    def _make_folders(self, path: Path) -> None:
        if path == self._root or path.is_dir():
            return
        self._make_folders(path.parent)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        _sync_folder(path.parent)

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident():x}{NEW}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(fd, rest) :]
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def _check(self) -> None:
        try:
            os.stat(self._root / MARKER)
        except FileNotFoundError:
            self._not_mounted()
        except OSError as error:
            self._fail(error)

    def _absent(self, name: str) -> NoReturn:
        """The object is not there; or nothing is, since the disk is not mounted."""
        self._check()
        raise NoSuchObject(f"there is no object {name} in {self._root}") from None

    def _not_mounted(self) -> NoReturn:
        raise Unreachable(f"{self._root} has no file {MARKER} now, as if its disk were not mounted") from None

    def _fail(self, error: OSError) -> NoReturn:
        kind: type[HyperfsError] = Unreachable
        if error.errno in _FULL:
            kind = PlaceFull
        elif error.errno in _REFUSED:
            kind = PlaceRefuses
        raise kind(f"{self._root}: {error.strerror or error}") from error


def _info(name: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(name, found.st_size, f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}")


def _read(fd: int, start: int, end: int) -> bytes:
    """To the end of the file, if that comes first."""
    parts: list[bytes] = []
    size = os.fstat(fd).st_size
    while start < min(end, size) and (data := os.pread(fd, min(end, size) - start, start)):
        parts.append(data)
        start += len(data)
    return b"".join(parts)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
