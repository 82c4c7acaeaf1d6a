"""Which changed paths have come to rest. Pure: whoever asks brings the time.

A path is due when nothing was heard of it for REST_SECONDS.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hyperfs.follow.facts import Parts

REST_SECONDS: Final = 0.5
MOST_PATHS: Final = 20_000
"""Beyond this many everything is compared instead, which needs no list."""
RESTLESS_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Waiting:
    first: float
    due: float
    whole: bool = False


class Settling:
    """Times are seconds of a clock that never goes back. Owned by one thread at a time."""

    def __init__(self, most: int = MOST_PATHS) -> None:
        self._waiting: dict[Parts, _Waiting] = {}
        self._most = most
        self._told: set[Parts] = set()
        self.overflowed = False
        """There were too many: everything has to be compared. Whoever does clears it."""

    def __len__(self) -> int:
        return len(self._waiting)

    def touch(self, path: Parts, now: float, whole: bool = False) -> None:
        """Something happened to a path; `whole`: to a folder with all that is in it."""
        found = self._waiting.get(path)
        if found is not None:
            found.due = now + REST_SECONDS
            found.whole |= whole
            return
        if len(self._waiting) >= self._most:
            self._waiting.clear()
            self.overflowed = True
        if not self.overflowed:
            self._waiting[path] = _Waiting(now, now + REST_SECONDS, whole=whole)

    def restless(self, path: Parts, first: float, now: float) -> None:
        """Somebody found it changing; `first` is when it was first heard of."""
        self.touch(path, now)
        if path in self._waiting:
            self._waiting[path].first = min(first, self._waiting[path].first)

    def due(self, now: float) -> dict[Parts, tuple[bool, float]]:
        """Takes out what is at rest: path -> (whether the whole of it, when it was first heard of)."""
        found = {path: (wait.whole, wait.first) for path, wait in self._waiting.items() if wait.due <= now}
        for path in found:
            del self._waiting[path]
        return found

    def next_due(self) -> float | None:
        return min((wait.due for wait in self._waiting.values()), default=None)

    def never_at_rest(self, now: float) -> Iterable[Parts]:
        """Those that are waited for since RESTLESS_SECONDS, each told once."""
        for path, wait in self._waiting.items():
            if now - wait.first > RESTLESS_SECONDS and path not in self._told and len(self._told) < self._most:
                self._told.add(path)
                yield path

    def paths(self) -> list[Parts]:
        return list(self._waiting)

    def forget_all(self) -> None:
        """Everything is about to be compared."""
        self._waiting.clear()
        self.overflowed = False
