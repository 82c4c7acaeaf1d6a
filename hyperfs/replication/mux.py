"""Many channels in one connection, as protomux 3 speaks it.

Both sides open a channel of the same protocol and id; each numbers its own from 1 and names it so when it sends. A
channel is open once both have opened it. What the other side has opened and this one has not is *wanted*: the
owner opens it or refuses it. Messages, iterated, give events; `take` has what is to be sent, as few frames as fit.

protomux bounds neither how many channels may wait nor what is sent to them meanwhile. Here both are bounded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from hyperfs.errors import BadRequest, Misbehaved
from hyperfs.replication import mux_codec
from hyperfs.replication.mux_codec import CONTROL, Message, OpenChannel

MOST_CHANNELS: Final = 4096
"""That one side may have opened at a time. npm's corestore opens one for each log that it has in memory."""
MOST_WAITING: Final = 64
"""Channels of the other side that wait for an answer of this one."""
MOST_WAITING_BYTES: Final = 1 << 16
"""Of messages to such channels, all together."""
BATCH_BYTES: Final = 1 << 16
"""From this size on a batch is sent; a message as long goes by itself."""
MESSAGE_COST: Final = 512
"""What a waiting message counts besides its bytes, so that empty ones aren't free."""


class Wanted(NamedTuple):
    """The other side has opened a channel that this one has not: call `open` or `refuse`."""

    protocol: str
    id: bytes


class Opened(NamedTuple):
    """A channel is open on both sides; `handshake` is the other side's."""

    channel: int
    handshake: bytes


class Received(NamedTuple):
    channel: int
    kind: int
    payload: bytes


class Closed(NamedTuple):
    """The other side closed or refused it. The number is free by now."""

    channel: int


Event = Wanted | Opened | Received | Closed
_Key = tuple[str, bytes]


@dataclass
class _Channel:
    """One of this side's, under its number; `remote` is the other side's number, 0 until both have opened."""

    key: _Key
    remote: int = 0


@dataclass
class _Remote:
    """One of the other side's, under its number; `local` is this side's number, 0 while it waits."""

    key: _Key
    handshake: bytes
    local: int
    held: list[bytes]


