"""Which blocks a side has: a set of integers that stays small whether it has all, nearly all, or scattered ones.

In pages of 2^15 blocks. A run of whole pages is one entry however long; any other page is a bit set of 4 KiB. What the
other side announces decides how many of these there are, so their number is bounded, and what would go beyond is not
noted: then it is not asked for what it has.
"""

from collections.abc import Iterator
from typing import Final

from sortedcontainers import SortedDict

PAGE_BLOCKS: Final = 1 << 15
MOST_PAGES: Final = 4096
"""Partly filled ones: 16 MiB, for 2^27 blocks."""

_FULL: Final = (1 << PAGE_BLOCKS) - 1


class Bitfield:
    """Blocks, by ranges and bits. Ranges are [start, end)."""

    def __init__(self, most_pages: int = MOST_PAGES) -> None:
        self._most_pages = most_pages
        self._partial: SortedDict = SortedDict()
        """Page number -> bits, never 0 and never all set."""
        self._whole: SortedDict = SortedDict()
        """First page -> end, of runs of pages that are all set. They do not touch."""

    def __contains__(self, block: int) -> bool:
        return bool(self._page(block >> 15) >> (block & PAGE_BLOCKS - 1) & 1)

    def add(self, start: int, end: int) -> None:
        self._fill(start, end, is_set=True)

    def discard(self, start: int, end: int) -> None:
        self._fill(start, end, is_set=False)

    def put(self, start: int, bits: bytes) -> None:
        """Make it be just so from `start`, which is a multiple of 8, on: the lowest bit of each byte first."""
        at, end = start, start + 8 * len(bits)
        while at < end:
            page = at >> 15
            stop = min(end, (page + 1) << 15)
            piece = int.from_bytes(bits[(at - start) >> 3 : (stop - start) >> 3], "little")
            low = at & PAGE_BLOCKS - 1
            mask = (1 << stop - at) - 1 << low
            self._set_page(page, self._page(page) & ~mask | piece << low)
            at = stop

    def next_set(self, start: int, end: int) -> int:
        """The first block of [start, end) that is there; `end` where none is."""
        while start < end:
            page = start >> 15
            bits = self._page(page) >> (start & PAGE_BLOCKS - 1)
            if bits:
                return min(end, start + (bits & -bits).bit_length() - 1)
            start = self._next_page(page + 1) << 15
        return end

    def next_unset(self, start: int, end: int) -> int:
        """The first block of [start, end) that is not there; `end` where all are."""
        while start < end:
            page = start >> 15
            whole = self._whole_end(page)
            if whole:
                start = whole << 15
                continue
            lacking = ~self._page(page) & _FULL
            lacking >>= start & PAGE_BLOCKS - 1
            if lacking:
                return min(end, start + (lacking & -lacking).bit_length() - 1)
            start = (page + 1) << 15
        return end

    def runs(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The runs within [start, end), ascending."""
        while (first := self.next_set(start, end)) < end:
            start = self.next_unset(first, end)
            yield first, start

    def bits(self, start: int, end: int) -> bytes:
        """Inverse of `put`: (end - start) / 8 bytes. Both are multiples of 8."""
        parts = []
        while start < end:
            page = start >> 15
            stop = min(end, (page + 1) << 15)
            piece = self._page(page) >> (start & PAGE_BLOCKS - 1) & (1 << stop - start) - 1
            parts.append(piece.to_bytes((stop - start) >> 3, "little"))
            start = stop
        return b"".join(parts)

    def _page(self, page: int) -> int:
        bits: int = self._partial.get(page, 0)
        return bits or (_FULL if self._whole_end(page) else 0)

    def _whole_end(self, page: int) -> int:
        """The end of the run of whole pages that this one is in; 0 where it is in none."""
        at = self._whole.bisect_right(page) - 1
        if at < 0:
            return 0
        end: int = self._whole.peekitem(at)[1]
        return end if page < end else 0

    def _next_page(self, page: int) -> int:
        """The first page from this one on that is not empty; a page past all others where there is none."""
        found = [1 << 62]
        if self._whole_end(page):
            found.append(page)
        for pages in (self._partial, self._whole):
            at = pages.bisect_left(page)
            if at < len(pages):
                found.append(pages.peekitem(at)[0])
        return min(found)

    def _fill(self, start: int, end: int, *, is_set: bool) -> None:
        if start >= end:
            return
        first, last = -(-start >> 15), end >> 15  # whole pages: [first, last)
        if first > last:
            self._fill_within(last, start, end, is_set=is_set)
            return
        self._fill_within(first - 1, start, first << 15, is_set=is_set)
        self._fill_pages(first, last, is_set=is_set)
        self._fill_within(last, last << 15, end, is_set=is_set)

    def _fill_within(self, page: int, start: int, end: int, *, is_set: bool) -> None:
        if start >= end:
            return
        mask = (1 << end - start) - 1 << (start - (page << 15))
        before = self._page(page)
        self._set_page(page, before | mask if is_set else before & ~mask)

    def _set_page(self, page: int, bits: int) -> None:
        if bits == self._page(page):
            return
        if bits in (0, _FULL):
            self._fill_pages(page, page + 1, is_set=bits != 0)
        elif page in self._partial or len(self._partial) < self._most_pages:
            self._cut(page, page + 1)
            self._partial[page] = bits
        else:
            # No room to say it: it counts as absent, which is never wrong of what the other side has.
            self._cut(page, page + 1)

    def _fill_pages(self, start: int, end: int, *, is_set: bool) -> None:
        if start >= end:
            return
        for page in list(self._partial.irange(start, end, inclusive=(True, False))):
            del self._partial[page]
        self._cut(start, end)
        if not is_set:
            return
        at = self._whole.bisect_left(start) - 1
        if at >= 0 and self._whole.peekitem(at)[1] == start:
            start = self._whole.peekitem(at)[0]
        end = self._whole.pop(end, end)
        self._keep(start, end)

    def _cut(self, start: int, end: int) -> None:
        """Take pages [start, end) out of the runs of whole ones."""
        at = self._whole.bisect_left(start) - 1
        if at >= 0:
            first, stop = self._whole.peekitem(at)
            if stop > start:
                self._whole[first] = start
                if stop > end:
                    self._keep(end, stop)
        for first in list(self._whole.irange(start, end, inclusive=(True, False))):
            stop = self._whole.pop(first)
            if stop > end:
                self._keep(end, stop)

    def _keep(self, first: int, end: int) -> None:
        if first in self._whole or len(self._whole) < self._most_pages:
            self._whole[first] = end
