"""The entries of one directory stream: read in pieces as somebody asks for them, and kept so that positions stay right.

A folder of a million names is never read in one step nor held as a million objects: a piece takes a few milliseconds,
and those behind it are kept compressed, some 8 bytes a name. What comes and goes meanwhile may or may not be listed;
what is there all the time is listed once, for pieces follow one another by name.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final, TypeAlias

PIECE_ENTRIES: Final = 500

Item: TypeAlias = tuple[bytes, int]
"""A name, and whatever number its folder has for it: an inode, a version."""

After: TypeAlias = Callable[[Item | None], Iterable[Item]]
"""All entries behind the one given, or from the first one on; as they are at the call."""


class Listing:
    """Positions 0, 1, ... of a stream. Owned by the trio thread; nothing is read before it is asked for."""

    def __init__(self, after: After) -> None:
        self._after = after
        self._packed: list[bytes] = []  # whole pieces, all but the newest one
        self._newest: list[Item] = []
        self._ended = False
        self._unpacked: tuple[int, Sequence[Item]] = -1, ()  # the one that was asked for last

    def at(self, position: int) -> Item | None:
        """The entry at a position, the same whenever it is asked for; None behind the last."""
        number, rest = divmod(position, PIECE_ENTRIES)
        while number > len(self._packed) or (number == len(self._packed) and not self._newest):
            if self._ended:
                return None
            self._read_on()
        piece = self._piece(number)
        return piece[rest] if rest < len(piece) else None

    def _read_on(self) -> None:
        last = self._newest[-1] if self._newest else None
        found = list(islice(self._after(last), PIECE_ENTRIES))
        self._ended = len(found) < PIECE_ENTRIES
        if not found:
            return
        if self._newest:
            self._packed.append(_pack(self._newest))
        self._newest = found

    def _piece(self, number: int) -> Sequence[Item]:
        if number == len(self._packed):
            return self._newest
        if self._unpacked[0] != number:
            self._unpacked = number, _unpack(self._packed[number])
        return self._unpacked[1]

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return sum(map(len, self._packed)) + 100 * len(self._newest)


def _pack(items: Sequence[Item]) -> bytes:
    """Names have no NUL."""
    numbers = struct.pack(f"<{len(items)}q", *(number for _, number in items))
    return zlib.compress(numbers + b"\0".join(name for name, _ in items), 1)


def _unpack(packed: bytes) -> Sequence[Item]:
    data = zlib.decompress(packed)
    names = 8 * PIECE_ENTRIES  # only whole pieces are packed
    numbers = struct.unpack_from(f"<{PIECE_ENTRIES}q", data)
    return list(zip(data[names:].split(b"\0"), numbers, strict=True))
