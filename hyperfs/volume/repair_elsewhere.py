"""Repair, first of all: damaged blocks whose bytes another place holds are written again where they were.

The signed tree proves each block by itself, so a place may lie and do no harm. Nothing else of the store changes: no
version is made, and whatever was lost with the block is there again. Killed at any moment, a block is damaged or whole.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import trio

from hyperfs.errors import HyperfsError, NotResident, Unreachable
from hyperfs.log.cleared import Cleared
from hyperfs.log.log import Log
from hyperfs.store.files import Disk
from hyperfs.values import BlockRef
from hyperfs.volume.check_logs import place_of
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.elsewhere import Elsewhere
from hyperfs.volume.options import Progress
from hyperfs.volume.repair_report import Repaired
from hyperfs.volume.volume import Volume

BATCH_BYTES: Final = 16 << 20
"""Fetched and written at a time."""

SLOW_SECONDS: Final = 3.0
"""Whoever takes longer to say that he has nothing is not asked for each block."""

Reach = Callable[[Volume], AbstractAsyncContextManager[Elsewhere]]
"""Gives the other places of a volume, for as long as they are asked."""


async def take_back(
    volume: Volume, disk: Disk, damaged: Collection[tuple[int, int]], reach: Reach, tell: Progress, done: list[Repaired]
) -> None:
    """Of these (log, block) what other places have. `volume` is open for reading; `disk` writes its store.

    What is given otherwise than it was signed stays damaged. Raises Unreachable, and OSError of the disk.
    """
    cleared = Cleared.of(volume.parts.chain.records)
    wanted = sorted(BlockRef(*place) for place in damaged if not cleared.has(*place))
    async with reach(volume) as elsewhere:
        if not elsewhere.places:
            return
        for batch in _batches(volume, wanted):
            found = await _fetch(elsewhere, batch)
            fitting = {ref: data for ref, data in found.items() if _fits(volume, ref, data)}
            await trio.to_thread.run_sync(_write, volume, disk, fitting)
            done += [Repaired("its bytes came from another place", place_of(*ref)) for ref in fitting]
            tell("asking other places", wanted.index(batch[-1]) + 1, len(wanted))


def _batches(volume: Volume, wanted: Sequence[BlockRef]) -> Iterator[list[BlockRef]]:
    batch: list[BlockRef] = []
    size = 0
    for ref in wanted:
        try:
            nbytes = volume.parts.logs[ref.log].block_range(ref.index)[1]
        except HyperfsError:
            continue  # the tree is damaged too: nobody knows where the block would have to go
        if batch and size + nbytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(ref)
        size += nbytes
    if batch:
        yield batch


async def _fetch(elsewhere: Elsewhere, batch: list[BlockRef]) -> dict[BlockRef, bytes]:
    """Those that are to be had. In halves where not all are: one that nobody has must not keep the others away.

    Raises Unreachable where nobody answers, and does not say so at once."""
    began = trio.current_time()
    try:
        return dict(await elsewhere.fetch(batch))
    except (Unreachable, NotResident):
        if trio.current_time() - began > SLOW_SECONDS:
            raise
        if len(batch) == 1:
            return {}
    half = len(batch) // 2
    return await _fetch(elsewhere, batch[:half]) | await _fetch(elsewhere, batch[half:])


def _fits(volume: Volume, ref: BlockRef, data: bytes) -> bool:
    try:
        return volume.parts.logs[ref.log].fits(ref.index, data)
    except HyperfsError:
        return False


def _write(volume: Volume, disk: Disk, found: dict[BlockRef, bytes]) -> None:
    """In a worker thread. Synced when it returns."""
    for number in {ref.log for ref in found}:
        log: Log = volume.parts.logs[number]
        name = Path(log_folder(volume.parts.chain.logs[number]), "blocks")
        file = disk.open(str(name), writable=True)
        try:
            for ref, data in found.items():
                if ref.log == number:
                    file.pwrite(data, log.block_range(ref.index)[0])
            file.fdatasync()
        finally:
            file.close()
