"""From bytes to logs: who may join, and what a stranger learns."""

from pathlib import Path

import pytest

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Misbehaved
from hyperfs.replication import dialogue_codec, messages
from hyperfs.replication.connection import Connection, Spoken, Told
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.dialogue import Answered, Dialogue
from hyperfs.replication.dialogue_codec import Method, Request, Status
from hyperfs.replication.messages import PROTOCOL
from hyperfs.replication.mux import Mux
from hyperfs.replication.secret_stream import MOST_FRAME_BYTES, UNPROVEN_FRAME_BYTES, Connected, SecretStream

from .sides import Side, connect, own_log, pump, replica, serves, takes


class Stranger:
    """A side that speaks the protocol and knows discovery keys, and no key of a log."""

    def __init__(self, is_initiator: bool = True) -> None:
        number = 200 + is_initiator
        self.stream = SecretStream(is_initiator, CurveKeyPair(bytes([number]) * 32), bytes([number]) * 32, bytes(24))
        self.mux = Mux()
        self.told: list[object] = []
        self.hash = b""

    def exchange(self, side: Side) -> None:
        while True:
            for message in self.mux.take():
                self.stream.send(message)
            data, back = self.stream.data_to_send(), side.connection.data_to_send()
            if not data and not back:
                return
            side.receive(data)
            for found in self.stream.receive(back):
                if isinstance(found, Connected):
                    self.hash = found.handshake_hash
                else:
                    self.told += self.mux.receive(found)


def test_attack_n06_a_capability_of_another_connection_is_refused(tmp_path: Path) -> None:
    log = serves(own_log(tmp_path / "own", 10))
    heard: list[bytes] = []
    # A stranger in the middle of one connection hands on what the writer says to another.
    first = Stranger()
    side = Side(False, [log])
    first.exchange(side)
    (wanted,) = first.told
    assert wanted == (PROTOCOL, log.discovery_key)
    heard.append(messages.capability(False, log.key, first.hash))
    for stolen in (*heard, messages.capability(False, log.key, bytes(64)), bytes(32)):
        stranger, side = Stranger(), Side(False, [log], serial=2)
        stranger.exchange(side)
        list(stranger.mux.open(PROTOCOL, log.discovery_key, messages.encode_handshake(messages.Handshake(stolen))))
        stranger.exchange(side)
        assert isinstance(side.error, Misbehaved)
        assert "does not know" in str(side.error)
        assert side.exchanges == []


def test_attack_n02_a_side_s_own_capability_is_not_taken_from_the_other(tmp_path: Path) -> None:
    log = serves(own_log(tmp_path / "own", 10))
    stranger, side = Stranger(), Side(False, [log])
    stranger.exchange(side)
    own = messages.capability(False, log.key, stranger.hash)
    list(stranger.mux.open(PROTOCOL, log.discovery_key, messages.encode_handshake(messages.Handshake(own))))
    stranger.exchange(side)
    assert isinstance(side.error, Misbehaved)


def test_who_knows_the_key_may_join_and_long_frames_are_taken_from_then_on(tmp_path: Path) -> None:
    log = serves(own_log(tmp_path / "own", 10))
    stranger, side = Stranger(), Side(False, [log])
    stranger.exchange(side)
    assert side.connection._stream.most_frame_bytes == UNPROVEN_FRAME_BYTES
    proof = messages.capability(True, log.key, stranger.hash)
    list(stranger.mux.open(PROTOCOL, log.discovery_key, messages.encode_handshake(messages.Handshake(proof))))
    stranger.exchange(side)
    assert side.error is None
    assert len(side.exchanges) == 1
    assert side.connection._stream.most_frame_bytes == MOST_FRAME_BYTES


def test_a_log_that_is_not_shared_and_another_protocol_are_refused(tmp_path: Path) -> None:
    one, other = serves(own_log(tmp_path / "own", 10)), serves(own_log(tmp_path / "b", 5, SigningKeyPair(b"\x02" * 32)))
    pair = connect([one], [other])
    pump(pair)
    assert pair[0].error is None
    assert pair[0].exchanges == pair[1].exchanges == []
    assert not pair[0].connection.is_in_use
    stranger, side = Stranger(), Side(False, [])
    stranger.exchange(side)
    list(stranger.mux.open("chat", one.discovery_key))
    stranger.exchange(side)
    assert [type(found).__name__ for found in stranger.told] == ["Closed"]


def test_a_log_may_be_shared_later_and_no_more(tmp_path: Path) -> None:
    taking = replica(tmp_path / "there")
    one, other = serves(own_log(tmp_path / "own", 10)), takes(taking)
    pair = connect([], [])
    pump(pair)
    pair[0].logs[one.discovery_key] = one
    pair[1].logs[other.discovery_key] = other
    assert list(pair[1].connection.share(other)) == []
    pump(pair)
    assert list(taking.ranges()) == [(0, 10)]
    assert list(pair[1].connection.share(other)) == []  # it is shared already
    pair[0].connection.unshare(one)
    pair[0].end()
    pump(pair)
    assert pair[1].exchanges == []
    assert not pair[1].connection.is_in_use


