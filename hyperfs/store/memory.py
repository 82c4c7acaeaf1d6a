"""The index's twin in memory: for tests, and for a drive that is opened without touching its store."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from hyperfs.store.index import check_change


class MemoryIndex:
    """A dictionary and its sorted keys. Lives as long as the object: there is nothing to be durable."""

    def __init__(self) -> None:
        # Guards all three: a write changes them together.
        self._lock = threading.Lock()
        self._pairs: dict[bytes, bytes] | None = {}
        self._sorted: list[bytes] | None = []

    def get(self, key: bytes) -> bytes | None:
        with self._lock:
            return self._open().get(key)

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        batch = dict(changes)
        for key, value in batch.items():
            check_change(key, value)
        with self._lock:
            pairs = self._open()
            for key, value in batch.items():
                if value is None:
                    pairs.pop(key, None)
                else:
                    pairs[key] = value
            self._sorted = None

    def scan(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        with self._lock:
            pairs = self._open()
            if self._sorted is None:
                self._sorted = sorted(pairs)
            first = bisect_left(self._sorted, max(prefix, start))
            found = []
            for key in self._sorted[first:]:
                if not key.startswith(prefix):
                    break
                found.append((key, pairs[key]))
        return self._pairs_until_closed(found)

    def _pairs_until_closed(self, found: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for pair in found:
            if self._pairs is None:
                return
            yield pair

    def flush(self) -> None:
        with self._lock:
            self._open()

    def compact(self) -> None:
        with self._lock:
            self._open()

    def close(self) -> None:
        with self._lock:
            self._pairs = self._sorted = None

    def _open(self) -> dict[bytes, bytes]:
        if self._pairs is None:
            raise ValueError("the index is closed")
        return self._pairs
