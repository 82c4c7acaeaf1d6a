"""One connection to a peer, from when it is proved to be that peer until it ends: the chain meets, logs are fed, the
peer is asked for its word and audited, and blocks that left this device are fetched.
"""

import secrets
from collections.abc import Callable
from typing import Final

import trio

from hyperfs.errors import NotHeld, Refused, Unreachable
from hyperfs.log.control import Chain
from hyperfs.log.log import Log
from hyperfs.log.receipt import CHALLENGE_BYTES
from hyperfs.replication.client import PeerClient
from hyperfs.replication.dialogue_bodies import Space
from hyperfs.replication.session import Exchanger
from hyperfs.syncing import chain_sync
from hyperfs.syncing.attested import RENEW_NS, Attested, Word
from hyperfs.syncing.attesting import AUDITED_BLOCKS, Attesting, Broken
from hyperfs.syncing.feeding import Feeding
from hyperfs.syncing.home import Home, log
from hyperfs.syncing.leading import Leading
from hyperfs.syncing.permits import Permits
from hyperfs.syncing.runs import Runs
from hyperfs.syncing.through import Through

LOOK_SECONDS: Final = 0.5
LEAST_SECONDS: Final = 5.0
"""Between two receipts for one log, where nobody waits for one."""
ASIDE_SECONDS: Final = 2.0
LATEST_SECONDS: Final = 60.0
"""So long a peer that has not caught up goes without being asked."""
AUDIT_SECONDS: Final = 3600.0
FEW_BLOCKS: Final = 4
"""In an audit of what has just come."""
SPACE_SECONDS: Final = 600.0
FRESH_SECONDS: Final = 30.0
"""A receipt of that age still counts as one for which was just asked."""


