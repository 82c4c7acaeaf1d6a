"""Which blocks of a drive's logs were let go: the ranges of all clear intents in its control chain. Pure values.

What an intent names may not be referred to again, whether the deed has been done or not: so both count.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from hyperfs.log.control_codec import ClearIntent, Record

Range = tuple[int, int]
"""Blocks [start, end)."""


def runs_of(blocks: Iterable[int]) -> Iterator[Range]:
    """The runs [start, end) of ascending blocks."""
    start = end = -1
    for block in blocks:
        if block == end:
            end += 1
            continue
        if start >= 0:
            yield start, end
        start, end = block, block + 1
    if start >= 0:
        yield start, end


class Cleared:
    """Ranges by log, joined where they touch. Never changes; `more` gives another."""

    def __init__(self, ranges: Mapping[int, Iterable[Range]]) -> None:
        """`ranges` by log number, in any order; they may overlap."""
        self._ranges: Final = {log: tuple(_joined(found)) for log, found in ranges.items()}
        self._starts: Final = {log: [start for start, _ in found] for log, found in self._ranges.items()}

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Cleared":
        """All that the records of a control chain announce."""
        return cls({}).more(record.body.clear for record in records if isinstance(record.body, ClearIntent))

    def more(self, clears: Iterable[tuple[int, int, int, bytes, tuple[Range, ...]]]) -> "Cleared":
        """These, and what further intents name."""
        ranges = {log: list(found) for log, found in self._ranges.items()}
        for log, _, _, _, new in clears:
            ranges.setdefault(log, []).extend(new)
        return Cleared(ranges)

    def has(self, log: int, block: int) -> bool:
        found = self.around(log, block)
        return found is not None

    def around(self, log: int, block: int) -> Range | None:
        """The whole run of cleared blocks in which a block lies; None when it was not cleared."""
        starts = self._starts.get(log)
        if starts is None:
            return None
        position = bisect_right(starts, block) - 1
        if position < 0 or self._ranges[log][position][1] <= block:
            return None
        return self._ranges[log][position]

    def ranges(self, log: int) -> tuple[Range, ...]:
        """The runs of a log, ascending and apart."""
        return self._ranges.get(log, ())


def _joined(ranges: Iterable[Range]) -> Iterator[Range]:
    start = end = -1
    for low, high in sorted(ranges):
        if low <= end:
            end = max(end, high)
            continue
        if start >= 0:
            yield start, end
        start, end = low, high
    if start >= 0:
        yield start, end
