"""A log that this device writes itself, as a session wants to see it: served, never taken in."""

from collections.abc import Callable, Iterator

from hyperfs.log.cleared import Range
from hyperfs.log.heads import Head
from hyperfs.log.log import Log
from hyperfs.log.proof import Request, TreeProof


class OwnLog:
    """Held, over an open Log. `absent` gives the runs of blocks that were let go or left, ascending and apart."""

    def __init__(self, log: Log, absent: Callable[[], tuple[Range, ...]] = tuple) -> None:
        self._log = log
        self._absent = absent

    @property
    def key(self) -> bytes:
        return self._log.key

    @property
    def discovery_key(self) -> bytes:
        return self._log.discovery_key

    def head(self) -> Head:
        return self._log.head()

    def has(self, block: int) -> bool:
        return 0 <= block < self._log.signed_length and not any(start <= block < end for start, end in self._absent())

    def ranges(self, start: int = 0, end: int | None = None) -> Iterator[Range]:
        length = self._log.signed_length
        stop = length if end is None else min(end, length)
        for low, high in self._absent():
            if start < min(low, stop):
                yield start, min(low, stop)
            start = max(start, high)
        if start < stop:
            yield start, stop

    def proof(self, request: Request) -> TreeProof:
        """Any thread."""
        return self._log.proof(request)
