"""A disk that takes few bytes a second. Its cache takes some at once; a sync waits until all of the file's are down."""

import threading
import time
from pathlib import Path

from hyperfs.store.files import Disk, DiskFile

CACHE_BYTES = 8 << 20
SYNC_SECONDS = 0.02


class Throttle:
    """The disk's one queue. Any thread."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._idle_at = 0.0  # when all that was put in so far is down
        self._down_at: dict[str, float] = {}  # the same of each file

    def put(self, path: str, count: int) -> None:
        """Returns at once while the cache has room for it, else when it has."""
        with self._lock:
            self._idle_at = max(time.monotonic(), self._idle_at) + count / self._rate
            self._down_at[path] = self._idle_at
            wait = self._idle_at - CACHE_BYTES / self._rate - time.monotonic()
        time.sleep(max(0.0, wait))

    def sync(self, path: str) -> None:
        with self._lock:
            wait = self._down_at.get(path, 0.0) - time.monotonic()
        time.sleep(max(0.0, wait) + SYNC_SECONDS)


def slow_disk(root: Path, bytes_per_second: float) -> Disk:
    """For Options.disk."""
    throttle = Throttle(bytes_per_second)

    class File(DiskFile):
        def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
            super().pwrite(data, offset)
            throttle.put(self.path, len(data))

        def fdatasync(self) -> None:
            throttle.sync(self.path)
            super().fdatasync()

    class SlowDisk(Disk):
        file_type = File

    return SlowDisk(root)
