"""A drive that is open by a link: connected to a peer that has it, it follows what the owner does, and has blocks
brought that are read.

Nothing that a peer says is believed: the control chain goes on from the one that is here, heads are signed by the logs
that it names, and each log goes on from what was seen of it. What a peer hides, nobody can tell who asks it alone; but
it can't go back.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import trio

from hyperfs.cloning import asking
from hyperfs.cloning.asking import MOST_CHAIN_RECORDS
from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import Corrupt, HyperfsError, Misbehaved, NotResident, Unreachable
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import decode_records
from hyperfs.log.sparse import SparseLog
from hyperfs.policy.placement import Strength
from hyperfs.replication.address import Address
from hyperfs.replication.client import PeerClient
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.dialogue_codec import Notice, Notified, Request
from hyperfs.replication.one_session import Session
from hyperfs.replication.session import Exchanger, open_exchanger
from hyperfs.sharing.growing import Growing
from hyperfs.sharing.knocking import let_in
from hyperfs.sharing.link import Link
from hyperfs.sharing.store import compare, opening_of
from hyperfs.syncing import chain_sync
from hyperfs.syncing.backoff import wait_after
from hyperfs.syncing.shown_log import ShownLog
from hyperfs.values import BlockRef
from hyperfs.volume import by_link, chains
from hyperfs.volume.advancing import Advanced, advance
from hyperfs.volume.cloning import wanted_of
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.elsewhere import Wish
from hyperfs.volume.residence import Run
from hyperfs.volume.volume import Volume

FETCH_SECONDS: Final = 12.0
MOST_WAIT_SECONDS: Final = 30.0
"""Between two attempts to reach a peer."""
LOOK_SECONDS: Final = 0.05
PEER: Final = "link-peer"
HISTORY: Final = "link-history"

log = logging.getLogger("hyperfs.sharing")

Show = Callable[[Advanced], Awaitable[None]]


class Reader:
    """`Elsewhere` for its volume. Owned by the trio thread; `run` must be running. `show`: has the kernel ask again.

    `is_live`: newer versions take the place of what is shown.
    """

    places: frozenset[str] = frozenset()

    def __init__(self, volume: Volume, link: Link, show: Show, is_live: bool = True) -> None:
        self._volume = volume
        self._opening = opening_of(link)
        self._show = show
        self._is_live = is_live
        self._key_pair = CurveKeyPair(volume.parts.transport.secret())
        parts = volume.parts
        self._growing = {
            number: Growing(
                parts.disk,
                log_folder(entry),
                _sparse(parts.logs[number]),
                wanted_of(parts.chain, number) if entry.kind == LOG_METADATA else [],
            )
            for number, entry in parts.chain.logs.items()
        }
        self._marked = {number: found.log.signed_length for number, found in self._growing.items()}
        self._logs: dict[int, ShownLog] = {}
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
            error = _first(group)
            if not isinstance(error, HyperfsError | OSError):
                log.error("following the drive failed", exc_info=error)
        finally:
            self._logs = {}
            self.connected_to = None
        if session is not None and isinstance(session.error, Corrupt):
            error = session.error
        return error

    async def _talk(self, exchanger: Exchanger, client: PeerClient, address: Address) -> None:
        for number, growing in self._growing.items():
            is_metadata = bool(growing.wanted)
            shown = ShownLog(growing.log, is_metadata, exchanger.touch, growing)
            shown.want(growing.wanted)
            self._logs[number] = shown
            exchanger.add(shown)
        exchanger.offer(client.session)
        await let_in(exchanger, client, self._logs[self._number_of(self._opening.log)])
        await self._check_heads(client, await self._meet(client))
        self.connected_to, self._was_good = address, True
        self._volume.warnings.pop(PEER, None)
        self._volume.warnings.pop(HISTORY, None)
        self._tell()
        while not client.session.ended.is_set():
            changed = exchanger.changed
            if self._chain_grew:
                await self._meet(client)
            for shown in self._logs.values():
                if shown.error is not None:
                    raise shown.error
            self._mark()
            self._tell()
            await self._advance()
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
        await trio.to_thread.run_sync(chains.put_chain, parts.disk, found)
        if set(found.logs) <= set(parts.logs):
            parts.chain = found
        for number, growing in self._growing.items():
            if growing.wanted:  # what was cleared since never comes
                growing.wanted = wanted_of(found, number)
                self._logs[number].want(growing.wanted)
        self._say_what_changed(found)
        return found

    def _say_what_changed(self, chain: Chain) -> None:
        warnings, keys = self._volume.warnings, self._volume.parts.link_keys
        assert keys is not None
        if by_link.has_ended(chain, keys):
            warnings[by_link.WARNING] = by_link.ENDED
            log.warning("%s", by_link.ENDED)
        elif chain is not self._volume.parts.chain:
            warnings[by_link.WARNING] = (
                "another device writes to the drive now: unmount it and mount the link again to follow that one"
            )

    async def _check_heads(self, client: PeerClient, chain: Chain) -> None:
        """That the peer is not behind what was seen."""
        heads = await asking.heads_of(client, chain)
        for number, growing in self._growing.items():
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
        found = self._growing[self._number_of(self._opening.log)].log
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

    # What came

    def _mark(self) -> None:
        """New blocks of content are elsewhere."""
        for number, growing in self._growing.items():
            length, before = growing.log.signed_length, self._marked[number]
            if length > before:
                self._marked[number] = length
                if not growing.wanted:
                    self._volume.parts.residence.grown(Run(number, before, length))

    def _is_whole(self) -> bool:
        """Whether of all logs of names everything is here that was not cleared."""
        return all(not found.wanted or self._logs[number].is_whole for number, found in self._growing.items())

    async def _advance(self) -> None:
        if not self._is_live or not self._is_whole():
            return
        try:
            found = advance(self._volume)
        except NotResident as absent:
            log.info("a version waits for blocks: %s", absent)
            return
        if found is not None:
            log.info("version %d", found.version)
            await self._show(found)

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
            while self.connected_to is None or ref.log not in self._logs:
                await self._moved.wait()
            try:
                proof = await self._logs[ref.log].bring(ref.index)
                return await trio.to_thread.run_sync(self._growing[ref.log].take, proof)
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

    def storage_classes(self, strength: Strength) -> Mapping[str, str]:
        return {}

    async def changed(self) -> None:
        await trio.sleep_forever()


def _sparse(found: object) -> SparseLog:
    assert isinstance(found, SparseLog)
    return found


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error: Exception | BaseExceptionGroup[Exception] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
