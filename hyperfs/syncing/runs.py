"""Sets of blocks as ascending runs: values that never change, so any thread may look at them. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from hyperfs.log.cleared import Range


class Runs:
    """Blocks, by runs [start, end) that ascend and are apart."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """`ranges` ascend by their starts; they may touch and overlap, and be empty."""
        starts: list[int] = []
        ends: list[int] = []
        for start, end in ranges:
            if start >= end:
                continue
            if ends and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
                continue
            starts.append(start)
            ends.append(end)
        self._starts = starts
        self._ends = ends

    def __iter__(self) -> Iterator[Range]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        """Runs, not blocks."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runs) and self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, block: int) -> bool:
        at = bisect_right(self._starts, block) - 1
        return at >= 0 and block < self._ends[at]

    def __repr__(self) -> str:
        return f"Runs({list(self)})"

    @property
    def blocks(self) -> int:
        return sum(self._ends) - sum(self._starts)

    @property
    def end(self) -> int:
        return self._ends[-1] if self._ends else 0

    def nth(self, number: int) -> int:
        """The block of that place among all of these, from 0. IndexError past the last."""
        for start, end in self:
            if number < end - start:
                return start + number
            number -= end - start
        raise IndexError(number)

    def covers(self, start: int, end: int) -> bool:
        """Whether all of [start, end) are in it."""
        at = bisect_right(self._starts, start) - 1
        return start >= end or (at >= 0 and end <= self._ends[at])

    def within(self, start: int, end: int) -> "Runs":
        low, high = bisect_right(self._ends, start), bisect_left(self._starts, end)
        found = list(zip(self._starts[low:high], self._ends[low:high], strict=True))
        return Runs((max(first, start), min(last, end)) for first, last in found)

    def __sub__(self, other: "Runs") -> "Runs":
        return Runs(self._without(other))

    def _without(self, other: "Runs") -> Iterator[Range]:
        for start, end in self:
            for low, high in other.within(start, end):
                yield start, low
                start = high
            yield start, end

    def __and__(self, other: "Runs") -> "Runs":
        few, many = (self, other) if len(self) <= len(other) else (other, self)
        return Runs(run for start, end in few for run in many.within(start, end))

    def __or__(self, other: "Runs") -> "Runs":
        return Runs(sorted((*self, *other)))


NONE: Final = Runs()
