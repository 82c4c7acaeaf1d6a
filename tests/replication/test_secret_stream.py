"""The secret channel: npm's bytes, any cutting of the stream, and frames that somebody touched."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.errors import BadRequest, Misbehaved
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.secret_stream import (
    MOST_FRAME_BYTES,
    SEAL_BYTES,
    UNPROVEN_FRAME_BYTES,
    Connected,
    Frames,
    SecretStream,
    frame,
)


def stream(is_initiator: bool) -> SecretStream:
    number = 1 if is_initiator else 2
    return SecretStream(
        is_initiator,
        CurveKeyPair.from_seed(bytes([number]) * 32),
        bytes([number + 2]) * 32,
        bytes([number + 4]) * 24,
    )


def connect(one: SecretStream, other: SecretStream) -> list[list[Connected | bytes]]:
    """Carries bytes between the two until there are no more; what each side was told."""
    told: list[list[Connected | bytes]] = [[], []]
    while True:
        data = one.data_to_send(), other.data_to_send()
        if not any(data):
            return told
        told[1] += other.receive(data[0])
        told[0] += one.receive(data[1])


def connected() -> tuple[SecretStream, SecretStream]:
    one, other = stream(True), stream(False)
    connect(one, other)
    return one, other


def npm_receiver(npm: Any) -> SecretStream:
    """The responder of the vectors' handshake, which has received the initiator's header."""
    found = stream(False)
    found._handshake = type(found._handshake)(  # the vectors' ephemeral key comes from a seed
        False, CurveKeyPair.from_seed(b"\x02" * 32), CurveKeyPair.from_seed(b"\x04" * 32)
    )
    for message in (npm["noise"]["messages"][0], npm["noise"]["messages"][2]):
        list(found.receive(frame(bytes.fromhex(message))))
    header = bytes.fromhex(npm["stream"]["ids"][0] + npm["stream"]["header"])
    list(found.receive(frame(header)))
    return found


def test_messages_sealed_by_npm_open(npm: Any) -> None:
    receiver = npm_receiver(npm)
    sealed = b"".join(frame(bytes.fromhex(text)) for text in npm["stream"]["sealed"])
    assert list(receiver.receive(sealed)) == [bytes.fromhex(text) for text in npm["stream"]["plain"] if text]
    assert npm["stream"]["ids"][1] in receiver.data_to_send().hex()


def test_each_side_learns_who_the_other_is_and_the_same_hash() -> None:
    one, other = stream(True), stream(False)
    (first,), (second,) = connect(one, other)
    assert isinstance(first, Connected)
    assert isinstance(second, Connected)
    assert first.remote_key == CurveKeyPair.from_seed(b"\x02" * 32).public_key
    assert second.remote_key == CurveKeyPair.from_seed(b"\x01" * 32).public_key
    assert first.handshake_hash == second.handshake_hash


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=2000), max_size=8), st.randoms(use_true_random=False))
def test_messages_arrive_however_the_bytes_are_cut(messages: list[bytes], source: random.Random) -> None:
    one, other = stream(True), stream(False)
    told: list[Connected | bytes] = []
    for message in [None, *messages]:
        if message is not None:
            one.send(message)
        while data := one.data_to_send():
            while data:
                size = source.choice([1, 2, 5, 100, 5000])
                told += other.receive(data[:size])
                data = data[size:]
            list(one.receive(other.data_to_send()))
    assert told[1:] == [message for message in messages if message]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 20))
def test_attack_n04_a_changed_bit_ends_the_connection(bit: int) -> None:
    one, other = connected()
    one.send(b"a message of some length")
    data = bytearray(one.data_to_send())
    place = 3 + bit // 8 % (len(data) - 3)
    data[place] ^= 1 << bit % 8
    with pytest.raises(Misbehaved, match="authenticate"):
        list(other.receive(bytes(data)))


@pytest.mark.parametrize("order", [[1, 0], [0, 0], [1], [0, 2]], ids=["reordered", "doubled", "first lost", "cut out"])
def test_attack_n04_frames_can_not_be_reordered_doubled_or_left_out(order: list[int]) -> None:
    one, other = connected()
    frames = []
    for number in range(3):
        one.send(b"message %d" % number)
        frames.append(one.data_to_send())
    with pytest.raises(Misbehaved, match="authenticate"):
        list(other.receive(b"".join(frames[number] for number in order)))


def test_attack_n02_what_a_side_sent_can_not_be_sent_back_to_it() -> None:
    one, other = stream(True), stream(False)
    list(other.receive(one.data_to_send()))
    list(one.receive(other.data_to_send()))
    tail = one.data_to_send()  # its third message, and its id with the header
    with pytest.raises(Misbehaved, match="not of this connection"):
        list(one.receive(tail[3 + 64 :]))


def test_attack_n05_nothing_is_kept_for_a_frame_that_is_too_long() -> None:
    responder = stream(False)
    with pytest.raises(Misbehaved, match="33 bytes where 32 to 32"):
        list(responder.receive(b"\x21\0\0"))
    one, other = connected()
    with pytest.raises(Misbehaved, match=f"where {SEAL_BYTES} to {UNPROVEN_FRAME_BYTES}"):
        list(other.receive((UNPROVEN_FRAME_BYTES + 1).to_bytes(3, "little")))
    one.most_frame_bytes = MOST_FRAME_BYTES
    assert list(one.receive(b"\xff\xff\xff" + bytes(100))) == []
    with pytest.raises(Misbehaved, match="a frame of 16 bytes"):
        list(connected()[0].receive(b"\x10\0\0"))


def test_a_frame_longer_than_its_length_can_say_is_not_sent() -> None:
    with pytest.raises(BadRequest, match="16777216 bytes"):
        frame(bytes(1 << 24))


def test_frames_wait_for_their_last_byte() -> None:
    frames = Frames()
    data = frame(b"hello") + frame(b"")
    for at in range(len(data) - 4):
        frames.add(data[at : at + 1])
        assert frames.next(0, 10) is None
    frames.add(data[-4:])
    assert frames.next(0, 10) == b"hello"
    assert frames.next(0, 10) == b""
    assert frames.next(0, 10) is None
