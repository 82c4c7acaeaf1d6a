"""Chunks in and out of logs: the way down is split so that worker threads get bytes and return bytes.

Writing, in four steps, of which this class does the first three:

1. `identify` (any thread): the ids of pieces.
2. `layout` (the thread that owns the log): what is new becomes plans; block i of them gets index length + i.
3. `seal_block` (any thread): a plan, its index and a fresh nonce give the block and its leaf hash.
4. The owner gives sizes and leaf hashes to the log, and a thread writes the bytes.

A block of a job that fails is replaced by `seal_void` at the same index. Reading is plain synchronous code
for any thread; `place` is called in the thread that reads.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hyperfs.chunks import blocks, codec
from hyperfs.chunks.bases import Base, Delta
from hyperfs.chunks.blocks import BlockPlan
from hyperfs.chunks.check import BlockFacts, check_block
from hyperfs.chunks.codec import Bytes
from hyperfs.chunks.extents import MAX_DELTAS, Extent, Piece, Place, plan_read
from hyperfs.chunks.resolver import ContentCache, FindPlace, Resolver, Span, where
from hyperfs.crypto.ids import chunk_id
from hyperfs.crypto.seal import CODEC_RAW, KIND_VOID, Sealer
from hyperfs.errors import Corrupt, HyperfsError, NotResident
from hyperfs.log.log import Log
from hyperfs.log.merkle import leaf_hash
from hyperfs.values import BlockRef


class SealedBlock(NamedTuple):
    """Ready to be appended at the index that it was sealed for."""

    block: bytes
    leaf_hash: bytes


class ChunkStore:
    """The content of one realm of a drive. Holds no state but the cache; all methods are thread-safe."""

    def __init__(
        self,
        logs: Mapping[int, Log],
        sealer: Sealer,
        chunk_id_key: bytes,
        cache: ContentCache,
        place: FindPlace = lambda chunk: None,
        realm: int = 0,
        known: FindPlace = lambda chunk: None,
    ) -> None:
        """`logs` by number: kept, not copied, so that logs opened later are found. `place`, `known`: see Resolver."""
        self._sealer = sealer
        self._key = chunk_id_key
        self._realm = realm
        self.cache = cache
        self._resolver = Resolver(logs, sealer, chunk_id_key, cache, place, realm, known)

    # The way down.

    def identify(self, pieces: Sequence[Bytes]) -> list[bytes]:
        """The chunk id of each piece. Pieces must not change meanwhile."""
        return [chunk_id(self._key, piece) for piece in pieces]

    def layout(
        self, chunks: Sequence[tuple[bytes, Bytes]], deltas: Mapping[bytes, Delta] | None = None
    ) -> list[BlockPlan]:
        """See `blocks.layout`. Plans refer to the bytes given: don't change them before they are sealed."""
        return blocks.layout(chunks, deltas)

    def seal_block(
        self,
        plan: BlockPlan,
        *,
        log_number: int,
        log_key: bytes,
        fork: int,
        index: int,
        nonce: bytes,
        level: int = codec.DEFAULT_LEVEL,
    ) -> SealedBlock:
        """Compresses, seals and hashes. `nonce`: 12 random bytes, new ones for a retry too."""
        encoded = blocks.encode(plan, level)
        block = self._sealer.seal(
            log_number,
            log_key,
            fork,
            index,
            encoded.kind,
            encoded.codec,
            encoded.decoded_length,
            encoded.payload,
            nonce,
            self._realm,
            encoded.base,
        )
        return SealedBlock(block, leaf_hash(block))

    def seal_blocks(
        self,
        first_index: int,
        log_number: int,
        log_key: bytes,
        fork: int,
        plans: Sequence[BlockPlan],
        nonces: Sequence[bytes],
        level: int = codec.DEFAULT_LEVEL,
    ) -> list[SealedBlock]:
        """`seal_block` for plans at consecutive indexes: what is handed to one worker at a time."""
        return [
            self.seal_block(
                plan,
                log_number=log_number,
                log_key=log_key,
                fork=fork,
                index=first_index + i,
                nonce=nonce,
                level=level,
            )
            for i, (plan, nonce) in enumerate(zip(plans, nonces, strict=True))
        ]

    def seal_void(
        self, *, log_number: int, log_key: bytes, fork: int, index: int, nonce: bytes
    ) -> SealedBlock:
        """An empty block, for an index whose job failed."""
        block = self._sealer.seal(
            log_number, log_key, fork, index, KIND_VOID, CODEC_RAW, 0, b"", nonce, self._realm
        )
        return SealedBlock(block, leaf_hash(block))

    # The way up.

    def read(self, extents: Sequence[Extent], offset: int, size: int) -> bytes:
        """Bytes [offset, offset + size) of a file with these extents (sorted); holes are zeros.

        The caller bounds `size` by the file's. Raises NotResident with every block that is missing for this
        read, Corrupt, KeyMissing, FormatTooNew.
        """
        if len(extents) == 1 and extents[0].offset <= offset and offset + size <= extents[0].end:
            # Most reads that are small: within one extent.
            span, start = self._find(extents[0]), offset - extents[0].offset + extents[0].skip
            return span.data[span.start + start : span.start + start + size]
        parts = self.read_parts(extents, offset, size)
        if len(parts) == 1 and isinstance(parts[0], bytes):
            return parts[0]
        return b"".join(parts)

    def read_parts(self, extents: Sequence[Extent], offset: int, size: int) -> list[Bytes]:
        """As `read`, in parts that are to be joined: most are views of what is cached."""
        pieces = plan_read(extents, offset, size)
        missing: dict[BlockRef, None] = {}
        parts: list[Bytes] = []
        for piece in pieces:
            try:
                part = self._piece(piece, alone=len(pieces) == 1)
            except NotResident as absent:
                missing.update(dict.fromkeys(absent.blocks))
                continue
            parts.append(part)
        if missing:
            raise NotResident(missing)
        return parts

    def read_chunk(self, extent: Extent) -> bytes:
        """The whole chunk that the extent is cut from. Raises as `read`."""
        span = self._find(extent)
        return span.data[span.start : span.start + span.length]

    def bases(self, chunk: bytes, place: Place) -> list[Base]:
        """What a delta against the chunk at `place` can be made with: that chunk, or, where its chain is as long as one
        may be, its bases, nearest first. What can't be had from there is left out."""
        known = [(chunk, place)] if len(place.bases) < MAX_DELTAS else self.chain(chunk, place)
        found = []
        for base, base_place in known:
            try:
                found.append(self._resolver.base(base, base_place))
            except (HyperfsError, OSError):
                continue  # whoever wants to read it will be told
        return [base for base in found if base is not None]

    def check_block(self, log: int, index: int, lies: FindPlace = lambda chunk: None) -> BlockFacts:
        """See `check.check_block`."""
        return check_block(self._resolver, BlockRef(log, index), lies)

    def reads(self, chunk: bytes, place: Place) -> bool:
        """Whether the chunk can be had, from there or from where it was moved to."""
        try:
            self._resolver.find(chunk, place)
        except (HyperfsError, OSError):
            return False
        return True

    def chain(self, chunk: bytes, place: Place) -> list[tuple[bytes, Place]]:
        """The bases (id, place, nearest first) that a read of the chunk at `place` needs, as far as can be told."""
        return self._resolver.chain(chunk, place)

    def _piece(self, piece: Piece, alone: bool) -> Bytes:
        """As a view, so that joining copies once, unless it is the whole answer."""
        if piece.extent is None:
            return bytes(piece.length)
        span = self._find(piece.extent)
        start = span.start + piece.skip
        data = span.data if alone else memoryview(span.data)
        return data[start : start + piece.length]

    def _find(self, extent: Extent) -> Span:
        span = self._resolver.find(extent.chunk, extent.place)
        if span.length != extent.chunk_length:
            raise Corrupt(
                f"a chunk has {span.length} bytes where an extent says {extent.chunk_length}",
                where(BlockRef(extent.log, extent.block)),
            )
        return span
