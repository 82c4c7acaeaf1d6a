"""One peer of the drive: connecting to it, again and again, and what is known of it meanwhile."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from hyperfs.errors import Corrupt, HyperfsError, Unreachable, innermost
from hyperfs.log.control import Chain
from hyperfs.replication.client import PeerClient
from hyperfs.replication.dialogue_bodies import Space
from hyperfs.replication.dialogue_codec import Notice, Notified
from hyperfs.replication.one_session import Session
from hyperfs.syncing import peer_warnings
from hyperfs.syncing.attested import Attested
from hyperfs.syncing.backoff import GOOD_BYTES, GOOD_SECONDS, wait_after
from hyperfs.syncing.dialling import connected
from hyperfs.syncing.feeding import Lag
from hyperfs.syncing.home import Home, log
from hyperfs.syncing.link import Link
from hyperfs.syncing.permits import Permits
from hyperfs.syncing.portion import Portion
from hyperfs.syncing.runs import NONE, Runs
from hyperfs.syncing.settings import Known
from hyperfs.syncing.stranded import Stranding
from hyperfs.syncing.trouble import Kind, Trouble, trouble_of
from hyperfs.syncing.troubles import Troubles

LOOK_SECONDS: Final = 0.25
STUCK_SECONDS: Final = 60.0
"""A peer that takes nothing of what it was shown for so long is connected anew: it may have been refused once."""
SPACE_SECONDS: Final = 2.0
STANDS_SECONDS: Final = 300.0
"""A trouble that needs a person is looked at again after so long, and not sooner."""


class SyncedPeer:
    """Owned by the trio thread; `run` must be running while anything is asked of it."""

    def __init__(self, home: Home, known: Known, newer_chain: Callable[["SyncedPeer", Chain], None]) -> None:
        self.known = known
        self._home = home
        self._newer_chain = newer_chain
        self.attested = Attested(home.volume.parts.catalog, known.name, known.address.key, home.volume.drive_id)
        self.attested.load([found.discovery_key for _, found in home.logs()], home.now_ns())
        self.portion = Portion(home, Permits(home.volume, known.name), self.attested)
        self.link: Link | None = None
        self._troubles = Troubles(home, known.name, self.attested)
        self._lost: dict[int, Runs] = {}
        self._stranding = Stranding(home, known.name)
        self._failures = 0
        self.attempts = 0
        """How often it was tried to connect, and failed."""
        self._hurry = trio.Event()
        self._moved = trio.Event()
        self.since: float | None = None
        """Trio time since which it has been behind."""
        self._urgent = 0
        self._wanting = 0
        self.sent_bytes = self.received_bytes = 0
        self.space: Space | None = None

    @property
    def name(self) -> str:
        return self.known.name

    @property
    def is_connected(self) -> bool:
        return self.link is not None and self.link.is_open.is_set()

    # Connecting

    async def run(self, background: bool = True, at_once: bool = False) -> None:
        """Until it is cancelled. Without `background` it connects when somebody wants something of it, and `at_once` a
        first time before that."""
        while True:
            while not (background or self._wanting or at_once):
                await self._hurried()
            at_once = False
            began, moved = trio.current_time(), self.sent_bytes + self.received_bytes
            self._hurry = trio.Event()
            trouble = await self._talk()
            moved = self.sent_bytes + self.received_bytes - moved
            if trio.current_time() - began >= GOOD_SECONDS or moved >= GOOD_BYTES:
                self._failures = 0
            self._failures += 1
            self._note(trouble)
            if trouble.kind is Kind.NOT_HELD:
                await self._stranding.look()
            with trio.move_on_after(self._wait(trouble)):
                await self._hurry.wait()

    def _wait(self, trouble: Trouble) -> float:
        wait = wait_after(self._failures, self._home.pick)
        return max(wait, STANDS_SECONDS) if trouble.stands else wait

    async def _hurried(self) -> None:
        await self._hurry.wait()
        self._hurry = trio.Event()

    async def _talk(self) -> Trouble:
        """One connection, to its end, and why it ended."""
        session: Session | None = None
        error: Exception
        self._troubles.connecting()
        try:
            async with connected(self._home, self.known, self._hear) as (exchanger, session):
                self.link = Link(
                    self._home,
                    exchanger,
                    PeerClient(session),
                    self.attested,
                    self.portion.permits,
                    self._lost,
                    lambda chain: self._newer_chain(self, chain),
                )
                self.link.feeding.urgent = self._urgent
                self._tell()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._note_standing, self.link)
                    await self.link.run()
                    nursery.cancel_scope.cancel()
            error = session.error or Unreachable("the connection has ended")
        except* Exception as group:  # noqa: BLE001  # whatever it is must not end the drive
            error = innermost(group)
        finally:
            if session is not None:
                self.sent_bytes += session.sent_bytes
                self.received_bytes += session.received_bytes
            self.link = None
            self._tell()
        return self._troubles.judged(error)

    async def _note_standing(self, link: Link) -> None:
        await link.is_open.wait()
        self._troubles.works()
        while True:
            if link.is_caught_up:
                self.since = None
                self._failures = 0
                if self.trouble is not None and link.was_good:
                    self._troubles.clear()
            elif self.since is None:
                self.since = trio.current_time()
            if link.space is not None:
                self.space = link.space
            peer_warnings.tell_lost(self._home, self.name, link)
            peer_warnings.tell_damage(self._home, self.name, link)
            peer_warnings.tell_away(self._home, self.name, link)
            self._stranding.look_again()
            if link.feeding.stuck_seconds() >= STUCK_SECONDS:
                log.warning("the peer %s does not take what it was shown: it is connected anew", self.name)
                link.client.session.close()
            self._tell()
            await trio.sleep(LOOK_SECONDS)

    def _hear(self, said: Notified) -> None:
        if said.kind == Notice.CHAIN and self.link is not None:
            self.link.meet_again()
        self._troubles.hear(said)

    @property
    def trouble(self) -> Trouble | None:
        return self._troubles.now

    def _note(self, trouble: Trouble) -> None:
        """Why the connection ended, or did not come about."""
        self.attempts += 1
        self._troubles.note(trouble)
        self._tell()

    def leave(self) -> None:
        """It is no peer of ours any more."""
        self.attested.forget_all()
        peer_warnings.forget(self._home, self.name)

    def hurry(self) -> None:
        """It is worth trying now: somebody waits, or the surroundings have changed."""
        self._hurry.set()

    def reconnect(self) -> None:
        """The connection is most likely dead."""
        self._failures = 0
        if self.link is not None:
            self.link.client.session.close()
        self.hurry()

    def _tell(self) -> None:
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    async def moved(self) -> None:
        """Returns when something about it has changed."""
        await self._moved.wait()

    @asynccontextmanager
    async def wanted(self, urgent: bool = False) -> AsyncIterator[None]:
        """Inside the block it is kept connected; `urgent`: whatever that costs."""
        self._wanting += 1
        self._urgent += urgent
        self._note_urgent()
        if self.link is None:
            self.hurry()
        try:
            yield
        finally:
            self._wanting -= 1
            self._urgent -= urgent
            self._note_urgent()

    def _note_urgent(self) -> None:
        if self.link is not None:
            self.link.feeding.urgent = self._urgent

    # What it has

    def proven(self, number: int) -> Runs:
        """The blocks of a log for which there is a proof now."""
        is_believed = self.trouble is None or self.trouble.kind not in (Kind.LIES, Kind.APART)
        return self.portion.promised(number) if is_believed else NONE

    def may_have(self, number: int, block: int) -> bool:
        """Whether it says, or has said, that it has a block."""
        if self.link is not None and (shown := self.link.feeding.logs.get(number)) is not None and shown.knows_remote:
            return block in shown.remote_has
        return block in self.proven(number)

    async def fetch(self, number: int, block: int) -> bytes:
        """A block's bytes, checked; waits for a connection, if one comes about at once. Raises Unreachable; the caller
        has a deadline."""
        attempts = self.attempts
        async with self.wanted():
            while (link := self.link) is None:
                if self.attempts > attempts and self.trouble is not None:
                    raise Unreachable(self.trouble.words(self.name))
                await self.moved()
            try:
                return await link.fetch(number, block)
            except Corrupt as error:
                self._note(trouble_of(error))
                link.client.session.close()
                raise Unreachable(self._words(error)) from None
            except Unreachable as error:
                raise Unreachable(self._words(error)) from None

    def _words(self, error: Exception) -> str:
        return f"the peer {self.name}: {error}"

    async def confirm(self, number: int, first: int, end: int) -> bool:
        """Whether it has these blocks, asked just now."""
        link = self.link
        if link is None or not link.is_open.is_set():
            return False
        try:
            return await link.confirm(number, first, end)
        except (HyperfsError, OSError) as error:
            found = trouble_of(error)
            if found.is_loud:
                self._note(found)
                link.client.session.close()
            return False

    # What is told of it

    async def refresh(self) -> None:
        await self.portion.permits.refresh()

    async def look_at_space(self) -> None:
        """How much of it is there, if it answers soon."""
        if self.link is not None and self.link.is_open.is_set():
            with trio.move_on_after(SPACE_SECONDS), suppress(HyperfsError):
                await self.link.look_at_space()
                self.space = self.link.space

    @property
    def waits_for_survey(self) -> bool:
        return self.portion.permits.waits_for_survey

    def lag(self) -> Lag:
        """By its word, or as it last gave its word."""
        return self.portion.lag(self.link.feeding.lags if self.link is not None else {})
