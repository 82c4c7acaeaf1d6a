"""In which order a peer is shown the blocks of a log: the newest first, and no more than it takes in a moment. Pure.

The peer fetches what it is shown. So the order is the drive's, and what comes later and is newer waits for little.
"""

from collections.abc import Callable, Iterator
from typing import Final

from hyperfs.log.cleared import Range
from hyperfs.replication.bitfield import Bitfield
from hyperfs.syncing.runs import Runs

STEP_BLOCKS: Final = 512
"""Shown together: enough that the peer asks in scattered order, and gets few nodes of the tree twice."""
MOST_BLOCKS: Final = 4096
"""Shown and not taken, of one log."""

Sizes = Callable[[int, int], int]
"""The bytes of blocks [start, end)."""


class Revealing:
    """Of one log, for one peer, as long as one connection lasts."""

    def __init__(self) -> None:
        self.shown = Bitfield()
        self._todo: list[Range] = []
        """Stretches that were not looked at yet; the last one is the newest."""
        self._waiting: list[Range] = []
        """What was shown and was not there when last looked at."""
        self._length = 0

    def look_again(self, length: int) -> None:
        """Other blocks may go than before, or it begins."""
        self._todo = [(0, length)] if length else []
        self._length = length

    def grow(self, length: int) -> None:
        """The log is that long now."""
        if length <= self._length:
            return
        if self._todo and self._todo[-1][1] == self._length:
            self._todo[-1] = self._todo[-1][0], length
        else:
            self._todo.append((self._length, length))
        self._length = length

    def first(self, stretches: Runs) -> None:
        """These are looked at before all others: somebody waits for them to be there."""
        self._todo += list(stretches.within(0, self._length))

    def waiting(self, has: Bitfield) -> list[Range]:
        """What was shown and is not there yet; `has`: what is there."""
        self._waiting = [run for low, high in self._waiting for run in lacking(has, low, high)]
        return self._waiting

    @property
    def is_done(self) -> bool:
        """Whether all was shown that may be."""
        return not self._todo

    def take(self, offered: Runs, has: Bitfield, size: Sizes, room_bytes: int) -> list[Range]:
        """What to show now: runs that were not shown, until so many bytes wait to be taken."""
        found: list[Range] = []
        waiting = self.waiting(has)
        blocks = sum(high - low for low, high in waiting)
        nbytes = sum(size(low, high) for low, high in waiting)
        while self._todo and blocks < MOST_BLOCKS and nbytes < room_bytes:
            start, end = self._todo.pop()
            low = max(start, end - STEP_BLOCKS)
            if has.next_unset(low, end) < end:
                low = _start(low, end, room_bytes - nbytes, size)
            if start < low:
                self._todo.append((start, low))
            for run in offered.within(low, end):
                for new in list(lacking(self.shown, *run)):
                    found.append(new)
                    self.shown.add(*new)
                    for left in lacking(has, *new):
                        self._waiting.append(left)
                        blocks += left[1] - left[0]
                        nbytes += size(*left)
        return found

    def hide(self, start: int, end: int) -> list[Range]:
        """Those of the blocks that had been shown; they are not any more."""
        found = list(self.shown.runs(start, end))
        self.shown.discard(start, end)
        self._waiting = list(Runs(sorted(self._waiting)) - Runs([(start, end)]))
        return found


def _start(low: int, end: int, room_bytes: int, size: Sizes) -> int:
    """From where on the blocks before `end` have so many bytes at most, one block at least; not before `low`."""
    high = end - 1
    while low < high:
        middle = (low + high) // 2
        if size(middle, end) <= room_bytes:
            high = middle
        else:
            low = middle + 1
    return low


def lacking(has: Bitfield, start: int, end: int) -> Iterator[Range]:
    """The runs of [start, end) that are not in a bitfield."""
    while (first := has.next_unset(start, end)) < end:
        start = has.next_set(first, end)
        yield first, start
