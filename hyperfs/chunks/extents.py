"""Extents: which bytes of which chunk stand where in a file. Pure arithmetic and the trie entry's codec.

A file's extents are a list, sorted by offset, that never overlap; what none covers below the file's size is a
hole and reads as zeros. All offsets and lengths are bytes. docs/formats/extent.md is the page.
"""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from hyperfs.chunks.codec import MAX_DECODED_BYTES
from hyperfs.errors import Corrupt

WHOLE_BLOCK: Final = 0xFFFF_FFFF
"""The slot of a chunk that is a block of its own and no entry of a pack."""

_VALUE = struct.Struct("<16sIII")  # chunk id, skip, length, chunk length
_PLACE = struct.Struct("<IQI")  # log, block, slot

VALUE_BYTES: Final = _VALUE.size
PLACE_BYTES: Final = _PLACE.size

MAX_DELTAS: Final = 4
"""The longest chain: a chunk is read through at most this many bases."""


class Place(NamedTuple):
    """Where a chunk lies: log number, block index, entry of the pack (or WHOLE_BLOCK).

    If it lies there as a delta, `bases` are the places of its base, of that one's base, and so on: at most
    MAX_DELTAS, none with bases of its own.
    """

    log: int
    block: int
    slot: int
    bases: "tuple[Place, ...]" = ()

    @property
    def base(self) -> "Place | None":
        """Where the base lies, with its own bases; None where this doesn't say."""
        return self.bases[0]._replace(bases=self.bases[1:]) if self.bases else None


class Extent(NamedTuple):
    """`length` bytes at `offset` of the file are the chunk's bytes from `skip` on.

    The chunk is `chunk_length` bytes long. log, block, slot and bases say where it lay when this was written
    (see Place): a hint, no part of what the file is. Holds: length >= 1, skip + length <= chunk_length <= 16 MiB.
    """

    offset: int
    length: int
    chunk: bytes
    skip: int
    chunk_length: int
    log: int
    block: int
    slot: int
    bases: tuple[Place, ...] = ()

    @property
    def end(self) -> int:
        return self.offset + self.length

    @property
    def place(self) -> Place:
        return Place(self.log, self.block, self.slot, self.bases)


class Piece(NamedTuple):
    """A stretch of a read: `length` bytes from `skip` on of the extent's chunk, or of a hole (None)."""

    extent: Extent | None
    skip: int
    length: int


def encode_value(extent: Extent) -> bytes:
    """The identity of an extent; its key holds the offset."""
    return _VALUE.pack(extent.chunk, extent.skip, extent.length, extent.chunk_length)


def encode_hint(extent: Extent) -> bytes:
    """The location."""
    return encode_place(extent.place)


def encode_place(place: Place) -> bytes:
    """A place and those of its bases, one behind the other."""
    own = _PLACE.pack(place.log, place.block, place.slot)
    if not place.bases:
        return own
    return own + b"".join([_PLACE.pack(base.log, base.block, base.slot) for base in place.bases])


def decode_place(data: bytes, what: str = "a place") -> Place:
    """Raises Corrupt unless `data` is one to five places."""
    if len(data) == PLACE_BYTES:
        return Place(*_PLACE.unpack(data))
    count, rest = divmod(len(data), PLACE_BYTES)
    if rest or not 1 <= count <= 1 + MAX_DELTAS:
        raise Corrupt(f"{what} of {len(data)} bytes")
    first, *bases = (Place(*numbers) for numbers in _PLACE.iter_unpack(data))
    return first._replace(bases=tuple(bases))


def decode(offset: int, value: bytes, hint: bytes) -> Extent:
    """The extent at `offset`. Raises Corrupt if the lengths or the numbers are impossible."""
    if len(value) != VALUE_BYTES:
        raise Corrupt(f"an extent of {len(value)} bytes, not {VALUE_BYTES}")
    chunk, skip, length, chunk_length = _VALUE.unpack(value)
    if length == 0 or skip + length > chunk_length or chunk_length > MAX_DECODED_BYTES:
        raise Corrupt(f"an extent of {length} bytes from {skip} on of a chunk of {chunk_length}")
    return Extent(offset, length, chunk, skip, chunk_length, *decode_place(hint, "an extent's hint"))


_offset = attrgetter("offset")


def covering(extents: Sequence[Extent], start: int, end: int) -> tuple[int, int]:
    """The range [first, last) of list positions whose extents have bytes in [start, end)."""
    if end <= start:
        position = bisect_left(extents, start, key=_offset)
        return position, position
    first = bisect_right(extents, start, key=_offset)
    if first and extents[first - 1].end > start:
        first -= 1
    return first, bisect_left(extents, end, lo=first, key=_offset)


def cut(extents: Sequence[Extent], start: int, end: int) -> list[Extent]:
    """A new list without [start, end): what is inside goes, what straddles a border is trimmed or split.

    Truncation to `size` is cut(extents, size, 2**63), punching a hole is cut too.
    """
    first, last = covering(extents, start, end)
    kept: list[Extent] = []
    if first < last:
        head, tail = extents[first], extents[last - 1]
        if head.offset < start:
            kept.append(head._replace(length=start - head.offset))
        if tail.end > end:
            gone = end - tail.offset
            kept.append(tail._replace(offset=end, length=tail.length - gone, skip=tail.skip + gone))
    return [*extents[:first], *kept, *extents[last:]]


def put(extents: Sequence[Extent], new: Sequence[Extent]) -> list[Extent]:
    """A new list in which `new` (sorted, no overlaps) stands over whatever was between its ends.

    A gap within `new` becomes a hole: it replaces the whole stretch.
    """
    if not new:
        return list(extents)
    kept = cut(extents, new[0].offset, new[-1].end)
    position = bisect_left(kept, new[0].offset, key=_offset)
    kept[position:position] = new
    return kept


def plan_read(extents: Sequence[Extent], offset: int, size: int) -> list[Piece]:
    """The pieces that make up [offset, offset + size), in order, without gaps, no two holes in a row.

    The caller bounds `size` by the file's size: past the last extent there is only hole here.
    """
    pieces: list[Piece] = []
    at, end = offset, offset + size
    first, last = covering(extents, offset, end)
    for extent in extents[first:last]:
        if extent.offset > at:
            pieces.append(Piece(None, 0, extent.offset - at))
            at = extent.offset
        length = min(extent.end, end) - at
        pieces.append(Piece(extent, extent.skip + at - extent.offset, length))
        at += length
    if at < end:
        pieces.append(Piece(None, 0, end - at))
    return pieces
