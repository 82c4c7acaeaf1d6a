"""Whether the clock can be believed when things are let go by their age. Pure: clocks are read by others.

A clock that was set forward by mistake would make everything look old, and what is let go does not come back. So the
wall clock is compared with one that only counts, and that goes on while the machine sleeps.
"""

from typing import Final

HOUR_NS: Final = 3600 * 10**9
TOLERANCE_NS: Final = HOUR_NS
ACCEPT_NS: Final = 24 * HOUR_NS


class SteadyClock:
    """Owned by whoever asks it. All times in nanoseconds."""

    def __init__(self, wall_ns: int, counted_ns: int) -> None:
        self._ahead = wall_ns - counted_ns
        self._jumped_at: int | None = None  # by the clock that counts

    def jump(self, wall_ns: int, counted_ns: int) -> int:
        """By how much the wall clock was set forward, if that is to be doubted; 0 where it can be believed.

        A jump is believed once the clock has gone on steadily for a day. One that went back makes nothing look older.
        """
        ahead = wall_ns - counted_ns
        jump = ahead - self._ahead
        if jump <= TOLERANCE_NS:
            self._ahead = min(self._ahead, ahead)
            self._jumped_at = None
            return 0
        if self._jumped_at is None:
            self._jumped_at = counted_ns
        if counted_ns - self._jumped_at >= ACCEPT_NS:
            self._ahead, self._jumped_at = ahead, None
            return 0
        return jump
