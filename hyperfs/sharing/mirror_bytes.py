"""A file's bytes from a version of one drive into another: those that differ, and holes stay holes."""

from collections.abc import Iterator, Sequence
from typing import Final

from hyperfs.chunks.extents import Extent, covering
from hyperfs.volume.inode import Inode
from hyperfs.volume.sides import Copy
from hyperfs.volume.volume import Volume

PIECE_BYTES: Final = 4 << 20
"""Read at a time."""

Range = tuple[int, int]


def differing(old: Sequence[Extent], new: Sequence[Extent], size: int) -> tuple[int, list[Range]]:
    """What has to be done to a file that has the bytes of `old`: cut it off at the first number, make it `size` bytes
    long, and write these ranges of `new`, in order."""
    before = {(e.offset, e.length, e.chunk, e.skip) for e in old}
    hole = _first_new_hole(old, new, size)
    return hole, list(
        _joined(
            (e.offset, e.end)
            for e in new
            if e.end > hole or (e.offset, e.length, e.chunk, e.skip) not in before
        )
    )


def _first_new_hole(old: Sequence[Extent], new: Sequence[Extent], size: int) -> int:
    """Where bytes have become a hole before the end: what is behind can't be kept; `size` where none has."""
    covered = list(_joined((e.offset, e.end) for e in new))
    at = 0
    for start, end in _joined((e.offset, min(e.end, size)) for e in old if e.offset < size):
        while at < len(covered) and covered[at][1] <= start:
            at += 1
        if at == len(covered) or covered[at][0] > start:
            return start
        if covered[at][1] < end:
            return covered[at][1]
    return size


def _joined(ranges: "Iterator[Range]") -> Iterator[Range]:
    """Neighbours in one."""
    start, end = -1, -1
    for first, last in ranges:
        if first == end:
            end = last
            continue
        if end > start:
            yield start, end
        start, end = first, last
    if end > start:
        yield start, end


async def bring(source: Volume, copy: Copy, old: Copy | None, into: Volume, inode: Inode) -> int:
    """Makes a file of `into` what `copy` is in the source; `old`: what it is already. How many bytes were read.

    Raises Unreachable for bytes that are on no place that answers, Corrupt, OSError: then some have come.
    """
    size = copy.inode.size
    if copy.inode.inline is not None:
        await into.files.resize(inode, 0, keep_times=True)
        await into.files.write(inode, 0, copy.inode.inline, keep_times=True)
        await into.files.resize(inode, size, keep_times=True)
        return size
    known = old is not None and old.inode.inline is None
    start, ranges = differing(old.extents if old is not None and known else (), copy.extents, size)
    if not known:
        start = 0
    if inode.size > start:
        await into.files.resize(inode, start, keep_times=True)
    if inode.size != size:
        await into.files.resize(inode, size, keep_times=True)
    done = 0
    for first, end in ranges:
        for offset in range(first, min(end, size), PIECE_BYTES):
            length = min(PIECE_BYTES, end - offset, size - offset)
            here = slice(*covering(copy.extents, offset, offset + length))
            data = await _read(source, copy.extents[here], offset, length)
            await into.files.write(inode, offset, data, keep_times=True)
            done += length
    return done


async def _read(source: Volume, extents: list[Extent], offset: int, length: int) -> bytes:
    return await source.returning.complete(lambda: source.content.read_soon(extents, offset, length), keep=False)
