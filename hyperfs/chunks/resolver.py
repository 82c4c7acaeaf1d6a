"""From a chunk's id and a hint to its bytes: cache, log, seal, codec, pack, bases, id check.

Ids decide. A hint says where to look first; if the chunk is not there any more, the newest root is asked
where it is now. A chunk's id is checked when its block enters the cache, not on each read from there.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from hyperfs.chunks import blocks, codec
from hyperfs.chunks.bases import Base
from hyperfs.chunks.blocks import ChunkBlock, DecodedBlock
from hyperfs.chunks.cache import BlockCache
from hyperfs.chunks.extents import MAX_DELTAS, Place
from hyperfs.chunks.pack import Pack
from hyperfs.crypto.seal import KIND_CHUNK, KIND_PACK, BlockHeader, Sealer
from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, NotResident
from hyperfs.log.log import Log
from hyperfs.values import BlockRef

NOWHERE_LOG: Final = 0
"""The log of a place that says: the chunk is lost. There is no log of that number."""

ContentCache = BlockCache[BlockRef | Place, DecodedBlock]
"""Blocks by (log, index); decoded deltas of packs by their place."""

FindPlace = Callable[[bytes], Place | None]
"""Where a chunk lies now, by the newest root; None if that says nothing. May raise NotResident."""


class Span(NamedTuple):
    """A chunk is data[start : start + length], read through `deltas` bases."""

    data: bytes
    start: int
    length: int
    deltas: int


class Resolver:
    """Finds chunks of one realm. Holds no state but the cache; all methods may be called from any thread."""

    def __init__(
        self,
        logs: Mapping[int, Log],
        sealer: Sealer,
        chunk_id_key: bytes,
        cache: ContentCache,
        place: FindPlace,
        realm: int,
        known: FindPlace,
    ) -> None:
        """`known`: what the index says, for a block that is read without an extent that tells of its bases."""
        self._logs = logs
        self._sealer = sealer
        self._key = chunk_id_key
        self._cache = cache
        self._place = place
        self._realm = realm
        self._known = known

    def find(self, chunk: bytes, hint: Place, above: int = 0) -> Span:
        """The chunk at `hint`, or where it was moved to since. `above`: deltas that wait for it as a base.

        Raises NotResident with the block that has to come, Corrupt, KeyMissing, FormatTooNew.
        """
        failure: NotResident | Corrupt | FormatTooNew | None = None
        span: Span | None = None
        try:
            span = self._at(chunk, hint, above)
        except NotResident as error:
            failure = NotResident([*error.blocks, *self._missing_bases(hint)])
        except (Corrupt, FormatTooNew) as error:
            failure = error
        if span is not None:
            return span
        moved = self._place(chunk)
        if moved is not None and moved != hint and moved.log != NOWHERE_LOG:
            span = self._at(chunk, moved, above)
        elif failure is not None:
            raise failure
        if span is None:
            raise Corrupt(f"chunk {chunk.hex()} is not there", where(BlockRef(hint.log, hint.block)))
        return span

    def _missing_bases(self, hint: Place) -> list[BlockRef]:
        """Those that will be needed too, as far as the hint tells: else each would be a question of its own."""
        refs = [BlockRef(base.log, base.block) for base in hint.bases]
        return [ref for ref in refs if ref.log in self._logs and self._logs[ref.log].has_left(ref.index)]

    def base(self, chunk: bytes, place: Place) -> Base | None:
        """See `ChunkStore.bases`. Only what lies just where it is said to is named by a new delta."""
        span = self._at(chunk, place, 0)
        if span is None or span.deltas != len(place.bases) or span.deltas >= MAX_DELTAS:
            return None
        data = memoryview(span.data)[span.start : span.start + span.length]
        return Base(chunk, data, (place._replace(bases=()), *place.bases))

    def chain(self, chunk: bytes, place: Place) -> list[tuple[bytes, Place]]:
        """See `ChunkStore.chain`."""
        found: list[tuple[bytes, Place]] = []
        while (base_place := place.base) is not None:
            try:
                base = self._base_of(chunk, place)
            except (HyperfsError, OSError):
                break
            if base is None:
                break
            found.append((base, base_place))
            chunk, place = base, base_place
        return found

    def _base_of(self, chunk: bytes, place: Place) -> bytes | None:
        """The id of the base of the delta at `place`."""
        ref = BlockRef(place.log, place.block)
        header, payload = self.open(ref, self.raw(ref))
        if header.kind == KIND_CHUNK:
            return header.base
        block = self.decode(ref, header, payload)
        number = block.find(chunk) if isinstance(block, Pack) else None
        return block.slots[number].base if isinstance(block, Pack) and number is not None else None

    def find_base(self, base: bytes, hint: Place | None, above: int = 1) -> Span:
        """A chunk that a delta names, where that is said to lie, or where the newest root or the index says."""
        place = hint or self._place(base) or self._known(base)
        if place is None or place.log == NOWHERE_LOG:
            raise Corrupt(f"the base {base.hex()} is nowhere")
        return self.find(base, place, above)

    def raw(self, ref: BlockRef) -> bytes:
        """The block as its log has it. NotResident if it was punched, Corrupt if there is none."""
        log = self._logs.get(ref.log)
        if log is None:
            raise Corrupt(f"log {ref.log} is named, and the drive has none of that number")
        try:
            return log.get(ref.index)
        except IndexError:
            raise Corrupt(f"a block is named, and the log ends at {log.length}", where(ref)) from None

    def open(self, ref: BlockRef, raw: bytes) -> tuple[BlockHeader, bytes]:
        """Header and payload of a block that was sealed for this place in this realm."""
        log = self._logs[ref.log]
        header, payload = self._sealer.open(ref.log, log.key, log.fork, ref.index, raw)
        if header.realm != self._realm:
            raise Corrupt(f"a block of realm {header.realm}, not {self._realm}", where(ref))
        return header, payload

    def decode(
        self, ref: BlockRef, header: BlockHeader, payload: bytes, above: int = 0, hint: Place | None = None
    ) -> DecodedBlock:
        """What is behind an opened seal; reads the base, if it has one, through the cache. `hint`: where that lies."""
        if header.kind not in (KIND_CHUNK, KIND_PACK):
            raise Corrupt(f"a block of kind {header.kind} where content is named", where(ref))
        base = None if header.base is None else self._base(header.base, hint, ref, above)
        try:
            return blocks.decode(header, payload, self._key, base)
        except Corrupt as error:
            raise Corrupt(error.what, where(ref)) from error

    def decode_delta(
        self, ref: BlockRef, found: Pack, number: int, above: int = 0, hint: Place | None = None
    ) -> ChunkBlock:
        """Entry `number` of the pack in block `ref`, its id checked."""
        slot = found.slots[number]
        base = None if slot.base is None else self._base(slot.base, hint, ref, above)
        try:
            decoded = blocks.decode_entry(found, number, base)
            blocks.check_id(self._key, slot.chunk, decoded.data)
        except Corrupt as error:
            raise Corrupt(error.what, f"{where(ref)} entry {number}") from error
        return decoded

    def _at(self, chunk: bytes, place: Place, above: int) -> Span | None:
        """The chunk, if the block holds it. Ids decide, whatever slot the hint says."""
        ref = BlockRef(place.log, place.block)
        cached = self._cache.get(ref)
        if cached is not None:
            span = self._within(ref, cached, chunk, place, above)
            if span is not None:
                return span
            # Cached before a rollback gave its index to another block.
        header, payload = self.open(ref, self.raw(ref))
        block = self.decode(ref, header, payload, above, place.base)
        self._cache.put(ref, block, blocks.cost(block))
        return self._within(ref, block, chunk, place, above)

    def _within(self, ref: BlockRef, block: DecodedBlock, chunk: bytes, place: Place, above: int) -> Span | None:
        if isinstance(block, ChunkBlock):
            return Span(block.data, 0, len(block.data), block.deltas) if block.chunk == chunk else None
        number: int | None = place.slot
        if place.slot >= len(block.slots) or block.slots[place.slot].chunk != chunk:
            number = block.find(chunk)
        if number is None:
            return None
        entry = block.slots[number]
        if entry.codec == codec.RAW:
            return Span(block.plaintext, entry.start, entry.stored_length, 0)
        key = Place(ref.log, ref.index, number)
        decoded = self._cache.get(key)
        if not isinstance(decoded, ChunkBlock) or decoded.chunk != chunk:
            decoded = self.decode_delta(ref, block, number, above, place.base)
            self._cache.put(key, decoded, blocks.cost(decoded))
        return Span(decoded.data, 0, len(decoded.data), decoded.deltas)

    def _base(self, base: bytes, hint: Place | None, of: BlockRef, above: int) -> ChunkBlock:
        if above >= MAX_DELTAS:
            raise Corrupt(f"a chain of more than {MAX_DELTAS} deltas", where(of))
        try:
            span = self.find_base(base, hint, above + 1)
        except Corrupt as error:
            raise Corrupt(f"{error.what}, which a delta needs", error.where or where(of)) from error
        if span.deltas >= MAX_DELTAS:
            raise Corrupt(f"a chain of more than {MAX_DELTAS} deltas", where(of))
        return ChunkBlock(base, span.data[span.start : span.start + span.length], span.deltas)


def where(ref: BlockRef) -> str:
    return f"log {ref.log} block {ref.index}"