def test_silence_can_be_filled(tmp_path: Path) -> None:
    pair = connect([], [])
    pair[0].connection.keep_alive()  # nothing can be said before the handshake
    pump(pair)
    pair[0].connection.keep_alive()
    data = pair[0].connection.data_to_send()
    assert len(data) == 3 + 17
    assert list(pair[1].connection.receive(data)) == []


def test_a_channel_that_the_other_side_closes_is_left(tmp_path: Path) -> None:
    log = serves(own_log(tmp_path / "own", 10))
    stranger, side = Stranger(), Side(False, [log])
    stranger.exchange(side)
    proof = messages.capability(True, log.key, stranger.hash)
    for _ in range(3):
        list(stranger.mux.open(PROTOCOL, log.discovery_key, messages.encode_handshake(messages.Handshake(proof))))
        stranger.exchange(side)
        assert len(side.exchanges) == 1
        number = stranger.mux.number_of(PROTOCOL, log.discovery_key)
        assert number is not None
        stranger.mux.close(number)
        stranger.exchange(side)
        assert side.exchanges == []
    assert side.error is None


def test_events_name_the_log_that_they_are_of(tmp_path: Path) -> None:
    log = serves(own_log(tmp_path / "own", 3))
    stream = SecretStream(False, CurveKeyPair(bytes(31) + b"\1"), b"\1" * 32, bytes(24))
    connection = Connection(stream, {log.discovery_key: log}.get)
    other = Side(True, [takes(replica(tmp_path / "there"))])
    told: list[object] = []
    for _ in range(6):
        told += connection.receive(other.connection.data_to_send())
        other.receive(connection.data_to_send())
    assert [found.shared for found in told if isinstance(found, Told)] == [log]
    with pytest.raises(Misbehaved):
        list(connection.receive(bytes(40)))


def talking(is_initiator: bool, key: bytes | None = None) -> tuple[Connection, Dialogue]:
    number = 90 + is_initiator
    stream = SecretStream(is_initiator, CurveKeyPair(bytes([number]) * 32), bytes([number]) * 32, bytes(24))
    dialogue = Dialogue()
    return Connection(stream, lambda name: None, dialogue=dialogue, expected_key=key), dialogue


def test_the_first_answer_of_a_peer_is_there_after_two_round_trips() -> None:
    (near, asks), (far, answers) = talking(True, CurveKeyPair(b"\x5a" * 32).public_key), talking(False)
    asks.ask(Method.SPACE, b"question")
    trips, found = 0, []
    while not found:
        trips += 1
        for event in far.receive(near.data_to_send()):
            if isinstance(event, Spoken) and isinstance(event.event, Request):
                answers.answer(event.event.id, Status.OK, b"answer")
        found = [event for event in near.receive(far.data_to_send()) if isinstance(event, Spoken)]
    assert trips == 2
    assert found == [Spoken(Answered(Request(1, Method.SPACE, b"question"), Status.OK, b"answer"))]
    assert near.is_in_use  # whose key was expected is trusted
    assert not far.is_in_use


def test_a_dialogue_that_was_closed_is_not_opened_again_and_one_that_is_not_spoken_is_refused() -> None:
    (near, _), (far, _) = talking(True), talking(False)
    for _ in range(3):
        list(far.receive(near.data_to_send()))
        list(near.receive(far.data_to_send()))
    assert near.speaks
    assert far.speaks
    near._mux.close(near._mux.number_of(dialogue_codec.PROTOCOL, b"") or 0)
    assert [type(event).__name__ for event in far.receive(near.data_to_send())] == ["Unspoken"]
    list(near._mux.open(dialogue_codec.PROTOCOL, b"", dialogue_codec.encode_handshake()))
    list(far.receive(near.data_to_send()))
    assert not far.speaks
    mute = Connection(SecretStream(False, CurveKeyPair(b"\x07" * 32), b"\x08" * 32, bytes(24)), lambda name: None)
    (near, _) = talking(True)
    told: list[object] = []
    for _ in range(3):
        list(mute.receive(near.data_to_send()))
        told += near.receive(mute.data_to_send())
    assert [type(event).__name__ for event in told] == ["Connected", "Unspoken"]


def test_attack_n01_nothing_is_said_to_another_than_was_expected() -> None:
    (near, asks), (far, _) = talking(True, CurveKeyPair(b"\x01" * 32).public_key), talking(False)
    asks.ask(Method.SPACE, b"question")
    list(far.receive(near.data_to_send()))
    with pytest.raises(Misbehaved, match="another than was expected answers there"):
        list(near.receive(far.data_to_send()))
    assert not near.is_connected
