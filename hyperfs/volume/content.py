"""The content log's writer: bytes become chunks, chunks become blocks, blocks are appended. And its reader.

The trio thread owns the log and gives indices; cutting, hashing, compressing, sealing and writing happen in
worker threads, which get bytes and return bytes. `_append_lock` keeps the order of indices the order of
appends: whoever holds it may prepare and write.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import trio

from hyperfs.chunks.blocks import BlockPlan
from hyperfs.chunks.chunker import Chunker
from hyperfs.chunks.chunkstore import ChunkStore, SealedBlock
from hyperfs.chunks.codec import Bytes
from hyperfs.chunks.extents import Extent, Place
from hyperfs.errors import NoSpace, NotResident
from hyperfs.log.log import Log
from hyperfs.values import BlockRef
from hyperfs.volume.journal_items import BlocksItem

SEAL_THREADS: Final = 2
NONCE_BYTES: Final = 12
SINGLE_CHUNK_BYTES: Final = 64 << 10
"""A region of at most this many bytes is one chunk, cut nowhere."""
ROOM_CHECK_BYTES: Final = 16 << 20
"""The disk is asked for its free space once per so many bytes that arrive."""


LARGE_READ_BYTES: Final = 256 << 10
"""From this size on a hand-over to a thread (some 90 us) is worth its cost; from twice this, a second one."""


class Region(NamedTuple):
    """A stretch of a file that gets new chunks: its bytes are `parts`, joined in a worker thread.

    Without `final`, bytes past the last sure cut come back.
    """

    offset: int
    parts: Sequence[Bytes]
    final: bool


class Stored(NamedTuple):
    """The extents of a region, and the bytes behind the last sure cut."""

    extents: list[Extent]
    rest: memoryview


class Cut(NamedTuple):
    """A region in one piece, and its chunks: (id, offset in the region, bytes)."""

    data: memoryview
    chunks: list[tuple[bytes, int, memoryview]]


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
    ) -> None:
        self.log = log
        self.number = number
        self._store = store
        self.chunker = chunker
        self._known = known
        self._room = room
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

    async def store(self, regions: Sequence[Region]) -> list[Stored]:
        """The extents of each region, appended where they were not known. Raises OSError; then none is."""
        cuts = await trio.to_thread.run_sync(self._cut, regions)
        async with self._append_lock:
            places = await self._append_unknown([chunk for cut in cuts for chunk in cut.chunks])
        return [
            Stored(
                [
                    Extent(region.offset + start, len(data), chunk, 0, len(data), *places[chunk])
                    for chunk, start, data in cut.chunks
                ],
                cut.data[cut.chunks[-1][1] + len(cut.chunks[-1][2]) :] if cut.chunks else cut.data,
            )
            for region, cut in zip(regions, cuts, strict=True)
        ]

    def _cut(self, regions: Sequence[Region]) -> list[Cut]:
        """In a worker thread."""
        result = []
        for region in regions:
            view = memoryview(region.parts[0] if len(region.parts) == 1 else b"".join(region.parts))
            if len(view) <= SINGLE_CHUNK_BYTES and region.final:
                ends = [len(view)]
            else:
                ends = self.chunker.cut(view, region.final)
            starts = [0, *ends[:-1]]
            pieces = [view[start:end] for start, end in zip(starts, ends, strict=False)]
            chunks = list(zip(self._store.identify(pieces), starts, pieces, strict=False))
            result.append(Cut(view, chunks))
        return result

    async def _append_unknown(self, chunks: Sequence[tuple[bytes, int, memoryview]]) -> dict[bytes, Place]:
        places: dict[bytes, Place] = {}
        new: dict[bytes, memoryview] = {}
        for chunk, _, data in chunks:
            if chunk in places or chunk in new:
                continue
            place = self._place_of(chunk)
            if place is None:
                new[chunk] = data
            else:
                places[chunk] = place
        if new:
            appended = await self._append(self._store.layout(list(new.items())))
            places.update(appended)
            self._fresh.update(appended)
        return places

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

    async def _append(self, plans: Sequence[BlockPlan]) -> dict[bytes, Place]:
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
            for (chunk, _), place in zip(plan.chunks, plan.places(self.number, first + position), strict=True)
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
