"""Which blocks of the content logs are on this device: leaving, coming back, and the record of it.

A block leaves in this order, and each step is on the disk before the next:

    1. it is marked, and the record says so
    2. the caller asks the other places once more whether they hold it; if not, the mark is taken back
    3. its bytes are punched

and comes back in this one:

    1. its bytes, which fit the tree, are written into the hole; from then on they are read
    2. they are synced
    3. the record says no more that it is elsewhere; that may be much later

So of a block that the record doesn't name the bytes are here. Of one that it names they may be here, whole or torn, as
a crash left them: readers compare them with the tree, and `reconcile` finds out. A whole block loses its mark there:
nothing is ever punched for what a record says, but for a torn rest of it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import trio

from hyperfs.crypto.ids import node_id
from hyperfs.crypto.keys import LOG_CONTENT, EpochKeys
from hyperfs.errors import Corrupt
from hyperfs.log import evicted
from hyperfs.log.cleared import Cleared, runs_of
from hyperfs.log.control import Chain
from hyperfs.log.evicted import Evicted
from hyperfs.log.log import Log
from hyperfs.store.files import Disk
from hyperfs.values import BlockRef
from hyperfs.volume.device_logs import log_folder

RECORD: Final = "evicted"
"""The record's name, beside a log's other files."""


class Run(NamedTuple):
    """Blocks [first, end) of a log."""

    log: int
    first: int
    end: int


class Residence:
    """Owned by the trio thread; steps on the disk are in worker threads."""

    def __init__(self, disk: Disk, logs: Mapping[int, Log], folders: Mapping[int, str], key: bytes) -> None:
        """`logs`: those of content, by number, whose blocks may leave; `folders` theirs; `key`: for node ids."""
        self._disk = disk
        self._logs = dict(logs)
        self._folders = dict(folders)
        self._key = key
        self._evicting = trio.Lock()  # one eviction at a time, so that what is marked and not leaving is gone
        self._writing = trio.Lock()  # punching, putting back, writing a record: one after the other
        self._stale: set[int] = set()  # logs of which the record names more than is gone
        self.cold_bytes = 0
        """Of all marked blocks, but for those that are leaving."""
        self._leaving: set[BlockRef] = set()  # marked, and whole as long as they are in here
        self.is_unsure = False
        """Whether marked blocks may be here, whole or torn."""

    def add(self, number: int, log: Log, folder: str) -> None:
        """A log that the drive has since it was opened; of which nothing is here."""
        log.evicted = Evicted()
        self._logs[number], self._folders[number] = log, folder

    def load(self, warnings: dict[str, str]) -> None:
        """At opening. A record that can't be believed is made again from what reads as a hole."""
        for number, log in self._logs.items():
            try:
                log.evicted = self._read(number, log)
            except Corrupt as error:
                log.evicted = _from_holes(log)
                self._stale.add(number)
                warnings["evicted"] = f"{error}: what is not on this device was found by looking at its blocks"
            self.cold_bytes += sum(_bytes(log, start, end) for start, end in log.evicted.runs())
        self.is_unsure = not self.is_whole

    def _read(self, number: int, log: Log) -> Evicted:
        name = self._record_of(number)
        if not self._disk.exists(name):
            return Evicted()
        return evicted.decode(self._disk.read_all(name), lambda data: self._tag(log, data), log.signed_length)

    @property
    def is_whole(self) -> bool:
        """Whether everything is here."""
        return not any(_marks(log).count for log in self._logs.values())

    def has_left(self, ref: BlockRef) -> bool:
        """Whether a block is marked: it is not here, or about to go."""
        log = self._logs.get(ref.log)
        return log is not None and _marks(log).has(ref.index)

    def lost(self, ref: BlockRef) -> None:
        """A block reads as zeros, or is torn, without a mark: it is damaged here, and may be had elsewhere."""
        self._mark(Run(ref.log, ref.index, ref.index + 1))
        self._stale.add(ref.log)

    def grown(self, run: Run) -> None:
        """Another device's log is longer: these blocks of it have never been here."""
        self._mark(run)
        self._stale.add(run.log)

    def is_away(self, ref: BlockRef) -> bool:
        """Whether a block has left, and not only a mark that says that it may."""
        return self.has_left(ref) and ref not in self._leaving

    async def evict(
        self,
        runs: Sequence[Run],
        is_safe: Callable[[Run], Awaitable[bool]],
        may_go: Callable[[Run], bool] = lambda run: True,
    ) -> list[Run]:
        """Lets the bytes of these blocks go, of each run if `is_safe` says so once it is marked, and if nothing speaks
        against it right before they go (`may_go`); which ones went.

        Only blocks that a synced head covers. Raises OSError. Cancelled before the punching, nothing has gone.
        """
        if self.is_unsure:
            await self.reconcile()
        async with self._evicting:
            marked = [found for run in runs for found in self._mark(run)]
            self._are_leaving(marked, True)
            safe: list[Run] = []
            leaving: Sequence[Run] = ()
            try:
                await self._record({run.log for run in marked})
                for run in marked:
                    if await is_safe(run):
                        safe.append(run)
                async with self._writing:
                    safe = [run for run in safe if may_go(run)]
                    # Nothing marked may be whole now but what goes: pages that it shares with marked blocks go as well.
                    self._unmark(run for run in marked if run not in safe)
                    leaving = safe
                    self.is_unsure = True
                    self._are_leaving(leaving, False)
                    await trio.to_thread.run_sync(self._punch, leaving)
                    self.is_unsure = False
            except BaseException:
                self._unmark(run for run in marked if run not in leaving)
                raise
            return safe

    def _mark(self, run: Run) -> list[Run]:
        """The parts of a run that were not marked before."""
        log = self._logs[run.log]
        marks = _marks(log)
        new = [Run(run.log, *part) for part in runs_of(i for i in range(run.first, run.end) if not marks.has(i))]
        for part in new:
            marks.add(part.first, part.end)
            self.cold_bytes += _bytes(log, part.first, part.end)
        return new

    def _are_leaving(self, runs: Sequence[Run], on: bool) -> None:
        for run in runs:
            blocks = [BlockRef(run.log, index) for index in range(run.first, run.end)]
            size = _bytes(self._logs[run.log], run.first, run.end)
            if on:
                self._leaving.update(blocks)
                self.cold_bytes -= size
            else:
                self._leaving.difference_update(blocks)
                self.cold_bytes += size

    def _unmark(self, runs: Iterable[Run]) -> None:
        for number, first, end in runs:
            log = self._logs[number]
            for index in range(first, end):
                if _marks(log).has(index):
                    ref = BlockRef(number, index)
                    self.cold_bytes -= 0 if ref in self._leaving else min(self.cold_bytes, log.size_about(index))
                    self._leaving.discard(ref)
            _marks(log).remove(first, end)
            self._stale.add(number)

    def _punch(self, runs: Sequence[Run]) -> None:
        for number, first, end in runs:
            log = self._logs[number]
            log.punch(first, end, _marks(log).around(first))
        for number in {run.log for run in runs}:
            self._logs[number].sync_punched()

    async def put_back(self, blocks: Mapping[BlockRef, bytes]) -> None:
        """Writes blocks into their holes; each must fit the tree. Raises OSError: then they stay elsewhere."""
        async with self._writing:
            wanted = {ref: data for ref, data in blocks.items() if self.has_left(ref)}

            def write() -> None:
                for ref, data in wanted.items():
                    self._logs[ref.log].put_back(ref.index, data)

            await trio.to_thread.run_sync(write)
            self._unmark(Run(ref.log, ref.index, ref.index + 1) for ref in wanted)

    async def settle(self) -> None:
        """Has the record say no more than is so. Raises OSError."""
        await self._record(tuple(self._stale))

    async def forget_cleared(self, cleared: Cleared) -> None:
        """What retention has let go is nowhere, and needs no mark."""
        for number, log in list(self._logs.items()):
            marks = _marks(log)
            if marks.count:
                self._unmark(
                    Run(number, *part)
                    for run in cleared.ranges(number)
                    for part in list(runs_of(index for index in range(*run) if marks.has(index)))
                )
                await trio.lowlevel.checkpoint()

    async def reconcile(self) -> None:
        """After a crash: marked blocks whose bytes are all here lose their mark, what is left of others goes."""
        for number, log in list(self._logs.items()):
            async with self._evicting, self._writing:
                whole, torn = await trio.to_thread.run_sync(_still_here, log)
                self._unmark(Run(number, *run) for run in runs_of(whole))
                await trio.to_thread.run_sync(self._punch, [Run(number, *run) for run in runs_of(torn)])
        self.is_unsure = False
        await self.settle()

    async def _record(self, numbers: Iterable[int]) -> None:
        """Steps 2 and 3 of coming back, and step 1 of leaving."""
        async with self._writing:
            for number in set(numbers):
                log = self._logs[number]
                # The marks as they are now: what comes back during the sync is named once more.
                data = evicted.encode(_marks(log), lambda body, log=log: self._tag(log, body))  # type: ignore[misc]
                self._stale.discard(number)
                try:
                    await trio.to_thread.run_sync(self._write, number, data)
                except BaseException:
                    self._stale.add(number)
                    raise

    def _write(self, number: int, data: bytes) -> None:
        self._logs[number].sync_blocks()
        self._disk.replace(self._record_of(number), data)

    def _record_of(self, number: int) -> str:
        return f"{self._folders[number]}/{RECORD}"

    def _tag(self, log: Log, data: bytes) -> bytes:
        return record_tag(self._key, log.key, data)


