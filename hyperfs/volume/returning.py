"""Bringing back blocks that are elsewhere, for whoever reads them.

Simple code reads, and meets NotResident with all that it lacks; one place at each edge (the kernel's requests, the
control socket's) catches that, has it brought by `complete`, and runs the operation again: like a page fault.

What came is lent first: in memory, bounded, checked against the log's tree. If it is to be kept it then goes into its
hole. Many who want one block wait for one fetch, which goes on when they give up. A fetch that found no place to answer
lets those of the next seconds fail at once: else everything that waits for the network would keep others from being
answered.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import trio

from hyperfs.errors import NoSpace, NotResident, Unreachable, innermost
from hyperfs.log.log import Log
from hyperfs.values import BlockRef
from hyperfs.volume.elsewhere import Elsewhere, Nowhere
from hyperfs.volume.residence import Residence

T = TypeVar("T")

DEADLINE_SECONDS: Final = 20.0
"""Within so long an operation has what it lacks, or fails."""
FETCH_SECONDS: Final = 15.0
"""Within so long a fetch has an answer: sooner than whoever waits for it gives up, so that he hears why."""
LENT_BYTES: Final = 32 << 20
"""Of sealed blocks that are in memory only. Those in use come on top."""
AT_ONCE_BYTES: Final = 32 << 20
"""On their way at a time; one fetch may be larger."""
ROUNDS_MOST: Final = 40
"""An operation learns what it lacks bit by bit: the way down a tree, bases of deltas, and theirs."""
DOWN_SECONDS: Final = 3.0
"""For so long others don't ask, after a fetch that failed and took a while."""
SLOW_SECONDS: Final = 1.0
LEAST_ROOM_BYTES: Final = 512 << 20
"""With less left on the store's disk, nothing is kept of what comes back."""

log = logging.getLogger("hyperfs.elsewhere")


@dataclass(eq=False)
class _Fetch:
    """Of some blocks, under way. `keep`: somebody wants them to stay."""

    blocks: tuple[BlockRef, ...]
    nbytes: int
    keep: bool
    done: trio.Event = field(default_factory=trio.Event)
    failure: Unreachable | None = None


