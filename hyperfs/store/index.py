"""The local index: a key-value store that is derived from the logs and may be deleted at any time.

Two implementations, `rocksdb.RocksIndex` and `memory.MemoryIndex`, kept to one behaviour by one test suite.
What an index holds after a crash or damage is what some first part of the batches left, or opening or reading
raises IndexDamaged; it is never a wrong value and never a later batch without an earlier one.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

MAX_KEY_BYTES: Final = 1024
MAX_VALUE_BYTES: Final = 1 << 20


class KeyValue(Protocol):
    """Ordered bytes to bytes. get and write may be called from any thread; a scan belongs to one thread."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None where there is none."""
        ...

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """One batch: all or nothing, also after a crash. None deletes; of one key's changes the last wins.

        Raises ValueError, changing nothing, for a key or value over its bound or an empty key. Does not sync.
        """
        ...

    def scan(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Pairs with the prefix and key >= start, in byte order of keys, as they stood when scan was called.

        An unfinished scan ends at `close`.
        """
        ...

    def flush(self) -> None:
        """Returns when all that was written is on the disk."""
        ...

    def compact(self) -> None:
        """Gives back the room of what was deleted, to the disk. Any thread; others go on. OSError, IndexDamaged."""
        ...

    def close(self) -> None:
        """Frees everything; further calls raise ValueError, but for close itself."""
        ...


def check_change(key: bytes, value: bytes | None) -> None:
    """Raises ValueError for what no index takes."""
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"an index key has 1..{MAX_KEY_BYTES} bytes, not {len(key)}")
    if value is not None and len(value) > MAX_VALUE_BYTES:
        raise ValueError(f"an index value has up to {MAX_VALUE_BYTES} bytes, not {len(value)}")
