"""What left this device, and which of it another place is proved to have."""

from collections.abc import Iterator
from typing import Final

from hyperfs.log.cleared import Range
from hyperfs.syncing.home import Home
from hyperfs.syncing.permits import Permits
from hyperfs.syncing.runs import NONE, Runs
from hyperfs.volume.elsewhere import Elsewhere

LOOKS_MOST: Final = 10_000
"""Questions whether something is proven; what is left then counts as not proven."""


def unproven(places: Elsewhere, number: int, runs: Runs) -> Iterator[Range]:
    """Which of these blocks of a log no place has proved; in no order."""
    waiting, looks = list(runs), 0
    while waiting:
        first, end = waiting.pop()
        looks += 1
        if places.proven(number, first, end):
            continue
        if end - first == 1 or looks > LOOKS_MOST:
            yield first, end
            continue
        middle = (first + end) // 2
        waiting += [(first, middle), (middle, end)]


def elsewhere(home: Home, permits: Permits, number: int) -> Runs:
    """The blocks of a log that are not here, may be at a peer, and can be brought to it from another place.

    Not of a log that comes to this device in parts: to prove a block to anybody takes nodes that are not here either.
    """
    found = home.volume.parts.logs[number]
    if found.may_lack_nodes or home.is_metadata(number):
        return NONE
    away = (home.away(number) & permits.runs(number)) - home.cleared(number)
    return away - Runs(sorted(unproven(home.volume.returning.elsewhere, number, away))) if away else NONE
