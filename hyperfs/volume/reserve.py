"""The reserve: preallocated space that ordinary writes never touch, so that deleting works on a full disk."""

import contextlib
import os
from pathlib import Path
from typing import Final

from hyperfs.volume.content import Room

LEAST_BYTES: Final = 64 << 20
MOST_BYTES: Final = 256 << 20
"""What commit, unlink and recovery may need at once does not grow with the disk: the dirty bytes (64 MiB), their
chunks, the journal (16 MiB) and a commit's metadata."""
SHARE: Final = 0.01


class Reserve:
    """The file `reserve`. Its space is taken, so the disk's own figure of what is free leaves it out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._released = not self._held()
        self._size = self._held() or self.wanted(path.parent)

    def _held(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    @staticmethod
    def wanted(folder: Path) -> int:
        """1% of the disk, between 64 and 256 MiB; what a small disk can't give is not asked of it."""
        stats = os.statvfs(folder)
        total = stats.f_blocks * stats.f_frsize
        free = stats.f_bavail * stats.f_frsize
        return min(max(LEAST_BYTES, min(MOST_BYTES, int(total * SHARE))), free // 4)

    def fill(self, size: int | None = None) -> None:
        """Takes the space, `wanted` bytes unless told. Raises OSError where the disk can't preallocate."""
        if size is None:
            size = self.wanted(self._path.parent)
        self._size = size
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if size:
                os.posix_fallocate(fd, 0, size)
        finally:
            os.close(fd)
        self._released = False

    @property
    def released(self) -> bool:
        """Whether its space was given away."""
        return self._released

    def release(self) -> bool:
        """Gives the space to whoever is working: a commit, a deletion, a recovery. False if it was given before."""
        if self._released:
            return False
        os.truncate(self._path, 0)
        self._released = True
        return True

    def restore(self) -> None:
        """Takes the space again when the disk has room for twice as much; any thread, quietly."""
        if self._released and self.room().free > self._size:
            with contextlib.suppress(OSError):
                self.fill(self._size)

    def room(self) -> Room:
        """What is left for ordinary writes, in bytes: a reserve that was given away is still not theirs."""
        stats = os.statvfs(self._path.parent)
        free = stats.f_bavail * stats.f_frsize
        if self._released:
            free = max(0, free - self._size)
        return Room(free, stats.f_blocks * stats.f_frsize)
