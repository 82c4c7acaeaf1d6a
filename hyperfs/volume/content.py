"""The content log's writer: bytes become chunks, chunks become blocks, blocks are appended. And its reader.

The trio thread owns the log and gives indices; cutting, hashing, compressing, sealing and writing happen in
worker threads, which get bytes and return bytes. `_append_lock` keeps the order of indices the order of
appends: whoever holds it may prepare and write.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import trio

from hyperfs.chunks.bases import Delta
from hyperfs.chunks.blocks import BlockPlan
from hyperfs.chunks.chunker import Chunker
from hyperfs.chunks.chunkstore import ChunkStore, SealedBlock
from hyperfs.chunks.codec import DEFAULT_LEVEL, Bytes
from hyperfs.chunks.extents import Extent, Place
from hyperfs.errors import NoSpace, NotResident
from hyperfs.log.log import Log
from hyperfs.values import BlockRef
from hyperfs.volume.cutting import Cut, Cutter, Region, jobs_of
from hyperfs.volume.journal_items import BlocksItem
from hyperfs.volume.read_ahead import LARGE_READ_BYTES, ReadAhead

SEAL_THREADS: Final = 2
NONCE_BYTES: Final = 12
ROOM_CHECK_BYTES: Final = 16 << 20
"""The disk is asked for its free space once per so many bytes that arrive."""


class Stored(NamedTuple):
    """The extents of a region, and the bytes behind the last sure cut."""

    extents: list[Extent]
    rest: memoryview


class Room(NamedTuple):
    """What the store's disk has left for ordinary writes, in bytes."""

    free: int
    total: int


