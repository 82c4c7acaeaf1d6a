"""Blocks from places, for somebody who waits: ranged reads of just what is needed, one for all who want the same.

What a place gives is compared with the log's tree before it is passed on; where it does not fit, or the place does not
answer, the next one that has the block is asked.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from hyperfs.cold.blocks import Blocks
from hyperfs.cold.holdings import Held, locate
from hyperfs.cold.object_format import Name, Run
from hyperfs.cold.place import Place
from hyperfs.cold.proving import Prover
from hyperfs.errors import HyperfsError, NoSuchObject, Unreachable
from hyperfs.log.cleared import runs_of
from hyperfs.values import BlockRef

DEADLINE_SECONDS: Final = 13.0
"""From one block to the next, from whichever place: two places are tried before a reader's deadline (`returning`)."""
GAP_BYTES: Final = 128 << 10
"""What lies between two wanted blocks is read along up to this size: a round trip costs more."""
READ_MOST_BYTES: Final = 2 << 20
"""In one read: at 256 KiB a second it takes as long as a place may."""


@dataclass
class Flight:
    """A block that is on its way, and who waits for it."""

    done: trio.Event = field(default_factory=trio.Event)
    data: bytes | None = None
    error: Unreachable | None = None


class Fetcher:
    """Owned by the trio thread. `run` must be running."""

    def __init__(
        self, blocks: Blocks, prover: Prover, places: Mapping[str, Place], list_unlisted: Callable[[], Awaitable[None]]
    ) -> None:
        self._blocks = blocks
        self._prover = prover
        self._places = places
        self._list_unlisted = list_unlisted
        self._flights: dict[BlockRef, Flight] = {}
        self._nursery: trio.Nursery | None = None
        self._runs = trio.Event()
        self.fetched_bytes = 0
        """What places gave since the drive was opened, beyond what was wanted included."""

    async def run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._runs.set()
            await trio.sleep_forever()

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    async def fetch(self, refs: Sequence[BlockRef]) -> dict[BlockRef, bytes]:
        """Raises Unreachable. Who is cancelled here takes nothing away from others who wait for the same block."""
        with trio.move_on_after(DEADLINE_SECONDS):
            await self._runs.wait()  # the first reader may come before it
        if self._nursery is None or self._nursery.cancel_scope.cancel_called:
            raise Unreachable("the drive is being closed: nothing is fetched any more")
        flights = {}
        new = []
        for ref in refs:
            flight = self._flights.get(ref)
            if flight is None:
                flight = self._flights[ref] = Flight()
                new.append(ref)
            flights[ref] = flight
        for group in self._groups(new):
            self._nursery.start_soon(self._bring, group)
        found = {}
        for ref, flight in flights.items():
            await flight.done.wait()
            if flight.data is None:
                raise flight.error or Unreachable(_nobody(ref))
            found[ref] = flight.data
        return found

    def _groups(self, refs: Iterable[BlockRef]) -> list[list[BlockRef]]:
        """Those that are most likely in one object go together: they become few reads."""
        groups: dict[object, list[BlockRef]] = {}
        for ref in sorted(refs):
            first = next(iter(self._candidates(ref)), None)
            key = (first[0].name, first[1].name) if first is not None else None
            groups.setdefault(key, []).append(ref)
        return list(groups.values())

    def _candidates(self, ref: BlockRef) -> list[tuple[Place, Held]]:
        """Who may have a block: places that answer before others, proven objects before others."""
        found = [
            (not place.answers, not held.proven_ns, order, place, held)
            for order, place in enumerate(self._places.values())
            for held in place.holdings.having(ref.log, ref.index)
        ]
        found.sort(key=lambda row: row[:3])
        return [(place, held) for *_, place, held in found]

    async def _bring(self, refs: list[BlockRef]) -> None:
        """Lands the flights of some blocks, whatever happens."""
        why: list[Unreachable] = []
        try:
            with trio.move_on_after(DEADLINE_SECONDS) as scope:
                await self._try_all(refs, why, scope)
        except (HyperfsError, OSError) as error:  # of our own log, whose tree says where a block lies
            why.append(Unreachable(str(error)))
        finally:
            for ref in refs:
                flight = self._flights.pop(ref, None)
                if flight is not None and not flight.done.is_set():
                    flight.error = _joined(ref, why)
                    flight.done.set()

    async def _try_all(self, refs: Sequence[BlockRef], why: list[Unreachable], scope: trio.CancelScope) -> None:
        tried: set[tuple[BlockRef, str, Name]] = set()
        has_looked = False
        while left := [ref for ref in refs if ref in self._flights]:
            ref = left[0]
            untried = ((p, h) for p, h in self._candidates(ref) if (ref, p.name, h.name) not in tried)
            chosen = next(untried, None)
            if chosen is None and not has_looked:
                has_looked = True
                await self._look_for(ref)
            elif chosen is None:
                self._land(ref, None, _joined(ref, why))
            else:
                place, held = chosen
                together = [other for other in left if other.log == ref.log and held.has(other.index)]
                tried |= {(other, place.name, held.name) for other in together}
                await self._read_all(place, held, together, why)
                scope.deadline = trio.current_time() + DEADLINE_SECONDS

    async def _look_for(self, ref: BlockRef) -> None:
        """Nobody is known to have a block. That may be for want of a list, or of a look at objects with gaps."""
        await self._list_unlisted()
        for place in list(self._places.values()):
            for held in place.holdings.overlapping(ref.log, ref.index, ref.index + 1):
                if held.runs is None:
                    await self._prover.learn(place, held)

    async def _read_all(self, place: Place, held: Held, wanted: Sequence[BlockRef], why: list[Unreachable]) -> None:
        """What an object gives of the blocks lands; where it fails, the rest is left to the next one."""
        for run in self._reads(held, [ref.index for ref in wanted]):
            try:
                await self._read(place, held, run, wanted)
            except NoSuchObject:
                self._prover.lost(place, held, "it does not have an object any more that it had")
                return
            except Unreachable as error:
                why.append(error)
                return

    def _reads(self, held: Held, wanted: Sequence[int]) -> list[Run]:
        """The runs of blocks that are read in one piece each."""
        size = partial(self._blocks.size, held.log)
        found: list[Run] = []
        for first, end in runs_of(sorted(wanted)):
            if found and any(low <= found[-1][0] and end <= high for low, high in held.runs or ()):
                low, high = found[-1]
                if size(high, first) <= GAP_BYTES and size(low, end) <= READ_MOST_BYTES:
                    found[-1] = low, end
                    continue
            found.append((first, end))
        return [part for run in found for part in _parts(run, size)]

    async def _read(self, place: Place, held: Held, run: Run, wanted: Sequence[BlockRef]) -> None:
        size = partial(self._blocks.size, held.log)
        start, stop = locate(held, *run, size)
        data = memoryview(await place.ask(partial(place.objects.read, self._prover.path(held), start, stop)))
        self.fetched_bytes += len(data)
        base, _ = locate(held, run[0], run[0] + 1, size)
        for ref in wanted:
            if not run[0] <= ref.index < run[1]:
                continue
            at, end = locate(held, ref.index, ref.index + 1, size)
            block = bytes(data[at - base : end - base])
            if not self._blocks.fits(ref, block):
                what = f"it gives other bytes for block {ref.index} of log {ref.log} than were written"
                self._prover.lost(place, held, what)
                raise Unreachable(f"the cold store {place.name} gave wrong bytes for block {ref.index}")
            self._land(ref, block, None)

    def _land(self, ref: BlockRef, data: bytes | None, error: Unreachable | None) -> None:
        flight = self._flights.pop(ref, None)
        if flight is not None:
            flight.data, flight.error = data, error
            flight.done.set()


def _parts(run: Run, size: "partial[int]") -> list[Run]:
    """A run in pieces of at most READ_MOST_BYTES, or one block."""
    parts: list[Run] = []
    first, end = run
    while first < end:
        at = first + 1
        while at < end and size(first, at + 1) <= READ_MOST_BYTES:
            at += 1
        parts.append((first, at))
        first = at
    return parts


def _joined(ref: BlockRef, why: Sequence[Unreachable]) -> Unreachable:
    if not why:
        return Unreachable(_nobody(ref))
    return Unreachable("; ".join(dict.fromkeys(map(str, why))))


def _nobody(ref: BlockRef) -> str:
    return f"no cold store that answers has block {ref.index} of log {ref.log}, which left this device"
