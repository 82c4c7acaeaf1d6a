"""Peers and cold stores as the places of one drive (`volume.elsewhere.Elsewhere`)."""

from collections.abc import Mapping, Sequence

import trio

from hyperfs.cold.cold import Cold
from hyperfs.errors import Unreachable
from hyperfs.policy.placement import Strength
from hyperfs.syncing.peers import Peers
from hyperfs.values import BlockRef
from hyperfs.volume.elsewhere import Wish


class Together:
    """Owned by the trio thread. Names are unique among both."""

    def __init__(self, cold: Cold, peers: Peers) -> None:
        self._cold = cold
        self._peers = peers

    @property
    def places(self) -> frozenset[str]:
        return self._cold.places | self._peers.places

    async def fetch(self, blocks: Sequence[BlockRef]) -> dict[BlockRef, bytes]:
        """Of a peer that is connected and has it, else of cold stores; where that fails, of the others."""
        if not self._peers.places:
            return await self._cold.fetch(blocks)
        if not self._cold.places:
            return await self._peers.fetch(blocks)
        near = [ref for ref in blocks if self._peers.has(ref)]
        far = [ref for ref in blocks if not self._peers.has(ref)]
        found: dict[BlockRef, bytes] = {}
        why: list[str] = []

        async def ask(side: Cold | Peers, wanted: Sequence[BlockRef]) -> None:
            try:
                found.update(await side.fetch(wanted))
            except Unreachable as error:
                why.append(str(error))

        async with trio.open_nursery() as nursery:
            if near:
                nursery.start_soon(ask, self._peers, near)
            if far:
                nursery.start_soon(ask, self._cold, far)
        async with trio.open_nursery() as nursery:
            if left := [ref for ref in near if ref not in found]:
                nursery.start_soon(ask, self._cold, left)
            if left := [ref for ref in far if ref not in found]:
                nursery.start_soon(ask, self._peers, left)
        if len(found) < len(set(blocks)):
            raise Unreachable("; ".join(dict.fromkeys(why)))
        return found

    def proven(self, log: int, first: int, end: int) -> frozenset[str]:
        return self._cold.proven(log, first, end) | self._peers.proven(log, first, end)

    async def confirm(self, log: int, first: int, end: int) -> frozenset[str]:
        found: set[str] = set()

        async def ask(side: Cold | Peers) -> None:
            found.update(await side.confirm(log, first, end))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, self._cold)
            nursery.start_soon(ask, self._peers)
        return frozenset(found)

    def want(self, wishes: Sequence[Wish]) -> None:
        """A peer gets what it may have without being told: cold stores get what makes up the number of copies."""
        self._peers.want(wishes)
        peers = self._peers.places
        rest = (wish._replace(places=wish.places - peers, copies=self._left(wish)) for wish in wishes)
        self._cold.want([wish for wish in rest if wish.places and wish.copies > 0])

    def _left(self, wish: Wish) -> int:
        """Copies that peers do not make: one that does not answer does not count, unless it has proved them."""
        proven = self._peers.proven(wish.log, wish.first, wish.end)
        counted = sum(
            name in proven or ((peer := self._peers.peer(name)) is not None and peer.is_connected)
            for name in wish.places & self._peers.places
        )
        return wish.copies - counted

    def kept_bytes(self, log: int, first: int, end: int) -> Mapping[str, int]:
        """Of cold stores: a peer clears what it hears that we have cleared."""
        return self._cold.kept_bytes(log, first, end)

    def storage_classes(self, strength: Strength) -> Mapping[str, str]:
        return self._cold.storage_classes(strength)

    async def changed(self) -> None:
        async with trio.open_nursery() as nursery:

            async def wait(side: Cold | Peers) -> None:
                await side.changed()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait, self._cold)
            nursery.start_soon(wait, self._peers)
