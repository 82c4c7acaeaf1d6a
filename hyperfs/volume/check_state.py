"""What a running verify remembers: on disk, so that its memory does not grow with the drive, and so that the next one
goes on where this one was interrupted.

Only what was found to be sound is remembered. Damage is not: whoever goes on looks at it again, since it may have
been mended meanwhile. Keys (big-endian), in an index of its own that holds no plaintext:

    r                        the run: its sessions, 5 x i64 each
    d log, stretch           fork, blocks, bytes, nodes of a stretch of a log in which all is sound
    h chunk, log, block      a chunk that a sound block holds: length, slot and, if it is a delta, its base's id
    c version, log, index    a commit that can be read
    n log, point             the id of a trie node; it and all below it are sound
    l chunk                  extents cut from the chunk in the newest version (counted anew by each session)
"""

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from hyperfs.chunks.extents import MAX_DELTAS, Place
from hyperfs.crypto.ids import ID_BYTES
from hyperfs.errors import HyperfsError, IndexDamaged
from hyperfs.store.index import KeyValue
from hyperfs.trie.node_pack import Point

FLUSH_CHANGES: Final = 20_000
"""Changes that wait in memory at most: some 4 MB."""

_SESSION: Final = struct.Struct(">qqqqq")
_STRETCH: Final = struct.Struct(">IQ")
_DONE: Final = struct.Struct(">QQQQ")
_PLACE: Final = struct.Struct(">IQ")
_VERSION: Final = struct.Struct(">QIQ")
_HELD: Final = struct.Struct(">II")
_COUNT: Final = struct.Struct(">Q")


class StateDamaged(HyperfsError):
    """What was remembered can't be read. Nothing is lost but time: forget it and begin anew."""


class Session(NamedTuple):
    """One stretch of time in which it was worked on, in ns since 1970, and what it looked at."""

    began_ns: int
    last_ns: int
    blocks: int
    bytes: int
    nodes: int


class Held(NamedTuple):
    """A chunk that a sound block holds, in `slot`; a delta if it has a `base`."""

    length: int
    slot: int
    base: bytes | None


