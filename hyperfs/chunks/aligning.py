"""Cuts where the replaced bytes were cut: a chunk is like one chunk of before, and not like halves of two. Pure.

Where content moves a cut (an edit beside it, numbers that change in every line), what is between the old and the new
cut would be in another chunk than the one it is compared with, and be stored again.
"""

from collections.abc import Callable, Sequence
from typing import Final

from hyperfs.chunks.extents import Extent, covering

NEAR_BYTES: Final = 64 << 10
"""An old cut is looked for so far from where it is expected."""
LEAST_BYTES: Final = 4 << 10
MOST_BYTES: Final = 1 << 20
"""No chunk that is cut here is longer: readers of a file look so far back for an extent."""
_KEY_BYTES: Final = 32
_KEY_OFFSETS: Final = (0, 40, 200, 1000, 4000)
"""Where in an old chunk the bytes are taken that are looked for: what is at its very beginning may have changed."""
HEAD_BYTES: Final = 4096

Head = Callable[[Extent], bytes]
"""The first HEAD_BYTES of an extent's chunk, or fewer; raises nothing."""


def align(data: memoryview, offset: int, replaced: Sequence[Extent], moved: int, head: Head) -> list[int] | None:
    """The ends of pieces of `data`, which is at `offset` of its file, by the cuts in `replaced`; None where those are
    of no use. What is at an offset now is expected `moved` bytes behind that among `replaced` (sorted)."""
    first, last = covering(replaced, offset + moved, offset + moved + len(data))
    old = replaced[first:last]
    if not old or len(data) > sum(extent.length for extent in old) * 5 // 4 + 4 * LEAST_BYTES:
        return None
    ends: list[int] = []
    for extent in old[1:]:
        if extent.skip:
            continue
        low = (ends[-1] if ends else 0) + LEAST_BYTES
        at = _find(data, extent.offset - moved - offset, low, len(data) - LEAST_BYTES, head(extent))
        if at is not None:
            ends.append(at)
            moved = extent.offset - offset - at
    ends.append(len(data))
    longest = max(end - start for start, end in zip([0, *ends], ends, strict=False))
    return ends if longest <= MOST_BYTES else None


def _find(data: memoryview, expected: int, low: int, high: int, head: bytes) -> int | None:
    """Where in [low, high] of `data` the bytes that `head` begins with begin, nearest to where it is expected."""
    start, end = max(low, expected - NEAR_BYTES), min(high, expected + NEAR_BYTES)
    if start > end:
        return None
    window = bytes(data[start : end + HEAD_BYTES + _KEY_BYTES])
    for skip in _KEY_OFFSETS:
        key = head[skip : skip + _KEY_BYTES]
        if len(key) < _KEY_BYTES:
            break
        middle = max(0, expected - start) + skip
        found = [at for at in (window.find(key, middle), window.rfind(key, 0, middle + _KEY_BYTES)) if at >= skip]
        cuts = [start + at - skip for at in found if start <= start + at - skip <= end]
        if cuts:
            return min(cuts, key=lambda at: abs(at - expected))
    return None
