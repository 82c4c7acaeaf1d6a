"""Which stretches of a file get new chunks when its bytes are flushed: its dirty runs, with what they take in."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hyperfs.chunks.codec import DEFAULT_LEVEL, DENSE_LEVEL
from hyperfs.chunks.extents import Extent
from hyperfs.errors import Corrupt, NotResident
from hyperfs.volume.buffer import Run
from hyperfs.volume.content import Content
from hyperfs.volume.cutting import Edit, Region
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.reading import read_live

SMALL_FILE_BYTES: Final = 64 << 10
"""A file of at most this many bytes is always one chunk."""
WIDEN_MOST_BYTES: Final = 1 << 20
WIDEN_FACTOR: Final = 4
"""An edit takes in the chunks it touches when that multiplies its bytes by no more than this."""
SHORT_TAIL_BYTES: Final = 32 << 10
"""What is appended is chunked together with a last extent of at most this many bytes."""
WIDE_MOST_BYTES: Final = 1 << 20
"""An edit takes in all that it touches, up to this much, where the whole is stored as a delta: see `Effort`."""


class Effort:
    """How much may still be done in one flush for the sake of space.

    `wide`: bytes beside those that were written that may be read and compared, some 0.7 ms for 128 KiB. Of an edit in
    the middle of a chunk the whole chunk is stored anew, as a delta against what it was: that costs what has changed,
    and the file stays in few pieces. `dense`: bytes that may be compressed well. A commit has time for both. Where
    somebody waits for the bytes to be stored, most edits become small chunks of their own.
    """

    def __init__(self, wide: int, dense: int) -> None:
        self._wide = wide
        self._dense = dense

    def may_widen(self, size: int) -> bool:
        if size > self._wide:
            return False
        self._wide -= size
        return True

    def level(self, size: int) -> int:
        """zstd's, for so many bytes."""
        if size > self._dense:
            return DEFAULT_LEVEL
        self._dense -= size
        return DENSE_LEVEL


def calm() -> Effort:
    """For a commit."""
    return Effort(256 << 20, 32 << 20)


def hurried() -> Effort:
    """Where somebody waits."""
    return Effort(8 << 20, 0)


class Taken(NamedTuple):
    """The runs of one file on their way into chunks, and whether its last bytes may wait for more.

    `size`: once they are in chunks, all of the file below it is. Its whole size, or where dirty bytes went on.
    `loose`: the stretches that no journal record holds; of the others one does, and goes on to if they come back.
    """

    inode: Inode
    runs: list[Run]
    streaming: bool
    size: int
    loose: list[tuple[int, int]]
    effort: Effort


class _Span(NamedTuple):
    """A run with what it takes in. `is_wide`: only if that is stored as a delta."""

    low: int
    high: int
    is_wide: bool


class Regions:
    """Asked in the trio thread, by the holder of `Flushing._flush_lock`. Holds no state."""

    def __init__(self, overlay: Overlay, content: Content) -> None:
        self._overlay = overlay
        self._content = content

    def of(self, taken: Taken) -> Iterator[Region]:
        """The regions; the runs alone where a small file can't be read whole: they can still be saved."""
        inode = taken.inode
        if inode.size > SMALL_FILE_BYTES:
            return self._of_large(taken)
        try:
            whole = read_live(self._overlay, self._content, inode, 0, inode.size)
        except (Corrupt, NotResident):
            return iter([Region(start, [run], final=True) for start, run in taken.runs])
        return iter([Region(0, [whole], True, self._replaced(inode, 0, inode.size))])

    def _replaced(self, inode: Inode, start: int, end: int) -> Sequence[Extent]:
        """The extents that give way to new ones there; where there are none, those of the file whose place it takes."""
        if inode.stored and inode.inline is None:
            own = self._overlay.extents(inode, start, end)
            if own:
                return own
        return self._overlay.predecessors.extents(inode, start, end)

    def _of_large(self, taken: Taken) -> Iterator[Region]:
        """The stretches of the file that get new chunks: its runs, widened where that is cheap."""
        inode, runs, streaming = taken.inode, taken.runs, taken.streaming
        spans = self._spans(inode, runs)
        position = 0
        while position < len(spans):
            low, high, is_wide = spans[position]
            last = position
            while last + 1 < len(spans) and _meet(high, is_wide, spans[last + 1]):
                last += 1
                high = max(high, spans[last].high)
                is_wide = is_wide or spans[last].is_wide
            goes_on = high >= inode.size or (inode.dirty is not None and inode.dirty.first == high)
            final = not (streaming and last == len(spans) - 1 and goes_on)
            yield from self._region(taken, runs[position : last + 1], low, high, final)
            position = last + 1

    def _region(self, taken: Taken, runs: list[Run], low: int, high: int, final: bool) -> Iterator[Region]:
        size = sum(len(run) for _, run in runs)
        replaced = self._replaced(taken.inode, low, high)
        if low == runs[0][0] and size == high - low:
            whole = not low and high == taken.inode.size
            yield Region(low, [run for _, run in runs], final, replaced, whole=whole)
            return
        is_narrow = high - low > max(_most(size), 2 * size)  # of many runs half may be old, however long it is
        if is_narrow and not taken.effort.may_widen(high - low):
            for start, run in runs:
                yield Region(start, [run], True, self._replaced(taken.inode, start, start + len(run)))
            return
        yield Region(low, (), final, replaced, Edit(high - low, runs, is_narrow))

    def _spans(self, inode: Inode, runs: Sequence[Run]) -> list[_Span]:
        spans = []
        near: Sequence[Extent] = ()  # those of the last run that had any: the next one may lie within them
        for start, run in runs:
            low, end = max(0, start - 1), start + len(run)
            if near and near[0].offset <= low and end <= near[-1].end:
                touched = [e for e in near if e.end > low and e.offset < end]
            elif inode.stored and inode.inline is None:
                touched = self._overlay.extents(inode, low, end)
                near = touched or near
            else:
                touched = []
            spans.append(_widened(start, end, touched))
        return spans


def _widened(start: int, end: int, touched: Sequence[Extent]) -> _Span:
    """[start, end) with the extents that it touches, and the short one that it goes on."""
    goes_on = bool(touched) and touched[0].end == start
    if goes_on and (len(touched) > 1 or touched[0].length > SHORT_TAIL_BYTES):
        touched = touched[1:]  # an edit among other bytes, or behind many, is not joined with those before it
    if not touched:
        return _Span(start, end, False)
    low, high = min(start, touched[0].offset), max(end, touched[-1].end)
    if high - low > max(WIDE_MOST_BYTES, _most(end - start)):
        return _Span(start, end, False)
    return _Span(low, high, high - low > _most(end - start))


def _most(size: int) -> int:
    """How many bytes may be stored anew for an edit of that size."""
    return max(4096, min(WIDEN_MOST_BYTES, WIDEN_FACTOR * size))


def _meet(high: int, is_wide: bool, follows: _Span) -> bool:
    """Whether what follows goes into the same region. Chunks beside each other that were edited stay apart."""
    return follows.low < high or (follows.low == high and not is_wide and not follows.is_wide)
