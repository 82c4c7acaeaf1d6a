"""What makes an object of a place count: it is there, has the right length and checksum, and a block of it, chosen at
random, comes back as it was written. A store can't sign, so this is asked again before 30 days are over.

The checksum is what the store says (of most S3 stores the MD5, which stands in the name), else the whole object is read
once and what the store calls it is remembered.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import trio

from hyperfs.cold.blocks import Blocks
from hyperfs.cold.holdings import Held, locate, whole_size, within, without
from hyperfs.cold.object_format import Head, Name, hash_of, head_bytes
from hyperfs.cold.place import Place
from hyperfs.cold.proofs import Proofs
from hyperfs.errors import Corrupt, FormatTooNew, NoSuchObject, Unreachable
from hyperfs.store.objects import ObjectInfo
from hyperfs.values import BlockRef

WHOLE_SECONDS: Final = 330.0
JUST_NOW_SECONDS: Final = 10.0
"""What was asked so short a time ago is not asked again."""

log = logging.getLogger("hyperfs.cold")


class Prover:
    """Owned by the trio thread."""

    def __init__(self, blocks: Blocks, proofs: Proofs, now_ns: Callable[[], int], pick: Callable[[int], int]) -> None:
        """`pick(n)`: a number from 0 to n - 1, at random."""
        self._blocks = blocks
        self._proofs = proofs
        self._now_ns = now_ns
        self._pick = pick
        self._more = trio.Event()
        self._asked: dict[tuple[str, Name], float] = {}  # when an object was last found to be there, in trio time

    async def more(self) -> None:
        """Returns when there is a new proof."""
        await self._more.wait()

    def tell(self) -> None:
        """More may be proven now."""
        self._more.set()
        self._more = trio.Event()

    def path(self, held: Held) -> str:
        return f"{self._blocks.folder(held.log)}/{held.name.encode()}"

    async def prove(self, place: Place, held: Held) -> bool:
        """Looks at an object of a place, and notes a proof; whether it is good. Raises Unreachable."""
        try:
            info = await place.ask(partial(place.objects.info, self.path(held)))
            if held.runs is None:
                await self._read_head(place, held)
            await self._check(place, held, info)
        except NoSuchObject:
            self.lost(place, held, "it does not have an object that it acknowledged")
            return False
        except (Corrupt, FormatTooNew) as error:
            self.lost(place, held, str(error))
            return False
        held.size, held.tag, held.proven_ns = info.size, info.tag, self._now_ns()
        place.bad.discard((held.log, held.name))
        place.holdings.add(held)
        self._proofs.keep(place.name, held)
        self._note_asked(place, held)
        self.tell()
        return True

    async def is_still_there(self, place: Place, held: Held) -> bool:
        """Asks for a proven object's length and checksum; what differs is proven no longer. Raises Unreachable."""
        if trio.current_time() - self._asked.get((place.name, held.name), -JUST_NOW_SECONDS) < JUST_NOW_SECONDS:
            return True
        try:
            info = await place.ask(partial(place.objects.info, self.path(held)))
        except NoSuchObject:
            self.lost(place, held, "it does not have an object any more that it had")
            return False
        if (info.size, info.tag) != (held.size, held.tag):
            self.doubt(place, held)
            return False
        self._note_asked(place, held)
        return held.is_proven(self._now_ns())

    def doubt(self, place: Place, held: Held) -> None:
        """It is to be proven anew before it counts."""
        held.proven_ns, held.tag = 0, ""
        self._proofs.keep(place.name, held)

    def lost(self, place: Place, held: Held, why: str) -> None:
        """Not there, or not what was written: it counts for nothing any more, and its blocks are sent again."""
        self.all_lost(place, [held], why)

    def all_lost(self, place: Place, objects: Sequence[Held], why: str) -> None:
        """The same of several, with one message."""
        for held in objects:
            place.bad.add((held.log, held.name))
            self.forget(place, held)
        if objects:
            first, blocks = objects[0], sum(held.name.here for held in objects)
            place.lied(f"{why} ({blocks} blocks in all, the first is {first.name.first} of log {first.log})")

    def forget(self, place: Place, held: Held) -> None:
        place.holdings.remove(held)
        self._proofs.forget(place.name, held)
        self._asked.pop((place.name, held.name), None)

    async def learn(self, place: Place, held: Held) -> None:
        """Finds out which blocks are in an object, if it can."""
        try:
            await self._read_head(place, held)
        except (NoSuchObject, Corrupt, FormatTooNew, Unreachable) as error:
            log.info("an object of %s can't be looked into: %s", place.name, error)

    async def _read_head(self, place: Place, held: Held) -> None:
        """Which blocks are in an object with gaps stands in its head. Raises Corrupt for the head of another one."""
        count = held.name.end - held.name.first
        data = await place.ask(partial(place.objects.read, self.path(held), 0, head_bytes(count)))
        head = Head.decode(data)
        runs = tuple(head.runs())
        here = sum(end - first for first, end in runs)
        ours = (head.drive, head.log) == (self._blocks.drive_id, self._blocks.log(held.log).discovery_key)
        if not ours or (head.first, head.end, here) != (held.name.first, held.name.end, held.name.here):
            raise Corrupt("an object's head is that of another one")
        held.runs = runs

    async def _check(self, place: Place, held: Held, info: ObjectInfo) -> None:
        size = partial(self._blocks.size, held.log)
        if held.name.end > self._blocks.signed(held.log):
            raise Corrupt("an object names blocks that were never signed")
        if info.size != whole_size(held, size):
            raise Corrupt(f"an object has {info.size} bytes and should have {whole_size(held, size)}")
        known = held.proven_ns and info.tag and info.tag == held.tag
        if info.tag != held.name.md5 and not known:
            data = await place.ask(partial(place.objects.read, self.path(held), 0, info.size), WHOLE_SECONDS)
            if await trio.to_thread.run_sync(hash_of, data) != held.name.hash:
                raise Corrupt("an object's bytes are not those that its name says")
            del data
        await self._sample(place, held)

    async def _sample(self, place: Place, held: Held) -> None:
        """Of what is still needed, where something is."""
        assert held.runs is not None
        cleared = within(self._blocks.cleared(held.log), held.name.first, held.name.end)
        runs = list(without(held.runs, cleared)) or held.runs
        position = self._pick(sum(end - first for first, end in runs))
        for first, end in runs:
            if position < end - first:
                break
            position -= end - first
        block = first + position
        start, stop = locate(held, block, block + 1, partial(self._blocks.size, held.log))
        data = await place.ask(partial(place.objects.read, self.path(held), start, stop))
        if not self._blocks.fits(BlockRef(held.log, block), data):
            raise Corrupt(f"it gives other bytes for block {block} of log {held.log} than were written")

    def _note_asked(self, place: Place, held: Held) -> None:
        now = trio.current_time()
        if len(self._asked) > 1000:
            self._asked = {key: at for key, at in self._asked.items() if now - at < JUST_NOW_SECONDS}
        self._asked[place.name, held.name] = now