class Mux:
    """Channels by number. Numbers are used again after both sides are done with them."""

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        """`aliases`: other names of protocols, to the name used here."""
        self._aliases = dict(aliases or {})
        self._local: dict[int, _Channel | None] = {}
        """None: closed here before the other side has answered, so the number is not yet free."""
        self._free: list[int] = []
        self._by_key: dict[_Key, int] = {}
        self._unanswered: dict[_Key, list[int]] = {}
        """This side's numbers, in the order in which they were opened, that the other side has not answered."""
        self._remote: dict[int, _Remote] = {}
        self._remote_ids = 0
        """Numbers that the other side has used so far: it may take any of them again, or the next."""
        self._waiting: dict[_Key, int] = {}
        self._held_bytes = 0
        self._out: list[Message] = []

    def open(self, protocol: str, id_: bytes, handshake: bytes = b"") -> Iterator[Event]:
        """Open a channel; `number_of` has its number from then on. BadRequest where it is open already.

        The events are those of a channel for which the other side was waiting: iterate them, as `receive`'s.
        """
        key = self._key(protocol, id_)
        if key in self._by_key:
            raise BadRequest(f"a second channel of {protocol}")
        number = self._free.pop() if self._free else len(self._local) + 1
        self._local[number] = channel = _Channel(key)
        self._by_key[key] = number
        self._control(mux_codec.OPEN, mux_codec.encode_open(OpenChannel(number, protocol, id_, handshake)))
        waiting = self._waiting.pop(key, 0)
        if not waiting:
            self._unanswered.setdefault(key, []).append(number)
            return iter(())
        channel.remote = waiting
        return self._pair(number, self._remote[waiting])

    def refuse(self, protocol: str, id_: bytes) -> None:
        """Answer a Wanted with no. Nothing happens where nobody waits."""
        if number := self._waiting.pop(self._key(protocol, id_), 0):
            self._held_bytes -= _cost(self._remote.pop(number))
            self._control(mux_codec.REJECT, mux_codec.encode_number(number))

    def number_of(self, protocol: str, id_: bytes) -> int | None:
        """The number of the channel that is open here, whether the other side has answered or not."""
        return self._by_key.get(self._key(protocol, id_))

    def send(self, channel: int, kind: int, payload: bytes) -> None:
        """Nothing is sent on a channel that is closed: its end may have come in between."""
        if self._local.get(channel) is not None:
            self._out.append(Message(channel, mux_codec.body(kind, payload)))

    def close(self, channel: int) -> None:
        """Nothing happens to one that is closed already."""
        found = self._local.get(channel)
        if found is None:
            return
        self._control(mux_codec.CLOSE, mux_codec.encode_number(channel))
        self._forget(channel, found)

    def take(self) -> list[bytes]:
        """What is to be sent since the last call, each for one frame."""
        messages, self._out = self._out, []
        return list(_packed(messages))

    def receive(self, message: bytes) -> Iterator[Event]:
        """What one message of the connection says. Iterate to the end; act on each event before the next.

        Corrupt or Misbehaved end the connection.
        """
        for number, body in mux_codec.decode_messages(message):
            kind, payload = mux_codec.split_body(body)
            if number == CONTROL:
                yield from self._control_message(kind, payload)
                continue
            remote = self._remote.get(number)
            if remote is None:
                continue  # sent before it heard that the channel is closed
            if remote.local:
                yield Received(remote.local, kind, payload)
            else:
                self._hold(remote, body)

    def _control_message(self, kind: int, payload: bytes) -> Iterator[Event]:
        if kind == mux_codec.OPEN:
            yield from self._opened(mux_codec.decode_open(payload))
        elif kind == mux_codec.REJECT:
            yield from self._rejected(mux_codec.decode_number(payload))
        elif kind == mux_codec.CLOSE:
            yield from self._closed(mux_codec.decode_number(payload))

    def _opened(self, opening: OpenChannel) -> Iterator[Event]:
        number, key = opening.number, self._key(opening.protocol, opening.id)
        if not 0 < number <= min(self._remote_ids + 1, MOST_CHANNELS) or number in self._remote:
            raise Misbehaved(f"a channel is opened under the number {number}")
        self._remote_ids = max(self._remote_ids, number)
        if answered := self._unanswered.get(key):
            local = answered.pop(0)
            if not answered:
                del self._unanswered[key]
            channel = self._local[local]
            if channel is None:
                self._release(local)  # closed here meanwhile, of which the other side will hear
                return
            channel.remote = number
            self._remote[number] = remote = _Remote(key, opening.handshake, local, [])
            yield from self._pair(local, remote)
            return
        if key in self._by_key or key in self._waiting:
            self._control(mux_codec.REJECT, mux_codec.encode_number(number))
            return
        if len(self._waiting) >= MOST_WAITING:
            raise Misbehaved(f"more than {MOST_WAITING} channels wait to be opened")
        self._remote[number] = _Remote(key, opening.handshake, 0, [])
        self._waiting[key] = number
        yield Wanted(*key)

    def _pair(self, local: int, remote: _Remote) -> Iterator[Event]:
        self._held_bytes -= _cost(remote)
        remote.local = local
        held, remote.held = remote.held, []
        return self._first_events(local, remote.handshake, held)

    def _first_events(self, local: int, handshake: bytes, held: list[bytes]) -> Iterator[Event]:
        channel = self._local[local]
        yield Opened(local, handshake)
        for body in held:
            if self._local.get(local) is not channel:
                return
            yield Received(local, *mux_codec.split_body(body))

    def _rejected(self, number: int) -> Iterator[Event]:
        key = next((key for key, numbers in self._unanswered.items() if number in numbers), None)
        if key is None:
            raise Misbehaved(f"channel {number} is refused and was not asked for")
        numbers = self._unanswered[key]
        numbers.remove(number)
        if not numbers:
            del self._unanswered[key]
        is_wanted = self._local[number] is not None
        if is_wanted:
            del self._by_key[key]
        self._release(number)
        if is_wanted:
            yield Closed(number)

    def _closed(self, number: int) -> Iterator[Event]:
        remote = self._remote.get(number)
        if remote is None:
            return
        if not remote.local:
            # Opened and closed again before this side answered.
            self._held_bytes -= _cost(remote)
            del self._remote[number], self._waiting[remote.key]
            return
        channel = self._local[remote.local]
        assert channel is not None
        self._forget(remote.local, channel)
        yield Closed(remote.local)

    def _hold(self, remote: _Remote, body: bytes) -> None:
        remote.held.append(body)
        self._held_bytes += len(body) + MESSAGE_COST
        if self._held_bytes > MOST_WAITING_BYTES:
            raise Misbehaved(f"more than {MOST_WAITING_BYTES} bytes for channels that are not open")

    def _forget(self, number: int, channel: _Channel) -> None:
        del self._by_key[channel.key]
        self._local[number] = None
        if channel.remote:
            del self._remote[channel.remote]
            self._release(number)

    def _release(self, number: int) -> None:
        self._local[number] = None
        self._free.append(number)

    def _control(self, kind: int, payload: bytes) -> None:
        self._out.append(Message(CONTROL, mux_codec.body(kind, payload)))

    def _key(self, protocol: str, id_: bytes) -> _Key:
        return self._aliases.get(protocol, protocol), id_


def _cost(remote: _Remote) -> int:
    return sum(len(body) + MESSAGE_COST for body in remote.held)


def _packed(messages: list[Message]) -> Iterator[bytes]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        if batch and size + len(message.body) > BATCH_BYTES:
            yield _frame_of(batch)
            batch, size = [], 0
        batch.append(message)
        size += len(message.body)
    if batch:
        yield _frame_of(batch)


def _frame_of(batch: list[Message]) -> bytes:
    return mux_codec.encode_message(batch[0]) if len(batch) == 1 else mux_codec.encode_batch(batch)
