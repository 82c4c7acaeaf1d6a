"""Which chunk a new one is compressed against: the one whose place in the file it takes. Pure.

The rule is a guess at what is alike; whether it was a good one is seen when the delta is made (`worth`).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hyperfs.chunks.codec import Bytes
from hyperfs.chunks.extents import Extent, Place, covering

BASE_FACTOR: Final = 8
"""A base is at most this many times as long as the chunk: whoever reads the chunk decodes the base."""
DELTA_COSTS: Final = 48
"""What a delta takes beside its payload: the base's id, its place in the extent's hint, and some for the read."""


class Base(NamedTuple):
    """A chunk that another is compressed against. `places`: where it lies, and its own bases: those of the delta."""

    chunk: bytes
    data: Bytes
    places: tuple[Place, ...]


class Delta(NamedTuple):
    """A chunk as it is stored against the chunk `base`; `bases` as in Place."""

    base: bytes
    payload: bytes
    bases: tuple[Place, ...]


class Piece(NamedTuple):
    """A chunk in the making: `length` bytes at `offset` of its file."""

    chunk: bytes
    offset: int
    length: int


def choose(pieces: Sequence[Piece], replaced: Sequence[Extent]) -> dict[bytes, Extent]:
    """For each piece that `replaced` does not have, the extent that it is to be compared with, if there is one.

    `replaced` is sorted by offset. A piece that is known there tells how far what follows has moved.
    """
    known = {extent.chunk: extent.offset - extent.skip for extent in replaced}
    found: dict[bytes, Extent] = {}
    moved = 0
    for piece in pieces:
        if piece.chunk in known:
            moved = known[piece.chunk] - piece.offset
            continue
        extent = _most_alike(replaced, piece.offset + moved, piece.length)
        if extent is None and moved:
            extent = _most_alike(replaced, piece.offset, piece.length)
        if extent is not None:
            found[piece.chunk] = extent
    return found


def _most_alike(replaced: Sequence[Extent], start: int, length: int) -> Extent | None:
    """The extent with the most bytes in [start, start + length)."""
    first, last = covering(replaced, start, start + length)
    fitting = [extent for extent in replaced[first:last] if extent.chunk_length <= BASE_FACTOR * length]
    return max(fitting, key=lambda e: min(e.end, start + length) - max(e.offset, start), default=None)


def best(sizes: Sequence[int]) -> int:
    """Of deltas against the bases of a chunk whose chain is full, nearest first: which one to take, by their sizes.

    A base that is further back makes a larger delta, and leaves room for as many small ones on top of this as it is
    further back. So the sum over these counts; a small one is taken to be half of one against the nearest.
    """
    small = sizes[0] / 2
    return min(range(len(sizes)), key=lambda i: ((sizes[i] + i * small) / (i + 1), -i))


def worth(delta_bytes: int, plain_bytes: int) -> bool:
    """Whether a delta of that payload is so much smaller than the chunk alone that it is worth a read of its base."""
    return delta_bytes + DELTA_COSTS <= plain_bytes * 3 // 4
