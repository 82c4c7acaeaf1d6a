"""A cold object: blocks of one content log, as they lie in it, with their sizes in front. And its name. Pure.

    object = head block*
    head   = magic, format u32, 0 u32, drive (32), log (32), fork u64, first u64, count u32, 0 u32, size u32{count},
             checksum (32)
    name   = DRIVE/LOG/FIRST-END-HERE-HASH-MD5

A size of 0xFFFFFFFF: the block is not in the object; the first and the last one are. `log` is the log's discovery key.
The name alone says what an object holds and how to check it, so that a list of names is as good as an index.
The page is docs/formats/cold-object.md.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b, md5
from typing import Final, NamedTuple, Self

from hyperfs.errors import Corrupt, FormatTooNew

FORMAT: Final = 1
MAGIC: Final = b"hfscold\n"
BLOCKS_MOST: Final = 4096
"""Blocks from the first to the last, those that are missing included: so a head has at most 16 KiB."""
ABSENT: Final = 0xFFFFFFFF
KEY_BYTES: Final = 32
CHECKSUM_BYTES: Final = 32
HASH_BYTES: Final = 16
INDEX_MOST: Final = 1 << 48

_FIXED: Final = struct.Struct("<8sII32s32sQQII")
_SIZE: Final = struct.Struct("<I")
_SHOWN_KEY: Final = 16
_NAME: Final = re.compile(r"([0-9a-f]{12})-([0-9a-f]{12})-([0-9a-f]{4})-([0-9a-f]{32})-([0-9a-f]{32})", re.ASCII)

Run = tuple[int, int]
"""Blocks [first, end)."""


@dataclass(frozen=True, slots=True)
class Head:
    """`drive`: the drive's id. `log`: the log's discovery key. `sizes`: of the blocks from `first` on; None where one
    is missing. The fork is the log's when the object was made: for people who look at one by hand."""

    drive: bytes
    log: bytes
    fork: int
    first: int
    sizes: tuple[int | None, ...]

    @property
    def end(self) -> int:
        return self.first + len(self.sizes)

    def encode(self) -> bytes:
        """Raises ValueError for what a reader would refuse; that is a fault of the caller."""
        if not self.sizes or len(self.sizes) > BLOCKS_MOST or self.sizes[0] is None or self.sizes[-1] is None:
            raise ValueError("an object begins and ends with a block that it has")
        fixed = _FIXED.pack(MAGIC, FORMAT, 0, self.drive, self.log, self.fork, self.first, len(self.sizes), 0)
        listed = b"".join(_SIZE.pack(ABSENT if size is None else size) for size in self.sizes)
        return fixed + listed + _checksum(fixed + listed)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """From the first `head_bytes(count)` bytes of an object, or more. Raises Corrupt, FormatTooNew."""
        if len(data) < _FIXED.size or not data.startswith(MAGIC):
            raise Corrupt("the bytes are no cold object")
        _, format_, zero, drive, log, fork, first, count, zero_too = _FIXED.unpack_from(data)
        if format_ != FORMAT:
            raise FormatTooNew("a cold object", format_, FORMAT) if format_ else Corrupt("a cold object of no format")
        if zero or zero_too or not 0 < count <= BLOCKS_MOST or first + count > INDEX_MOST:
            raise Corrupt(f"a cold object claims {count} blocks from {first} on")
        end = head_bytes(count)
        if len(data) < end:
            raise Corrupt("a cold object ends in its head")
        if _checksum(data[: end - CHECKSUM_BYTES]) != data[end - CHECKSUM_BYTES : end]:
            raise Corrupt("the head of a cold object does not have its checksum")
        listed = struct.unpack_from(f"<{count}I", data, _FIXED.size)
        if ABSENT in (listed[0], listed[-1]):
            raise Corrupt("a cold object lacks its first or last block")
        return cls(drive, log, fork, first, tuple(None if size == ABSENT else size for size in listed))

    def runs(self) -> Iterator[Run]:
        """The runs of blocks that are there, ascending."""
        start = None
        for position, size in enumerate((*self.sizes, None)):
            if size is None and start is not None:
                yield self.first + start, self.first + position
                start = None
            elif size is not None and start is None:
                start = position


def head_bytes(count: int) -> int:
    """The size of the head of an object with so many blocks from first to last."""
    return _FIXED.size + count * _SIZE.size + CHECKSUM_BYTES


def encode(head: Head, blocks: Sequence[bytes]) -> bytes:
    """The object; `blocks` are those that it has, in order."""
    sizes = [size for size in head.sizes if size is not None]
    if sizes != [len(block) for block in blocks]:
        raise ValueError("the blocks are not those of the head")
    return b"".join((head.encode(), *blocks))


def decode(data: bytes) -> tuple[Head, list[bytes]]:
    """The whole of an object. Raises Corrupt, FormatTooNew."""
    head = Head.decode(data)
    sizes = [size for size in head.sizes if size is not None]
    at = head_bytes(len(head.sizes))
    if len(data) != at + sum(sizes):
        raise Corrupt(f"a cold object of {len(data)} bytes should have {at + sum(sizes)}")
    blocks = []
    for size in sizes:
        blocks.append(data[at : at + size])
        at += size
    return head, blocks


class Name(NamedTuple):
    """The last part of an object's name: `here` of the blocks [first, end) are in it; `hash` and `md5` are of the
    object's bytes, in hex: the first to know it by, the second to compare with what stores say."""

    first: int
    end: int
    here: int
    hash: str
    md5: str

    @property
    def is_full(self) -> bool:
        return self.here == self.end - self.first

    def encode(self) -> str:
        return f"{self.first:012x}-{self.end:012x}-{self.here:04x}-{self.hash}-{self.md5}"

    @classmethod
    def decode(cls, text: str) -> "Name | None":
        """None for what is no object's name: others may put their things beside ours."""
        found = _NAME.fullmatch(text)
        if found is None:
            return None
        name = cls(int(found[1], 16), int(found[2], 16), int(found[3], 16), found[4], found[5])
        good = 0 < name.here <= name.end - name.first <= BLOCKS_MOST and (name.here > 1 or name.is_full)
        return name if good else None


def name_of(head: Head, data: bytes) -> Name:
    """The name of the object with these bytes."""
    here = sum(size is not None for size in head.sizes)
    return Name(head.first, head.end, here, hash_of(data), md5(data, usedforsecurity=False).hexdigest())


def hash_of(data: bytes) -> str:
    return blake2b(data, digest_size=HASH_BYTES).hexdigest()


def folder_of(drive: bytes, log: bytes) -> str:
    """Where the objects of a log lie: half of each id tells them apart, and keeps names short."""
    return f"{drive[:_SHOWN_KEY].hex()}/{log[:_SHOWN_KEY].hex()}"


def _checksum(data: bytes) -> bytes:
    return blake2b(data, digest_size=CHECKSUM_BYTES).digest()
