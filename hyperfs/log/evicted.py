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
_SOME: Final = re.compile(rb"[^\0]+", re.DOTALL)

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
        self._bits.extend(bytes(max(0, (end + 7) // 8 - len(self._bits))))
        for block in range(start, end):
            if not self.has(block):
                self._bits[block >> 3] |= 1 << (block & 7)
                self.count += 1

    def remove(self, start: int, end: int) -> None:
        for block in range(start, end):
            if self.has(block):
                self._bits[block >> 3] &= ~(1 << (block & 7))
                self.count -= 1

    def runs(self) -> Iterator[Range]:
        """The runs [start, end) of marked blocks, ascending."""
        start = end = -1
        for found in _SOME.finditer(self._bits):
            for block in range(found.start() * 8, found.end() * 8):
                if not self.has(block):
                    continue
                if block != end:
                    if start >= 0:
                        yield start, end
                    start = block
                end = block + 1
        if start >= 0:
            yield start, end

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
    if zero or len(body) != _HEAD.size + count * _RUN.size or not compare_digest(authenticate(body), tag):
        raise Corrupt("the record of what is elsewhere is damaged")
    found = Evicted()
    least = 0
    for start, end in _RUN.iter_unpack(body[_HEAD.size :]):
        if not least <= start < end <= length:
            raise Corrupt("the record of what is elsewhere has an impossible run")
        found.add(start, end)
        least = end + 1
    return found
