"""Looking after what lies in places: listing it, proving it before proofs run out, taking away what nothing needs."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import trio

from hyperfs.cold.blocks import Blocks
from hyperfs.cold.choosing import Plan, rewrites, surplus
from hyperfs.cold.holdings import RENEW_NS, Held, within, without
from hyperfs.cold.object_format import Name
from hyperfs.cold.place import LIST_SECONDS, Place
from hyperfs.cold.proving import Prover
from hyperfs.cold.uploading import Uploader
from hyperfs.errors import HyperfsError, NoSuchObject, Unreachable
from hyperfs.log.cleared import Cleared
from hyperfs.policy.placement import Strength
from hyperfs.store.objects import ObjectInfo
from hyperfs.values import BlockRef

LOOK_SECONDS: Final = 60.0
LIST_EVERY_NS: Final = 24 * 3600 * 10**9
REWRITE_EVERY_NS: Final = 24 * 3600 * 10**9
SLICE: Final = 500

StrengthOf = Callable[[BlockRef], Strength | None]
"""How strongly a block is held now; None while nobody has looked. Any thread."""

log = logging.getLogger("hyperfs.cold")


class Auditor:
    """Owned by the trio thread."""

    def __init__(
        self,
        blocks: Blocks,
        prover: Prover,
        uploader: Uploader,
        places: Mapping[str, Place],
        cleared: Callable[[], Cleared],
        now_ns: Callable[[], int],
        strength_of: StrengthOf,
    ) -> None:
        self._blocks = blocks
        self._prover = prover
        self._uploader = uploader
        self._places = places
        self._cleared = cleared
        self._now_ns = now_ns
        self._strength_of = strength_of
        self._wake = trio.Event()
        self._listed_ns: dict[str, int] = {}
        self._rewritten_ns: dict[str, int] = {}
        self._swept: dict[str, tuple[Cleared, int]] = {}  # what was cleared and held when a place was last swept

    def wake(self) -> None:
        """Something has changed: a place was added."""
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake = trio.Event()
            for place in list(self._places.values()):
                if place.answers:
                    await self.turn(place)
            with trio.move_on_after(LOOK_SECONDS):
                await self._wake.wait()

    async def turn(self, place: Place) -> None:
        """Does what is due for a place. Raises nothing that a store does."""
        try:
            if not place.is_listed or self._is_due(self._listed_ns, place, LIST_EVERY_NS):  # it was added anew
                await self.list(place)
                self._uploader.wake()
            if await self._prove_due(place):
                place.is_honest()
            await self._sweep(place)
            if self._is_due(self._rewritten_ns, place, REWRITE_EVERY_NS):
                await self._rewrite(place)
        except Unreachable:
            return  # noted as the place's trouble
        except (HyperfsError, OSError) as error:
            log.error("what lies at %s can't be looked after: %s", place.name, error)

    async def list(self, place: Place) -> None:
        """What the place says that it has, compared with what was known. Raises Unreachable."""
        before = place.holdings.now
        found = await place.ask(lambda: list(place.objects.list(self._blocks.drive_folder)), LIST_SECONDS)
        seen = set()
        for done, info in enumerate(found):
            held = self._take(place, info)
            if held is not None:
                seen.add((held.log, held.name))
            if done % SLICE == SLICE - 1:
                await trio.lowlevel.checkpoint()
        gone = [held for held in place.holdings if (held.log, held.name) not in seen and held.noted <= before]
        self._prover.all_lost(place, gone, "it does not list what it had")
        place.is_listed = True
        self._listed_ns[place.name] = self._now_ns()

    def _take(self, place: Place, info: ObjectInfo) -> Held | None:
        folder, _, last = info.name.rpartition("/")
        number, name = self._blocks.number_of(folder), Name.decode(last)
        if number is None or name is None:
            return None
        held = place.holdings.find(number, name)
        if held is None:
            if (number, name) not in place.bad:
                held = Held(number, name, info.size, info.tag)
                place.holdings.add(held)
        elif (held.size, held.tag) != (info.size, info.tag):
            held.size = info.size
            self._prover.doubt(place, held)
        return held

    async def _prove_due(self, place: Place) -> bool:
        """Renews proofs that are old, and makes those that are missing; whether all were good."""
        good = not place.bad
        for done, held in enumerate(place.holdings):
            if not 0 <= self._now_ns() - held.proven_ns < RENEW_NS or held.runs is None:
                good = await self._prover.prove(place, held) and good
            if done % SLICE == SLICE - 1:
                await trio.lowlevel.checkpoint()
        return good

    async def _sweep(self, place: Place) -> None:
        """Takes away what nothing needs. Looks only where more was cleared, or proven, since the last time."""
        state = self._cleared(), place.holdings.now
        if self._swept.get(place.name) == state:
            return
        for number in self._blocks.numbers:
            cleared = self._blocks.cleared(number)
            objects = place.holdings.of(number)
            for held in await trio.to_thread.run_sync(surplus, objects, cleared, self._now_ns()):
                if await self._others_are_there(place, held):
                    await self.remove(place, held)
        await self._sweep_bad(place)
        self._swept[place.name] = state  # of its beginning: what was cleared meanwhile may not have been looked at

    async def _sweep_bad(self, place: Place) -> None:
        """Objects that are not what was written go when nothing needs them: all is in others by now, or cleared."""
        for number, name in list(place.bad):
            cleared = within(self._blocks.cleared(number), name.first, name.end)
            runs = place.holdings.missing(number, name.first, name.end, lambda held: held.is_proven(self._now_ns()))
            if not list(without(runs, cleared)):
                await self.remove(place, Held(number, name, 0, ""))
                place.bad.discard((number, name))

    async def _others_are_there(self, place: Place, held: Held) -> bool:
        """Before an object goes whose blocks are also in others: these are asked for again."""
        cleared = within(self._blocks.cleared(held.log), held.name.first, held.name.end)
        needed = list(without(held.runs or (), cleared))
        if not needed:
            return True
        others = [
            other
            for other in place.holdings.overlapping(held.log, held.name.first, held.name.end)
            if other is not held and other.is_proven(self._now_ns())
        ]
        there = [other for other in others if await self._prover.is_still_there(place, other)]
        return not list(without(needed, [run for other in there for run in other.runs or ()]))

    async def remove(self, place: Place, held: Held) -> None:
        """Raises Unreachable; then it is still known."""
        try:
            await place.ask(partial(place.objects.remove, self._prover.path(held)), writes=True)
        except NoSuchObject:
            log.info("an object that was to be removed from %s is gone already", place.name)
        self._prover.forget(place, held)

    async def _rewrite(self, place: Place) -> None:
        """Small objects become large ones, and what little is needed of others goes into new ones."""
        for number in self._blocks.numbers:
            plans = await trio.to_thread.run_sync(self._rewrites, place, number)
            if plans is None:
                return
            for plan in plans:
                if not place.takes or not await self._uploader.send(place, plan):
                    return
        await self._sweep(place)
        self._rewritten_ns[place.name] = self._now_ns()

    def _rewrites(self, place: Place, number: int) -> Sequence[Plan] | None:
        """Those of one storage class together, as their first block has it now; None while that is not known yet. In a
        worker thread."""
        kinds: dict[str, list[Held]] = {}
        for held in place.holdings.of(number):
            if held.is_proven(self._now_ns()):
                strength = self._strength_of(BlockRef(number, held.name.first))
                if strength is None and place.classes.differ:
                    return None
                kinds.setdefault(place.classes.of(Strength.HOT if strength is None else strength), []).append(held)
        cleared, size = self._blocks.cleared(number), partial(self._blocks.size, number)
        return [
            plan._replace(storage_class=kind)
            for kind, found in kinds.items()
            for plan in rewrites(number, found, cleared, size)
        ]

    def _is_due(self, last: Mapping[str, int], place: Place, every_ns: int) -> bool:
        return not 0 <= self._now_ns() - last.get(place.name, -every_ns) < every_ns
