"""One connection in trio: what is to be written to it, and what is asked over it in `hyperfs/1`.

Made by the Exchanger, which reads and writes the stream. All of it belongs to the trio thread.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, Misbehaved, NoSpace, Refused, Unreachable
from hyperfs.replication.connection import MOST_BUFFERED, MOST_UNREAD, Connection, Found
from hyperfs.replication.dialogue import MOST_OPEN, Answered, Dialogue
from hyperfs.replication.dialogue_codec import Notice, encode_words
from hyperfs.replication.exchange import Exchange
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.secret_stream import sealed_bytes

HANDSHAKE_SECONDS: Final = 10.0
"""Until a log is exchanged: who only connects costs no more than that."""
SILENCE_SECONDS: Final = 60.0
"""Without a byte from the other side."""
KEEP_ALIVE_SECONDS: Final = 20.0
PARTING_SECONDS: Final = 5.0
"""For the last words of a session that ends."""
FAULTS: Final = (Misbehaved, Corrupt, FormatTooNew)
"""Of the other side: its connection ends."""
SPEECHLESS: Final = "the peer does not speak hyperfs/1"
HOP_BYTES: Final = 1 << 16
"""Of so much sealing takes as long as having another thread do it: 50 us."""
PIECE_BYTES: Final = 1 << 19
"""Sealed, and then written, at a time."""
_READ_BYTES: Final = 1 << 16


@dataclass
class Traffic:
    """Of all sessions that there were, in bytes."""

    received_bytes: int = 0
    sent_bytes: int = 0


class _Call:
    """A request of this side. `answer` is None when there will be none."""

    def __init__(self) -> None:
        self.is_over = trio.Event()
        self.answer: tuple[int, bytes] | None = None


class Session:
    """`address` is the other side's, to count by; `dialogue` None where this side does not speak `hyperfs/1`."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        connection: Connection,
        dialogue: Dialogue | None,
        address: str,
        offers: bool,
        traffic: Traffic,
    ) -> None:
        self.stream = stream
        self.connection = connection
        self.dialogue = dialogue
        self.address = address
        self.offers = offers
        """Names the logs that are here, by their discovery keys."""
        self.exchanges: list[tuple[Replicating, Exchange]] = []
        self.is_half_open = True
        """Nothing is exchanged yet, and it may still come to that."""
        self.scope = trio.CancelScope()
        self.wake = trio.Event()
        self._raw = b""  # to be written before what is to be sealed
        self._unsealed: deque[bytes] = deque()
        self.buffered = 0
        """Bytes that are to be written or being written."""
        self.remote_key = b""
        """Proved by the handshake; empty before."""
        self.ready = trio.Event()
        """The handshake is done."""
        self.ended = trio.Event()
        self.error: HyperfsError | None = None
        """Why it was ended here; None where the other side hung up, or this one closed."""
        self.sent_bytes = self.received_bytes = 0
        self._traffic = traffic
        self._credit = trio.Semaphore(MOST_OPEN)
        self._calls: dict[int, _Call] = {}
        self._is_speechless = dialogue is None
        self._is_parting = False

    @property
    def handshake_hash(self) -> bytes:
        """Known to the two sides alone, and another one for each connection."""
        return self.connection.handshake_hash

    async def ask(self, method: int, body: bytes) -> tuple[int, bytes]:
        """(status, body) of the answer. Unreachable when the connection ends before it, or has ended."""
        await self._credit.acquire()
        if self.ended.is_set() or self._is_speechless:
            self._credit.release()
            raise self._unreachable()
        assert self.dialogue is not None
        call = _Call()
        self._calls[self.dialogue.ask(method, body)] = call
        self.collect()
        await call.is_over.wait()
        if call.answer is None:
            raise self._unreachable()
        return call.answer

    def answer(self, id_: int, status: int, body: bytes = b"") -> None:
        """A request of the other side. Nothing happens where the session has ended meanwhile."""
        if self.dialogue is not None and not self.ended.is_set():
            self.dialogue.answer(id_, status, body)
            self.collect()

    def notify(self, kind: int, body: bytes) -> None:
        """Nothing happens where the other side does not speak `hyperfs/1`."""
        if self.dialogue is not None and self.connection.speaks:
            self.dialogue.notify(kind, body)
            self.collect()

    def answered(self, event: Answered) -> None:
        """The credit is given back now, not when the asker goes: it may have stopped waiting."""
        self._end_call(event.request.id, (event.status, event.body))

    def is_speechless(self) -> None:
        """`hyperfs/1` was refused or closed."""
        self._is_speechless = True
        self._end_calls()

    async def read(self, act: Callable[[Found], None], stirred: Callable[[], None]) -> None:
        """Until the connection ends. `act` on what was said; `stirred`: it has spoken."""
        while True:
            with trio.move_on_after(SILENCE_SECONDS) as waiting:
                try:
                    data = await self.stream.receive_some(_READ_BYTES)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
            if waiting.cancelled_caught:
                self.end(Misbehaved(f"nothing came for {SILENCE_SECONDS:g} s"))
                return
            if not data:
                return
            self.received_bytes += len(data)
            self._traffic.received_bytes += len(data)
            try:
                for found in self.connection.receive(bytes(data)):
                    act(found)
            except FAULTS as error:
                self.end(error)
                return
            self.collect()
            stirred()

    async def write(self, stirred: Callable[[], None]) -> None:
        """What there is to say, as it comes, and where there is nothing for long, that this side is still there."""
        spoke = trio.current_time()
        while True:
            self.wake = trio.Event()
            self.collect()
            if data := await self._next_piece():
                try:
                    await self.stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self.scope.cancel()
                    return
                self.sent_bytes += len(data)
                self._traffic.sent_bytes += len(data)
                self.buffered -= len(data)
                spoke = trio.current_time()
                stirred()
                continue
            if self._is_parting:
                self.scope.cancel()
                return
            with trio.move_on_at(spoke + KEEP_ALIVE_SECONDS) as waiting:
                await self.wake.wait()
            if waiting.cancelled_caught:
                self.connection.keep_alive()
                spoke = trio.current_time()

    async def limit_handshake(self, changed: Callable[[], trio.Event]) -> None:
        """End it if nothing is exchanged in time. `changed`: the event of the next change of anything."""
        with trio.move_on_after(HANDSHAKE_SECONDS):
            while not self.connection.is_in_use:
                await changed().wait()
        self.is_half_open = False
        if not self.connection.is_in_use:
            self.end(Misbehaved(f"no log was exchanged within {HANDSHAKE_SECONDS:g} s"))

    def collect(self) -> None:
        """Fetch what the connection has to say, and have it written."""
        raw, messages = self.connection.take(is_busy=self.buffered >= MOST_BUFFERED)
        if raw or messages:
            self._raw += raw
            self._unsealed += messages
            self.buffered += len(raw) + sum(map(sealed_bytes, messages))
            self.wake.set()
            if self.buffered > MOST_UNREAD:
                self.end(Misbehaved(f"it has {MOST_UNREAD >> 20} MiB to read and does not"))

    async def _next_piece(self) -> bytes:
        """What is to be written now, and counts as buffered until it is written. Much is sealed in a worker thread: the
        one of the sockets answers a mount's requests as well."""
        raw, self._raw = self._raw, b""
        piece: list[bytes] = []
        size = 0
        while self._unsealed and size < PIECE_BYTES:
            piece.append(self._unsealed.popleft())
            size += len(piece[-1])
        if size < HOP_BYTES:
            return raw + self.connection.seal(piece)
        return raw + await trio.to_thread.run_sync(self.connection.seal, piece)

    def close(self) -> None:
        """End it without a fault of anybody's. What was not written yet is not."""
        self.scope.cancel()

    def part(self, kind: int, body: bytes, error: HyperfsError | None = None) -> None:
        """Say this notice, if the other side speaks `hyperfs/1`, and end: when it is written, or soon."""
        self.error = self.error or error
        self.notify(kind, body)
        self._is_parting = True
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + PARTING_SECONDS)
        self.wake.set()

    def dismiss(self, log: bytes, error: HyperfsError) -> None:
        """End it for what it brings of a log. Where that is no fault of the wire it is told: its owner may do something
        about it."""
        if isinstance(error, Refused | NoSpace):
            self.part(Notice.TROUBLE, log + encode_words(str(error)), error)
        else:
            self.end(error)

    def end(self, error: HyperfsError) -> None:
        self.error = self.error or error
        self.scope.cancel()

    def is_over(self) -> None:
        """The Exchanger is done with it."""
        self.ended.set()
        self._end_calls()

    def _end_calls(self) -> None:
        for id_ in list(self._calls):
            self._end_call(id_, None)

    def _end_call(self, id_: int, answer: tuple[int, bytes] | None) -> None:
        call = self._calls.pop(id_)
        call.answer = answer
        call.is_over.set()
        self._credit.release()

    def _unreachable(self) -> Unreachable:
        if self._is_speechless:
            return Unreachable(SPEECHLESS)
        return Unreachable(f"the connection has ended: {self.error or 'the peer hung up'}")
