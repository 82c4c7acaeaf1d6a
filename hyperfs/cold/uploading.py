"""Bringing blocks to places: what was wanted and is not there, in objects, one after the other.

Nothing is remembered of an upload that was cut short: what a place lists is there, all else is sent again. One object
is in memory at a time, with its blocks: 16 MiB.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final

import trio

from hyperfs.cold import object_format
from hyperfs.cold.blocks import Blocks
from hyperfs.cold.choosing import OBJECT_BYTES, Plan, joined, places_for, split
from hyperfs.cold.holdings import Held, within, without
from hyperfs.cold.object_format import Name, Run
from hyperfs.cold.place import Place
from hyperfs.cold.proving import Prover
from hyperfs.errors import Corrupt, HyperfsError, Unreachable
from hyperfs.values import BlockRef
from hyperfs.volume.elsewhere import Wish

QUIET_SECONDS: Final = 60.0
"""An object that is not full goes when its log has not grown for so long;"""
SOON_SECONDS: Final = 5.0
"""or for so long, where its blocks are to leave as soon as they may."""
LOOK_SECONDS: Final = 60.0
WISHES_AT_ONCE: Final = 64
"""Looked through between two turns of others: some milliseconds."""
DAMAGE: Final = "cold-damage"

END: Final = Plan(0, (), 0, False)
"""No object: there are no more."""

Fetch = Callable[[Sequence[BlockRef]], Awaitable[Mapping[BlockRef, bytes]]]

log = logging.getLogger("hyperfs.cold")


class Uploader:
    """Owned by the trio thread."""

    def __init__(
        self, blocks: Blocks, prover: Prover, places: Mapping[str, Place], fetch: Fetch, warnings: dict[str, str]
    ) -> None:
        self._blocks = blocks
        self._prover = prover
        self._places = places
        self._fetch = fetch
        self._warnings = warnings
        self._wishes: Sequence[Wish] = ()
        self._wake = trio.Event()
        self._unusable: dict[int, list[Run]] = {}  # blocks that are damaged here, since the last wishes
        self._grown: dict[int, tuple[int, float]] = {}  # how long each log was, and since when, in trio time
        self._one_at_a_time = trio.Lock()
        self._settled: tuple[object, ...] | None = None  # see `_state`
        self.uploaded_bytes = 0
        """What places acknowledged since the drive was opened."""

    def want(self, wishes: Sequence[Wish]) -> None:
        self._wishes = tuple(wishes)
        self._unusable = {}
        self._warnings.pop(DAMAGE, None)
        self.wake()

    def wake(self) -> None:
        """Something has changed that may let more be done."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake = trio.Event()
            try:
                wait = await self.turn()
            except (HyperfsError, OSError) as error:  # of our own log: a store's faults are a place's trouble
                wait = LOOK_SECONDS
                self._note_damage(error)
            with trio.move_on_after(wait):
                await self._wake.wait()

    async def turn(self) -> float:
        """Sends what is wanted, to each place in turn, and returns after how many seconds it is worth looking again.

        Ends early where the wishes have changed, or nothing can be sent now.
        """
        wishes = self._wishes
        self._note_growth()
        state = self._state()
        if state == self._settled:
            return LOOK_SECONDS
        able = [place for place in self._places.values() if place.is_listed and place.takes]
        queues = [(place, self._plans(wishes, place)) for place in able]
        again, is_done = LOOK_SECONDS, len(able) == len(self._places)
        while queues and wishes is self._wishes:
            for queue in list(queues):
                place, plans = queue
                plan = next(plans, END)
                await trio.lowlevel.checkpoint()
                if plan is END or not place.takes or self._places.get(place.name) is not place:
                    queues.remove(queue)
                elif plan is None:
                    continue
                elif (wait := self._too_early(plan, wishes)) > 0:
                    again, is_done = min(again, wait), False
                elif not await self.send(place, plan):
                    queues.remove(queue)
                    is_done = False
        waits = [place.takes_again_in for place in self._places.values() if not place.takes]
        if wishes is not self._wishes:
            return 0.0
        if is_done and not waits:
            self._settled = self._state()
        return min([again, *waits])

    def _state(self) -> tuple[object, ...]:
        """What a turn goes by: while it is as it was after one that found nothing more to do, there is nothing."""
        places = [(place, place.is_listed, place.takes, place.holdings.now) for place in self._places.values()]
        logs = [(self._blocks.signed(number), self._blocks.cleared(number)) for number in self._blocks.numbers]
        return self._wishes, places, logs

    async def send(self, place: Place, plan: Plan) -> bool:
        """One object, written, looked for and proven; whether the place can be given more. Raises nothing that a
        store does: that is the place's trouble."""
        async with self._one_at_a_time:
            try:
                found = await self._collect(plan)
            except Unreachable as error:
                log.info("blocks that left this device can't be brought to %s now: %s", place.name, error)
                return False
            if found is None:
                return True
            name, data = found
            held = Held(plan.log, name, len(data), "")
            held.runs = plan.runs
            try:
                await place.put(self._prover.path(held), data, plan.storage_class)
                self.uploaded_bytes += len(data)
                del data
                if not await self._prover.prove(place, held):
                    place.failed(Unreachable(f"the cold store {place.name} does not keep what it is given"), True)
                    return False
            except Unreachable:
                return False
            return True

    async def _collect(self, plan: Plan) -> tuple[Name, bytes] | None:
        """The object's bytes; None where a block is damaged here. Raises Unreachable for blocks that are only in
        places that don't answer."""
        try:
            here = await trio.to_thread.run_sync(self._blocks.here, plan.log, plan.runs)
        except (Corrupt, OSError) as error:
            self._unusable.setdefault(plan.log, []).extend(plan.runs)
            self._note_damage(error)
            return None
        missing = [ref for ref, data in here.items() if data is None]
        if missing:
            here |= await self._fetch(missing)

        def make() -> tuple[Name, bytes]:
            head = self._blocks.head(plan.log, plan.runs)
            data = object_format.encode(head, [block for block in here.values() if block is not None])
            return object_format.name_of(head, data), data

        return await trio.to_thread.run_sync(make)

    def _note_damage(self, error: Exception) -> None:
        words = f"blocks can't be brought to a cold store: {error}. 'hyperfs verify' tells more"
        if self._warnings.get(DAMAGE) != words:
            log.error("%s", words)
        self._warnings[DAMAGE] = words

    def _plans(self, wishes: Sequence[Wish], place: Place) -> Iterator[Plan | None]:
        """Objects for what is wanted at a place and not there. Lazy: what was sent meanwhile counts. None now and then,
        so that others have their turn."""
        rest: dict[tuple[int, str], list[Run]] = {}  # by log and storage class
        todo = iter(wishes)
        while batch := list(islice(todo, WISHES_AT_ONCE)):
            for wish in batch:
                if self._is_for(wish, place):
                    kind = wish.log, place.classes.of(wish.strength)
                    rest.setdefault(kind, []).extend(self._missing(wish, place))
            for kind, runs in rest.items():
                plans = list(self._split(kind, joined(runs)))
                rest[kind] = []
                for plan in plans:
                    if plan.tail:
                        rest[kind] = list(plan.runs)
                    else:
                        yield plan
            yield None
        for kind, runs in rest.items():
            yield from self._split(kind, runs)

    def _split(self, kind: tuple[int, str], runs: Iterable[Run]) -> Iterator[Plan]:
        number, storage_class = kind
        for plan in split(number, runs, partial(self._blocks.size, number)):
            yield plan._replace(storage_class=storage_class)

    def _is_for(self, wish: Wish, place: Place) -> bool:
        order = list(self._places)
        if place.name not in wish.places:
            return False
        if wish.copies >= sum(name in wish.places for name in order):
            return True
        ready = frozenset(name for name in order if self._places[name].takes)
        counts = {name: self._count_missing(wish, self._places[name]) for name in order}
        return place.name in places_for(wish, order, ready, counts)

    def _count_missing(self, wish: Wish, place: Place) -> int:
        return sum(end - first for first, end in place.holdings.missing(wish.log, wish.first, wish.end))

    def _missing(self, wish: Wish, place: Place) -> Iterator[Run]:
        """What is to be sent of a wish: signed, not cleared, not there yet."""
        end = min(wish.end, self._blocks.signed(wish.log))
        if wish.first >= end or wish.log not in self._blocks.numbers:
            return iter(())
        runs = place.holdings.missing(wish.log, wish.first, end)
        cleared = within(self._blocks.cleared(wish.log), wish.first, end)
        return without(runs, [*cleared, *self._unusable.get(wish.log, ())])

    def _note_growth(self) -> None:
        now = trio.current_time()
        for number in self._blocks.numbers:
            length = self._blocks.signed(number)
            if self._grown.get(number, (-1, now))[0] != length:
                self._grown[number] = length, now

    def _too_early(self, plan: Plan, wishes: Sequence[Wish]) -> float:
        """For how many seconds an object that is not full waits for more, which its log may still get."""
        if plan.nbytes >= OBJECT_BYTES or plan.end < self._blocks.signed(plan.log):
            return 0.0
        soon = any(wish.soon and wish.log == plan.log and wish.end >= plan.end for wish in wishes)
        quiet = trio.current_time() - self._grown[plan.log][1]
        return max(0.0, (SOON_SECONDS if soon else QUIET_SECONDS) - quiet)