class Returning:
    """Owned by the trio thread. `serve` must be running, or each reader fetches for himself."""

    def __init__(self, residence: Residence, logs: Mapping[int, Log], free_bytes: Callable[[], int] | None) -> None:
        """`free_bytes` of the store's disk; None where nothing may be written."""
        self.elsewhere: Elsewhere = Nowhere()
        self.warning: str | None = None
        """Why the newest fetch failed."""
        self.may_keep: Callable[[], bool] = lambda: True
        """Whether what comes may stay here: what beside the disk has a say in that."""
        self.fetched_bytes = 0
        """Since the drive was opened."""
        self._residence = residence
        self._logs = logs
        self._free_bytes = free_bytes
        self._nursery: trio.Nursery | None = None
        self._under_way: dict[BlockRef, _Fetch] = {}
        self._under_way_bytes = 0
        self._landed = trio.Event()  # set, and replaced, when a fetch has ended
        self._lent: OrderedDict[BlockRef, int] = OrderedDict()  # sizes; least lately wanted first
        self._lent_bytes = 0
        self._leases: dict[BlockRef, int] = {}
        self._down: tuple[float, Unreachable] | None = None
        self._waiting = 0  # operations that lack something now
        self._waited_at = -math.inf

    async def serve(self) -> None:
        """Runs the fetches until it is cancelled."""
        async with trio.open_nursery() as self._nursery:
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def complete(self, operation: Callable[[], Awaitable[T]], keep: bool = True) -> T:
        """What an operation gives that is run again until it lacks nothing. It must change nothing before it has read
        all. Raises Unreachable past the deadline, and what it raises."""
        try:
            return await operation()
        except NotResident as absent:
            return await self.again(operation, absent, keep)

    async def again(self, operation: Callable[[], Awaitable[T]], absent: NotResident, keep: bool) -> T:
        """As `complete`, of an operation that has met NotResident."""
        self._waiting += 1
        try:
            return await self._again(operation, absent, keep)
        finally:
            self._waiting -= 1
            self._waited_at = trio.current_time()

    def waited_ago(self) -> float:
        """Seconds since an operation waited for a block: for who fetches what nobody waits for."""
        return 0.0 if self._waiting else trio.current_time() - self._waited_at

    async def _again(self, operation: Callable[[], Awaitable[T]], absent: NotResident, keep: bool) -> T:
        with trio.move_on_after(DEADLINE_SECONDS):
            wanted: dict[BlockRef, None] = {}
            for _ in range(ROUNDS_MOST):
                wanted.update(dict.fromkeys(absent.blocks))
                with self._lease(wanted):
                    self.ahead(absent.ahead, keep)
                    await self.bring(absent.blocks, keep)
                    try:
                        return await operation()
                    except NotResident as more:
                        absent = more
            raise Unreachable(f"after {ROUNDS_MOST} fetches more was still not on this device")
        raise self._note(Unreachable(f"no other place gave what is not on this device within {DEADLINE_SECONDS:.0f} s"))

    async def bring(self, blocks: Iterable[BlockRef], keep: bool) -> None:
        """Returns when all of these are here or lent. Raises Unreachable, or NotResident for what never leaves."""
        missing = [ref for ref in dict.fromkeys(blocks) if not self._is_here(ref)]
        waiting, new = self._ask(missing, keep)
        if new is not None and self._nursery is None:
            await self._run(new)
        for fetch in waiting:
            await fetch.done.wait()
        for fetch in waiting:
            if fetch.failure is not None:
                raise fetch.failure

    async def keep(self, blocks: Iterable[BlockRef]) -> None:
        """What was brought is on the disk when this returns. Raises NoSpace, OSError."""
        if not self._has_room:
            raise NoSpace("the store's disk has no room for what is to come back")
        wanted = [ref for ref in blocks if ref in self._lent]
        await self._residence.put_back({ref: self._logs[ref.log].get(ref.index) for ref in wanted})
        for ref in wanted:
            if ref not in self._leases:
                self._forget(ref)

    @property
    def _has_room(self) -> bool:
        return self._free_bytes is not None and self._free_bytes() >= LEAST_ROOM_BYTES and self.may_keep()

    def ahead(self, blocks: Iterable[BlockRef], keep: bool) -> None:
        """Has these brought, which somebody will ask for soon; nothing happens where there is no room for them."""
        if self._nursery is None or self._down is not None or 2 * self._under_way_bytes >= AT_ONCE_BYTES:
            return
        missing = [ref for ref in dict.fromkeys(blocks) if not self.is_lent(ref) and self._may_lack(ref)]
        if missing:
            self._ask(missing, keep)

    def _may_lack(self, ref: BlockRef) -> bool:
        log = self._logs.get(ref.log)
        return log is not None and log.has_left(ref.index) and not log.holds(ref.index)

    def is_lent(self, ref: BlockRef) -> bool:
        """Whether a block is in memory, or on its way."""
        return ref in self._lent or ref in self._under_way

    def _is_here(self, ref: BlockRef) -> bool:
        if ref in self._lent:
            return True
        marks = self._logs[ref.log].evicted if ref.log in self._logs else None
        if marks is None:
            raise NotResident([ref])  # metadata: it is damaged
        if marks.has(ref.index):
            return False
        # It came back since, or it is damaged and reads as zeros: then another place may have it all the same.
        if self._logs[ref.log].holds(ref.index):
            return True
        self._residence.lost(ref)
        return False

    def _ask(self, blocks: Sequence[BlockRef], keep: bool) -> tuple[list[_Fetch], _Fetch | None]:
        """The fetches that bring these; the last one may be new."""
        if self._down is not None and trio.current_time() >= self._down[0]:
            self._down = None
        waiting = list(dict.fromkeys(self._under_way[ref] for ref in blocks if ref in self._under_way))
        for fetch in waiting:
            fetch.keep = fetch.keep or keep
        missing = tuple(ref for ref in blocks if ref not in self._under_way)
        if not missing:
            return waiting, None
        if self._down is not None:
            raise self._down[1]
        new = _Fetch(missing, sum(self._size(ref) for ref in missing), keep)
        self._under_way.update(dict.fromkeys(missing, new))
        if self._nursery is not None:
            self._nursery.start_soon(self._run, new)
        return [*waiting, new], new

    async def _run(self, fetch: _Fetch) -> None:
        fetch.failure = Unreachable("the drive is being closed")
        began = trio.current_time()
        try:
            found = await self._in_turn(fetch)
            self._lend(found)
            fetch.failure = None
        except Exception as found_out:  # noqa: BLE001  # whatever a place, or this disk, brings about must not end the drive
            fetch.failure = error = self._note(_unreachable(found_out))
            if trio.current_time() - began >= SLOW_SECONDS:
                self._down = trio.current_time() + DOWN_SECONDS, error
            return
        finally:
            for ref in fetch.blocks:
                del self._under_way[ref]
            fetch.done.set()
        await self._keep(fetch, found)

    async def _in_turn(self, fetch: _Fetch) -> dict[BlockRef, bytes]:
        with trio.move_on_after(FETCH_SECONDS):
            while self._under_way_bytes and self._under_way_bytes + fetch.nbytes > AT_ONCE_BYTES:
                await self._landed.wait()
                if self._down is not None:
                    raise self._down[1]
            self._under_way_bytes += fetch.nbytes
            try:
                return await self._fetch(fetch)
            finally:
                self._under_way_bytes -= fetch.nbytes
                landed, self._landed = self._landed, trio.Event()
                landed.set()
        raise Unreachable(f"no other place has answered within {FETCH_SECONDS:.0f} s")

    async def _fetch(self, fetch: _Fetch) -> dict[BlockRef, bytes]:
        """All of the blocks, checked. Raises Unreachable."""
        answer = await self.elsewhere.fetch(fetch.blocks)
        found = {ref: answer[ref] for ref in fetch.blocks if ref in answer}
        await trio.to_thread.run_sync(self._check, fetch.blocks, found)
        self.fetched_bytes += fetch.nbytes
        self.warning = self._down = None
        return found

    def _check(self, blocks: Iterable[BlockRef], found: Mapping[BlockRef, bytes]) -> None:
        """In a worker thread."""
        for ref in blocks:
            if ref not in found:
                raise Unreachable(f"no other place gave block {ref.index} of log {ref.log}")
            if not self._logs[ref.log].fits(ref.index, found[ref]):
                raise Unreachable(f"other places gave block {ref.index} of log {ref.log} not as it was signed")

    async def _keep(self, fetch: _Fetch, found: Mapping[BlockRef, bytes]) -> None:
        if not fetch.keep or not self._has_room:
            return
        try:
            await self._residence.put_back(found)
        except OSError as error:
            log.warning("what came back could not be written, and is in memory only: %s", error)
            return
        for ref in found:
            if ref not in self._leases:
                self._forget(ref)

    # Lent blocks

    def _lend(self, found: Mapping[BlockRef, bytes]) -> None:
        for ref, data in found.items():
            marks = self._logs[ref.log].evicted
            assert marks is not None
            marks.lent[ref.index] = data
            self._lent_bytes += len(data) - self._lent.pop(ref, 0)
            self._lent[ref] = len(data)
        self._trim()

    @contextmanager
    def _lease(self, blocks: Mapping[BlockRef, None]) -> Iterator[None]:
        """Inside the block these stay where they are lent."""
        held = tuple(blocks)
        for ref in held:
            self._leases[ref] = self._leases.get(ref, 0) + 1
            if ref in self._lent:
                self._lent.move_to_end(ref)
        try:
            yield
        finally:
            for ref in held:
                self._leases[ref] -= 1
                if not self._leases[ref]:
                    del self._leases[ref]
            self._trim()

    def _trim(self) -> None:
        for ref in list(self._lent):
            if self._lent_bytes <= LENT_BYTES:
                return
            if ref not in self._leases:
                self._forget(ref)

    def _forget(self, ref: BlockRef) -> None:
        self._lent_bytes -= self._lent.pop(ref, 0)
        marks = self._logs[ref.log].evicted
        assert marks is not None
        marks.lent.pop(ref.index, None)

    def _size(self, ref: BlockRef) -> int:
        return self._logs[ref.log].size_about(ref.index)

    def _note(self, error: Unreachable) -> Unreachable:
        self.warning = str(error)
        log.warning("%s", error)
        return error


def _unreachable(error: Exception) -> Unreachable:
    if isinstance(error, Unreachable):
        return error
    log.error("a fetch has failed", exc_info=error)
    return Unreachable(f"what is not on this device could not be fetched: {innermost(error)}")
