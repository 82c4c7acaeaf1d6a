"""When files were last used: in memory, and now and then as rows of the derived index.

To the hour, and only where something may leave at all. A row that is lost costs nothing but a worse guess: the file
then counts as used when it was last changed. What a program opens counts when it has turned out not to look at
everything (`policy/scanning.py`): so a backup or an indexer does not make all files look new.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Final

from hyperfs.policy.scanning import Program, Sightings
from hyperfs.volume.catalog import Catalog, Change

HOUR_NS: Final = 3600 * 10**9
WAITING_MOST: Final = 20_000
"""Opens that wait to be asked for their program; more are forgotten."""
ROWS_AT_ONCE: Final = 1000
_PREFIX: Final = b"u"
_INO: Final = struct.Struct(">Q")
_ROW: Final = struct.Struct("<I")


class Uses:
    """Owned by the trio thread."""

    def __init__(self, catalog: Catalog, now_ns: Callable[[], int]) -> None:
        self._catalog = catalog
        self._now_ns = now_ns
        self._opens: list[tuple[int, int]] = []
        self._sightings = Sightings()
        self._fresh: dict[int, int] = {}  # not in the index yet

    def opened(self, ino: int, pid: int) -> None:
        """Somebody opened a file to use it. Costs nothing to speak of."""
        if len(self._opens) < WAITING_MOST:
            self._opens.append((ino, pid))

    def take_opens(self) -> list[tuple[int, int]]:
        """What was opened since the last time, by inode and process."""
        opens, self._opens = self._opens, []
        return opens

    def sighted(self, program: Program, ino: int, now: float) -> None:
        """A program was found to have opened a file. `now`: seconds of a clock that goes on."""
        self._sightings.note(program, ino, self._now_ns() // HOUR_NS, now)

    def settle(self, now: float, whole: bool = False) -> None:
        """What is known to be use is noted, in memory. `whole`: the drive is about to be closed."""
        self._fresh.update(self._sightings.settled(now, whole))

    def save(self) -> Iterator[None]:
        """Puts what was noted into the index, some rows at each step."""
        fresh, self._fresh = self._fresh, {}
        rows: list[Change] = [(_PREFIX + _INO.pack(ino), _ROW.pack(hour)) for ino, hour in fresh.items()]
        for first in range(0, len(rows), ROWS_AT_ONCE):
            self._catalog.apply(rows[first : first + ROWS_AT_ONCE])
            yield

    def known(self) -> dict[int, int]:
        """By inode, the hour of its last use; reads the rows, any thread."""
        found = {}
        for key, value in self._catalog.rows(_PREFIX, _PREFIX):
            if len(key) == 1 + _INO.size and len(value) == _ROW.size:
                found[_INO.unpack(key[1:])[0]] = _ROW.unpack(value)[0]
        return found | dict(self._fresh)
