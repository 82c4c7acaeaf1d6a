"""All peers of an open drive: as places (`volume.elsewhere.Elsewhere`), and for whoever waits until they have all."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import trio

from hyperfs.errors import Unreachable
from hyperfs.log.control import Chain
from hyperfs.syncing import peer_facts, settings, surroundings
from hyperfs.syncing.home import Home, log
from hyperfs.syncing.runs import Runs
from hyperfs.syncing.settings import Known
from hyperfs.syncing.synced_peer import SyncedPeer
from hyperfs.syncing.waiting import Tell, until_synced
from hyperfs.values import BlockRef
from hyperfs.volume.chains import take_newer
from hyperfs.volume.elsewhere import Wish
from hyperfs.volume.writers import why_barred

FETCH_SECONDS: Final = 6.0
"""From one peer; then the next is asked."""
FETCHES: Final = 64
"""Blocks on their way at a time."""

class Peers:
    """Owned by the trio thread. `run` must be running while blocks are fetched; with `background` it also syncs.

    Without it peers are connected once if any block is not on this device: who wants the first does not wait for that.
    """

    def __init__(self, home: Home, known: Iterable[Known] | None = None) -> None:
        """`known`: in place of those that the drive remembers, which are not looked at then."""
        self._home = home
        self._peers: dict[str, SyncedPeer] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self._background = True
        self._runs = trio.Event()
        self._limiter = trio.CapacityLimiter(FETCHES)
        self._limits_set = trio.Event()
        self._listens = trio.CancelScope()
        home.listening.told = self._heard_nearby
        if known is None:
            home.set_limits(settings.limits(home.volume))
            is_ours = home.volume.parts.link_keys is None  # another's peers expect its devices
            known = settings.known(home.volume).values() if is_ours else ()
        for peer in known:
            self.add(peer)

    # Which there are

    def add(self, known: Known) -> None:
        """A peer is there from now on, or is reached elsewhere."""
        if known.name in self._peers:
            before = self._peers.pop(known.name)
            if before.known.address.key != known.address.key:
                before.leave()
            self._stop(known.name)
        self._peers[known.name] = SyncedPeer(self._home, known, self._newer_chain)
        self._home.listening.listen_for(known.address.key)
        if self._nursery is not None:
            self._nursery.start_soon(self._run_one, self._peers[known.name])
        self._home.tell_proven()

    def remove(self, name: str) -> None:
        peer = self._peers.pop(name)
        peer.leave()
        self._home.listening.forget(peer.known.address.key)
        self._stop(name)
        self._home.tell_proven()

    def _stop(self, name: str) -> None:
        scope = self._scopes.pop(name, None)
        if scope is not None:
            scope.cancel()

    def peer(self, name: str) -> SyncedPeer | None:
        return self._peers.get(name)

    def all(self) -> list[SyncedPeer]:
        return list(self._peers.values())

    def facts(self) -> list[dict[str, Any]]:
        return [peer_facts.facts(peer, self._home) for peer in self._peers.values()]

    def warnings(self) -> list[str]:
        found = (peer_facts.stale(peer, self._home) for peer in self._peers.values())
        return [words for words in found if words is not None]

    def set_limits(self, limits: settings.Limits) -> None:
        self._home.set_limits(limits)
        if limits.lan != "yes":
            self._listens.cancel()
        told, self._limits_set = self._limits_set, trio.Event()
        told.set()

    @property
    def limits(self) -> settings.Limits:
        return self._home.limits

    @property
    def home(self) -> Home:
        return self._home

    # What runs

    async def run(self, background: bool = True) -> None:
        self._background = background and (self._home.leads is not None or not self._home.volume.read_only)
        async with trio.open_nursery() as self._nursery:
            for peer in self._peers.values():
                self._nursery.start_soon(self._run_one, peer)
            self._nursery.start_soon(surroundings.watch, self._changed_around)
            self._nursery.start_soon(self._keep_metered)
            self._nursery.start_soon(self._listen)
            self._runs.set()
            await trio.sleep_forever()

    async def _run_one(self, peer: SyncedPeer) -> None:
        if self._peers.get(peer.name) is not peer:
            return  # taken away before it began
        with trio.CancelScope() as self._scopes[peer.name]:
            await peer.run(self._background, at_once=self._home.lacks_blocks)

    def _changed_around(self, what: str) -> None:
        if self._peers:
            log.info("%s: peers are connected anew", what)
        for peer in self._peers.values():
            peer.reconnect()

    async def _keep_metered(self) -> None:
        while True:
            if self._peers and self._home.limits.metered == "auto":
                self._home.system_is_metered = await trio.to_thread.run_sync(surroundings.is_metered)
            await trio.sleep(surroundings.METERED_SECONDS)

    async def _listen(self) -> None:
        """While it is wanted: for peers that announce themselves on the local network."""
        while True:
            if self._home.limits.lan == "yes":
                with trio.CancelScope() as self._listens:
                    await self._home.listening.run()
                    await trio.sleep_forever()
            await self._limits_set.wait()

    def _heard_nearby(self, key: bytes) -> None:
        for peer in self._peers.values():
            if peer.known.address.key == key and peer.link is None:
                peer.hurry()

    def _newer_chain(self, peer: SyncedPeer, chain: Chain) -> None:
        """A peer has a longer chain of this drive, which goes on from ours; each record is signed by whom it must be.

        Where it takes this device out, nothing more is written here.
        """
        volume = self._home.volume
        ours = volume.parts.chain
        if not volume.parts.keeps or not chain.continues(ours) or len(chain.records) <= len(ours.records):
            return
        take_newer(volume, chain)
        if self._home.leads is not None:
            self._home.leads.following.look_at_chain()
        why = why_barred(chain, volume.device)
        if why is not None:
            self._home.is_out = True
            log.error("the peer %s has a record, signed by the drive's root: %s", peer.name, why)

    # Elsewhere

    @property
    def places(self) -> frozenset[str]:
        return frozenset(self._peers)

    def proven(self, log_number: int, first: int, end: int) -> frozenset[str]:
        return frozenset(peer.name for peer in self._peers.values() if peer.proven(log_number).covers(first, end))

    async def confirm(self, log_number: int, first: int, end: int) -> frozenset[str]:
        found: set[str] = set()

        async def ask(peer: SyncedPeer) -> None:
            if await peer.confirm(log_number, first, end):
                found.add(peer.name)

        async with trio.open_nursery() as nursery:
            for name in self.proven(log_number, first, end):
                nursery.start_soon(ask, self._peers[name])
        return frozenset(found)

    def want(self, wishes: Sequence[Wish]) -> None:
        """A peer gets all that it may have anyhow; what somebody waits for goes first."""
        for peer in self._peers.values():
            for number in {wish.log for wish in wishes}:
                runs = sorted((w.first, w.end) for w in wishes if w.log == number and w.soon and peer.name in w.places)
                if peer.link is not None and number in peer.link.feeding.logs and runs:
                    peer.link.feeding.logs[number].revealing.first(Runs(runs))

    async def changed(self) -> None:
        await self._home.proven.wait()

    def has(self, ref: BlockRef) -> bool:
        """Whether a peer that is connected says that it has a block."""
        return any(peer.is_connected and peer.may_have(ref.log, ref.index) for peer in self._peers.values())

    async def fetch(self, blocks: Sequence[BlockRef]) -> dict[BlockRef, bytes]:
        """Raises Unreachable, with what each peer said, where a block came from none."""
        found: dict[BlockRef, bytes] = {}
        failed: list[Unreachable] = []

        async def bring(ref: BlockRef) -> None:
            async with self._limiter:
                if failed:
                    return
                try:
                    found[ref] = await self._fetch_one(ref)
                except Unreachable as error:
                    failed.append(error)

        async with trio.open_nursery() as nursery:
            for ref in blocks:
                nursery.start_soon(bring, ref)
        if failed:
            raise failed[0]
        return found

    async def _fetch_one(self, ref: BlockRef) -> bytes:
        await self._runs.wait()
        why: list[str] = []
        peers = sorted(
            self._peers.values(), key=lambda peer: (not peer.may_have(ref.log, ref.index), not peer.is_connected)
        )
        for peer in peers:
            with trio.move_on_after(FETCH_SECONDS):
                try:
                    return await peer.fetch(ref.log, ref.index)
                except Unreachable as error:
                    why.append(str(error))
                    continue
            trouble = peer.trouble
            why.append(
                trouble.words(peer.name)
                if trouble is not None
                else f"the peer {peer.name} gave no block within {FETCH_SECONDS:.0f} s"
            )
        raise Unreachable("; ".join(why) or f"no peer has block {ref.index} of log {ref.log}, which left this device")

    def only_at(self, name: str, log_number: int, runs: Runs) -> Runs:
        """Which of these blocks no other peer has a proof for."""
        for other, peer in self._peers.items():
            if other != name:
                runs = runs - peer.proven(log_number)
        return runs

    # Waiting

    async def until_synced(self, names: Sequence[str], tell: Tell) -> None:
        """Returns when each of these peers has attested everything that is committed now and may be there. Raises the
        error of the first one that can't, when the others are done."""
        await until_synced(self._home, {name: self._peers[name] for name in names}, tell)
