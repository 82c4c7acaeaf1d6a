"""A cache of decoded things, bounded by bytes, that a long scan does not empty.

Segmented LRU: a new entry is on probation; one that is asked for again, after something else was, is
protected. Reading a big file once only passes through probation, though each of its blocks is asked for
several times in a row.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# The rest is for new entries, so that they live long enough to be asked for again.
_PROTECTED_SHARE: Final = 0.8


class BlockCache(Generic[K, V]):
    """All methods may be called from any thread. Values are shared: treat them as immutable.

    Holds whenever no method runs: size_bytes <= capacity_bytes, and it is the sum of the costs of what
    `get` would find.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._protected_capacity = int(capacity_bytes * _PROTECTED_SHARE)
        self._lock = threading.Lock()  # guards all fields below
        self._probation: OrderedDict[K, tuple[V, int]] = OrderedDict()  # oldest first
        self._protected: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._probation_bytes = 0
        self._protected_bytes = 0

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return self._probation_bytes + self._protected_bytes

    def __len__(self) -> int:
        with self._lock:
            return len(self._probation) + len(self._protected)

    def get(self, key: K) -> V | None:
        """The value, now the most recently used; None if it is not here."""
        with self._lock:
            found = self._protected.get(key)
            if found is not None:
                self._protected.move_to_end(key)
                return found[0]
            found = self._probation.get(key)
            if found is None:
                return None
            # The next read of the same block is the same use of it, no sign that it comes back.
            if next(reversed(self._probation)) != key:
                self._protect(key, found)
            return found[0]

    def put(self, key: K, value: V, cost_bytes: int) -> None:
        """Keeps `value` in place of what was there; not if it alone is over an eighth of the capacity."""
        with self._lock:
            self._drop(key)
            if cost_bytes > self.capacity_bytes // 8:
                return
            self._probation[key] = (value, cost_bytes)
            self._probation_bytes += cost_bytes
            self._evict()

    def discard(self, key: K) -> None:
        """Forgets `key`, if it is here: its block was punched or rolled back."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        with self._lock:
            self._probation.clear()
            self._protected.clear()
            self._probation_bytes = self._protected_bytes = 0

    def _protect(self, key: K, entry: tuple[V, int]) -> None:
        del self._probation[key]
        self._probation_bytes -= entry[1]
        self._protected[key] = entry
        self._protected_bytes += entry[1]
        while self._protected_bytes > self._protected_capacity:
            old_key, old = self._protected.popitem(last=False)
            self._protected_bytes -= old[1]
            self._probation[old_key] = old
            self._probation_bytes += old[1]

    def _drop(self, key: K) -> None:
        entry = self._probation.pop(key, None)
        if entry is not None:
            self._probation_bytes -= entry[1]
            return
        entry = self._protected.pop(key, None)
        if entry is not None:
            self._protected_bytes -= entry[1]

    def _evict(self) -> None:
        while self._probation_bytes + self._protected_bytes > self.capacity_bytes and self._probation:
            _, old = self._probation.popitem(last=False)
            self._probation_bytes -= old[1]
