"""A drive that is open by a link: connected to a peer that has it, it follows what the owner does, and has blocks
brought that are read.

Nothing that a peer says is believed: the control chain goes on from the one that is here, heads are signed by the logs
that it names, and each log goes on from what was seen of it. What a peer hides, nobody can tell who asks it alone; but
it can't go back.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import trio

from hyperfs.cloning import asking
from hyperfs.cloning.asking import MOST_CHAIN_RECORDS
from hyperfs.errors import Corrupt, HyperfsError, Misbehaved, Unreachable, innermost
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import decode_records
from hyperfs.policy.placement import Strength
from hyperfs.replication.address import Address
from hyperfs.replication.client import PeerClient
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.dialogue_codec import Notice, Notified, Request
from hyperfs.replication.one_session import Session
from hyperfs.replication.session import Exchanger, open_exchanger
from hyperfs.sharing.knocking import let_in
from hyperfs.sharing.link import Link
from hyperfs.sharing.store import compare, opening_of
from hyperfs.syncing import chain_sync
from hyperfs.syncing.backoff import wait_after
from hyperfs.syncing.following import Following, Show
from hyperfs.values import BlockRef
from hyperfs.volume import by_link, chains
from hyperfs.volume.elsewhere import Wish
from hyperfs.volume.volume import Volume

FETCH_SECONDS: Final = 12.0
MOST_WAIT_SECONDS: Final = 30.0
"""Between two attempts to reach a peer."""
LOOK_SECONDS: Final = 0.05
PEER: Final = "link-peer"
HISTORY: Final = "link-history"

log = logging.getLogger("hyperfs.sharing")


class Reader:
    """`Elsewhere` for its volume. Owned by the trio thread; `run` must be running. `show`: has the kernel ask again.

    `is_live`: newer versions take the place of what is shown.
    """

    places: frozenset[str] = frozenset()

    def __init__(self, volume: Volume, link: Link, show: Show, is_live: bool = True) -> None:
        self._volume = volume
        self._opening = opening_of(link)
        self.following = Following(volume, show, from_start=True)
        self.following.shows = is_live
        self._key_pair = CurveKeyPair(volume.parts.transport.secret())
        self._moved = trio.Event()
        self._chain_grew = False
        self._was_good = False  # the last connection was, to begin with
        self.connected_to: Address | None = None
        """Where the peer is that is followed now."""
        self.trouble: str | None = None
        """Why none is."""

    # Following

    async def run(self) -> None:
        """Until it is cancelled."""
        failures = 0
        while True:
            for address in self._opening.addresses:
                error = await self._follow(address)
                self._note(address, error)
                failures = 0 if self._was_good else failures + 1
            await trio.sleep(min(MOST_WAIT_SECONDS, wait_after(max(1, failures), secrets.randbelow)))

    async def _follow(self, address: Address) -> Exception:
        """One connection to its end, and why it ended."""
        self._was_good = False
        session: Session | None = None
        error: Exception
        try:
            async with open_exchanger(self._key_pair, hear=self._hear) as exchanger:
                client = await asking.dial(exchanger, address)
                session = client.session
                await self._talk(exchanger, client, address)
                error = session.error or Unreachable("the connection has ended")
        except* Exception as group:  # whatever it is must not end the mount
            error = innermost(group)
            if not isinstance(error, HyperfsError | OSError):
                log.error("following the drive failed", exc_info=error)
        finally:
            self.following.end()
            self.connected_to = None
        if session is not None and isinstance(session.error, Corrupt):
            error = session.error
        return error

    async def _talk(self, exchanger: Exchanger, client: PeerClient, address: Address) -> None:
        self.following.begin(exchanger)
        exchanger.offer(client.session)
        await let_in(exchanger, client, self.following.logs[self._number_of(self._opening.log)])
        await self._check_heads(client, await self._meet(client))
        self.connected_to, self._was_good = address, True
        self._volume.warnings.pop(PEER, None)
        self._volume.warnings.pop(HISTORY, None)
        self._tell()
        while not client.session.ended.is_set():
            changed = exchanger.changed
            if self._chain_grew:
                await self._meet(client)
            self._tell()
            await self.following.turn()
            await changed.wait()
            await trio.sleep(LOOK_SECONDS)

    def _number_of(self, public_key: bytes) -> int:
        return next(n for n, entry in self._volume.parts.chain.logs.items() if entry.public_key == public_key)

    def _hear(self, session: Session, said: Request | Notified) -> None:
        if isinstance(said, Notified) and said.kind == Notice.CHAIN:
            self._chain_grew = True

    async def _meet(self, client: PeerClient) -> Chain:
        """The peer's control chain, which must go on from the one that is here; it is taken in."""
        self._chain_grew = False
        parts = self._volume.parts
        here = parts.chain
        total, last = await client.chain(here.drive_id, len(here.records) - 1)
        if total > MOST_CHAIN_RECORDS:
            raise Corrupt("the peer gives a control chain without an end")
        if total < len(here.records):
            raise Unreachable("the peer has an older state of the drive than was seen before: it lost it, or hides it")
        if decode_records(last)[:1] != [here.records[-1]]:
            raise Corrupt("its control chain is not the one that was seen before")
        found = await chain_sync.longer(client, here)
        if found is here:
            return here
        chains.take_newer(self._volume, found)
        self.following.look_at_chain()
        keys = parts.link_keys
        assert keys is not None
        if by_link.has_ended(found, keys):
            self._volume.warnings[by_link.WARNING] = by_link.ENDED
            log.warning("%s", by_link.ENDED)
        return found

    async def _check_heads(self, client: PeerClient, chain: Chain) -> None:
        """That the peer is not behind what was seen."""
        heads = await asking.heads_of(client, chain)
        for number, growing in self.following.all_growing.items():
            here, there = growing.head(), heads.get(number)
            if here is None or not here.length:
                continue
            if there is None or there.length < here.length:
                raise Unreachable(
                    f"the peer shows an older state of the drive than was seen before (log {number}): what is shown "
                    "here stays, and nothing newer comes from there"
                )
            if there.length == here.length and there.tree_hash != here.tree_hash:
                raise Corrupt(f"the peer shows another history of log {number} than was seen: its owner signed two")
        found = self.following.all_growing[self._number_of(self._opening.log)].log
        await trio.to_thread.run_sync(compare, found, self._opening.seen)

    def _note(self, address: Address, error: Exception) -> None:
        if isinstance(error, Corrupt):
            words = f"the peer shows another history of the drive than was seen before, or lies: {error}"
        elif isinstance(error, Misbehaved):
            words = f"the peer at {address.endpoint} is not who it should be, or breaks the rules: {error}"
        else:
            words = str(error)
        self.trouble = f"{words} ({address.endpoint})"
        kind = HISTORY if isinstance(error, Corrupt) else PEER
        self._volume.warnings[kind] = f"the drive is not followed at the moment: {self.trouble}"
        log.warning("%s", self.trouble)

    def _tell(self) -> None:
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    # Elsewhere

    async def fetch(self, blocks: Sequence[BlockRef]) -> Mapping[BlockRef, bytes]:
        found: dict[BlockRef, bytes] = {}
        failed: list[Unreachable] = []

        async def bring(ref: BlockRef) -> None:
            try:
                found[ref] = await self._fetch_one(ref)
            except Unreachable as error:
                failed.append(error)
                nursery.cancel_scope.cancel()

        with trio.move_on_after(FETCH_SECONDS):
            async with trio.open_nursery() as nursery:
                for ref in blocks:
                    nursery.start_soon(bring, ref)
            if failed:
                raise failed[0]
            return found
        raise Unreachable(self.trouble or f"the drive's peer gave no block within {FETCH_SECONDS:.0f} s")

    async def _fetch_one(self, ref: BlockRef) -> bytes:
        """Waits for a connection, and for another where that one ends. Raises Unreachable where the peer has no such
        block, or other bytes than were signed."""
        while True:
            while self.connected_to is None or ref.log not in self.following.logs:
                await self._moved.wait()
            try:
                proof = await self.following.logs[ref.log].bring(ref.index)
                return await trio.to_thread.run_sync(self.following.all_growing[ref.log].take, proof)
            except (Unreachable, Corrupt) as error:
                await trio.sleep(LOOK_SECONDS)
                if self.connected_to is not None:
                    what = f"the drive's peer did not give block {ref.index} of log {ref.log}"
                    raise Unreachable(f"{what} as it was signed: {error}") from None

    def proven(self, log_number: int, first: int, end: int) -> frozenset[str]:
        return frozenset()

    async def confirm(self, log_number: int, first: int, end: int) -> frozenset[str]:
        return frozenset()

    def want(self, wishes: Sequence[Wish]) -> None:
        """A reader brings nothing anywhere."""

    def kept_bytes(self, log: int, first: int, end: int) -> Mapping[str, int]:
        return {}

    def storage_classes(self, strength: Strength) -> Mapping[str, str]:
        return {}

    async def changed(self) -> None:
        await trio.sleep_forever()
