"""What is kept for 30 days more: cleared blocks, and forks that the root has let go. Pure, with the record's codec.

Thirty days are counted by the peer, not read off its clock: each look adds the time since the last one, at most a
day. A clock that jumps, or is set, thus frees nothing early; a peer that was off holds the longer.

    record   = "hfsheld\\n" u32 format, u32 zero, u64 wall, u64 counted, u64 seen, uint n, clear{n}, uint n, fork{n},
               uint n, uint cancelled{n}, checksum
    clear    = uint sequence, u64 since
    fork     = log{32 bytes} u64 fork, u64 since

Times in ns; `since` as counted. `checksum` is BLAKE2b-256 of all before it. Page: docs/formats/peer-folder.md.
"""

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log.compact import Reader, uint
from hyperfs.log.control_codec import Device
from hyperfs.log.merkle import hash32
from hyperfs.peer.clears import Clears, is_taken_back

HOLDS_FORMAT: Final = 1
DAY_NS: Final = 86_400 * 10**9
HOLD_NS: Final = 30 * DAY_NS
MOST_STEP_NS: Final = DAY_NS

_MAGIC: Final = b"hfsheld\n"
_HEAD: Final = Struct("<8sIIQQQ")
_SINCE: Final = Struct("<Q")
_FORK: Final = Struct("<32sQQ")
_MOST_NS: Final = 1 << 63


class HoldClock(NamedTuple):
    """`wall_ns` at the last look (0: there was none), and the time that was counted up to then."""

    wall_ns: int = 0
    counted_ns: int = 0

    def at(self, now_ns: int) -> "HoldClock":
        """The clock after a look at this time."""
        step = now_ns - self.wall_ns if self.wall_ns else 0
        return HoldClock(now_ns, self.counted_ns + min(max(0, step), MOST_STEP_NS))


class HeldFork(NamedTuple):
    """A fork of a log (its discovery key) that was let go by the root, and since when."""

    log: bytes
    fork: int
    since_ns: int


class Holds(NamedTuple):
    """`seen`: how many records of the chain have been looked at; `clears`: since when, by the deed's sequence."""

    clock: HoldClock = HoldClock()
    seen: int = 0
    clears: Mapping[int, int] = {}
    forks: tuple[HeldFork, ...] = ()
    cancelled: frozenset[int] = frozenset()
    """Deeds that were taken back, for ever."""

    def look(self, now_ns: int) -> "Holds":
        return self._replace(clock=self.clock.at(now_ns))

    def schedule(
        self, clears: Clears, length: int, devices: Mapping[int, Device], let_go: Iterable[tuple[bytes, int]]
    ) -> "Holds":
        """With what a chain of `length` records says: new deeds and forks are held from now, those of a device that
        was revoked are taken back."""
        since = self.clock.counted_ns
        new = {sequence: since for sequence in clears.deeds if sequence >= self.seen}
        pending = {**self.clears, **new}
        back = {sequence for sequence in pending if is_taken_back(clears.deeds[sequence], devices)}
        known = {(held.log, held.fork) for held in self.forks}
        forks = [HeldFork(log, fork, since) for log, fork in let_go if (log, fork) not in known]
        return self._replace(
            seen=length,
            clears={sequence: at for sequence, at in pending.items() if sequence not in back},
            forks=(*self.forks, *forks),
            cancelled=self.cancelled | back,
        )

    def waiting(self, clears: Clears) -> list[int]:
        """Deeds that are on their way: those that are held, and those that `schedule` will begin to hold."""
        return [sequence for sequence in clears.deeds if sequence >= self.seen or sequence in self.clears]

    def due_clears(self) -> list[int]:
        """Deeds that have been held long enough."""
        return sorted(sequence for sequence, since in self.clears.items() if self._is_over(since))

    def due_forks(self) -> list[HeldFork]:
        return [held for held in self.forks if self._is_over(held.since_ns)]

    def without(self, clears: Iterable[int], forks: Iterable[HeldFork]) -> "Holds":
        """After these were done."""
        done, gone = set(clears), set(forks)
        return self._replace(
            clears={sequence: since for sequence, since in self.clears.items() if sequence not in done},
            forks=tuple(held for held in self.forks if held not in gone),
        )

    def _is_over(self, since_ns: int) -> bool:
        return self.clock.counted_ns - since_ns >= HOLD_NS

    def encode(self) -> bytes:
        parts = [_HEAD.pack(_MAGIC, HOLDS_FORMAT, 0, *self.clock, self.seen), uint(len(self.clears))]
        parts += [uint(sequence) + _SINCE.pack(since) for sequence, since in sorted(self.clears.items())]
        parts += [uint(len(self.forks)), *(_FORK.pack(*held) for held in self.forks)]
        parts += [uint(len(self.cancelled)), *map(uint, sorted(self.cancelled))]
        data = b"".join(parts)
        return data + hash32(data)


def decode(data: bytes) -> Holds:
    """Corrupt for what encode could not have made, FormatTooNew."""
    if hash32(data[:-32]) != data[-32:]:
        raise Corrupt("the record of what is held is damaged")
    reader = Reader(data[:-32], "record of what is held")
    magic, version, _, wall, counted, seen = _HEAD.unpack(reader.take(_HEAD.size))
    if magic != _MAGIC:
        raise Corrupt("this is no record of what is held")
    if version > HOLDS_FORMAT:
        raise FormatTooNew("the record of what is held", version, HOLDS_FORMAT)
    clears: dict[int, int] = {}
    for _ in range(reader.count(9)):
        sequence = reader.uint()
        clears[sequence] = _SINCE.unpack(reader.take(8))[0]
    forks = tuple(HeldFork(*_FORK.unpack(reader.take(_FORK.size))) for _ in range(reader.count(_FORK.size)))
    cancelled = frozenset(reader.uint() for _ in range(reader.count(1)))
    reader.end()
    holds = Holds(HoldClock(wall, counted), seen, clears, forks, cancelled)
    if counted >= _MOST_NS or holds.encode() != data:
        raise Corrupt("the record of what is held is not in its one encoding")
    return holds


def read(found: bytes | None) -> Holds:
    """Of a record. A damaged one is as none: everything is then held for 30 days from now."""
    if found is None:
        return Holds()
    try:
        return decode(found)
    except Corrupt:
        return Holds()
