"""Connections in trio: the one module of the wire that has sockets, a clock and randomness.

An Exchanger has the logs and the connections of a process. Each connection has a task that reads and one that writes;
each log one that works on its files, in a worker thread. All state is the trio thread's.
"""

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, Misbehaved
from hyperfs.replication.connection import MOST_BUFFERED, MOST_UNREAD, Connection, Joined, Left, Told
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.exchange import Exchange
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.secret_stream import HEADER_BYTES, Connected, SecretStream

HANDSHAKE_SECONDS: Final = 10.0
"""Until a log is exchanged: who only connects costs no more than that."""
ANSWER_SECONDS: Final = 15.0
"""Who owes answers and sends none for so long, or twice that, is not waited for: others are asked."""
SILENCE_SECONDS: Final = 60.0
"""Without a byte from the other side."""
KEEP_ALIVE_SECONDS: Final = 20.0
MOST_HALF_OPEN: Final = 8
"""Connections of one address on which no log is exchanged yet."""
MOST_HALF_OPEN_IN_ALL: Final = 256
_READ_BYTES: Final = 1 << 16

_FAULTS: Final = (Misbehaved, Corrupt, FormatTooNew)


class _Session:
    """One connection; `address` is whose, to count by."""

    def __init__(self, stream: trio.abc.Stream, connection: Connection, address: str, offers: bool) -> None:
        self.stream = stream
        self.connection = connection
        self.address = address
        self.offers = offers
        self.exchanges: list[tuple[Replicating, Exchange]] = []
        self.scope = trio.CancelScope()
        self.wake = trio.Event()
        self._out: list[bytes] = []
        self.buffered = 0
        """Bytes that are to be written or being written."""
        self.remote_key = b""
        self.error: HyperfsError | None = None
        """Why it was ended here; None where the other side hung up, or this one closed."""
        self.sent_bytes = self.received_bytes = 0

    def collect(self) -> None:
        """Fetch what the connection has to say, and have it written."""
        if data := self.connection.data_to_send(is_busy=self.buffered >= MOST_BUFFERED):
            self._out.append(data)
            self.buffered += len(data)
            self.wake.set()
            if self.buffered > MOST_UNREAD:
                self.end(Misbehaved(f"it has {MOST_UNREAD >> 20} MiB to read and does not"))

    def take(self) -> bytes:
        """What is to be written now; it counts as buffered until it is said to be written."""
        out, self._out = self._out, []
        return b"".join(out)

    def end(self, error: HyperfsError) -> None:
        self.error = self.error or error
        self.scope.cancel()


Find = Callable[[bytes, bytes], Replicating | None]
"""(discovery key, the other side's public key) -> the log, if it is here and that side may have it."""


