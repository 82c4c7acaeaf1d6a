"""What the derived index knows: which version lies where and when, and where each chunk lies.

Nothing here is a promise: every fact can be had again from the logs, and `open` does so when the index is
lost, damaged, or behind the newest commit. Keys (big-endian, so that a scan goes in order of number):

    c chunk-id             -> length u32, live extents u32, place and those of its bases (16 bytes each)
    v version              -> commit's log u32, index u64, time i64, listed second i64, content length u64
    t 2^64-1 - time        -> version                  the largest time at or before one is the first found
    s listed second        -> version
    i log, commit index    -> version                  births of metadata blocks
    j log, content length  -> version                  births of content blocks
    r log, block, slot     -> what a subtree reaches, by its node: see remembered.py
    n group, part          -> what a group of versions reaches: see remembered_groups.py
    g                      -> when something was last freed i64, versions gone by then u64, bytes of logs u64
    p                      -> when half-dead packs were last stored anew i64
    m                      -> log u32, fork u32, length u64, newest version u64
    b version              -> i64: when its first change came, ns; lacks where the index was made anew
    u ino                  -> u32: the hour since 1970 in which a file was last used, see uses.py
    e, f, h, w             -> what versions changed: see change_rows.py
    y                      -> what blocks are needed for: see survey_rows.py
"""

import heapq
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Final, NamedTuple

from hyperfs.chunks.extents import Place, decode_place, encode_place
from hyperfs.errors import Corrupt, IndexDamaged
from hyperfs.log.cleared import Cleared
from hyperfs.store.index import KeyValue
from hyperfs.trie.node_pack import Point, block_of, slot_of
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.gone import GoneVersions

_CHUNK: Final = struct.Struct("<II")
_VERSION: Final = struct.Struct("<IQqqQ")
_MARK: Final = struct.Struct("<IIQQ")
_U64: Final = struct.Struct(">Q")
_TIME: Final = struct.Struct("<q")
_LOGGED: Final = struct.Struct(">IQ")
_NODE: Final = struct.Struct(">IQB")
_COLLECTED: Final = struct.Struct("<qQQ")
_MARK_KEY: Final = b"m"
_COLLECTED_KEY: Final = b"g"
_PACKED_KEY: Final = b"p"
_LAST: Final = (1 << 64) - 1

LAPSED_AT_ONCE: Final = 1000
"""Changes of the index in one step: some milliseconds."""

Change = tuple[bytes, bytes | None]
NO_MARK: Final[Change] = (_MARK_KEY, None)
"""Makes the index one that has to be begun anew."""


NOWHERE: Final = Place(0, 0, 0)
"""Where a chunk lies whose block is damaged: whoever stores it again appends it anew. There is no log 0."""


class Mark(NamedTuple):
    """Through which length of which metadata log the index has been filled."""

    log: int
    fork: int
    length: int
    version: int


class Collected(NamedTuple):
    """When blocks were last freed, how many versions were gone then, and how long the logs were."""

    time_ns: int
    gone: int
    nbytes: int


class VersionFacts(NamedTuple):
    """A version without its tree. Times in ns since the epoch; `second` is 0 when `.versions` doesn't list it."""

    version: int
    log: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls here
    time_ns: int
    second: int
    content_length: int


class ChunkFacts(NamedTuple):
    """Where a chunk lies and how many extents of the newest version are cut from it."""

    place: Place
    length: int
    live: int


