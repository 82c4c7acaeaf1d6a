"""What `hyperfs verify` asks of a content block: everything in it, opened, decoded and compared."""

from typing import NamedTuple

from hyperfs.chunks.blocks import ChunkBlock
from hyperfs.chunks.extents import WHOLE_BLOCK
from hyperfs.chunks.resolver import Resolver
from hyperfs.crypto.seal import KIND_VOID
from hyperfs.values import BlockRef


class ChunkFacts(NamedTuple):
    """A chunk found in a block. Its id fits its bytes."""

    slot: int
    chunk: bytes
    length: int
    base: bytes | None


class BlockFacts(NamedTuple):
    """`stored_bytes`: the sealed block's; `decoded_bytes`: the header's. A void block has no chunks."""

    kind: int
    codec: int
    stored_bytes: int
    decoded_bytes: int
    chunks: tuple[ChunkFacts, ...]


def check_block(resolver: Resolver, ref: BlockRef) -> BlockFacts:
    """Opens and decodes a block as it lies on disk, past the cache, and checks all its chunk ids.

    Raises Corrupt, NotResident (the block, or a base of a delta in it), KeyMissing, FormatTooNew.
    """
    raw = resolver.raw(ref)
    header, payload = resolver.open(ref, raw)
    chunks: list[ChunkFacts] = []
    if header.kind != KIND_VOID:
        block = resolver.decode(ref, header, payload)
        if isinstance(block, ChunkBlock):
            chunks.append(ChunkFacts(WHOLE_BLOCK, block.chunk, len(block.data), header.base))
        else:
            for number, slot in enumerate(block.slots):
                if slot.base is not None:
                    resolver.decode_delta(ref, block, number)
                chunks.append(ChunkFacts(number, slot.chunk, slot.decoded_length, slot.base))
    return BlockFacts(header.kind, header.codec, len(raw), header.decoded_length, tuple(chunks))
