"""Where the bytes of a file are, or of all files below a folder: how much is here, how many other places have them."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

import trio

from hyperfs.chunks.extents import Extent
from hyperfs.log.cleared import runs_of
from hyperfs.values import BlockRef
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.volume import Volume

ENTRIES_MOST: Final = 100_000
"""Of a folder with more below it those that are met first count."""
SLICE_SECONDS: Final = 0.004


async def resident_percent(volume: Volume, ino: int) -> int:
    """How much of its bytes is on this device; 100 only where all is. What has no bytes is here."""
    if volume.parts.residence.is_whole:
        return 100
    here = total = 0
    async for extents in _files(volume, ino):
        for extent in extents:
            total += extent.length
            if not any(volume.parts.residence.is_away(ref) for ref in _blocks(volume, extent)):
                here += extent.length
    return 100 * here // total if total else 100


async def copies_now(volume: Volume, ino: int) -> int:
    """How many other places have proved that they have it: of several blocks the least."""
    places = volume.returning.elsewhere
    if not places.places:
        return 0
    least = None
    async for extents in _files(volume, ino):
        blocks = {ref for extent in extents for ref in _blocks(volume, extent)}
        for number in {ref.log for ref in blocks}:
            for run in runs_of(sorted(ref.index for ref in blocks if ref.log == number)):
                found = len(places.proven(number, *run))
                least = found if least is None else min(least, found)
    return least or 0


async def _files(volume: Volume, ino: int) -> AsyncIterator[list[Extent]]:
    """The extents of each file, in slices."""
    overlay = volume.overlay
    waiting, met, until = [ino], 0, trio.current_time() + SLICE_SECONDS
    while waiting:
        inode = overlay.inode(waiting.pop())
        if inode.is_file:
            yield overlay.extents(inode, 0, MAX_FILE_BYTES)
        elif inode.is_directory:
            for _, (child, _) in overlay.live.dentries(inode.ino):
                met += 1
                if met > ENTRIES_MOST:
                    break
                waiting.append(child)
        if trio.current_time() >= until:
            await trio.lowlevel.checkpoint()
            until = trio.current_time() + SLICE_SECONDS


def _blocks(volume: Volume, extent: Extent) -> Iterator[BlockRef]:
    place = extent.place
    if volume.parts.catalog.cleared.has(place.log, place.block):
        place = volume.overlay.live.place(extent.chunk) or place
    for at in (place, *place.bases):
        yield BlockRef(at.log, at.block)
