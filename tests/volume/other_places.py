"""Places in memory that hold blocks, and fail as they are told: slow, gone, forgetful, lying."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from hyperfs.errors import Unreachable
from hyperfs.log.reader import LogReader
from hyperfs.policy.placement import Strength
from hyperfs.values import BlockRef
from hyperfs.volume.elsewhere import Wish


@dataclass
class Place:
    """`lost`: acknowledged and not kept. `lies`: gives other bytes for these. `delay`: trio seconds for an answer."""

    blocks: dict[BlockRef, bytes] = field(default_factory=dict)
    lost: set[BlockRef] = field(default_factory=set)
    lies: set[BlockRef] = field(default_factory=set)
    delay: float = 0.0
    is_gone: bool = False

    def has(self, ref: BlockRef) -> bool:
        return not self.is_gone and ref in self.blocks and ref not in self.lost

    def get(self, ref: BlockRef) -> bytes:
        data = self.blocks[ref]
        return data[:-1] + bytes([data[-1] ^ 1]) if ref in self.lies else data


class InMemory:
    """Several places; `deliver` brings to them what is wanted. `fetched` counts how often each block was given."""

    def __init__(self, logs: Mapping[int, LogReader], *names: str) -> None:
        self._logs = logs
        self.at: dict[str, Place] = {name: Place() for name in names}
        self.wishes: list[Wish] = []
        self.fetched: dict[BlockRef, int] = {}
        self.calls: list[tuple[BlockRef, ...]] = []
        self._changed = trio.Event()

    @property
    def places(self) -> frozenset[str]:
        return frozenset(self.at)

    async def fetch(self, blocks: Sequence[BlockRef]) -> Mapping[BlockRef, bytes]:
        self.calls.append(tuple(blocks))
        found = {}
        for ref in blocks:
            found[ref] = await self._one(ref)
            self.fetched[ref] = self.fetched.get(ref, 0) + 1
        return found

    async def _one(self, ref: BlockRef) -> bytes:
        last = None
        for place in self.at.values():
            await trio.sleep(place.delay)
            if place.has(ref):
                last = place.get(ref)
                if self._logs[ref.log].fits(ref.index, last):
                    return last
        if last is not None:
            return last  # all lie: the caller must see it
        raise Unreachable(f"no place answers for block {ref.index} of log {ref.log}")

    def proven(self, log: int, first: int, end: int) -> frozenset[str]:
        """A place's word counts here, kept or not."""
        return frozenset(n for n, p in self.at.items() if all(ref in p.blocks for ref in _refs(log, first, end)))

    async def confirm(self, log: int, first: int, end: int) -> frozenset[str]:
        found = set()
        for name, place in self.at.items():
            await trio.sleep(place.delay)
            if all(place.has(ref) for ref in _refs(log, first, end)):
                found.add(name)
        return frozenset(found)

    def want(self, wishes: Sequence[Wish]) -> None:
        self.wishes = list(wishes)

    def kept_bytes(self, log: int, first: int, end: int) -> Mapping[str, int]:
        kept = ((name, [p.blocks.get(ref, b"") for ref in _refs(log, first, end)]) for name, p in self.at.items())
        return {name: sum(map(len, blocks)) for name, blocks in kept if any(blocks)}

    def storage_classes(self, strength: Strength) -> Mapping[str, str]:
        return {}

    async def changed(self) -> None:
        await self._changed.wait()

    def deliver(self) -> None:
        """Every wish comes true, at once."""
        for wish in self.wishes:
            for name in sorted(wish.places)[: wish.copies]:
                for ref in _refs(wish.log, wish.first, wish.end):
                    if ref not in self.at[name].blocks:
                        self.at[name].blocks[ref] = self._logs[ref.log].get_verified(ref.index)
        self._changed.set()
        self._changed = trio.Event()


def _refs(log: int, first: int, end: int) -> Iterator[BlockRef]:
    return (BlockRef(log, index) for index in range(first, end))
