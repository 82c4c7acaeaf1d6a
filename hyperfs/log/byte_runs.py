"""Which bytes of a log's file go when blocks go, of a log that is here in parts."""

from collections.abc import Callable, Iterator

from hyperfs.errors import Corrupt, NotResident
from hyperfs.log.cleared import Range
from hyperfs.log.log import PAGE_BYTES


class ByteRuns:
    """Where blocks lie, and how far a hole for some of them may reach."""

    def __init__(self, place: Callable[[int], tuple[int, int]], is_here: Callable[[int], bool]) -> None:
        """`place` gives (offset, size) of a block: NotResident where that has not come, Corrupt where it is damaged.
        `is_here` tells whether a block's bytes are wanted."""
        self._place = place
        self._is_here = is_here

    def of(self, start: int, end: int) -> Iterator[Range]:
        """Where the bytes of blocks [start, end) lie, as far as it is known, out to the edges of pages that hold
        nothing else that is here."""
        block = start
        while block < end:
            found = self._place_or_none(block)
            if found is None:
                block += 1  # it never came, so nothing of it lies anywhere
                continue
            first, low, high = block, found[0], sum(found)
            while (block := block + 1) < end and (found := self._place_or_none(block)) is not None:
                high = sum(found)
            yield self._down(first, low), self._up(block - 1, high)

    def _down(self, block: int, edge: int) -> int:
        """The first byte of a hole that begins with the block: moved over neighbours that are not here."""
        page = edge // PAGE_BYTES * PAGE_BYTES
        while edge > page and (found := self._neighbour(block := block - 1)) is not None:
            edge = found[0]
        return max(edge, page)

    def _up(self, block: int, edge: int) -> int:
        page = -(-edge // PAGE_BYTES) * PAGE_BYTES
        while edge < page and (found := self._neighbour(block := block + 1)) is not None:
            edge = sum(found)
        return min(edge, page)

    def _neighbour(self, block: int) -> tuple[int, int] | None:
        """Where a block lies that is not here."""
        return None if block < 0 or self._is_here(block) else self._place_or_none(block)

    def _place_or_none(self, block: int) -> tuple[int, int] | None:
        try:
            return self._place(block)
        except (Corrupt, NotResident):
            return None
