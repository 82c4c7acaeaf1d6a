"""Long work in slices, between which others run."""

from typing import Final

import trio

SLICE_SECONDS: Final = 0.01


class Pace:
    """Of one piece of work in the trio thread: take a `turn` where others may run."""

    def __init__(self, seconds: float = SLICE_SECONDS) -> None:
        self._seconds = seconds
        self._until = trio.current_time() + seconds

    async def turn(self) -> None:
        """Serves others, once the slice is over."""
        if trio.current_time() >= self._until:
            await trio.lowlevel.checkpoint()
            self._until = trio.current_time() + self._seconds
