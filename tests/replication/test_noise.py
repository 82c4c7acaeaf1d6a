"""The handshake: npm's bytes, and everything that is changed is noticed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.errors import Misbehaved
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.noise import MESSAGE_BYTES, Handshake


def pair(number: int) -> CurveKeyPair:
    return CurveKeyPair.from_seed(bytes([number]) * 32)


def sides() -> tuple[Handshake, Handshake]:
    return Handshake(True, pair(1), pair(3)), Handshake(False, pair(2), pair(4))


def run(change: tuple[int, int] | None = None) -> tuple[Handshake, Handshake, list[bytes]]:
    """A whole handshake; `change`: (message, bit) to flip on the way."""
    initiator, responder = sides()
    messages = []
    for step in range(3):
        sender, receiver = (responder, initiator) if step == 1 else (initiator, responder)
        message = bytearray(sender.send())
        if change and change[0] == step:
            message[change[1] // 8 % len(message)] ^= 1 << change[1] % 8
        messages.append(bytes(message))
        receiver.receive(bytes(message))
    return initiator, responder, messages


def test_messages_keys_and_hash_are_those_of_npm(npm: Any) -> None:
    initiator, responder, messages = run()
    assert [message.hex() for message in messages] == npm["noise"]["messages"]
    secrets = initiator.secrets()
    assert (secrets.send_key.hex(), secrets.receive_key.hex()) == (npm["noise"]["tx"], npm["noise"]["rx"])
    assert secrets.handshake_hash.hex() == npm["noise"]["hash"]
    assert secrets.remote_key.hex() == npm["noise"]["publicKeys"][1]
    theirs = responder.secrets()
    assert theirs == (secrets.receive_key, secrets.send_key, secrets.handshake_hash, pair(1).public_key)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2), st.integers(0, 767))
def test_attack_n01_no_bit_of_a_handshake_can_be_changed(message: int, bit: int) -> None:
    with pytest.raises(Misbehaved):
        run((message, bit))


def test_attack_n01_who_sits_between_has_another_hash_on_each_side() -> None:
    initiator, _ = sides()
    middle = Handshake(False, pair(5), pair(6))
    middle.receive(initiator.send())
    initiator.receive(middle.send())
    middle.receive(initiator.send())
    assert initiator.secrets().remote_key == pair(5).public_key  # and that is no key that anybody listed

    _, responder = sides()
    other = Handshake(True, pair(5), pair(7))
    responder.receive(other.send())
    other.receive(responder.send())
    responder.receive(other.send())
    assert other.secrets().handshake_hash != middle.secrets().handshake_hash


def test_attack_n02_a_message_that_is_sent_back_or_replayed_is_refused() -> None:
    initiator, responder = sides()
    first = initiator.send()
    responder.receive(first)
    second = responder.send()
    with pytest.raises(Misbehaved, match="32 bytes, not 96"):
        initiator.receive(first)
    initiator.receive(second)
    third = initiator.send()
    again = Handshake(False, pair(2), pair(9))
    again.receive(first)
    again.send()
    with pytest.raises(Misbehaved, match="authenticate"):
        again.receive(third)


@pytest.mark.parametrize("size", [0, 31, 33, 96, 65535])
def test_a_message_of_another_length_is_refused_before_any_work(size: int) -> None:
    responder = sides()[1]
    with pytest.raises(Misbehaved, match=f"{size} bytes, not 32"):
        responder.receive(bytes(size))
    assert responder.expected_bytes == MESSAGE_BYTES[0]
