"""A cloud peer on the wire: finds logs when they are asked for, answers `hyperfs/1`, tells whom it matters of changes.

The peer's files belong to one thread at a time: all that touches them goes through one limiter. The rest belongs to the
trio thread.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import trio

from hyperfs.errors import Contradiction, HyperfsError, NoSpace, Refused
from hyperfs.log import compact
from hyperfs.log.cleared import Range
from hyperfs.log.proof import TreeProof
from hyperfs.peer.desk import Desk, Visitor
from hyperfs.peer.facts import SHOWN, Event, PeerFacts, Traffic, events
from hyperfs.peer.lent import LentLog
from hyperfs.peer.looking import look
from hyperfs.peer.peer import Peer
from hyperfs.peer_server.dropper import Dropper
from hyperfs.peer_server.lent_logs import Lending, begin, had, is_within, lost, without
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.dialogue_codec import Method, Notice, Notified, Request, encode_words
from hyperfs.replication.one_session import Session
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.session import Exchanger, open_exchanger

SWEEP_SECONDS: Final = 3600.0
LOOK_SECONDS: Final = 30.0
"""Between looks at what is new to tell; and for so long a log that nobody exchanges stays open."""
DRAIN_SECONDS: Final = 20.0
"""For what has come to be made durable when it is to end."""
LEAVING: Final = "this peer is being stopped: come again later"
TAKEN_AWAY: Final = "its owner has taken this drive away from here"

_T = TypeVar("_T")


class PeerServer:
    """Made by open_server, in whose nursery it works."""

    def __init__(
        self, nursery: trio.Nursery, peer: Peer, desk: Desk, say: Callable[[Event], None], now_ns: Callable[[], int]
    ) -> None:
        self.exchanger: Exchanger
        self.limiter = trio.CapacityLimiter(1)
        self.facts = look(peer)
        """As of the last look."""
        self._nursery = nursery
        self._peer = peer
        self._desk = desk
        self._say = say
        self._now_ns = now_ns
        self._lendings: dict[bytes, Lending] = {}
        self._idle: set[bytes] = set()
        """Logs that nobody exchanged at the last look."""
        self._visitors: WeakKeyDictionary[Session, Visitor] = WeakKeyDictionary()
        self._users: WeakKeyDictionary[Replicating, WeakSet[Session]] = WeakKeyDictionary()

    @property
    def traffic(self) -> Traffic:
        found = self.exchanger
        return Traffic(
            len(found.sessions), found.half_open, found.traffic.received_bytes, found.traffic.sent_bytes
        )

    async def look(self) -> PeerFacts:
        """How the peer is now; what has happened since the last look is said."""
        before, self.facts = self.facts, await self._run(partial(look, self._peer))
        for event in events(before, self.facts):
            self._say(event)
        damaged = {drive.drive: drive.damaged for drive in before.drives}
        for drive in self.facts.drives:
            if drive.damaged > damaged.get(drive.drive, 0):
                await self._refresh(self._of(drive.drive))
        return self.facts

    async def sweep(self) -> None:
        """Let go of what was held long enough, and tell who exchanges it."""
        now_ns = self._now_ns()
        for drive, why in (await self._run(partial(self._peer.sweep, now_ns))).items():
            self._say(Event("error", "sweep failed", drive.hex()[:SHOWN], {"why": why}))
        try:
            await self._run(partial(self._desk.tidy, now_ns))
        except OSError as error:
            self._say(Event("error", "disk", "", {"why": str(error)}))
        await self._refresh(list(self._lendings.values()))

    async def drain(self) -> None:
        """Make durable what has come, say goodbye to all, and end their connections. Nobody may come in any more."""
        for log in [lending.log for lending in self._lendings.values()]:
            log.want(())  # what is on its way still comes
            log.tick()
            self.exchanger.touch(log)
        with trio.move_on_after(DRAIN_SECONDS):
            while any(lending.log.is_unsettled for lending in self._lendings.values()):
                await self.exchanger.changed.wait()
        for session in self.exchanger.sessions:
            session.part(Notice.LEAVING, encode_words(LEAVING))
        while self.exchanger.sessions:
            await self.exchanger.changed.wait()

    # What sessions ask

    async def find(self, session: Session, discovery_key: bytes) -> Replicating | None:
        try:
            found = await self._run(partial(self._lend, self._visitor(session), discovery_key))
        except (HyperfsError, OSError) as error:
            about = {"log": discovery_key.hex()[:SHOWN], "why": str(error)}
            self._say(Event("error", "log can't be opened", "", about))
            return None
        if found is None:
            return None
        held = self._lendings.get(discovery_key)
        if held is None or held.lent is not found.lent or not held.is_good:
            if held is not None:
                self._drop(held)
            self._lendings[discovery_key] = held = found
        self._users.setdefault(held.log, WeakSet()).add(session)
        return held.log

    def hear(self, session: Session, event: Request | Notified) -> None:
        if isinstance(event, Request):
            self._nursery.start_soon(self._answer, session, event)

    def _lend(self, visitor: Visitor, discovery_key: bytes) -> Lending | None:
        """In the peer's thread."""
        lent = self._desk.lend(visitor, discovery_key)
        if lent is None:
            return None
        held = self._lendings.get(discovery_key)
        if held is not None and held.lent is lent and held.is_good:
            return held
        return begin(self._peer.drives[lent.place.drive], lent)

    async def _answer(self, session: Session, request: Request) -> None:
        visitor = self._visitor(session)
        visitor.logs = frozenset(log.discovery_key for log, _ in session.exchanges)
        answer = partial(self._desk.answer, visitor, request.method, request.body, self._now_ns())
        reply = await self._run(answer)
        for event in reply.events:
            self._say(event)
        if visitor.is_trusted and not session.connection.is_in_use:
            self.exchanger.trust(session)
        session.answer(request.id, reply.status, reply.body)
        if reply.grown is not None:
            await self._grown(reply.grown, session)
        elif reply.gone is not None:
            self._gone(reply.gone)
        elif request.method == Method.AUDIT:
            await self.look()

    def _visitor(self, session: Session) -> Visitor:
        if session not in self._visitors:
            self._visitors[session] = Visitor(session.remote_key, session.handshake_hash)
        return self._visitors[session]

    # What has changed

    async def _grown(self, drive: bytes, by: Session) -> None:
        """The control chain of a drive: other logs, forks and clears may be in it, and other devices."""
        chain = self._peer.drives[drive].chain
        assert chain is not None
        body = drive + compact.uint(len(chain.records))
        mine = self._of(drive)
        for session in {session for lending in mine for session in self._users.get(lending.log, ())} - {by}:
            if await self._run(partial(self._is_welcome, session, mine)):
                session.notify(Notice.CHAIN, body)
            else:
                session.end(Refused("its device is not in the drive's roster any more"))
        await self._refresh(mine)
        await self.look()

    def _gone(self, drive: bytes, why: str = TAKEN_AWAY) -> None:
        for lending in self._of(drive):
            for session in list(self._users.pop(lending.log, ())):
                session.part(Notice.GONE, drive + encode_words(why), Refused(why))
            self._drop(lending)

    def _of(self, drive: bytes) -> list[Lending]:
        return [lending for lending in self._lendings.values() if lending.drive.id == drive]

    def _is_welcome(self, session: Session, lendings: Iterable[Lending]) -> bool:
        """In the peer's thread: whether a session may still have all the logs that it has."""
        mine = [lending for lending in lendings if any(log is lending.log for log, _ in session.exchanges)]
        return all(self._desk.lend(self._visitor(session), found.log.discovery_key) is not None for found in mine)

    async def _refresh(self, lendings: Iterable[Lending]) -> None:
        """Tell who exchanges these logs what of them is gone; begin anew where a block was lost or the fork is old."""
        for lending in lendings:
            before = had(lending.log.have)
            try:
                now, unwanted, is_current = await self._run(partial(_look_at, lending))
            except (HyperfsError, OSError) as error:
                self._say(Event("error", "disk", lending.drive.id.hex()[:SHOWN], {"why": str(error)}))
                continue
            gone = list(lost(before, now))
            if not is_current or not is_within(gone, unwanted):
                await self._renew(lending)
                continue
            for start, end in gone:
                lending.log.cleared(start, end)
            lending.log.want(without(unwanted))
            self.exchanger.touch(lending.log)

    async def _renew(self, lending: Lending) -> None:
        """Exchange the log as it is now instead of as it was, with the same sessions. What is being done with it comes
        to its end first: else who has brought what failed would not hear of it."""
        while lending.log.is_worked_on:
            await self.exchanger.changed.wait()
        if lending.log.error is not None:
            return  # `_fail` tells, and drops it
        users = list(self._users.pop(lending.log, ()))
        self._drop(lending)
        for session in users:
            if not session.ended.is_set():
                log = await self.find(session, lending.log.discovery_key)
                if log is not None:
                    self.exchanger.share(session, log)

    def _drop(self, lending: Lending) -> None:
        if self.exchanger.has(lending.log):
            self.exchanger.remove(lending.log)
        key = lending.log.discovery_key
        if self._lendings.get(key) is lending:
            del self._lendings[key]

    # What goes on by itself

    async def watch(self) -> None:
        """Evidence that sessions bring, logs whose files have failed, and what there is to tell."""
        next_look = trio.current_time() + LOOK_SECONDS
        while True:
            with trio.move_on_at(next_look):
                await self.exchanger.changed.wait()
            for lending in list(self._lendings.values()):
                while lending.log.contradictions:
                    await self._witness(lending, lending.log.contradictions.popleft())
                if lending.log.error is not None:
                    self._fail(lending, lending.log.error)
                elif not lending.is_good:
                    await self._renew(lending)
            if trio.current_time() >= next_look:
                next_look = trio.current_time() + LOOK_SECONDS
                await self._rest()
                await self.look()

    async def sweep_hourly(self) -> None:
        while True:
            await self.sweep()
            await trio.sleep(SWEEP_SECONDS)

    async def _witness(self, lending: Lending, proof: TreeProof) -> None:
        try:
            await self._run(partial(lending.drive.witness, lending.log.discovery_key, proof))
        except Contradiction as error:
            self._say(Event("error", "contradiction", lending.drive.id.hex()[:SHOWN], {"what": str(error)}))
            await self.look()
        except (HyperfsError, OSError) as error:
            self._say(Event("warning", "a peer's claim", lending.drive.id.hex()[:SHOWN], {"why": str(error)}))

    def _fail(self, lending: Lending, error: OSError | NoSpace) -> None:
        """Its files have failed, or the disk is full. Who comes again gets it as the disk has it."""
        self._say(Event("error", "disk", lending.drive.id.hex()[:SHOWN], {"why": str(error)}))
        told = error if isinstance(error, NoSpace) else Refused(f"this peer's disk fails: {error.strerror or error}")
        for session in list(self._users.pop(lending.log, ())):
            session.dismiss(lending.log.discovery_key, told)
        self._drop(lending)

    async def _rest(self) -> None:
        """Close what nobody exchanges."""
        idle = {key for key, lending in self._lendings.items() if not lending.log.exchanges}
        resting = [self._lendings[key] for key in idle & self._idle if not self._lendings[key].log.is_unsettled]
        self._idle = idle
        for lending in resting:
            self._drop(lending)
            await self._run(partial(_close, lending.lent))

    async def _run(self, work: Callable[[], _T]) -> _T:
        """In the one thread that may touch the peer's files now."""
        return await trio.to_thread.run_sync(work, limiter=self.limiter)