class Catalog:
    """Questions to the index, and the changes that keep it right. Raises IndexDamaged from any question.

    What the index could not take, for want of room or because it is damaged, stays in memory and goes before it:
    a batch left out would be a version that nobody finds, since the next batch's mark says that all is there.
    """

    def __init__(self, index: KeyValue, cleared: Cleared | None = None) -> None:
        self._index = index
        self.cleared = cleared or Cleared({})
        """The blocks that were let go: a chunk in one of them is not known. Replaced as a whole."""
        self.only_live = False
        """Whether `place` tells only of chunks of the newest version, since others may be about to go."""
        # Replaced as a whole by apply, never changed: a check in another thread takes one reference.
        self._waiting: dict[bytes, bytes | None] = {}
        self.trouble: str | None = None
        """Why the newest changes are in memory only; None when they are not."""

    def mark(self) -> Mark | None:
        found = self._get(_MARK_KEY)
        return None if found is None else Mark(*_unpacked(_MARK, found))

    def packed_ns(self) -> int:
        """When half-dead packs were last looked for; 0 for never."""
        found = self._get(_PACKED_KEY)
        return 0 if found is None else int(_unpacked(_TIME, found)[0])

    def cleared_chunks(self) -> Iterator[Change]:
        """The changes by which chunks leave the index whose blocks were let go. Reads all there are; any thread."""
        for key, value in self._scan(b"c", b"c"):
            facts = _chunk_facts(value)
            if facts.place != NOWHERE and not facts.live and not self._is_here(facts.place):
                yield key, None

    def begin_anew(self) -> None:
        """Forgets everything, the mark first: a kill leaves an index that is not finished."""
        self.apply([NO_MARK])
        while found := [key for key, _ in islice(self._scan(b"", b""), LAPSED_AT_ONCE)]:
            self.apply((key, None) for key in found)

    def compact(self) -> None:
        """Has the index give back the room of what left it. Takes a while; any thread."""
        self._index.compact()

    def collected(self) -> Collected | None:
        found = self._get(_COLLECTED_KEY)
        return None if found is None else Collected(*_unpacked(_COLLECTED, found))

    def is_empty(self) -> bool:
        """Whether it knows nothing at all: new, and not one whose filling was killed."""
        return next(self._scan(b"", b""), None) is None

    def chunk(self, chunk: bytes) -> ChunkFacts | None:
        found = self._get(b"c" + chunk)
        if found is None:
            return None
        facts = _chunk_facts(found)
        return facts if self._is_here(facts.place) else None

    def _is_here(self, place: Place) -> bool:
        """Whether no block that a read of the place needs was let go. A delta that nothing needed may have been kept,
        for what else is in its pack, when its base was not."""
        has = self.cleared.has
        return not has(place.log, place.block) and not any(has(base.log, base.block) for base in place.bases)

    def may_need(self, place: Place) -> bool:
        """Whether a new delta may have its base there: nothing that it takes to read that may be about to go. Trio
        thread; holds until the extents are named that a flush, then under way, makes."""
        return not self.only_live and self._is_here(place)

    def chunks(self) -> Iterator[tuple[bytes, ChunkFacts]]:
        for key, value in self._scan(b"c", b"c"):
            yield key[1:], _chunk_facts(value)

    def lies(self, chunk: bytes) -> Place | None:
        """Where a chunk is, for a reader; None where that is not known, or nowhere. Any thread."""
        facts = self.chunk(chunk)
        return None if facts is None or facts.place == NOWHERE else facts.place

    def place(self, chunk: bytes) -> Place | None:
        """Where a chunk lies that may be referred to again; None where that is not known, or nowhere."""
        facts = self.chunk(chunk)
        if facts is None or facts.place == NOWHERE or (self.only_live and not facts.live):
            return None
        return facts.place

    def version(self, version: int) -> VersionFacts | None:
        found = self._get(b"v" + _U64.pack(version))
        return None if found is None else VersionFacts(version, *_unpacked(_VERSION, found))

    def versions(self, first: int = 0) -> Iterator[VersionFacts]:
        """All versions from `first` on, in order."""
        for key, value in self._scan(b"v", b"v" + _U64.pack(first)):
            yield VersionFacts(*_unpacked(_U64, key[1:]), *_unpacked(_VERSION, value))

    def forget_gone(self, gone: GoneVersions) -> None:
        """Lets go of the versions that the marks say are no more. Quick where that was done before."""
        for lapsed in self.lapsed(gone):
            self.apply(lapsed)

    def lapsed(self, gone: GoneVersions) -> Iterator[list[Change]]:
        """The changes by which that is done, in batches that may be applied one by one."""
        changes: list[Change] = []
        for found in gone.ranges:
            for facts in self.versions(found.first):
                if facts.version > found.gone.last:
                    break
                changes += forget_version(facts)
                if len(changes) >= LAPSED_AT_ONCE:
                    yield changes
                    changes = []
        if changes:
            yield changes

    def began(self, version: int) -> int | None:
        """When the first change of a version came, where that is known: a time of this device's clock."""
        found = self._get(b"b" + _U64.pack(version))
        return None if found is None else int(_unpacked(_TIME, found)[0])

    def at_time(self, time_ns: int) -> int | None:
        """The last version whose time is at or before `time_ns`."""
        if time_ns < 0:
            return None
        start = b"t" + _U64.pack(_LAST - min(time_ns, _LAST))
        return self._first(b"t", start)

    def at_second(self, second: int) -> int | None:
        """The version listed under that second."""
        if second <= 0:
            return None
        found = self._get(b"s" + _U64.pack(second))
        return None if found is None else int(_unpacked(_U64, found)[0])

    def born_with_node(self, log: int, block: int) -> int | None:
        """The version whose batch holds a metadata block."""
        return self._first(b"i" + _LOGGED.pack(log, 0)[:4], b"i" + _LOGGED.pack(log, block))

    def born_with_block(self, log: int, block: int) -> int | None:
        """The first version whose content head covers a block."""
        return self._first(b"j" + _LOGGED.pack(log, 0)[:4], b"j" + _LOGGED.pack(log, block + 1))

    def reach(self, log: int, point: Point) -> bytes | None:
        """The row that reach_change made for a node. Any thread."""
        return self._get(reach_change(log, point, b"")[0])

    def forget_reach(self, log: int, start: int, end: int) -> Iterator[Change]:
        """The changes that take away the rows of nodes in blocks [start, end)."""
        for key, _ in self._scan(b"r" + _LOGGED.pack(log, 0)[:4], b"r" + _LOGGED.pack(log, start)):
            if _unpacked(_NODE, key[1:])[1] >= end:
                break
            yield key, None

    def row(self, key: bytes) -> bytes | None:
        """Of the key spaces that have a module of their own. Any thread."""
        return self._get(key)

    def rows(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._scan(prefix, start)

    def _first(self, prefix: bytes, start: bytes) -> int | None:
        for _, value in self._scan(prefix, start):
            return int(_unpacked(_U64, value)[0])
        return None

    def _get(self, key: bytes) -> bytes | None:
        waiting = self._waiting
        return waiting[key] if key in waiting else self._index.get(key)

    def _scan(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        waiting = self._waiting
        found = self._index.scan(prefix, start)
        if not waiting:
            return found
        low = max(prefix, start)
        newer = sorted((key, value) for key, value in waiting.items() if key >= low and key.startswith(prefix))
        return _merged(found, newer) if newer else found

    def apply(self, changes: Iterable[Change]) -> None:
        """One batch, all or nothing, with what waits. Never fails: what they are about is in the logs already."""
        batch = {**self._waiting, **dict(changes)}
        try:
            self._index.write(batch.items())
        except (OSError, IndexDamaged) as error:
            self._waiting, self.trouble = batch, str(error)
        else:
            self._waiting, self.trouble = {}, None

    @property
    def waiting(self) -> int:
        """How many changes the index could not take yet."""
        return len(self._waiting)

    def close(self) -> None:
        self._index.close()


def _unpacked(layout: struct.Struct, found: bytes) -> tuple[int, ...]:
    """What a key or value says. IndexDamaged where it is of another length than we write."""
    if len(found) != layout.size:
        raise IndexDamaged("the index has an entry of an impossible length")
    return layout.unpack(found)


def _chunk_facts(found: bytes) -> ChunkFacts:
    length, live = _unpacked(_CHUNK, found[: _CHUNK.size])
    try:
        return ChunkFacts(decode_place(found[_CHUNK.size :]), length, live)
    except Corrupt:
        raise IndexDamaged("the index has an entry of an impossible length") from None


def _merged(
    found: Iterator[tuple[bytes, bytes]], newer: list[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes]]:
    """Both in order of keys; of a key that is in both the newer value, and nothing where that is None."""
    last = None
    # Of two with one key the newer comes first, since merge keeps the order of what it merges.
    for key, value in heapq.merge(newer, found, key=itemgetter(0)):
        if key != last and value is not None:
            yield key, value
        last = key


def chunk_change(chunk: bytes, facts: ChunkFacts) -> Change:
    return b"c" + chunk, _CHUNK.pack(facts.length, facts.live) + encode_place(facts.place)


def commit_changes(commit: Commit, log: int, index: int, fork: int) -> list[Change]:
    """What the index must know of the newest commit, which is block `index` of metadata log `log`."""
    return [*version_changes(commit, log, index), (_MARK_KEY, _MARK.pack(log, fork, index + 1, commit.version))]


def version_changes(commit: Commit, log: int, index: int) -> list[Change]:
    """What the index must know of any commit."""
    number = _U64.pack(commit.version)
    facts = _VERSION.pack(log, index, commit.time_ns, commit.display_second, commit.content.length)
    changes: list[Change] = [
        (b"v" + number, facts),
        (b"t" + _U64.pack(_LAST - commit.time_ns), number),
        (b"i" + _LOGGED.pack(log, index), number),
    ]
    if commit.display_second:
        changes.append((b"s" + _U64.pack(commit.display_second), number))
    return changes


def reach_change(log: int, point: Point, row: bytes) -> Change:
    return b"r" + _NODE.pack(log, block_of(point), slot_of(point)), row


def forget_version(facts: VersionFacts) -> list[Change]:
    """What the index must not say any more of a version that was let go. What it wrote counts as the next one's."""
    number = _U64.pack(facts.version)
    changes: list[Change] = [(b"v" + number, None), (b"t" + _U64.pack(_LAST - facts.time_ns), None)]
    changes += [(b"e" + number, None), (b"b" + number, None), (b"i" + _LOGGED.pack(facts.log, facts.index), None)]
    if facts.second:
        changes.append((b"s" + _U64.pack(facts.second), None))
    return changes


def collected_change(collected: Collected) -> Change:
    return _COLLECTED_KEY, _COLLECTED.pack(*collected)


def packed_change(time_ns: int) -> Change:
    return _PACKED_KEY, _TIME.pack(time_ns)


def began_change(version: int, began_ns: int) -> Change:
    return b"b" + _U64.pack(version), _TIME.pack(began_ns)


def chunk_gone(chunk: bytes) -> Change:
    return b"c" + chunk, None


BIRTH_PREFIX: Final = b"j"


def decode_birth(key: bytes, value: bytes) -> tuple[int, int]:
    """(version, length of the content log with it) of a row that content_change made. Raises IndexDamaged."""
    return _unpacked(_U64, value)[0], _unpacked(_LOGGED, key[1:])[1]


def content_change(commit: Commit) -> Change:
    """Which version a content block was born in. Only for a commit that made the content log longer."""
    return b"j" + _LOGGED.pack(commit.content.log, commit.content.length), _U64.pack(commit.version)
