"""A volume with blocks in its content log, and places that fail as they are told."""

import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from hyperfs.cold import auditing, place, uploading
from hyperfs.cold.cold import Cold
from hyperfs.errors import HyperfsError
from hyperfs.store.object_memory import MemoryObjects
from hyperfs.store.objects import ObjectInfo
from hyperfs.values import BlockRef
from hyperfs.volume.elsewhere import Wish
from hyperfs.volume.volume import Volume
from tests.volume.conftest import Store, empty_store, store, write_file

__all__ = ["empty_store", "store"]

SEED = 1


@dataclass
class Faulty(MemoryObjects):
    """A store in memory that fails as it is told.

    `error`: raised by every question, or those of the kinds in `only`. `drops`: what is put is acknowledged and not
    kept. `lies`: a byte of what is read is another. `hangs`: questions wait for this, if it is set.
    """

    error: HyperfsError | None = None
    only: frozenset[str] = frozenset()
    drops: bool = False
    lies: bool = False
    hangs: threading.Event | None = None
    tags: Callable[[ObjectInfo], str] = field(default=lambda info: info.tag)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def put(self, name: str, data: bytes, storage_class: str = "") -> bool:
        self._meet("put", name)
        return self.drops or super().put(name, data, storage_class)

    def read(self, name: str, start: int, end: int) -> bytes:
        self._meet("read", name)
        found = super().read(name, start, end)
        return found[:-1] + bytes([found[-1] ^ 1]) if self.lies else found

    def info(self, name: str) -> ObjectInfo:
        self._meet("info", name)
        found = super().info(name)
        return found._replace(tag=self.tags(found))

    def list(self, folder: str) -> Iterator[ObjectInfo]:
        self._meet("list", folder)
        for found in super().list(folder):
            yield found._replace(tag=self.tags(found))

    def remove(self, name: str) -> None:
        self._meet("remove", name)
        super().remove(name)

    @property
    def contents(self) -> dict[str, bytes]:
        return self._objects

    def count(self, kind: str) -> int:
        return sum(asked == kind for asked, _ in self.asked)

    def _meet(self, kind: str, name: str) -> None:
        self.asked.append((kind, name))
        if self.hangs is not None:
            self.hangs.wait()
        if self.error is not None and (not self.only or kind in self.only):
            raise self.error


@dataclass
class Side:
    """A running volume with its cold side."""

    volume: Volume
    cold: Cold
    places: dict[str, Faulty]

    @property
    def log(self) -> int:
        return self.volume.content.number

    @property
    def length(self) -> int:
        return self.volume.content.log.signed_length

    def block(self, index: int) -> bytes:
        return self.volume.content.log.get_verified(index)

    def refs(self, *indices: int) -> list[BlockRef]:
        return [BlockRef(self.log, index) for index in indices]

    def want(self, *names: str, first: int = 0, end: int | None = None, copies: int = 0, soon: bool = True) -> Wish:
        wish = Wish(self.log, first, self.length if end is None else end, frozenset(names), copies or len(names), soon)
        self.cold.want([wish])
        return wish

    async def until_proven(self, *names: str, first: int = 0, end: int | None = None) -> None:
        """All of the log is proven to be at these places. Time passes as fast as it can."""
        stop = self.length if end is None else end
        while not self.cold.proven(self.log, first, stop) >= set(names):
            await self.cold.changed()

    def evict(self, first: int = 0, end: int | None = None) -> None:
        """The bytes of blocks leave this device, wherever else they are or not."""
        self.volume.content.log.punch(first, self.length if end is None else end)
        self.volume.parts.chunkstore.cache.clear()

    async def write(self, path: bytes, size: int, seed: int = SEED) -> None:
        await write_file(self.volume, path, random.Random(seed).randbytes(size))
        await self.volume.commit()


@asynccontextmanager
async def running(
    store: Store,
    *names: str,
    background: bool = True,
    places: dict[str, Faulty] | None = None,
    memory_index: bool = True,
) -> AsyncIterator[Side]:
    """With places of these names, which are made where `places` does not have them. Randomness is seeded."""
    kept = places if places is not None else {}
    async with store.opened(memory_index=memory_index) as volume:
        cold = Cold(volume.parts, volume.warnings, store.clock, random.Random(SEED).randrange)
        for name in names:
            cold.add(name, f"memory:{name}", kept.setdefault(name, Faulty()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cold.run, background)
            await trio.lowlevel.checkpoint()
            yield Side(volume, cold, kept)
            nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked for in vain is looked for again soon; what is not full is not waited with."""
    monkeypatch.setattr(uploading, "SOON_SECONDS", 0.0)
    monkeypatch.setattr(uploading, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(auditing, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(place, "FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(place, "WAIT_MOST_SECONDS", 0.05)
