"""The two kinds of content block: a chunk alone, or a pack of small ones. Pure; no keys, no log.

On the way down `layout` groups new chunks into plans, and `encode` makes the payload of one for the seal.
On the way up `decode` gives a block as it is cached, with all ids checked that need no other block.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from hyperfs.chunks import codec, pack
from hyperfs.chunks.bases import Delta
from hyperfs.chunks.codec import RAW, ZSTD_WITH_BASE, Bytes
from hyperfs.chunks.extents import WHOLE_BLOCK, Place
from hyperfs.chunks.pack import Pack, PackEntry
from hyperfs.crypto.ids import chunk_id
from hyperfs.crypto.seal import KIND_CHUNK, KIND_PACK, BlockHeader
from hyperfs.errors import Corrupt

WHOLE_FROM_BYTES: Final = 64 << 10
"""A chunk that takes this much or more, as raw bytes or as a delta, is a block of its own."""

PACK_BYTES: Final = 256 << 10
"""A pack's entries, directory included, come to at most this much."""


class PlannedChunk(NamedTuple):
    """A chunk that is to be stored, as a delta if there is one."""

    chunk: bytes
    data: Bytes
    delta: Delta | None = None

    @property
    def cost(self) -> int:
        """The bytes that it takes before the block's codec."""
        return len(self.data) if self.delta is None else len(self.delta.payload) + pack.ID_BYTES

    @property
    def bases(self) -> tuple[Place, ...]:
        return () if self.delta is None else self.delta.bases


class BlockPlan(NamedTuple):
    """What one block will hold, in the order of the slots. Several chunks make a pack."""

    chunks: tuple[PlannedChunk, ...]

    @property
    def is_pack(self) -> bool:
        return len(self.chunks) > 1

    def places(self, log: int, index: int) -> list[Place]:
        """Where each chunk will lie, in order, once the block has its index."""
        if not self.is_pack:
            return [Place(log, index, WHOLE_BLOCK, self.chunks[0].bases)]
        return [Place(log, index, slot, planned.bases) for slot, planned in enumerate(self.chunks)]


class EncodedBlock(NamedTuple):
    """What the seal takes."""

    kind: int
    codec: int
    decoded_length: int
    payload: Bytes
    base: bytes | None = None


class ChunkBlock(NamedTuple):
    """A decoded chunk whose id was checked, or computed. `deltas`: the length of the chain that it ends."""

    chunk: bytes
    data: bytes
    deltas: int


DecodedBlock = ChunkBlock | Pack


def layout(chunks: Sequence[tuple[bytes, Bytes]], deltas: Mapping[bytes, Delta] | None = None) -> list[BlockPlan]:
    """Blocks for `chunks` (id, 1..2^24 bytes), copying nothing. The order of small chunks is kept.

    The caller has left out what is stored already and has each id at most once. A pack stays open while big
    chunks pass, so that one flush leaves at most one pack that is not full. `deltas`, by id, of those that have one.
    """
    plans: list[BlockPlan] = []
    small: list[PlannedChunk] = []
    small_bytes = 0
    for chunk, data in chunks:
        planned = PlannedChunk(chunk, data, deltas.get(chunk) if deltas else None)
        if planned.cost >= WHOLE_FROM_BYTES:
            plans.append(BlockPlan((planned,)))
            continue
        cost = pack.ENTRY_BYTES + planned.cost
        if small and small_bytes + cost > PACK_BYTES:
            plans.append(BlockPlan(tuple(small)))
            small, small_bytes = [], 0
        small.append(planned)
        small_bytes += cost
    if small:
        plans.append(BlockPlan(tuple(small)))
    return plans


def encode(plan: BlockPlan, level: int) -> EncodedBlock:
    """Kind, codec and payload. A single chunk that does not compress is handed on, not copied."""
    if not plan.is_pack:
        data, delta = plan.chunks[0].data, plan.chunks[0].delta
        if delta is not None:
            return EncodedBlock(KIND_CHUNK, ZSTD_WITH_BASE, len(data), delta.payload, delta.base)
        number, payload = codec.encode(data, level)
        return EncodedBlock(KIND_CHUNK, number, len(data), payload)
    plaintext = pack.build([_entry(planned) for planned in plan.chunks])
    number, payload = codec.encode(plaintext, level)
    return EncodedBlock(KIND_PACK, number, len(plaintext), payload)


def _entry(planned: PlannedChunk) -> PackEntry:
    """Raw, since the pack is compressed as a whole; but a delta is one."""
    chunk, data, delta = planned
    if delta is None:
        return PackEntry(chunk, RAW, len(data), data)
    return PackEntry(chunk, ZSTD_WITH_BASE, len(data), delta.payload, delta.base)


def decode(
    header: BlockHeader, payload: bytes, chunk_id_key: bytes, base: ChunkBlock | None = None
) -> DecodedBlock:
    """The block behind an opened seal; `base` is what header.base names.

    A chunk's id is computed (the reader compares it with the one it wants); in a pack the id of each entry
    that is stored raw or compressed is checked, that of a delta only by `decode_entry`. Raises Corrupt.
    """
    if header.kind == KIND_CHUNK:
        data = codec.decode(header.codec, payload, header.decoded_length, base.data if base else None)
        return ChunkBlock(chunk_id(chunk_id_key, data), data, base.deltas + 1 if base else 0)
    if header.kind != KIND_PACK or base is not None:
        raise Corrupt(f"a block of kind {header.kind}{' with a base' if base else ''} is no content")
    found = pack.parse(codec.decode(header.codec, payload, header.decoded_length))
    for number, slot in enumerate(found.slots):
        if slot.base is None:
            data_of = found.payload(number) if slot.codec == RAW else decode_entry(found, number).data
            check_id(chunk_id_key, slot.chunk, data_of)
    return found


def decode_entry(found: Pack, number: int, base: ChunkBlock | None = None) -> ChunkBlock:
    """Entry `number` of a pack, decoded; its id is not checked here."""
    slot = found.slots[number]
    data = codec.decode(slot.codec, found.payload(number), slot.decoded_length, base.data if base else None)
    return ChunkBlock(slot.chunk, data, base.deltas + 1 if base else 0)


def check_id(chunk_id_key: bytes, expected: bytes, data: Bytes) -> None:
    """Raises Corrupt if `data` is not the chunk `expected`."""
    found = chunk_id(chunk_id_key, data)
    if found != expected:
        raise Corrupt(f"{len(data)} bytes are chunk {found.hex()} where {expected.hex()} is named")


def cost(block: DecodedBlock) -> int:
    """About the bytes of memory that a cached block takes."""
    if isinstance(block, ChunkBlock):
        return len(block.data) + 250
    # A slot is a tuple of an id and four numbers.
    return len(block.plaintext) + 250 + 300 * len(block.slots)
