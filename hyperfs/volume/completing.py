"""A clone in which names and versions have not all come: they are fetched in the background, then the index is made.

Until then files are read as anywhere, each node of the tree when it is needed. Nothing can be written: a commit must
know by the index what it lets go of, else what is needed could be cleared.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Final

import trio

from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import HyperfsError, NoSpace, Unreachable
from hyperfs.log.cleared import Cleared
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import OPEN
from hyperfs.log.log import Log
from hyperfs.values import BlockRef
from hyperfs.volume.catch_up import catch_up
from hyperfs.volume.residence import Residence
from hyperfs.volume.volume import Volume

BLOCKS_AT_ONCE: Final = 256
LOOKED_BACK: Final = 4096
FIRST_BLOCKS: Final = 64
"""As long as others wait for blocks too: theirs are not to stand behind many."""
QUIET_SECONDS: Final = 0.3
"""After somebody has waited for a block: what he looks at may lack more."""
ASIDE_SECONDS: Final = 1.0
"""At most, between two pieces."""
LOOK_SECONDS: Final = 0.02
AGAIN_SECONDS: Final = 5.0
WARNING: Final = "completing"

log = logging.getLogger("hyperfs.elsewhere")


def is_incomplete(chain: Chain, logs: Mapping[int, Log]) -> bool:
    """Whether names or versions are not on this device."""
    return any(_marked(logs[number]) for number, entry in chain.logs.items() if entry.kind == LOG_METADATA)


def note_lacking(chain: Chain, logs: Mapping[int, Log], device: int, residence: Residence) -> None:
    """At opening. Of a log that another device goes on writing the last blocks may not have come, where this one was
    killed or unmounted while it grew here: they are elsewhere, like those that never came."""
    cleared = Cleared.of(chain.records)
    for number, entry in chain.logs.items():
        if entry.kind != LOG_METADATA or entry.state != OPEN or entry.device == device:
            continue
        length = logs[number].signed_length
        start = max(0, length - LOOKED_BACK)
        gone = [run for run in cleared.ranges(number) if run[1] > start]
        for block in range(start, length):
            ref = BlockRef(number, block)
            is_cleared = any(low <= block < high for low, high in gone)
            if not residence.has_left(ref) and not is_cleared and not logs[number].holds(block):
                residence.lost(ref)


def _marked(found: Log) -> int:
    return found.evicted.count if found.evicted is not None else 0


class Completing:
    """Owned by the trio thread."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._why: str | None = None
        self._at_once = FIRST_BLOCKS

    @property
    def is_needed(self) -> bool:
        parts = self._volume.parts
        return is_incomplete(parts.chain, parts.logs)

    def bar(self) -> None:
        """Nothing is written before all has come, and that it has not is said. To be called before anybody can ask."""
        if not self.is_needed:
            return
        if self._volume.parts.keeps:
            self._tell(self._left())
        if not self._volume.read_only and self._volume.journaling.read_only_because is None:
            self._why = "names and versions are still being fetched; it takes writes as soon as they are here"
            self._volume.journaling.read_only_because = self._why

    async def run(self) -> None:
        """Returns when all is here. What goes wrong is a warning, and tried again."""
        volume = self._volume
        if not self.is_needed or not volume.parts.keeps:
            return
        parts = volume.parts
        if parts.residence.is_unsure:
            await parts.residence.reconcile()  # what an opening fetched is here, and marked
        of = self._left()
        while (batch := self._next()) or not await self._filled():
            await self._stand_aside()
            try:
                await volume.returning.bring(batch, keep=True)
                await volume.returning.keep(batch)
            except (Unreachable, NoSpace, OSError) as error:
                volume.warnings[WARNING] = f"{self._left()} of {of} blocks of names and versions have not come: {error}"
                await trio.sleep(AGAIN_SECONDS)
                await parts.residence.forget_cleared(parts.catalog.cleared)  # by whoever writes, since
            else:
                self._tell(of)
        volume.warnings.pop(WARNING, None)
        if self._why is not None and volume.journaling.read_only_because == self._why:
            volume.journaling.read_only_because = None
            await volume.recover()
        log.info("all names and versions are here")

    def _tell(self, of: int) -> None:
        here = of - self._left()
        self._volume.warnings[WARNING] = f"names and versions are being fetched: {here} of {of} blocks"

    async def _stand_aside(self) -> None:
        """Who waits for blocks goes first."""
        returning = self._volume.returning
        until = trio.current_time() + ASIDE_SECONDS
        is_quiet = returning.waited_ago() >= ASIDE_SECONDS
        self._at_once = min(BLOCKS_AT_ONCE, 2 * self._at_once) if is_quiet else FIRST_BLOCKS
        while returning.waited_ago() < QUIET_SECONDS and trio.current_time() < until:
            await trio.sleep(LOOK_SECONDS)

    def _left(self) -> int:
        parts = self._volume.parts
        return sum(_marked(parts.logs[n]) for n, entry in parts.chain.logs.items() if entry.kind == LOG_METADATA)

    def _next(self) -> list[BlockRef]:
        """The newest that lack."""
        parts = self._volume.parts
        for number, entry in sorted(parts.chain.logs.items(), reverse=True):
            marks = parts.logs[number].evicted
            if entry.kind != LOG_METADATA or marks is None or not marks.count:
                continue
            start, end = list(marks.runs())[-1]
            return [BlockRef(number, at) for at in range(max(start, end - self._at_once), end)]
        return []

    async def _filled(self) -> bool:
        """Makes the index; whether it could."""
        volume, parts = self._volume, self._volume.parts
        newest = volume.versions.newest
        try:
            await parts.residence.settle()
            found = (newest, *parts.newest_at)
            fill = partial(catch_up, parts.catalog, parts.nodes, parts.logs, found, _tell, has_waited=True)
            await trio.to_thread.run_sync(fill)
        except (HyperfsError, OSError) as error:
            volume.warnings[WARNING] = f"the index can't be made: {error}"
            await trio.sleep(AGAIN_SECONDS)
            return False
        volume.versions.look_again()
        return True


def _tell(what: str, done: int, of: int) -> None:
    trio.from_thread.check_cancelled()
