"""From a stretch of a file to chunks, and to deltas against what they replace: what worker threads do for `content`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from hyperfs.chunks import bases, codec
from hyperfs.chunks import extents as arithmetic
from hyperfs.chunks.aligning import HEAD_BYTES, MOST_BYTES, align
from hyperfs.chunks.bases import Delta, Piece
from hyperfs.chunks.chunker import Chunker
from hyperfs.chunks.chunkstore import ChunkStore
from hyperfs.chunks.codec import Bytes
from hyperfs.chunks.extents import Extent, Place
from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, NotResident
from hyperfs.volume.buffer import Run, lay_over

SINGLE_CHUNK_BYTES: Final = 64 << 10
"""A region of at most this many bytes is one chunk, cut nowhere."""
SINGLE_TEXT_BYTES: Final = MOST_BYTES
"""So is a whole file of so many that shrinks: of text, what moves within it is found again in one base only."""
TRIES: Final = 8
"""After so many chunks of a region of which none was like what it replaces, the others are not compared."""
SURE_FACTOR: Final = 16
"""A delta that is so much smaller than its chunk needs no comparison with the chunk compressed alone."""
EDIT_COSTS: Final = 100
"""What one more extent takes, about: in its leaf of the trie, and in its pack."""
_LAST: Final = 1 << 63


class Edit(NamedTuple):
    """A region of `length` bytes of which only `runs` are new; the others are what its extents hold now.

    `narrow`: only as a delta is it worth to store all of it; else the runs are stored alone.
    """

    length: int
    runs: Sequence[Run]
    narrow: bool


class Region(NamedTuple):
    """A stretch of a file that gets new chunks: its bytes are `parts`, joined in a worker thread, or an `edit`.

    Without `final`, bytes past the last sure cut come back. `replaced`: the extents that stood there, in the file or
    in the one whose place it takes, sorted by offset: the new chunks may be like them. Of an edit they are the file's.
    """

    offset: int
    parts: Sequence[Bytes]
    final: bool
    replaced: Sequence[Extent] = ()
    edit: Edit | None = None
    whole: bool = False
    """It is all of its file, and comes at once."""

    @property
    def length(self) -> int:
        return self.edit.length if self.edit is not None else sum(map(len, self.parts))


class Cut(NamedTuple):
    """A region in one piece, and its chunks: (id, offset in the region, bytes). `alone`: these are the runs of an
    edit, beside which all stays."""

    region: Region
    data: memoryview
    chunks: list[tuple[bytes, int, memoryview]]
    alone: bool = False

    @property
    def is_narrow(self) -> bool:
        return self.region.edit is not None and self.region.edit.narrow and not self.alone

    def extents(self, places: Mapping[bytes, Place]) -> list[Extent]:
        """What stands in the region now."""
        region = self.region
        new = [
            Extent(region.offset + start, len(data), chunk, 0, len(data), *places[chunk])
            for chunk, start, data in self.chunks
        ]
        if not self.alone:
            return new
        assert region.edit is not None
        kept = arithmetic.cut(region.replaced, 0, region.offset)
        kept = arithmetic.cut(kept, region.offset + region.edit.length, _LAST)
        for extent in new:
            kept = arithmetic.put(kept, [extent])
        return kept

    @property
    def rest(self) -> memoryview:
        """The bytes behind the last sure cut."""
        if self.alone or not self.chunks:
            return self.data
        _, start, data = self.chunks[-1]
        return self.data[start + len(data) :]


class Job(NamedTuple):
    """A chunk that may be like what it replaces."""

    cut: int
    chunk: bytes
    data: memoryview
    extent: Extent


class Cutter:
    """Holds no state: may be used by several threads."""

    def __init__(self, store: ChunkStore, chunker: Chunker) -> None:
        self._store = store
        self.chunker = chunker

    def cut(self, region: Region) -> Cut:
        if region.edit is None:
            parts = region.parts
            view = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        else:
            try:
                view = self._edited(region, region.edit)
            except (Corrupt, NotResident, FormatTooNew):
                # What lies beside the runs is damaged or not here: they can still be saved.
                return self._alone(region, region.edit)
        if region.final and self._is_single(region, view):
            ends = [len(view)]
        else:
            ends = self.chunker.cut(view, region.final)
        starts = [0, *ends[:-1]]
        pieces = [view[start:end] for start, end in zip(starts, ends, strict=False)]
        return Cut(region, view, list(zip(self._store.identify(pieces), starts, pieces, strict=False)))

    @staticmethod
    def _is_single(region: Region, view: memoryview) -> bool:
        if len(view) <= SINGLE_CHUNK_BYTES:
            return True
        return region.whole and len(view) <= SINGLE_TEXT_BYTES and codec.shrinks(view)

    def _edited(self, region: Region, edit: Edit) -> memoryview:
        """The bytes of the edit's region; only what no run covers is read."""
        under = list(region.replaced)
        for start, run in edit.runs:
            under = arithmetic.cut(under, start, start + len(run))
        data = bytearray(self._store.read(under, region.offset, edit.length))
        lay_over(data, region.offset, edit.runs)
        return memoryview(data)

    def _alone(self, region: Region, edit: Edit) -> Cut:
        pieces = [memoryview(run) for _, run in edit.runs]
        starts = [start - region.offset for start, _ in edit.runs]
        chunks = list(zip(self._store.identify(pieces), starts, pieces, strict=True))
        return Cut(region, memoryview(b""), chunks, alone=True)

    def align(self, cuts: Sequence[Cut], new: Mapping[bytes, memoryview]) -> list[Cut]:
        """The same cuts; what is new in them and takes a known place is cut where that was cut."""
        return [self._aligned(cut, new) if cut.region.replaced and not cut.alone else cut for cut in cuts]

    def _aligned(self, cut: Cut, new: Mapping[bytes, memoryview]) -> Cut:
        replaced, offset = cut.region.replaced, cut.region.offset
        if len(replaced) == 1 and len(cut.chunks) == 1:
            return cut
        known = {extent.chunk: extent.offset - extent.skip for extent in replaced}
        chunks: list[tuple[bytes, int, memoryview]] = []
        moved = position = 0
        while position < len(cut.chunks):
            chunk, start, data = cut.chunks[position]
            last = position + 1
            if chunk in known:
                moved = known[chunk] - offset - start
            if chunk in known or chunk not in new:
                chunks.append((chunk, start, data))
            else:
                while last < len(cut.chunks) and cut.chunks[last][0] in new and cut.chunks[last][0] not in known:
                    last += 1
                chunks += self._stretch(cut, position, last, moved)
            position = last
        return cut._replace(chunks=chunks)

    def _stretch(self, cut: Cut, first: int, last: int, moved: int) -> list[tuple[bytes, int, memoryview]]:
        """Some of the cut's chunks, all new, cut again."""
        chunks = cut.chunks[first:last]
        start, end = chunks[0][1], chunks[-1][1] + len(chunks[-1][2])
        stretch = cut.data[start:end]
        ends = align(stretch, cut.region.offset + start, cut.region.replaced, moved, self._head)
        if ends is None:
            return chunks
        starts = [0, *ends[:-1]]
        pieces = [stretch[a:b] for a, b in zip(starts, ends, strict=True)]
        return list(zip(self._store.identify(pieces), [start + at for at in starts], pieces, strict=True))

    def _head(self, extent: Extent) -> bytes:
        try:
            return self._store.read_chunk(extent)[:HEAD_BYTES]
        except (HyperfsError, OSError):
            return b""

    def deltas(self, jobs: Sequence[Job], narrow: frozenset[int], fast: bool) -> dict[bytes, Delta]:
        """The deltas that are worth it. Of the cuts in `narrow` all: whether they are, their sum decides. `fast`:
        somebody waits for the bytes to be stored."""
        found: dict[bytes, Delta] = {}
        failed: dict[int, int] = {}
        for job in jobs:
            if failed.get(job.cut, 0) >= TRIES:
                continue
            delta = self._delta(job, job.cut in narrow, fast)
            if delta is None:
                failed[job.cut] = failed.get(job.cut, 0) + 1
            else:
                failed[job.cut] = -len(jobs)
                found[job.chunk] = delta
        return found

    def _delta(self, job: Job, always: bool, fast: bool) -> Delta | None:
        known = [b for b in self._store.bases(job.extent.chunk, job.extent.place) if b.chunk != job.chunk]
        if not known:
            return None
        payloads = [codec.encode_delta(job.data, base.data, fast=always or fast) for base in known]
        number = bases.best([len(payload) for payload in payloads])
        base, payload = known[number], payloads[number]
        if not always and len(payload) * SURE_FACTOR > len(job.data):
            plain = codec.encode(job.data)[1]
            if not bases.worth(len(payload), len(plain)):
                return None
        return Delta(base.chunk, payload, base.places)

    def settle(self, cuts: list[Cut], deltas: Mapping[bytes, Delta], new: Mapping[bytes, memoryview]) -> None:
        """In `cuts`: edits of which the deltas come to more than what was changed become their runs alone."""
        for number, cut in enumerate(cuts):
            edit = cut.region.edit
            if edit is None or not cut.is_narrow:
                continue
            most = sum(len(run) + EDIT_COSTS for _, run in edit.runs)
            unknown = [chunk for chunk, _, _ in cut.chunks if chunk in new]
            if sum(len(deltas[chunk].payload) if chunk in deltas else _LAST for chunk in unknown) > most:
                cuts[number] = self._alone(cut.region, edit)


def jobs_of(cuts: Sequence[Cut], new: Mapping[bytes, memoryview], may_need: Callable[[Place], bool]) -> list[Job]:
    """New chunks that take a known place, and may be deltas. `may_need`: whether what lies at a place will stay."""
    jobs = []
    for number, cut in enumerate(cuts):
        if not cut.region.replaced or cut.alone:
            continue
        offset = cut.region.offset
        pieces = [Piece(chunk, offset + start, len(data)) for chunk, start, data in cut.chunks]
        for chunk, extent in bases.choose(pieces, cut.region.replaced).items():
            if chunk in new and may_need(extent.place):
                jobs.append(Job(number, chunk, new[chunk], extent))
    return jobs