class Exchanger:
    """Logs, exchanged over any number of connections. Open it with `open_exchanger`."""

    def __init__(self, nursery: trio.Nursery, key_pair: CurveKeyPair, find: Find) -> None:
        self._nursery = nursery
        self._key_pair = key_pair
        self._find = find
        self._logs: dict[bytes, Replicating] = {}
        self._wake: dict[Replicating, trio.Event] = {}
        self._sessions: list[_Session] = []
        self._by_exchange: dict[Exchange, _Session] = {}
        self._half_open: Counter[str] = Counter()
        self.changed = trio.Event()
        """Set, and replaced, when any log or connection has moved."""

    @property
    def half_open(self) -> int:
        """Connections on which no log is exchanged yet."""
        return self._half_open.total()

    def add(self, log: Replicating) -> None:
        """Exchange this log over all connections, those to come included, that offer logs or are asked for it."""
        self._adopt(log)
        for session in [session for session in self._sessions if session.offers]:
            for found in session.connection.share(log):
                self._act(session, found)
            session.collect()

    def remove(self, log: Replicating) -> None:
        """Exchange it no more. Work on its files that has begun is still brought to its end."""
        del self._logs[log.discovery_key]
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

    async def serve(self, listener: trio.SocketListener) -> None:
        """Take in connections until cancelled. Who has too many half-open ones is hung up on."""

        async def serve_one(stream: trio.SocketStream) -> None:
            address = str(stream.socket.getpeername()[0])
            if self._half_open[address] >= MOST_HALF_OPEN or self.half_open >= MOST_HALF_OPEN_IN_ALL:
                await trio.aclose_forcefully(stream)
                return
            await self.run(stream, is_initiator=False, offers=False, address=address)

        await trio.serve_listeners(serve_one, [listener])

    async def run(
        self, stream: trio.abc.Stream, *, is_initiator: bool, offers: bool = True, address: str = ""
    ) -> _Session:
        """One connection, from its first byte until it ends. What went wrong with it is in its `error`.

        `offers`: name the logs that are here, by their discovery keys. Whoever takes in strangers waits to be asked.
        """
        secret = SecretStream(is_initiator, self._key_pair, os.urandom(32), os.urandom(HEADER_BYTES))
        connection = Connection(secret, lambda name: self._log_of(name, session.remote_key))
        session = _Session(stream, connection, address, offers)
        if offers:
            for log in self._logs.values():
                list(session.connection.share(log))
        self._sessions.append(session)
        self._half_open[address] += 1
        try:
            with session.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._limit_handshake, session)
                    nursery.start_soon(self._write, session)
                    await self._read(session)
                    nursery.cancel_scope.cancel()
        finally:
            self._forget(session)
            await trio.aclose_forcefully(stream)
        return session

    async def _limit_handshake(self, session: _Session) -> None:
        try:
            with trio.move_on_after(HANDSHAKE_SECONDS):
                while not session.connection.is_in_use:
                    await self.changed.wait()
        finally:
            self._settled(session)
        if not session.connection.is_in_use:
            session.end(Misbehaved(f"no log was exchanged within {HANDSHAKE_SECONDS:g} s"))

    async def _read(self, session: _Session) -> None:
        while True:
            with trio.move_on_after(SILENCE_SECONDS) as waiting:
                try:
                    data = await session.stream.receive_some(_READ_BYTES)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
            if waiting.cancelled_caught:
                session.end(Misbehaved(f"nothing came for {SILENCE_SECONDS:g} s"))
                return
            if not data:
                return
            session.received_bytes += len(data)
            try:
                for found in session.connection.receive(bytes(data)):
                    self._act(session, found)
            except _FAULTS as error:
                session.end(error)
                return
            session.collect()
            self._stir(session)

    def _act(self, session: _Session, found: Connected | Joined | Left | Told) -> None:
        if isinstance(found, Connected):
            session.remote_key = found.remote_key
            return
        log = self._logs[found.shared.discovery_key]
        if isinstance(found, Joined):
            session.exchanges.append((log, found.exchange))
            self._by_exchange[found.exchange] = session
            log.join(found.exchange)
        elif isinstance(found, Left):
            session.exchanges.remove((log, found.exchange))
            del self._by_exchange[found.exchange]
            log.leave(found.exchange)
        else:
            log.hear(found.exchange, found.event)

    async def _write(self, session: _Session) -> None:
        spoke = trio.current_time()
        while True:
            session.wake = trio.Event()
            session.collect()
            if data := session.take():
                try:
                    await session.stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    session.scope.cancel()
                    return
                session.sent_bytes += len(data)
                session.buffered -= len(data)
                spoke = trio.current_time()
                self._stir(session)
                continue
            with trio.move_on_at(spoke + KEEP_ALIVE_SECONDS) as waiting:
                await session.wake.wait()
            if waiting.cancelled_caught:
                session.connection.keep_alive()
                spoke = trio.current_time()

    async def _work_on(self, log: Replicating) -> None:
        while log in self._wake:
            wake = self._wake[log] = trio.Event()
            work = log.work(lambda exchange: self._by_exchange[exchange].buffered < MOST_BUFFERED)
            if work is None:
                self._tell(log)
                await wake.wait()
                continue
            try:
                done = await trio.to_thread.run_sync(log.perform, work)
            except OSError as trouble:
                log.error = trouble
                if log in self._wake:
                    self.remove(log)
                return
            for exchange, error in log.finish(done):
                if session := self._by_exchange.get(exchange):
                    session.end(error)
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

    def _log_of(self, discovery_key: bytes, remote_key: bytes) -> Replicating | None:
        """The log of a channel that the other side wants."""
        log = self._find(discovery_key, remote_key) or self._logs.get(discovery_key)
        if log is not None and log.discovery_key not in self._logs:
            self._adopt(log)
        return log

    def _stir(self, session: _Session) -> None:
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

    def _settled(self, session: _Session) -> None:
        """It is not half-open any more."""
        self._half_open[session.address] -= 1
        if not self._half_open[session.address]:
            del self._half_open[session.address]

    def _forget(self, session: _Session) -> None:
        self._sessions.remove(session)
        for log, exchange in session.exchanges:
            del self._by_exchange[exchange]
            log.leave(exchange)
            self._wake[log].set()
        self._change()


@asynccontextmanager
async def open_exchanger(key_pair: CurveKeyPair, find: Find = lambda name, key: None) -> AsyncIterator[Exchanger]:
    """Leaving it ends all connections. `find` is asked, beside what was added, when a peer wants a log."""
    async with trio.open_nursery() as nursery:
        yield Exchanger(nursery, key_pair, find)
        nursery.cancel_scope.cancel()