def _close(lent: LentLog) -> None:
    """In the peer's thread. Not where somebody has taken it up again."""
    if not lent.is_unsynced:
        lent.close()


def _look_at(lending: Lending) -> tuple[tuple[Range, ...], tuple[Range, ...], bool]:
    """In the peer's thread: (what is here, what was cleared, whether its fork is the newest)."""
    drive, lent = lending.drive, lending.lent
    return tuple(lent.ranges()), drive.unwanted(lent), drive.is_current(lent.place)


@asynccontextmanager
async def open_server(
    peer: Peer,
    seed: bytes,
    say: Callable[[Event], None],
    default_quota_bytes: int | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> AsyncIterator[PeerServer]:
    """`seed` is that of the peer's key: see identity.seed_of. Listeners are served with `exchanger.serve`. Leaving it
    ends all connections; what was acknowledged is safe."""
    async with trio.open_nursery() as nursery:
        server = PeerServer(nursery, peer, Desk(peer, default_quota_bytes), say, now_ns)
        key_pair = CurveKeyPair.from_seed(seed)
        async with open_exchanger(key_pair, server.find, server.hear, server.limiter) as exchanger:
            server.exchanger = exchanger
            nursery.start_soon(server.watch)
            nursery.start_soon(server.sweep_hourly)
            nursery.start_soon(Dropper(peer, server._run, server._gone, say).keep_looking)
            yield server
            nursery.cancel_scope.cancel()
