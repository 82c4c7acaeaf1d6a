"""What is not on this device and a peer has not got: it is brought from another place, lent to the peer until that has
it, and not kept here.

Little at a time, and behind all that is here: who reads, who writes and what is new go first.
"""

from collections.abc import Mapping
from typing import Final

import trio

from hyperfs.errors import HyperfsError, Unreachable
from hyperfs.log.log import Log
from hyperfs.replication.session import Exchanger
from hyperfs.syncing.feeding import Feeding
from hyperfs.syncing.home import Home, bytes_of, log
from hyperfs.syncing.revealing import lacking
from hyperfs.syncing.runs import Runs
from hyperfs.syncing.shown_log import ShownLog
from hyperfs.values import BlockRef

LENT_BYTES: Final = 4 << 20
"""In memory at a time, but one block at least,"""
LENT_BLOCKS: Final = 256
"""and at most so many."""
BUSY_BYTES: Final = 512 << 10
"""Instead, while programs use the mount and nobody waits for the peer."""
LOOK_SECONDS: Final = 0.25
ASIDE_SECONDS: Final = 2.0
"""After somebody has waited for a block: his go first."""
FETCH_SECONDS: Final = 60.0
TAKE_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = 60.0
"""After a failure; where somebody waits for the peer,"""
SOON_SECONDS: Final = 4.0
"""so long."""


class Through:
    """Of one connection. Owned by the trio thread."""

    def __init__(self, home: Home, feeding: Feeding, exchanger: Exchanger) -> None:
        self.why: str | None = None
        """Why the last attempt failed."""
        self.failures = 0
        """One after the other."""
        self.failed_at = 0.0
        self._home = home
        self._feeding = feeding
        self._exchanger = exchanger

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            for number, shown in list(self._feeding.logs.items()):
                if self._may and (blocks := self._next(shown)):
                    await self._try(number, shown, blocks)

    @property
    def _may(self) -> bool:
        feeding = self._feeding
        wait = SOON_SECONDS if feeding.urgent else AGAIN_SECONDS
        if feeding.is_feeding or feeding.is_metered or (self.why and trio.current_time() - self.failed_at < wait):
            return False
        return bool(feeding.urgent) or self._home.volume.returning.waited_ago() >= ASIDE_SECONDS

    def _next(self, shown: ShownLog) -> Runs:
        """The newest ones that lack, as many as are lent at a time."""
        if not shown.knows_remote:
            return Runs()
        is_slow = self._home.is_busy and not self._feeding.urgent
        room, found = BUSY_BYTES if is_slow else LENT_BYTES, 0
        runs: list[tuple[int, int]] = []
        for low, high in reversed([run for part in shown.elsewhere for run in lacking(shown.remote_has, *part)]):
            first = high
            while first > low and found < LENT_BLOCKS and room > 0:
                first, found = first - 1, found + 1
                room -= bytes_of(shown.log, first, first + 1)
            if first < high:
                runs.append((first, high))
            if first > low:
                break
        return Runs(sorted(runs))

    async def _try(self, number: int, shown: ShownLog, blocks: Runs) -> None:
        try:
            await self._lend(shown, await self._fetched(number, shown.log, blocks))
        except (HyperfsError, OSError) as error:
            self.why, self.failures, self.failed_at = str(error), self.failures + 1, trio.current_time()
            log.warning("what is not on this device could not be brought to a peer: %s", error)
        else:
            self.why, self.failures = None, 0

    async def _fetched(self, number: int, source: Log, blocks: Runs) -> dict[int, bytes]:
        """Each as it was signed. Raises Unreachable."""
        refs = [BlockRef(number, index) for run in blocks for index in range(*run)]
        with trio.move_on_after(FETCH_SECONDS):
            found = await self._home.volume.returning.elsewhere.fetch(refs)
            data = {ref.index: found[ref] for ref in refs if ref in found}
            await trio.to_thread.run_sync(_check, source, [ref.index for ref in refs], data)
            return data
        raise Unreachable(f"no other place has given it within {FETCH_SECONDS:.0f} s")

    async def _lend(self, shown: ShownLog, data: Mapping[int, bytes]) -> None:
        """Returns when the peer has it, and nothing of it is in memory. Raises Unreachable."""
        marks = shown.log.evicted
        assert marks is not None
        marks.lent.update(data)
        runs = Runs((index, index + 1) for index in sorted(data))
        try:
            shown.lend(runs)
            self._exchanger.touch(shown)
            await self._until_taken(shown, runs)
        finally:
            shown.unlend()
            for index, lent in data.items():
                if marks.lent.get(index) is lent:  # else somebody reads it, who lets go of it himself
                    del marks.lent[index]
            if self._exchanger.has(shown):
                self._exchanger.touch(shown)

    async def _until_taken(self, shown: ShownLog, runs: Runs) -> None:
        least, since = runs.blocks, trio.current_time()
        while lack := sum(end - start for run in runs for start, end in lacking(shown.remote_has, *run)):
            if lack < least:
                least, since = lack, trio.current_time()
            if trio.current_time() - since > TAKE_SECONDS:
                raise Unreachable(f"it takes nothing of what it is shown for {TAKE_SECONDS:.0f} s")
            changed = self._exchanger.changed
            with trio.move_on_after(1.0):
                await changed.wait()


def _check(source: Log, indexes: list[int], data: Mapping[int, bytes]) -> None:
    """In a worker thread."""
    for index in indexes:
        if index not in data or not source.fits(index, data[index]):
            raise Unreachable(f"no other place gave block {index} of log {source.number} as it was signed")
