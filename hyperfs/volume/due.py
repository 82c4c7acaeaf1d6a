"""When the next version is due."""

from dataclasses import dataclass, field

import trio


@dataclass
class Due:
    """When the next version is due, in trio time; None when nothing waits."""

    at: float | None = None
    changed: trio.Event = field(default_factory=trio.Event)
    _asked: float = 0.0  # the seconds that were asked for when `at` was set

    def within(self, seconds: float) -> None:
        if self.at is not None and seconds >= self._asked:
            return  # that would be later: time has gone on since
        at = trio.current_time() + seconds
        if self.at is None or at < self.at:
            self.at, self._asked = at, seconds
            self.changed.set()
