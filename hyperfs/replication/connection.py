"""Everything that one connection says, from its bytes up: secret stream, channels, the exchange of each log, and the
dialogue of `hyperfs/1`.

Bytes in, events out; `data_to_send` has what is to be written. No clock: whoever drives it ends a connection that takes
too long. A log is named on the wire by its discovery key alone, and only who shows that they know its key gets a word
about it: the capability goes both ways before anything else.
"""

from collections.abc import Callable, Iterable, Iterator
from hmac import compare_digest
from typing import Final, NamedTuple, Protocol

from hyperfs.errors import Misbehaved
from hyperfs.replication import dialogue, dialogue_codec, messages, mux, secret_stream
from hyperfs.replication.dialogue import Dialogue
from hyperfs.replication.exchange import Event, Exchange
from hyperfs.replication.messages import PROTOCOL
from hyperfs.replication.mux import Mux
from hyperfs.replication.secret_stream import Connected, SecretStream

MOST_BUFFERED: Final = 1 << 20
"""Bytes that wait to be written, above which requests of the other side are not answered."""
MOST_UNREAD: Final = 32 << 20
"""Bytes that wait to be written, above which a connection ends: its other side makes work and does not read."""


class Shared(Protocol):
    """A log that this side exchanges with whoever knows its key."""

    @property
    def key(self) -> bytes: ...

    @property
    def discovery_key(self) -> bytes: ...

    def begin(self) -> Exchange:
        """The state of a new channel."""


class Joined(NamedTuple):
    """The channel of a log is open, and the other side knows the log's key."""

    shared: Shared
    exchange: Exchange


class Left(NamedTuple):
    """The other side closed it."""

    shared: Shared
    exchange: Exchange


class Told(NamedTuple):
    shared: Shared
    exchange: Exchange
    event: Event


class Sought(NamedTuple):
    """The other side asks for a log that `find` does not know: answer with `share` or `refuse`."""

    discovery_key: bytes


class Spoken(NamedTuple):
    """In `hyperfs/1`."""

    event: dialogue.Event


class Unspoken(NamedTuple):
    """The other side does not speak `hyperfs/1`, or no more: nothing is answered."""


Found = Connected | Joined | Left | Told | Sought | Spoken | Unspoken