class Content:
    """Owned by the trio thread; `sync_blocks` and `read` may run in others."""

    def __init__(
        self,
        log: Log,
        number: int,
        store: ChunkStore,
        chunker: Chunker,
        known: Callable[[bytes], Place | None],
        room: Callable[[], Room],
        may_need: Callable[[Place], bool] = lambda place: True,
    ) -> None:
        """`known`: where a chunk lies that may be referred to again. `may_need`: whether what lies at a place may be
        what something new can't be read without."""
        self.log = log
        self.number = number
        self._store = store
        self.chunker = chunker
        self._cutter = Cutter(store, chunker)
        self._known = known
        self._may_need = may_need
        self._room = room
        self.ahead = ReadAhead(store.read_parts)
        self._append_lock = trio.Lock()
        self._fresh: dict[bytes, Place] = {}  # chunks appended or used again since the newest freeze
        self._aging: dict[bytes, Place] = {}  # those from before it, until its commit has told the index of them
        self._written_length = self._synced_length = log.length  # the log's own length counts what is being written
        self._unjournaled_first = log.length
        self._unjournaled: list[tuple[int, bytes]] = []  # (size, leaf hash) of blocks no record or head names
        self._room_free = 0
        self._room_asked_at = -1
        self._room_length = log.byte_length  # of the content log, when the disk was asked

    # Reading

    def read(self, extents: Sequence[Extent], offset: int, size: int) -> bytes:
        """The bytes, zeros where no extent is. Raises Corrupt, or NotResident with all that is missing."""
        return self._store.read(extents, offset, size)

    async def read_soon(self, extents: Sequence[Extent], offset: int, size: int) -> bytes:
        """As `read`; what is large is decoded in worker threads, beside other reads, on two processors."""
        if size < LARGE_READ_BYTES:
            return self.read(extents, offset, size)
        middle = _middle(extents, offset, size) if size >= 2 * LARGE_READ_BYTES else offset
        if middle == offset:
            return await trio.to_thread.run_sync(self.read, extents, offset, size)
        found: list[list[Bytes] | Exception] = [[], []]

        def read(half: int, start: int, end: int) -> None:
            try:
                found[half] = self._store.read_parts(extents, start, end - start)
            except Exception as error:  # noqa: BLE001  # told by whoever asked, as if there were no second thread
                found[half] = error

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, read, 0, offset, middle)
            nursery.start_soon(trio.to_thread.run_sync, read, 1, middle, offset + size)
        return _joined(found)

    # Room

    def room(self) -> Room:
        """What the store's disk has left now."""
        return self._room()

    def check_room(self, dirty_bytes: int) -> None:
        """Raises NoSpace when so many bytes, all incompressible, would not fit beside the reserve.

        Some room stays free for journal and metadata. What was appended since the disk was asked counts too.
        """
        wanted = dirty_bytes + self.log.byte_length - self._room_length
        if self._room_asked_at < 0 or abs(wanted - self._room_asked_at) > ROOM_CHECK_BYTES:
            wanted = self._ask_room(dirty_bytes)
        if self._room_free < wanted + ROOM_CHECK_BYTES:
            wanted = self._ask_room(dirty_bytes)
            if self._room_free < wanted + ROOM_CHECK_BYTES:
                self._room_asked_at = -1
                raise NoSpace("the store's disk is full up to the reserve")

    def _ask_room(self, dirty_bytes: int) -> int:
        self._room_free = self._room().free
        self._room_length = self.log.byte_length
        self._room_asked_at = dirty_bytes
        return dirty_bytes

    # Writing

    async def store(self, regions: Sequence[Region], level: int = DEFAULT_LEVEL) -> list[Stored]:
        """The extents of each region, appended where they were not known. Raises OSError; then none is.

        What is known is not stored again; of the rest, what is like what it replaces is stored as a delta.
        """
        cuts = await trio.to_thread.run_sync(lambda: [self._cutter.cut(region) for region in regions])
        async with self._append_lock:
            places, new = self._look_up(cuts)
            if new and any(region.replaced for region in regions):
                cuts = await trio.to_thread.run_sync(self._cutter.align, cuts, new)
                places, new = self._look_up(cuts)
            deltas = await self._make_deltas(cuts, new, fast=level <= DEFAULT_LEVEL)
            if any(cut.alone for cut in cuts):
                places, new = self._look_up(cuts)
            if new:
                appended = await self._append(self._store.layout(list(new.items()), deltas), level)
                places.update(appended)
                self._fresh.update(appended)
        return [Stored(cut.extents(places), cut.rest) for cut in cuts]

    def _look_up(self, cuts: Sequence[Cut]) -> tuple[dict[bytes, Place], dict[bytes, memoryview]]:
        """Where the chunks lie that are known, and the others."""
        places: dict[bytes, Place] = {}
        new: dict[bytes, memoryview] = {}
        for cut in cuts:
            for chunk, _, data in cut.chunks:
                if chunk in places or chunk in new:
                    continue
                place = self._place_of(chunk)
                if place is None:
                    new[chunk] = data
                else:
                    places[chunk] = place
        return places, new

    async def _make_deltas(self, cuts: list[Cut], new: Mapping[bytes, memoryview], fast: bool) -> dict[bytes, Delta]:
        """Of the new chunks, where that is worth it; changes the cuts of edits where it is not."""
        jobs = jobs_of(cuts, new, self._may_need)
        narrow = frozenset(number for number, cut in enumerate(cuts) if cut.is_narrow)
        found: dict[bytes, Delta] = {}

        def make(part: int) -> None:
            # Cut by cut, so that what is learned of a file in one chunk serves for its next.
            found.update(self._cutter.deltas([job for job in jobs if job.cut % threads == part], narrow, fast))

        threads = min(SEAL_THREADS, len({job.cut for job in jobs}))
        async with trio.open_nursery() as nursery:
            for part in range(threads):
                nursery.start_soon(trio.to_thread.run_sync, make, part)
        if narrow:
            await trio.to_thread.run_sync(self._cutter.settle, cuts, found, new)
        return found

    def _place_of(self, chunk: bytes) -> Place | None:
        """Where a chunk lies already. One that is used again is fresh again: the next commit is to list it."""
        place = self._fresh.get(chunk)
        if place is None and (place := self._aging.pop(chunk, None)) is not None:
            self._fresh[chunk] = place
        return place or self._known(chunk)

    @property
    def fresh(self) -> int:
        """How many chunks are remembered that the index may not know."""
        return len(self._fresh) + len(self._aging)

    @property
    def stored(self) -> Mapping[bytes, Place]:
        """Chunks that were appended before the newest freeze and that no version has listed, nor anybody used since."""
        return self._aging

    def forget_fresh(self) -> None:
        """From now on only the index tells of chunks that are here: some of these may be in no version, and go."""
        self._fresh, self._aging = {}, {}

    def freeze(self) -> None:
        """A commit takes what names the chunks appended so far; no byte is on its way."""
        self._aging.update(self._fresh)
        self._fresh = {}

    def folded(self) -> None:
        """The commit is durable and the index knows its chunks. Of the others nobody has made use: they were
        overwritten before they were in any version."""
        self._aging = {}

    async def append_anew(self, chunks: Mapping[bytes, bytes]) -> dict[bytes, Place]:
        """Appends chunks by id, whether they are known or not, and says where they lie now. Raises OSError."""
        async with self._append_lock:
            places = await self._append(self._store.layout(list(chunks.items())))
        self._fresh.update(places)
        return places

    async def _append(self, plans: Sequence[BlockPlan], level: int = DEFAULT_LEVEL) -> dict[bytes, Place]:
        """Seals the plans' blocks under the next indices and writes them. Holding `_append_lock`."""
        first = self.log.length
        sealed: dict[int, SealedBlock] = {}

        def seal(part: int) -> None:
            for position in range(part, len(plans), SEAL_THREADS):
                sealed[position] = self._store.seal_block(
                    plans[position],
                    log_number=self.number,
                    log_key=self.log.key,
                    fork=self.log.fork,
                    index=first + position,
                    nonce=os.urandom(NONCE_BYTES),
                    level=level,
                )

        async with trio.open_nursery() as nursery:
            for part in range(min(SEAL_THREADS, len(plans))):
                nursery.start_soon(trio.to_thread.run_sync, seal, part)
        blocks = [sealed[position].block for position in range(len(plans))]
        leaves = [(len(block), sealed[position].leaf_hash) for position, block in enumerate(blocks)]
        pending = self.log.prepare([len(block) for block in blocks], [leaf for _, leaf in leaves])
        try:
            await trio.to_thread.run_sync(lambda: self.log.write(pending, b"".join(blocks)))
        except BaseException:
            self.log.rollback(first)
            raise
        self._written_length = self.log.length
        self._unjournaled += leaves
        return {
            chunk: place
            for position, plan in enumerate(plans)
            for (chunk, _, _), place in zip(plan.chunks, plan.places(self.number, first + position), strict=True)
        }

    # Durability

    @property
    def has_unsynced(self) -> bool:
        return self._synced_length < self._written_length

    def sync_blocks(self) -> None:
        """Every block appended before the call is on the disk. Any thread."""
        through = self._written_length
        self.log.sync_blocks()
        self._synced_length = max(self._synced_length, through)

    def take_unjournaled_blocks(self) -> BlocksItem | None:
        """Names the blocks that neither a head nor a record names; a record must, or recovery drops them."""
        if not self._unjournaled:
            return None
        leaves, self._unjournaled = self._unjournaled, []
        first, self._unjournaled_first = self._unjournaled_first, self._unjournaled_first + len(leaves)
        return BlocksItem(self.number, first, tuple(s for s, _ in leaves), tuple(h for _, h in leaves))

    def give_back_blocks(self, item: BlocksItem) -> None:
        """The record that was to name them was not written. Unless a head covers them now, a later one must."""
        signed = self.log.signed_length
        leaves = list(zip(item.sizes, item.leaf_hashes, strict=True))[max(0, signed - item.first) :]
        if leaves:
            self._unjournaled = leaves + self._unjournaled
            self._unjournaled_first = max(item.first, signed)

    async def flush_head(self) -> None:
        """Signs a head over all blocks; durable when it returns."""
        async with self._append_lock:
            await trio.to_thread.run_sync(self.log.flush)
            self._written_length = self._synced_length = self._unjournaled_first = self.log.length
            self._unjournaled = []


def _middle(extents: Sequence[Extent], offset: int, size: int) -> int:
    """Where to part a read, so that no chunk is decoded twice; `offset` where that would leave too little."""
    half = offset + size // 2
    nearest = min((extent.offset for extent in extents), key=lambda start: abs(start - half), default=offset)
    return nearest if offset + size // 4 <= nearest <= offset + size - size // 4 else offset


def _joined(halves: Sequence[list[Bytes] | Exception]) -> bytes:
    """Copies once. Raises what a part raised; NotResident with all that is missing."""
    missing: dict[BlockRef, None] = {}
    parts: list[Bytes] = []
    for half in halves:
        if isinstance(half, NotResident):
            missing.update(dict.fromkeys(half.blocks))
        elif isinstance(half, Exception):
            raise half
        else:
            parts += half
    if missing:
        raise NotResident(missing)
    return b"".join(parts)
