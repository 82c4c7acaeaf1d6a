"""Versions as bars on a line of time. Pure: times are given, ascending, in ns since 1970."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

BARS: Final = 60
CELLS: Final = 300
"""Of the slider, of equal width in time: versions in one of them are one stop."""
SECOND_NS: Final = 10**9
SCALES: Final = {
    "hour": 3600 * SECOND_NS,
    "day": 86_400 * SECOND_NS,
    "week": 7 * 86_400 * SECOND_NS,
    "month": 30 * 86_400 * SECOND_NS,
    "year": 365 * 86_400 * SECOND_NS,
}
"""Widths of windows. `all` is as wide as the history."""


class Window(NamedTuple):
    """A stretch of time [start, end), and the moments in it, as places in the sequence [first, last)."""

    start: int
    end: int
    first: int
    last: int


class Bar(NamedTuple):
    """Versions in [start, end): `versions` of them, the last one at `place` (-1: none). `height`: 0 to 100."""

    start: int
    end: int
    versions: int
    place: int
    height: int


def window(times: Sequence[int], scale: str, at: int) -> Window:
    """The window of a scale in which the moment at place `at` lies; of `all`, or an unknown scale, everything.

    Windows of a scale lie side by side, counted from the last moment back: whoever scrubs stays in one for long.
    """
    if not times:
        return Window(0, 1, 0, 0)
    end = times[-1] + 1
    width = SCALES.get(scale)
    if width is None or width >= end - times[0]:
        return Window(times[0], end, 0, len(times))
    back = (end - 1 - times[at]) // width
    end -= back * width
    return Window(end - width, end, bisect_left(times, end - width), bisect_left(times, end))


def bars(times: Sequence[int], found: Window, count: int = BARS) -> list[Bar]:
    """A window in bars of equal width. The height goes with the square root: one version among thousands is seen."""
    span = max(1, found.end - found.start)
    edges = [found.start + span * number // count for number in range(count)] + [found.end]
    places = [bisect_left(times, edge, found.first, found.last) for edge in edges]
    counts = [places[number + 1] - places[number] for number in range(count)]
    most = max(counts, default=0)
    return [
        Bar(edges[number], edges[number + 1], n, places[number + 1] - 1 if n else -1, _height(n, most))
        for number, n in enumerate(counts)
    ]


def _height(count: int, most: int) -> int:
    return max(6, round(100 * (count / most) ** 0.5)) if count else 0


def bar_of(times: Sequence[int], found: Window, at: int, count: int = BARS) -> int:
    """In which bar the moment at a place lies."""
    span = max(1, found.end - found.start)
    edges = [found.start + span * number // count for number in range(count)]
    return max(0, bisect_right(edges, times[at]) - 1)


def stops(times: Sequence[int], found: Window) -> list[tuple[int, int]]:
    """The cells of a window in which there are versions, ascending, and the place of the last one in each."""
    return [(number, bar.place) for number, bar in enumerate(bars(times, found, CELLS)) if bar.versions]


def place_in(times: Sequence[int], found: Window, cell: int) -> int:
    """What the slider shows at a cell: the last moment up to there, else the first of the window."""
    there = stops(times, found)
    at = bisect_right(there, cell, key=lambda stop: stop[0])
    return there[at - 1][1] if at else found.first


def place_of(versions: Sequence[int], version: int) -> int:
    """Where a version stands, or the last one before it; 0 where all are later."""
    return max(0, bisect_right(versions, version) - 1)
