"""Which blocks of a log are not on this device, and a few of them that were lent to us. The record's codec.

A block that is *evicted* here may still be on the disk, whole or torn: it is marked before its bytes go, and stays
marked until they are back. So a reader who meets the mark, before or behind his look at the bytes, compares them with
the tree. What is not marked is here.

    evicted = "hfsevict" | u32 format | u32 0 | u64 runs | runs x (u64 first, u64 end) | tag (16 bytes)

Format: docs/formats/evicted.md. Pure.
"""

import re
import struct
from collections.abc import Callable, Iterator
from hmac import compare_digest
from typing import Final

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log.cleared import Range

MAGIC: Final = b"hfsevict"
FORMAT: Final = 1
TAG_BYTES: Final = 16
_HEAD: Final = struct.Struct("<8sIIQ")
_RUN: Final = struct.Struct("<QQ")
_SOME: Final = re.compile(rb"\xff+|[^\0]", re.DOTALL)

Authenticate = Callable[[bytes], bytes]
"""The tag of a record's bytes: 16 bytes that nobody without the drive's keys can make."""


class Evicted:
    """A bit for each block, and bytes lent. Any thread may ask; one thread at a time changes it."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self.count = 0
        self.lent: dict[int, bytes] = {}
        """Blocks that are in memory only, as sealed, checked against the tree. Whoever puts them in bounds them."""

    def has(self, block: int) -> bool:
        byte = block >> 3
        return byte < len(self._bits) and bool(self._bits[byte] >> (block & 7) & 1)

    def add(self, start: int, end: int) -> None:
        """Marks blocks [start, end)."""
        self._set(start, end, 0xFF)

    def remove(self, start: int, end: int) -> None:
        self._set(start, min(end, 8 * len(self._bits)), 0)

    def _set(self, start: int, end: int, bits: int) -> None:
        if start >= end:
            return
        self._bits.extend(bytes(max(0, (end + 7) // 8 - len(self._bits))))
        first, last = start >> 3, (end + 7) >> 3
        before = int.from_bytes(self._bits[first:last], "little")
        mask = (1 << end - 8 * first) - (1 << start - 8 * first)
        after = before | mask if bits else before & ~mask
        self._bits[first:last] = after.to_bytes(last - first, "little")
        self.count += after.bit_count() - before.bit_count()

    def runs(self) -> Iterator[Range]:
        """The runs [start, end) of marked blocks, ascending."""
        start = end = -1
        for low, high in self._pieces():
            if low != end:
                if start >= 0:
                    yield start, end
                start = low
            end = high
        if start >= 0:
            yield start, end

    def _pieces(self) -> Iterator[Range]:
        """Runs within a byte, or of whole bytes: neighbours may touch."""
        for found in _SOME.finditer(bytes(self._bits)):
            first = 8 * found.start()
            if found.group()[0] == 0xFF:
                yield first, 8 * found.end()
                continue
            for block in range(first, first + 8):
                if self.has(block):
                    yield block, block + 1

    def around(self, block: int) -> Range:
        """The run of marked blocks in which one lies."""
        start, end = block, block + 1
        while start and self.has(start - 1):
            start -= 1
        while self.has(end):
            end += 1
        return start, end


def encode(evicted: Evicted, authenticate: Authenticate) -> bytes:
    runs = list(evicted.runs())
    data = _HEAD.pack(MAGIC, FORMAT, 0, len(runs)) + b"".join(_RUN.pack(*run) for run in runs)
    return data + authenticate(data)


def decode(data: bytes, authenticate: Authenticate, length: int) -> Evicted:
    """The record of a log of so many signed blocks. Raises Corrupt, FormatTooNew. What was not written by us is not
    believed: a torn block is punched when it is marked."""
    if len(data) < _HEAD.size + TAG_BYTES or not data.startswith(MAGIC):
        raise Corrupt("the record of what is elsewhere is none")
    _, number, zero, count = _HEAD.unpack_from(data)
    if number > FORMAT:
        raise FormatTooNew("the record of what is elsewhere", number, FORMAT)
    body, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
    is_whole = len(body) == _HEAD.size + count * _RUN.size and compare_digest(authenticate(body), tag)
    if number != FORMAT or zero or not is_whole:
        raise Corrupt("the record of what is elsewhere is damaged")
    found = Evicted()
    least = 0
    for start, end in _RUN.iter_unpack(body[_HEAD.size :]):
        if not least <= start < end <= length:
            raise Corrupt("the record of what is elsewhere has an impossible run")
        found.add(start, end)
        least = end + 1
    return found
