"""The cold side of a drive: its places, and what the volume asks of them (`volume.elsewhere.Elsewhere`)."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from hyperfs.cold.auditing import Auditor, StrengthOf
from hyperfs.cold.blocks import Blocks
from hyperfs.cold.fetching import Fetcher
from hyperfs.cold.holdings import Held
from hyperfs.cold.object_format import Run
from hyperfs.cold.place import Place
from hyperfs.cold.proofs import Proofs
from hyperfs.cold.proving import Prover
from hyperfs.cold.uploading import Uploader
from hyperfs.errors import Unreachable
from hyperfs.policy.placement import STRENGTHS, Strength
from hyperfs.store.objects import Objects
from hyperfs.values import BlockRef
from hyperfs.volume.elsewhere import Wish
from hyperfs.volume.parts import Parts


@dataclass(frozen=True)
class Facts:
    """What `hyperfs cold list` tells of a place. Sizes in bytes of objects; `oldest_proof_ns`: 0 without any.
    `storage_classes`: by the policy's class, in which of its own the store keeps it, if not the standard one."""

    name: str
    url: str
    objects: int
    bytes: int
    proven_objects: int
    proven_bytes: int
    oldest_proof_ns: int
    listed: bool
    storage_classes: dict[str, str]
    trouble: str | None


class Cold:
    """Owned by the trio thread. `run` must be running while blocks are fetched; with `background` it also brings,
    checks and removes."""

    def __init__(
        self,
        parts: Parts,
        warnings: dict[str, str],
        now_ns: Callable[[], int],
        pick: Callable[[int], int] = secrets.randbelow,
        strength_of: StrengthOf = lambda ref: None,
    ) -> None:
        self._places: dict[str, Place] = {}
        self._listing = trio.Lock()
        self._warnings = warnings
        self._now_ns = now_ns
        self._read_only = parts.read_only
        self._proofs = Proofs(parts.catalog)
        self._blocks = blocks = Blocks(parts)
        self._prover = Prover(blocks, self._proofs, now_ns, pick)
        self._fetcher = Fetcher(blocks, self._prover, self._places, self._list_unlisted)
        self._uploader = Uploader(blocks, self._prover, self._places, self._fetcher.fetch, warnings)
        self._auditor = Auditor(
            blocks, self._prover, self._uploader, self._places, lambda: parts.catalog.cleared, now_ns, strength_of
        )

    # Places

    def add(self, name: str, url: str, objects: Objects) -> None:
        """A place is there from now on, or is reached in another way. What was proven of it before counts."""
        if name in self._places:
            self._places.pop(name).leave()
        place = Place(name, url, objects, self._warnings)
        for held in self._proofs.load(name):
            place.holdings.add(held)
        self._places[name] = place
        self._uploader.wake()
        self._auditor.wake()
        self._prover.tell()

    def remove(self, name: str) -> None:
        """It is no place any more; its objects stay as they are."""
        self._places.pop(name).leave()
        self._proofs.forget_all(name)
        self._prover.tell()

    def place(self, name: str) -> Place | None:
        return self._places.get(name)

    def facts(self) -> list[Facts]:
        """Looks at each object: any thread may, and where there are many, another one than trio's should."""
        return [self._facts(place) for place in list(self._places.values())]

    def _facts(self, place: Place) -> Facts:
        now_ns = self._now_ns()
        held = list(place.holdings)
        proven = [found for found in held if found.is_proven(now_ns)]
        return Facts(
            name=place.name,
            url=place.url,
            objects=len(held),
            bytes=sum(found.size for found in held),
            proven_objects=len(proven),
            proven_bytes=sum(found.size for found in proven),
            oldest_proof_ns=min((found.proven_ns for found in proven), default=0),
            listed=place.is_listed,
            storage_classes={name: found for name in STRENGTHS if (found := place.classes.of(STRENGTHS[name]))},
            trouble=place.trouble,
        )

    def only_at(self, name: str, log: int, first: int, end: int) -> list[Run]:
        """Which of these blocks no other place has a proof for."""
        now_ns = self._now_ns()
        left: list[Run] = [(first, end)]
        for other, place in self._places.items():
            if other != name:
                left = [
                    part
                    for run in left
                    for part in place.holdings.missing(log, *run, lambda held: held.is_proven(now_ns))
                ]
        return left

    def transfer(self) -> dict[str, Any]:
        """Bytes that went to places and came from them since the drive was opened."""
        return {"uploaded_bytes": self._uploader.uploaded_bytes, "fetched_bytes": self._fetcher.fetched_bytes}

    # What runs

    async def run(self, background: bool = True) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fetcher.run)
            if background and not self._read_only:
                nursery.start_soon(self._uploader.run)
                nursery.start_soon(self._auditor.run)

    async def look(self, name: str) -> None:
        """Lists a place and proves what is due, now. Raises Unreachable."""
        place = self._places[name]
        await self._auditor.list(place)
        await self._auditor.turn(place)

    async def _list_unlisted(self) -> None:
        """For a reader whose block nobody is known to have, while the index was lost."""
        async with self._listing:
            for place in list(self._places.values()):
                if not place.is_listed:
                    try:
                        await self._auditor.list(place)
                    except Unreachable:
                        continue  # noted as the place's trouble

    # Elsewhere

    @property
    def places(self) -> frozenset[str]:
        return frozenset(self._places)

    async def fetch(self, blocks: Sequence[BlockRef]) -> dict[BlockRef, bytes]:
        return await self._fetcher.fetch(blocks)

    def proven(self, log: int, first: int, end: int) -> frozenset[str]:
        now_ns = self._now_ns()
        return frozenset(
            name for name, place in self._places.items() if place.holdings.are_proven(log, first, end, now_ns)
        )

    async def confirm(self, log: int, first: int, end: int) -> frozenset[str]:
        found: set[str] = set()
        async with trio.open_nursery() as nursery:
            for name in self.proven(log, first, end):
                nursery.start_soon(self._confirm_at, self._places[name], log, first, end, found)
        return frozenset(found)

    async def _confirm_at(self, place: Place, log: int, first: int, end: int, found: set[str]) -> None:
        objects: list[Held] = place.holdings.proofs_of(log, first, end, self._now_ns())
        try:
            there = [await self._prover.is_still_there(place, held) for held in objects]
        except Unreachable:
            return
        if there and all(there) and place.holdings.are_proven(log, first, end, self._now_ns()):
            found.add(place.name)

    def want(self, wishes: Sequence[Wish]) -> None:
        self._uploader.want(wishes)

    def kept_bytes(self, log: int, first: int, end: int) -> dict[str, int]:
        size = partial(self._blocks.size, log)
        found = {}
        for name, place in self._places.items() if log in self._blocks.numbers else ():
            lacking = place.holdings.missing(log, first, end)
            kept = size(first, end) - sum(size(*run) for run in lacking)
            if kept:
                found[name] = kept
        return found

    def storage_classes(self, strength: Strength) -> dict[str, str]:
        found = {name: place.classes.of(strength) for name, place in self._places.items()}
        return {name: storage_class for name, storage_class in found.items() if storage_class}

    async def changed(self) -> None:
        await self._prover.more()