class CheckState:
    """Owned by the thread that verifies. Raises StateDamaged, OSError: the state is then of no more use."""

    def __init__(self, index: KeyValue, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._index = index
        self._now_ns = now_ns
        self._waiting: dict[bytes, bytes | None] = {}
        self._held_waiting: dict[bytes, tuple[int, int]] = {}  # (log, block) by chunk, of those that wait
        self.earlier = _sessions(self._get(b"r") or b"")
        """Of the run that this one goes on with; empty for a new one."""
        self._began_ns = now_ns()
        self.blocks = self.bytes = self.nodes = 0  # looked at in this session

    # The log's stretches

    def stretch(self, log: int, number: int, fork: int) -> tuple[int, int, int] | None:
        """(blocks, bytes, nodes) of a stretch that was found sound, in this fork of the log."""
        found = self._get(b"d" + _STRETCH.pack(log, number))
        if found is None:
            return None
        at_fork, blocks, size, nodes = _unpacked(_DONE, found)
        return (blocks, size, nodes) if at_fork == fork else None

    def stretch_done(self, log: int, number: int, fork: int, blocks: int, size: int, nodes: int) -> None:
        """Goes to the disk with all that was noted before it, or not at all."""
        self._put(b"d" + _STRETCH.pack(log, number), _DONE.pack(fork, blocks, size, nodes))
        self.flush()

    # Facts of sound blocks

    def hold(self, chunk: bytes, log: int, block: int, held: Held) -> None:
        self._put(b"h" + chunk + _PLACE.pack(log, block), _HELD.pack(held.length, held.slot) + (held.base or b""))
        self._held_waiting[chunk] = (log, block)

    def held(self, chunk: bytes, log: int, block: int) -> Held | None:
        """The chunk as that block holds it, if it does."""
        found = self._get(b"h" + chunk + _PLACE.pack(log, block))
        return None if found is None else _held(found)

    def lies(self, chunk: bytes, above: int = 0) -> Place | None:
        """Where a sound block holds the chunk, with its bases; None where none is known to."""
        waiting = self._held_waiting.get(chunk)
        places = [waiting] if waiting is not None else self._copies(chunk)
        for log, block in places:
            held = self.held(chunk, log, block)
            if held is None:
                continue
            if held.base is None:
                return Place(log, block, held.slot)
            base = self.lies(held.base, above + 1) if above < MAX_DELTAS else None
            if base is not None and len(base.bases) < MAX_DELTAS:
                return Place(log, block, held.slot, (base._replace(bases=()), *base.bases))
        return None

    def _copies(self, chunk: bytes) -> list[tuple[int, int]]:
        places = [_unpacked(_PLACE, key[1 + len(chunk) :]) for key, _ in self._scan(b"h" + chunk)]
        return [(log, block) for log, block in places]

    def copies(self, chunk: bytes) -> list[tuple[int, int]]:
        """(log, block) of every sound block that holds the chunk."""
        self.flush()
        return self._copies(chunk)

    def commit(self, version: int, log: int, index: int) -> None:
        self._put(b"c" + _VERSION.pack(version, log, index), b"")

    def commits(self) -> Iterator[tuple[int, int, int]]:
        """(version, log, index) of every commit that can be read, in order of versions."""
        self.flush()
        for key, _ in self._scan(b"c"):
            version, log, index = _unpacked(_VERSION, key[1:])
            yield version, log, index

    def commit_place(self, version: int) -> tuple[int, int] | None:
        self.flush()
        for key, _ in self._scan(b"c" + _COUNT.pack(version)):
            _, log, index = _unpacked(_VERSION, key[1:])
            return log, index
        return None

    # Trie nodes

    def node(self, log: int, point: Point) -> bytes | None:
        """The id of the node there, if everything at and below it was found sound."""
        return self._get(b"n" + _PLACE.pack(log, point))

    def node_done(self, log: int, point: Point, id_: bytes) -> None:
        self._put(b"n" + _PLACE.pack(log, point), id_)
        if len(self._waiting) >= FLUSH_CHANGES:
            self.flush()

    def nodes_known(self) -> int:
        self.flush()
        return sum(1 for _ in self._scan(b"n"))

    # Extents of the newest version, by chunk

    def count_extents(self, counts: dict[bytes, int]) -> None:
        for chunk, count in counts.items():
            found = self._get(b"l" + chunk)
            self._put(b"l" + chunk, _COUNT.pack(count + (_unpacked(_COUNT, found)[0] if found else 0)))
        self.flush()

    def extents_counted(self) -> Iterator[tuple[bytes, int]]:
        self.flush()
        for key, value in self._scan(b"l"):
            yield key[1:], _unpacked(_COUNT, value)[0]

    def forget_counts(self) -> None:
        self.flush()
        batch: list[tuple[bytes, bytes | None]] = []
        for key, _ in self._scan(b"l"):
            batch.append((key, None))
            if len(batch) >= FLUSH_CHANGES:
                self._write(batch)
                batch = []
        self._write(batch)

    # The run

    def sessions(self) -> list[Session]:
        """All of this run, the present one last."""
        return [*self.earlier, Session(self._began_ns, self._now_ns(), self.blocks, self.bytes, self.nodes)]

    def flush(self) -> None:
        if not self._waiting:
            return
        self._waiting[b"r"] = b"".join(_SESSION.pack(*session) for session in self.sessions())
        self._write(self._waiting.items())
        self._waiting, self._held_waiting = {}, {}

    def close(self) -> None:
        self._index.close()

    def _get(self, key: bytes) -> bytes | None:
        if key in self._waiting:
            return self._waiting[key]
        try:
            return self._index.get(key)
        except IndexDamaged as error:
            raise StateDamaged(error.what) from error

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        try:
            yield from self._index.scan(prefix)
        except IndexDamaged as error:
            raise StateDamaged(error.what) from error

    def _write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        try:
            self._index.write(changes)
        except IndexDamaged as error:
            raise StateDamaged(error.what) from error

    def _put(self, key: bytes, value: bytes) -> None:
        self._waiting[key] = value


def _sessions(data: bytes) -> list[Session]:
    return [Session(*_unpacked(_SESSION, data[at : at + _SESSION.size])) for at in range(0, len(data), _SESSION.size)]


def _held(found: bytes) -> Held:
    length, slot = _unpacked(_HELD, found[: _HELD.size])
    base = found[_HELD.size :]
    if len(base) not in (0, ID_BYTES):
        raise StateDamaged("an entry of an impossible length")
    return Held(length, slot, base or None)


def _unpacked(layout: struct.Struct, found: bytes) -> tuple[int, ...]:
    """What a key or value says. Raises StateDamaged where it is of another length than we write."""
    if len(found) != layout.size:
        raise StateDamaged("an entry of an impossible length")
    return layout.unpack(found)
