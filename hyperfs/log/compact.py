"""The part of Hypercore's compact-encoding that manifests, stored signatures and the wire need.

uint: below 253 one byte; else 0xfd u16, 0xfe u32 or 0xff u64, little-endian. A buffer is its uint length and
its bytes. Reading is strict: an integer in more bytes than it needs is refused, because a hash over the bytes
must not have two pre-images that mean the same.
"""

from struct import Struct
from typing import Final

from hyperfs.errors import Corrupt

_WIDE: Final = {0xFD: Struct("<H"), 0xFE: Struct("<I"), 0xFF: Struct("<Q")}
_FLOORS: Final = {0xFD: 0xFD, 0xFE: 1 << 16, 0xFF: 1 << 32}


def uint(value: int) -> bytes:
    if value < 0xFD:
        return bytes((value,))
    for tag, floor in reversed(_FLOORS.items()):
        if value >= floor:
            return bytes((tag,)) + _WIDE[tag].pack(value)
    raise AssertionError("unreachable: 0xfd is the lowest floor")


def buffer(data: bytes) -> bytes:
    return uint(len(data)) + data


def text(data: bytes, what: str) -> str:
    """A string's bytes as text; Corrupt where they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Corrupt(f"{what} is not UTF-8") from None


class Reader:
    """Reads from bytes front to back; Corrupt where they end too early."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self._at

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise Corrupt(f"{self._what} ends too early", f"at byte {self._at} of {len(self._data)}")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def uint(self) -> int:
        first = self.take(1)[0]
        wide = _WIDE.get(first)
        if wide is None:
            return first
        value: int = wide.unpack(self.take(wide.size))[0]
        if value < _FLOORS[first]:
            raise Corrupt(f"{self._what} has an integer that is longer than it needs", f"before byte {self._at}")
        return value

    def buffer(self) -> bytes:
        return self.take(self.uint())

    def count(self, item_bytes: int) -> int:
        """A number of items to come, refused before anything is allocated if they can't all be there."""
        value = self.uint()
        if value * item_bytes > len(self._data) - self._at:
            raise Corrupt(f"{self._what} announces {value} items and is too short for them")
        return value

    def end(self) -> None:
        if self._at != len(self._data):
            raise Corrupt(f"{self._what} has {len(self._data) - self._at} bytes too many")