class Link:
    """Owned by the trio thread. `run` ends with the connection, or raises why it is of no use."""

    def __init__(
        self,
        home: Home,
        exchanger: Exchanger,
        client: PeerClient,
        attested: Attested,
        permits: Permits,
        lost: dict[int, Runs],
        newer_chain: Callable[[Chain], None],
    ) -> None:
        self._home = home
        self._exchanger = exchanger
        self.client = client
        self._attested = attested
        self._newer_chain = newer_chain
        self.feeding = Feeding(home, permits, exchanger)
        self.through = Through(home, self.feeding, exchanger)
        self.space: Space | None = None
        self._met: Chain | None = None
        self._began = trio.current_time()
        self._tried: dict[int, float] = {}
        self._weighed: dict[int, tuple[Runs, Word, bool]] = {}
        self._looked_through: dict[int, float] = {}
        self._asking = trio.Lock()
        self._good: set[int] = set()
        self.lost = lost
        """By log, the blocks that it had promised to keep and has not."""
        self.is_open = trio.Event()
        """The chains have met, and the logs' channels are being opened."""
        self._attesting = Attesting(
            client,
            home.volume.drive_id,
            client.session.remote_key,
            home.now_ns,
            home.pick,
            lambda: secrets.token_bytes(CHALLENGE_BYTES),
            self._fetch_of,
        )

    async def run(self) -> None:
        """Raises Broken, Contradiction, NotHeld, PlaceFull, ...: what the peer, or its word, is at fault with."""
        await self._meet()
        if self._home.is_out:
            return
        leading = Leading(self._home.leads, self.client.session, self._exchanger)
        try:
            self.feeding.begin(leading.begin())
            self.is_open.set()
            await self._go_on(leading)
        finally:
            leading.end()

    async def _go_on(self, leading: Leading) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leading.run, self.feeding.logs)
            nursery.start_soon(self.feeding.run)
            nursery.start_soon(self.through.run)
            nursery.start_soon(self._keep_chain)
            nursery.start_soon(self._keep_attested)
            nursery.start_soon(self._keep_space)
            await self.client.session.ended.wait()
            nursery.cancel_scope.cancel()

    # The chain

    async def _meet(self) -> None:
        ours = self._home.volume.parts.chain
        found = await chain_sync.meet(self.client, ours)
        self._met = ours
        if found is not ours:
            self._newer_chain(found)

    def meet_again(self) -> None:
        """The peer says that its chain has grown."""
        self._met = None

    async def _keep_chain(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            if self._home.volume.parts.chain is not self._met:
                await self._meet()

    # Its word

    async def _keep_attested(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            for number in list(self.feeding.logs):
                if self._home.volume.returning.waited_ago() < ASIDE_SECONDS and not self.feeding.urgent:
                    break  # who waits for blocks goes first
                if self._is_due(number):
                    await self.attest(number)

    def _is_due(self, number: int) -> bool:
        now = trio.current_time()
        since = now - self._tried.get(number, -LATEST_SECONDS)
        has = self.feeding.has(number)
        if not has or (since < LEAST_SECONDS and not self.feeding.urgent):
            return False
        word = self._attested.word(self.feeding.logs[number].log.discovery_key)
        if word is None or not word.audited_ns:
            return True
        looked = self._looked_through.get(number, self._began + LATEST_SECONDS - AUDIT_SECONDS)
        if self._home.now_ns() - word.issued_ns >= RENEW_NS or now - looked >= AUDIT_SECONDS:
            return True
        is_less = self._is_less(number, word, has)
        return is_less and (self.feeding.is_level(number) or since >= LATEST_SECONDS)

    def _is_less(self, number: int, word: Word, has: Runs) -> bool:
        """Whether there is more than it has given its word for."""
        shown = self.feeding.logs[number]
        if self._home.is_ours(number) and word.newest.length < shown.log.signed_length:
            return True
        weighed = self._weighed.get(number)
        if weighed is None or weighed[0] is not has or weighed[1] is not word:  # another look has another `has`
            weighed = self._weighed[number] = has, word, bool((has & shown.wanted) - word.runs)
        return weighed[2]

    async def attest(self, number: int) -> None:
        """Has the peer give its word for a log, and looks at it. Raises Broken, Contradiction, Unreachable, ..."""
        shown = self.feeding.logs[number]
        key = shown.log.discovery_key
        async with self._asking:
            self._tried[number] = trio.current_time()
            try:
                receipts = await self._attesting.receive(shown.log, self._home.is_ours(number))
                word = Word(receipts)
                await self._audit(number, shown.log, word)
            except NotHeld:
                raise
            except Refused as error:
                if type(error) is not Refused:
                    raise
                log.info("no receipt for log %d: %s", number, error)
                return
            self._note_lost(number, word)
            self._attested.keep(key, word._replace(audited_ns=self._home.now_ns()))
            self._good.add(number)
        self._home.tell_proven()

    def _note_lost(self, number: int, word: Word) -> None:
        """What it had given its word for and does not any more, though nobody let go of it."""
        shown = self.feeding.logs[number]
        before = self._attested.word(shown.log.discovery_key)
        lost = self.lost.get(number, Runs()) | (before.runs if before is not None else Runs())
        self.lost[number] = lost - word.runs - self._home.cleared(number)

    async def _audit(self, number: int, found: Log, word: Word) -> None:
        before = self._attested.word(found.discovery_key)
        runs = word.runs - self._home.cleared(number)
        now = trio.current_time()
        if before is not None and now - self._looked_through.get(number, now - AUDIT_SECONDS) < AUDIT_SECONDS:
            await self._attesting.audit(found, word.newest, runs - before.runs, FEW_BLOCKS)
            return
        await self._attesting.audit(found, word.newest, runs, AUDITED_BLOCKS)
        self._looked_through[number] = now

    async def confirm(self, number: int, first: int, end: int) -> bool:
        """Whether the peer says just now that it has these blocks, and a random one of them was found to be there."""
        shown = self.feeding.logs.get(number)
        if shown is None:
            return False
        key = shown.log.discovery_key
        word = self._attested.word(key)
        fresh_ns = self._home.now_ns() - int(FRESH_SECONDS * 1e9)
        if word is None or word.issued_ns < fresh_ns or not self._covers(key, first, end):
            await self.attest(number)
            word = self._attested.word(key)
        if word is None or not self._covers(key, first, end):
            return False
        await self._attesting.audit(shown.log, word.newest, Runs([(first, end)]), 1)
        return True

    def _covers(self, key: bytes, first: int, end: int) -> bool:
        return self._attested.runs(key, self._home.now_ns()).covers(first, end)

    # Blocks

    async def fetch(self, number: int, block: int) -> bytes:
        """A block's bytes, checked. Raises Unreachable, Broken."""
        await self.is_open.wait()
        shown = self.feeding.logs.get(number)
        if shown is None:
            raise Unreachable(f"log {number} is not exchanged with it")
        data = await self._home.take(number, block, await shown.bring(block))
        if data is None:
            raise Broken(f"it gives other bytes for block {block} of log {number} than were written")
        return data

    async def _fetch_of(self, found: Log, block: int) -> bytes:
        return await self.fetch(found.number, block)

    # Room

    async def look_at_space(self) -> None:
        self.space = await self.client.space(self._home.volume.drive_id)

    async def _keep_space(self) -> None:
        while True:
            await self.look_at_space()
            attested = self._home.proven
            with trio.move_on_after(SPACE_SECONDS):
                await attested.wait()
                await trio.sleep(LEAST_SECONDS)

    @property
    def was_good(self) -> bool:
        """Whether over this connection its word was found good for every log of which it has something."""
        return all(number in self._good for number in self.feeding.logs if self.feeding.has(number))

    @property
    def is_caught_up(self) -> bool:
        """By its word it has all that it may have."""
        return self.is_open.is_set() and all(self.feeding.is_level(number) for number in self.feeding.logs)