class Connection:
    """One side. `find` gives the log of a discovery key that the other side asks for; None refuses it, but where this
    side `seeks` such logs elsewhere.

    `dialogue`: this side's of `hyperfs/1`, which the initiator opens; None refuses it. `expected_key`: whose connection
    this must be; nothing is said to anybody else.
    """

    def __init__(
        self,
        stream: SecretStream,
        find: Callable[[bytes], Shared | None],
        *,
        dialogue: Dialogue | None = None,
        expected_key: bytes | None = None,
        seeks: bool = False,
    ) -> None:
        self._stream = stream
        self._find = find
        self._dialogue = dialogue
        self._expected_key = expected_key
        self._seeks = seeks
        self._spoken_on: int | None = None
        """The channel of `hyperfs/1`, from its opening here on; 0 once it was closed."""
        self._speaks = False
        self._is_trusted = False
        self._mux = Mux(messages.ALIASES)
        self.handshake_hash = b""
        self._waiting: list[Shared] = []
        self._opening: dict[int, Shared] = {}
        self._open: dict[int, tuple[Shared, Exchange]] = {}

    @property
    def is_connected(self) -> bool:
        """The handshake is done."""
        return self.handshake_hash != b""

    @property
    def is_in_use(self) -> bool:
        """Some log is exchanged, or the other side is trusted. Where neither comes about a connection is of no use."""
        return bool(self._open) or self._is_trusted

    @property
    def speaks(self) -> bool:
        """Both sides have opened `hyperfs/1`."""
        return self._speaks

    def trust(self) -> None:
        """The other side has shown by other means than a log's key that it may be here."""
        self._is_trusted = True
        self._stream.most_frame_bytes = secret_stream.MOST_FRAME_BYTES

    def refuse(self, discovery_key: bytes) -> None:
        """Answer a Sought with no."""
        self._mux.refuse(PROTOCOL, discovery_key)

    def share(self, shared: Shared) -> Iterator[Found]:
        """Exchange this log with the other side, as soon as it agrees. Iterate, as receive's."""
        if not self.is_connected:
            self._waiting.append(shared)
            return
        if self._mux.number_of(PROTOCOL, shared.discovery_key) is None:
            yield from self._open_channel(shared)

    def unshare(self, shared: Shared) -> None:
        """Close the log's channel; no Left follows."""
        number = self._mux.number_of(PROTOCOL, shared.discovery_key)
        if number is not None:
            self._mux.close(number)
            self._opening.pop(number, None)
            self._open.pop(number, None)

    def data_to_send(self, *, is_busy: bool = False) -> bytes:
        """What is to be written since the last call. `is_busy`: see Exchange.take."""
        raw, messages = self.take(is_busy=is_busy)
        return raw + self.seal(messages)

    def seal(self, messages: Iterable[bytes]) -> bytes:
        """What is to be written of messages that were taken. In any one thread at a time, in the order of `take`."""
        return self._stream.seal(messages)

    def take(self, *, is_busy: bool = False) -> tuple[bytes, list[bytes]]:
        """As `data_to_send`, but what is to be sealed is not sealed: see SecretStream.take."""
        for number, (_, exchange) in self._open.items():
            for kind, payload in exchange.take(is_busy=is_busy):
                self._mux.send(number, kind, payload)
        if self._dialogue is not None and self._spoken_on:
            for kind, payload in self._dialogue.take():
                self._mux.send(self._spoken_on, kind, payload)
        for message in self._mux.take():
            self._stream.send(message)
        return self._stream.take()

    def keep_alive(self) -> None:
        """Say nothing, so that the other side, and what lies between, know that this one is still there."""
        if self.is_connected:
            self._stream.send(b"")

    def receive(self, data: bytes) -> Iterator[Found]:
        """Corrupt, FormatTooNew or Misbehaved end the connection. Iterate to the end before the next call."""
        for found in self._stream.receive(data):
            if isinstance(found, Connected):
                yield from self._connect(found)
            else:
                yield from self._act(self._mux.receive(found))

    def _connect(self, found: Connected) -> Iterator[Found]:
        if self._expected_key is not None and not compare_digest(found.remote_key, self._expected_key):
            raise Misbehaved(
                f"another than was expected answers there: its key is {found.remote_key.hex()}, "
                f"not {self._expected_key.hex()}"
            )
        self.handshake_hash = found.handshake_hash
        yield found
        if self._dialogue is not None and self._stream.is_initiator:
            yield from self._open_dialogue()
        waiting, self._waiting = self._waiting, []
        for shared in waiting:
            yield from self._open_channel(shared)

    def _open_dialogue(self) -> Iterator[Found]:
        events = self._mux.open(dialogue_codec.PROTOCOL, b"", dialogue_codec.encode_handshake())
        self._spoken_on = self._mux.number_of(dialogue_codec.PROTOCOL, b"")
        yield from self._act(events)

    def _open_channel(self, shared: Shared) -> Iterator[Found]:
        proof = messages.capability(self._stream.is_initiator, shared.key, self.handshake_hash)
        handshake = messages.encode_handshake(messages.Handshake(proof))
        events = self._mux.open(PROTOCOL, shared.discovery_key, handshake)
        number = self._mux.number_of(PROTOCOL, shared.discovery_key)
        assert number is not None
        self._opening[number] = shared
        yield from self._act(events)

    def _act(self, events: Iterator[mux.Event]) -> Iterator[Found]:
        for event in events:
            if isinstance(event, mux.Wanted):
                yield from self._wanted(event)
            elif event.channel == self._spoken_on:
                yield from self._speak(event)
            elif isinstance(event, mux.Opened):
                yield self._join(event)
            elif isinstance(event, mux.Closed):
                self._opening.pop(event.channel, None)
                if found := self._open.pop(event.channel, None):
                    yield Left(*found)
            else:
                shared, exchange = self._open[event.channel]
                for told in exchange.receive(event.kind, event.payload):
                    yield Told(shared, exchange, told)

    def _wanted(self, event: mux.Wanted) -> Iterator[Found]:
        if event.protocol == dialogue_codec.PROTOCOL and not event.id and self._dialogue and self._spoken_on is None:
            yield from self._open_dialogue()
            return
        shared = self._find(event.id) if event.protocol == PROTOCOL else None
        if shared is not None and shared.discovery_key == event.id:
            yield from self._open_channel(shared)
        elif self._seeks and event.protocol == PROTOCOL:
            yield Sought(event.id)
        else:
            self._mux.refuse(event.protocol, event.id)

    def _speak(self, event: mux.Opened | mux.Received | mux.Closed) -> Iterator[Spoken | Unspoken]:
        assert self._dialogue is not None
        if isinstance(event, mux.Opened):
            dialogue_codec.decode_handshake(event.handshake)
            self._speaks = True
            if self._expected_key is not None:
                self.trust()
        elif isinstance(event, mux.Received):
            for found in self._dialogue.receive(event.kind, event.payload):
                yield Spoken(found)
        else:
            self._spoken_on = 0
            self._speaks = False
            yield Unspoken()

    def _join(self, event: mux.Opened) -> Joined:
        shared = self._opening.pop(event.channel)
        handshake = messages.decode_handshake(event.handshake)
        expected = messages.capability(not self._stream.is_initiator, shared.key, self.handshake_hash)
        if not compare_digest(handshake.capability, expected):
            raise Misbehaved("the other side names a log whose key it does not know")
        self._stream.most_frame_bytes = secret_stream.MOST_FRAME_BYTES
        exchange = shared.begin()
        self._open[event.channel] = shared, exchange
        return Joined(shared, exchange)
