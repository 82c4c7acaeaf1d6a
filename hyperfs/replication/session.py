"""Connections in trio: the one module of the wire that has sockets, a clock and randomness.

An Exchanger has the logs and the connections of a process. Each connection has a task that reads and one that writes;
each log one that works on its files, in a worker thread. All state is the trio thread's.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from hyperfs.errors import Misbehaved, NoSpace, Unreachable
from hyperfs.replication import connection, dialogue
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.dialogue import Answered, Dialogue
from hyperfs.replication.dialogue_codec import Notified, Request, Status, encode_words
from hyperfs.replication.exchange import Exchange
from hyperfs.replication.half_open import HalfOpen, network_of
from hyperfs.replication.one_session import FAULTS, Session, Traffic
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.secret_stream import HEADER_BYTES, Connected, SecretStream

ANSWER_SECONDS: Final = 15.0
"""Who owes answers and sends none for so long, or twice that, is not waited for: others are asked."""

Find = Callable[[Session, bytes], Awaitable[Replicating | None]]
"""(whose session, discovery key) -> the log, if it is here and that side may have it."""
Hear = Callable[[Session, Request | Notified], None]
"""What the other side says in `hyperfs/1`. Each request is to be answered with Session.answer."""


class Exchanger:
    """Logs, exchanged over any number of connections. Open it with `open_exchanger`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        key_pair: CurveKeyPair,
        find: Find | None = None,
        hear: Hear | None = None,
        limiter: trio.CapacityLimiter | None = None,
    ) -> None:
        self._nursery = nursery
        self._key_pair = key_pair
        self._find = find
        self._hear = hear
        self._limiter = limiter
        self._logs: dict[bytes, Replicating] = {}
        self._found: set[bytes] = set()
        """Those of `_logs` that `find` gave: another session gets them only from `find` again."""
        self._wake: dict[Replicating, trio.Event] = {}
        self._sessions: list[Session] = []
        self._by_exchange: dict[Exchange, Session] = {}
        self._half_open = HalfOpen()
        self.traffic = Traffic()
        self.changed = trio.Event()
        """Set, and replaced, when any log or connection has moved."""

    @property
    def half_open(self) -> int:
        """Connections on which nothing is exchanged yet."""
        return self._half_open.total

    def add(self, log: Replicating) -> None:
        """Exchange this log over all connections, those to come included, that offer logs or are asked for it."""
        self._adopt(log)
        for session in [session for session in self._sessions if session.offers]:
            self._share(session, log)

    def offer(self, session: Session) -> None:
        """From now on name the logs that are here to that side, those too that it has refused."""
        session.offers = True
        for log in list(self._logs.values()):
            self._share(session, log)

    def remove(self, log: Replicating) -> None:
        """Exchange it no more. Work on its files that has begun is still brought to its end."""
        del self._logs[log.discovery_key]
        self._found.discard(log.discovery_key)
        self._wake.pop(log).set()
        for session in self._sessions:
            session.connection.unshare(log)
            for found in [found for found in session.exchanges if found[0] is log]:
                session.exchanges.remove(found)
                del self._by_exchange[found[1]]
                log.leave(found[1])
            session.collect()
        self._change()

    def touch(self, log: Replicating) -> None:
        """Call after any change of a log from outside: what it has to say is sent, what it wants is asked for."""
        if log in self._wake:
            self._wake[log].set()
            self._tell(log)

    def share(self, session: Session, log: Replicating) -> None:
        """Name this log, which only some may have, to that side."""
        if log.discovery_key not in self._logs:
            self._adopt(log)
            self._found.add(log.discovery_key)
        self._share(session, log)

    def has(self, log: Replicating) -> bool:
        """Whether it is exchanged: not one whose files failed."""
        return log in self._wake

    @property
    def sessions(self) -> tuple[Session, ...]:
        return tuple(self._sessions)

    def trust(self, session: Session) -> None:
        """That side has shown who it is: its connection is in use though no log is exchanged."""
        session.connection.trust()
        self._change()

    async def connect(self, stream: trio.abc.Stream, key: bytes, *, offers: bool = False) -> Session:
        """To a peer of which the key is known; the session, when the handshake is done. It goes on in the background.

        Unreachable where the other side hangs up, Misbehaved where it is another one. `offers`: see run, and `offer`.
        """
        session = self._begin(stream, is_initiator=True, offers=offers, address="", expected_key=key)
        self._nursery.start_soon(self._drive, session)
        try:
            while not (session.ready.is_set() or session.ended.is_set()):
                await self.changed.wait()
        except BaseException:
            session.close()
            raise
        if not session.ready.is_set():
            raise session.error or Unreachable("the other side hangs up: it is no peer, or takes in nobody now")
        return session

    async def serve(self, listener: trio.SocketListener) -> None:
        """Take in connections until cancelled; those that are there then go on. Who has too many half-open ones is hung
        up on."""

        async def serve_one(stream: trio.SocketStream) -> None:
            try:
                address = network_of(str(stream.socket.getpeername()[0]))
            except OSError:  # gone already
                await trio.aclose_forcefully(stream)
                return
            if not self._half_open.may_begin(address):
                await trio.aclose_forcefully(stream)
                return
            if self._half_open.is_full:
                self._make_room()
            await self.run(stream, is_initiator=False, offers=False, address=address)

        await trio.serve_listeners(serve_one, [listener], handler_nursery=self._nursery)

    def _make_room(self) -> None:
        oldest = next((session for session in self._sessions if session.is_half_open), None)
        if oldest is not None:
            oldest.is_half_open = False
            oldest.end(Misbehaved("nothing was exchanged, and others wait"))

    async def run(
        self, stream: trio.abc.Stream, *, is_initiator: bool, offers: bool = True, address: str = ""
    ) -> Session:
        """One connection, from its first byte until it ends. What went wrong with it is in its `error`.

        `offers`: name the logs that are here, by their discovery keys. Whoever takes in strangers waits to be asked.
        """
        session = self._begin(stream, is_initiator=is_initiator, offers=offers, address=address)
        await self._drive(session)
        return session

    def _begin(
        self,
        stream: trio.abc.Stream,
        *,
        is_initiator: bool,
        offers: bool,
        address: str,
        expected_key: bytes | None = None,
    ) -> Session:
        secret = SecretStream(is_initiator, self._key_pair, os.urandom(32), os.urandom(HEADER_BYTES))
        spoken = Dialogue() if is_initiator or self._hear is not None else None
        line = connection.Connection(
            secret, self._log_of, dialogue=spoken, expected_key=expected_key, seeks=self._find is not None
        )
        session = Session(stream, line, spoken, address, offers, self.traffic)
        if offers:
            for log in self._logs.values():
                list(line.share(log))
        self._sessions.append(session)
        self._half_open.begin(address)
        return session

    async def _drive(self, session: Session) -> None:
        stirred = partial(self._stir, session)
        try:
            with session.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._limit_handshake, session)
                    nursery.start_soon(session.write, stirred)
                    await session.read(partial(self._act, session), stirred)
                    nursery.cancel_scope.cancel()
        finally:
            self._forget(session)
            await trio.aclose_forcefully(session.stream)

    async def _limit_handshake(self, session: Session) -> None:
        try:
            await session.limit_handshake(lambda: self.changed)
        finally:
            self._half_open.settle(session.address)

    def _act(self, session: Session, found: connection.Found) -> None:
        match found:
            case Connected():
                session.remote_key = found.remote_key
                session.ready.set()
                self._change()
            case connection.Joined(shared, exchange):
                log = self._logs[shared.discovery_key]
                session.exchanges.append((log, exchange))
                self._by_exchange[exchange] = session
                log.join(exchange)
            case connection.Left(shared, exchange):
                log = self._logs[shared.discovery_key]
                session.exchanges.remove((log, exchange))
                del self._by_exchange[exchange]
                log.leave(exchange)
            case connection.Told(shared, exchange, event):
                self._logs[shared.discovery_key].hear(exchange, event)
            case connection.Sought(discovery_key):
                self._nursery.start_soon(self._seek, session, discovery_key)
            case connection.Spoken(event):
                self._listen(session, event)
            case connection.Unspoken():
                session.is_speechless()

    def _listen(self, session: Session, event: dialogue.Event) -> None:
        if isinstance(event, Answered):
            session.answered(event)
        elif self._hear is not None:
            self._hear(session, event)
        elif isinstance(event, Request):
            session.answer(event.id, Status.BAD_REQUEST, encode_words("this side answers no questions"))

    async def _seek(self, session: Session, discovery_key: bytes) -> None:
        assert self._find is not None
        log = await self._find(session, discovery_key)
        if session.ended.is_set():
            return
        if log is None or log.discovery_key != discovery_key:
            session.connection.refuse(discovery_key)
            session.collect()
            return
        try:
            self.share(session, log)
        except FAULTS as error:
            session.end(error)

    def _share(self, session: Session, log: Replicating) -> None:
        for found in session.connection.share(log):
            self._act(session, found)
        session.collect()

    async def _work_on(self, log: Replicating) -> None:
        while log in self._wake:
            wake = self._wake[log] = trio.Event()
            work = log.work(lambda exchange: self._by_exchange[exchange].buffered < connection.MOST_BUFFERED)
            if work is None:
                self._tell(log)
                await wake.wait()
                continue
            log.is_worked_on = True
            try:
                done = await trio.to_thread.run_sync(log.perform, work, limiter=self._limiter)
            except (OSError, NoSpace) as trouble:
                log.error = trouble
                if log in self._wake:
                    self.remove(log)
                return
            finally:
                log.is_worked_on = False
            for exchange, error in log.finish(done):
                if session := self._by_exchange.get(exchange):
                    session.dismiss(log.discovery_key, error)
            self._tell(log)

    async def _tick(self, log: Replicating) -> None:
        while log in self._wake:
            await trio.sleep(ANSWER_SECONDS)
            log.tick()
            self.touch(log)
            for session in self._sessions:
                for _, exchange in session.exchanges:
                    if exchange.fault is not None:
                        session.end(exchange.fault)

    def _adopt(self, log: Replicating) -> None:
        self._logs[log.discovery_key] = log
        self._wake[log] = trio.Event()
        self._nursery.start_soon(self._work_on, log)
        self._nursery.start_soon(self._tick, log)

    def _log_of(self, discovery_key: bytes) -> Replicating | None:
        """The log of a channel that any other side may open."""
        return None if discovery_key in self._found else self._logs.get(discovery_key)

    def _stir(self, session: Session) -> None:
        """It has said something, or can be told more."""
        session.wake.set()
        for log, exchange in session.exchanges:
            self._wake[log].set()
            if exchange.fault is not None and exchange.has_contradicted:
                session.end(exchange.fault)
        self._change()

    def _tell(self, log: Replicating) -> None:
        """Something about the log has changed."""
        for exchange in log.exchanges:
            self._by_exchange[exchange].collect()
        self._change()

    def _change(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    def _forget(self, session: Session) -> None:
        self._sessions.remove(session)
        for log, exchange in session.exchanges:
            del self._by_exchange[exchange]
            log.leave(exchange)
            self._wake[log].set()
        session.is_over()
        self._change()


@asynccontextmanager
async def open_exchanger(
    key_pair: CurveKeyPair,
    find: Find | None = None,
    hear: Hear | None = None,
    limiter: trio.CapacityLimiter | None = None,
) -> AsyncIterator[Exchanger]:
    """Leaving it ends all connections.

    `find` is asked, beside what was added, when a peer wants a log; `hear` what a peer says in `hyperfs/1`, which is
    refused to all without it; `limiter` is that of the threads in which files are worked on.
    """
    async with trio.open_nursery() as nursery:
        yield Exchanger(nursery, key_pair, find, hear, limiter)
        nursery.cancel_scope.cancel()
