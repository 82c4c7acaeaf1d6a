import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto.keys import BoxKeyPair, SigningKeyPair
from hyperfs.lan import names

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "lan.json").read_text())["cases"]
seeds = st.binary(min_size=32, max_size=32)
NS = 10**9


@pytest.mark.parametrize("case", CASES)
def test_golden_names(case: dict[str, Any]) -> None:
    seed, transport = bytes.fromhex(case["peer_seed"]), BoxKeyPair(bytes.fromhex(case["transport_secret"]))
    secret = names.secret_of_device(transport, SigningKeyPair(seed).public_key)
    assert secret is not None
    assert secret.hex() == case["secret"]
    assert {slot: names.name(secret, int(slot)) for slot in case["names"]} == case["names"]


@given(seeds, seeds, st.integers(0, 1 << 40))
def test_a_peer_and_its_device_come_to_the_same_names(seed: bytes, device: bytes, slot: int) -> None:
    transport = BoxKeyPair(device)
    mine = names.secret_of_peer(seed, transport.public_key)
    theirs = names.secret_of_device(transport, SigningKeyPair(seed).public_key)
    assert mine is not None
    assert mine == theirs
    name = names.name(mine, slot)
    assert len(name) == names.NAME_CHARACTERS
    assert name in names.names_around(mine, slot + 1)
    assert name in names.names_around(mine, max(slot - 1, 0))
    assert name not in names.names_around(mine, slot + 2)


def test_nobody_else_can_tell_whose_name_it_is() -> None:
    """Other devices of the same peer, and other peers of the same device, have nothing in common."""
    devices = [BoxKeyPair(bytes([number]) * 32) for number in range(1, 5)]
    secrets = {names.secret_of_peer(bytes([seed]) * 32, device.public_key) for seed in (8, 9) for device in devices}
    assert len(secrets) == 8
    all_names = {names.name(secret, slot) for secret in secrets if secret for slot in range(4)}
    assert len(all_names) == 32


def test_what_is_announced_tells_nothing_by_its_order_and_is_bounded() -> None:
    secrets = [bytes([number]) * 32 for number in range(100)]
    assert names.names_of(secrets, 5, 64) == names.names_of(reversed(secrets), 5, 64)
    assert len(names.names_of(secrets, 5, 64)) == 64


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31), b"", b"\xff" * 32, bytes(31) + b"\x80"])
def test_keys_that_nobody_honest_has_share_nothing(key: bytes) -> None:
    assert names.secret_of_device(BoxKeyPair(b"\1" * 32), key) is None


def test_devices_of_low_order_share_nothing() -> None:
    assert names.secret_of_peer(b"\1" * 32, bytes(32)) is None
    assert names.secret_of_peer(b"\1" * 32, b"short") is None


def test_a_slot_is_a_quarter_of_an_hour() -> None:
    assert names.slot_at(0) == 0
    assert names.slot_at(900 * NS - 1) == 0
    assert names.slot_at(900 * NS) == 1
