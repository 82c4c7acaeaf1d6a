"""Channels: npm's bytes, all orders in which both sides open and close, and the bounds."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.errors import BadRequest, Corrupt, Misbehaved
from hyperfs.log import compact
from hyperfs.replication import mux_codec
from hyperfs.replication.mux import (
    MOST_WAITING,
    MOST_WAITING_BYTES,
    Closed,
    Event,
    Mux,
    Opened,
    Received,
    Wanted,
)
from hyperfs.replication.mux_codec import MOST_IN_BATCH, Message, OpenChannel


def deliver(sender: Mux, receiver: Mux) -> list[Event]:
    return [event for message in sender.take() for event in receiver.receive(message)]


def opened(*, protocol: str = "p") -> tuple[Mux, Mux]:
    """Both have channel 1."""
    one, other = Mux(), Mux()
    list(one.open(protocol, b"id"))
    deliver(one, other)
    list(other.open(protocol, b"id"))
    assert deliver(other, one) == [Opened(1, b"")]
    return one, other


def test_what_is_sent_is_what_npm_sends(npm: Any) -> None:
    """One side of the vectors is played by us; what the other side sent is given to us."""
    steps = iter(npm["mux"])

    def sent(messages: list[bytes]) -> None:
        assert [message.hex() for message in messages] == [next(steps)["message"]]

    def given_to(mux: Mux) -> list[Event]:
        return list(mux.receive(bytes.fromhex(next(steps)["message"])))

    mux, id_ = Mux(), b"\x09" * 32
    list(mux.open("hypercore/alpha", id_, b"here"))
    sent(mux.take())
    assert given_to(mux) == [Opened(1, b"there")]
    list(mux.open("unknown", b""))
    sent(mux.take())
    assert given_to(mux) == [Closed(2)]
    mux.send(1, 1, b"one message")
    sent(mux.take())
    list(mux.open("other", b"", b"x"))
    sent(mux.take())
    assert given_to(mux) == [Opened(2, b"")]
    for channel, kind, payload in ((1, 0, b"first"), (1, 1, b""), (2, 0, b"on another channel"), (1, 0, b"and back")):
        mux.send(channel, kind, payload)
    sent(mux.take())
    mux.close(1)
    sent(mux.take())


def test_the_other_side_of_the_vectors_understands_them(npm: Any) -> None:
    mux = Mux()
    told: list[Event] = []
    for step in npm["mux"]:
        if step["from"]:
            assert [message.hex() for message in mux.take()] == [step["message"]]
            continue
        for event in mux.receive(bytes.fromhex(step["message"])):
            told.append(event)
            if isinstance(event, Wanted) and event.protocol != "unknown":
                answer = b"there" if event.id else b""
                told += mux.open(*event, answer)
            elif isinstance(event, Wanted):
                mux.refuse(*event)
    assert told[:3] == [Wanted("hypercore/alpha", b"\x09" * 32), Opened(1, b"here"), Wanted("unknown", b"")]
    assert told[3:6] == [Received(1, 1, b"one message"), Wanted("other", b""), Opened(2, b"x")]
    assert told[6:] == [
        Received(1, 0, b"first"),
        Received(1, 1, b""),
        Received(2, 0, b"on another channel"),
        Received(1, 0, b"and back"),
        Closed(1),
    ]


def test_both_may_open_at_the_same_time() -> None:
    one, other = Mux(), Mux()
    list(one.open("p", b"id", b"from one"))
    list(other.open("p", b"id", b"from other"))
    there, back = one.take(), other.take()
    assert [event for message in there for event in other.receive(message)] == [Opened(1, b"from one")]
    assert [event for message in back for event in one.receive(message)] == [Opened(1, b"from other")]


def test_another_name_of_a_protocol_is_the_same_channel() -> None:
    one, other = Mux(), Mux({"old": "new"})
    list(one.open("old", b""))
    list(other.open("new", b""))
    assert deliver(one, other) == [Opened(1, b"")]


def test_what_is_sent_before_the_answer_waits_for_it() -> None:
    one, other = Mux(), Mux()
    list(one.open("p", b"id"))
    one.send(1, 3, b"early")
    one.send(1, 4, b"")
    assert deliver(one, other) == [Wanted("p", b"id")]
    assert list(other.open("p", b"id")) == [Opened(1, b""), Received(1, 3, b"early"), Received(1, 4, b"")]


def test_a_channel_that_was_refused_or_closed_may_be_opened_again() -> None:
    one, other = Mux(), Mux()
    for _ in range(3):
        list(one.open("p", b"id"))
        assert one.number_of("p", b"id") == 1
        assert deliver(one, other) == [Wanted("p", b"id")]
        other.refuse("p", b"id")
        assert deliver(other, one) == [Closed(1)]
        assert one.number_of("p", b"id") is None
    one, other = opened()
    for _ in range(3):
        one.close(1)
        one.send(1, 0, b"too late")
        assert deliver(one, other) == [Closed(1)]
        list(one.open("p", b"id"))
        list(other.open("p", b"id"))
        assert deliver(one, other) == [Opened(1, b"")]
        assert deliver(other, one) == [Opened(1, b"")]


def test_a_second_channel_of_the_same_is_refused_here_and_there() -> None:
    one, other = opened()
    with pytest.raises(BadRequest, match="a second channel"):
        one.open("p", b"id")
    second = Message(0, mux_codec.body(mux_codec.OPEN, mux_codec.encode_open(OpenChannel(2, "p", b"id", b""))))
    assert list(other.receive(mux_codec.encode_message(second))) == []
    assert other.take() == [bytes([0, mux_codec.REJECT, 2])]


def test_messages_to_a_channel_that_was_just_closed_are_dropped() -> None:
    one, other = opened()
    one.send(1, 0, b"on its way")
    other.close(1)
    assert deliver(one, other) == []


def test_many_messages_go_in_frames_of_a_bounded_size() -> None:
    one, other = opened()
    for number in range(300):
        one.send(1, 0, bytes([number % 256]) * 1000)
    one.send(1, 0, bytes(200_000))
    frames = one.take()
    assert [len(data) for data in frames[-2:]] == [len(frames[-2]), 200_002]
    assert max(len(data) for data in frames[:-1]) < 70_000
    told = [event for data in frames for event in other.receive(data)]
    assert [event.payload[0] for event in told if isinstance(event, Received)] == [n % 256 for n in range(300)] + [0]


def opening(number: int, id_: bytes = b"") -> bytes:
    body = mux_codec.body(mux_codec.OPEN, mux_codec.encode_open(OpenChannel(number, "p", id_, b"")))
    return mux_codec.encode_message(Message(0, body))


def test_attack_n05_channels_that_wait_are_bounded_in_number_and_bytes() -> None:
    mux = Mux()
    for number in range(1, MOST_WAITING + 1):
        list(mux.receive(opening(number, b"%d" % number)))
    with pytest.raises(Misbehaved, match="channels wait"):
        list(mux.receive(opening(MOST_WAITING + 1, b"one more")))
    mux = Mux()
    list(mux.receive(opening(1)))
    list(mux.receive(b"\x01\x00" + bytes(MOST_WAITING_BYTES // 2)))
    with pytest.raises(Misbehaved, match="bytes for channels"):
        list(mux.receive(b"\x01\x00" + bytes(MOST_WAITING_BYTES // 2)))


def test_refusing_gives_the_room_back() -> None:
    mux = Mux()
    for _ in range(20):
        list(mux.receive(opening(1)))
        list(mux.receive(b"\x01\x00" + bytes(MOST_WAITING_BYTES // 2)))
        mux.refuse("p", b"")


def test_attack_n05_a_batch_has_only_so_many_messages() -> None:
    empty = Message(1, b"\x00")
    assert len(list(mux_codec.decode_messages(mux_codec.encode_batch([empty] * MOST_IN_BATCH)))) == MOST_IN_BATCH
    for batch in (mux_codec.encode_batch([empty] * (MOST_IN_BATCH + 1)), b"\0\0\1" + b"\0\1" * (MOST_IN_BATCH + 1)):
        with pytest.raises(Corrupt, match="more than 16384 messages"):
            list(mux_codec.decode_messages(batch))


@pytest.mark.parametrize(
    "message",
    [opening(0), opening(2), b"\x00\x02\x05", b"\x00\x00\x00\x03\x00\x00\x00"],
    ids=["number 0", "a number skipped", "refuses what was not asked", "a batch in a batch"],
)
def test_what_no_honest_side_sends_ends_the_connection(message: bytes) -> None:
    with pytest.raises((Misbehaved, Corrupt)):
        list(Mux().receive(message))
    with pytest.raises(Corrupt, match="ends too early"):
        list(Mux().receive(b""))


def test_a_number_that_is_in_use_can_not_be_taken_again() -> None:
    mux = Mux()
    list(mux.receive(opening(1)))
    with pytest.raises(Misbehaved, match="under the number 1"):
        list(mux.receive(opening(1, b"other")))


Step = tuple[str, int, int]
step = st.one_of(
    st.tuples(st.sampled_from(["open", "close", "send"]), st.integers(0, 1), st.integers(0, 2)),
    st.tuples(st.just("deliver"), st.integers(0, 1), st.integers(0, 3)),
)


class _Side:
    """A mux whose owner wants a channel or not; counts what came on each open channel."""

    def __init__(self) -> None:
        self.mux = Mux()
        self.wanted: set[bytes] = set()
        self.open: dict[bytes, list[bytes]] = {}
        self.keys: dict[int, bytes] = {}

    def do_open(self, id_: bytes) -> None:
        if id_ not in self.wanted:
            self.wanted.add(id_)
            events = self.mux.open("p", id_)
            number = self.mux.number_of("p", id_)
            assert number is not None
            self.keys[number] = id_
            self.take_in(events)

    def do_close(self, id_: bytes) -> None:
        if id_ in self.wanted:
            number = self.mux.number_of("p", id_)
            assert number is not None
            self.mux.close(number)
            self.gone(id_)

    def gone(self, id_: bytes) -> None:
        self.wanted.discard(id_)
        self.open.pop(id_, None)

    def take_in(self, events: Iterator[Event]) -> None:
        for event in events:
            if isinstance(event, Wanted):
                assert event.id not in self.wanted
                self.mux.refuse(event.protocol, event.id)
                continue
            id_ = self.keys[event.channel]
            assert id_ in self.wanted
            if isinstance(event, Opened):
                assert id_ not in self.open
                self.open[id_] = []
            elif isinstance(event, Received):
                self.open[id_].append(event.payload)
            else:
                self.gone(id_)


@settings(max_examples=150, deadline=None)
@given(st.lists(step, max_size=40))
def test_two_sides_agree_whatever_crosses_on_the_way(steps: list[Step]) -> None:
    sides, wires = (_Side(), _Side()), ([], [])  # type: ignore[var-annotated]  # frames on their way to each

    def deliver_to(number: int) -> None:
        sides[number].take_in(sides[number].mux.receive(wires[number].pop(0)))

    for serial, (what, side, which) in enumerate(steps):
        one, id_ = sides[side], b"%d" % which
        if what == "open":
            one.do_open(id_)
        elif what == "close":
            one.do_close(id_)
        elif what == "send" and id_ in one.open:
            number = one.mux.number_of("p", id_)
            assert number is not None
            one.mux.send(number, 1, b"%d" % serial)
        elif what == "deliver":
            for _ in range(min(which, len(wires[side]))):
                deliver_to(side)
        for number in (0, 1):
            wires[1 - number].extend(sides[number].mux.take())
    while wires[0] or wires[1]:
        for number in (0, 1):
            if wires[number]:
                deliver_to(number)
            for sender in (0, 1):
                wires[1 - sender].extend(sides[sender].mux.take())
    assert sides[0].open.keys() == sides[1].open.keys()
    for side in sides:
        assert side.open.keys() <= side.wanted
        # Both ends answered everything: what is still wanted and not open was refused and is gone.
        assert side.wanted == set(side.open)
        assert len(side.mux._remote) == len(side.open)
        assert side.mux._held_bytes == 0
        assert len(side.mux._free) == len(side.mux._local) - len(side.open)


def test_a_message_reads_as_it_was_written() -> None:
    messages = [Message(1, b"\x00a"), Message(1, b"\x05"), Message(300, b"\x01" + bytes(300)), Message(0, b"\x03\x01")]
    assert list(mux_codec.decode_messages(mux_codec.encode_batch(messages))) == messages
    for message in messages:
        assert list(mux_codec.decode_messages(mux_codec.encode_message(message))) == [message]
    assert compact.uint(300) == b"\xfd\x2c\x01"
