"""What `hyperfs verify` asks of a content block: everything in it, opened, decoded and compared."""

from typing import NamedTuple

from hyperfs.chunks.blocks import ChunkBlock
from hyperfs.chunks.extents import WHOLE_BLOCK, Place
from hyperfs.chunks.resolver import FindPlace, Resolver
from hyperfs.crypto.seal import KIND_VOID
from hyperfs.errors import HyperfsError
from hyperfs.values import BlockRef


class ChunkFacts(NamedTuple):
    """A chunk found in a block. Its id fits its bytes."""

    slot: int
    chunk: bytes
    length: int
    base: bytes | None


class BlockFacts(NamedTuple):
    """`stored_bytes`: the sealed block's; `decoded_bytes`: the header's. A void block has no chunks.

    Deltas whose base can't be had are left out: the block is sound, and who needs them will find that out. A base may
    have been let go, when nothing needed the delta any more, and the delta be kept for what else is in its pack.
    """

    kind: int
    codec: int
    stored_bytes: int
    decoded_bytes: int
    chunks: tuple[ChunkFacts, ...]


def check_block(resolver: Resolver, ref: BlockRef, lies: FindPlace = lambda chunk: None) -> BlockFacts:
    """Opens and decodes a block as it lies on disk, past the cache, and checks all its chunk ids.

    `lies`: where a base lies, with its own bases, for what the index doesn't know. Raises Corrupt, NotResident,
    KeyMissing, FormatTooNew.
    """
    raw = resolver.raw(ref)
    header, payload = resolver.open(ref, raw)
    chunks: list[ChunkFacts] = []
    if header.kind != KIND_VOID and (header.base is None or _has(resolver, header.base, lies)):
        block = resolver.decode(ref, header, payload, hint=_place(header.base, lies))
        if isinstance(block, ChunkBlock):
            chunks.append(ChunkFacts(WHOLE_BLOCK, block.chunk, len(block.data), header.base))
        else:
            for number, slot in enumerate(block.slots):
                if slot.base is not None:
                    if not _has(resolver, slot.base, lies):
                        continue
                    resolver.decode_delta(ref, block, number, hint=_place(slot.base, lies))
                chunks.append(ChunkFacts(number, slot.chunk, slot.decoded_length, slot.base))
    return BlockFacts(header.kind, header.codec, len(raw), header.decoded_length, tuple(chunks))


def _place(base: bytes | None, lies: FindPlace) -> Place | None:
    return None if base is None else lies(base)


def _has(resolver: Resolver, base: bytes, lies: FindPlace) -> bool:
    try:
        resolver.find_base(base, lies(base))
    except HyperfsError:
        return False
    return True