def load_residence(
    disk: Disk, chain: Chain, logs: dict[int, Log], epoch: EpochKeys, warnings: dict[str, str]
) -> Residence:
    leaving = {
        number: entry
        for number, entry in chain.logs.items()
        if entry.kind == LOG_CONTENT or logs[number].may_lack_nodes
    }
    folders = {number: log_folder(entry) for number, entry in leaving.items()}
    residence = Residence(disk, {number: logs[number] for number in leaving}, folders, epoch.node_id_key())
    residence.load(warnings)
    return residence


def record_tag(key: bytes, log_key: bytes, data: bytes) -> bytes:
    """What vouches for a log's record, by the drive's key for node ids."""
    # No node's canonical form begins like this, so that no tag is ever a node's id.
    return node_id(key, b"evicted" + log_key + data)


def _marks(log: Log) -> Evicted:
    assert log.evicted is not None
    return log.evicted


def _bytes(log: Log, start: int, end: int) -> int:
    first, last = log.bytes_about(start, end)
    return last - first


def _from_holes(log: Log) -> Evicted:
    found = Evicted()
    for index in range(log.signed_length):
        if log.is_gone(index):
            found.add(index, index + 1)
    return found


def _still_here(log: Log) -> tuple[list[int], list[int]]:
    """Of the marked blocks those whose bytes are all here, and those of which something is."""
    whole: list[int] = []
    torn: list[int] = []
    for start, end in list(_marks(log).runs()):
        for index in log.not_gone(start, end):
            (whole if log.holds(index) else torn).append(index)
    return whole, torn
