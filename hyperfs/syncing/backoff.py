"""When a peer that could not be reached is tried again. Pure."""

from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 300.0
GOOD_SECONDS: Final = 60.0
GOOD_BYTES: Final = 256 << 10
"""A connection that has lasted so long, or moved so much, makes the next failure the first one: on a line that is cut
again and again it goes on at once."""


def wait_after(failures: int, pick: Callable[[int], int]) -> float:
    """Seconds after so many failures in a row, a random quarter more or less: so that not all come at once."""
    if failures <= 0:
        return 0.0
    usual = min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 20))
    return usual * (0.75 + pick(1001) / 2000)
