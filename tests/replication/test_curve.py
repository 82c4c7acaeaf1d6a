"""Key agreement: npm's answers, and points that give the secret away."""

from typing import Any

import pytest
from nacl.bindings import crypto_scalarmult_base

from hyperfs.errors import Misbehaved
from hyperfs.replication.curve import CurveKeyPair, is_of


def test_pairs_and_what_they_agree_on_are_those_of_npm(npm: Any) -> None:
    pairs = [CurveKeyPair.from_seed(bytes.fromhex(seed)) for seed in npm["noise"]["seeds"]]
    assert [pair.public_key.hex() for pair in pairs] == npm["noise"]["publicKeys"]
    assert pairs[0].agree(pairs[1].public_key).hex() == npm["noise"]["agreed"]
    assert pairs[1].agree(pairs[0].public_key) == pairs[0].agree(pairs[1].public_key)


def test_a_rosters_transport_key_is_known_again_in_the_handshake() -> None:
    secret = b"\x07" * 32
    pair = CurveKeyPair(secret)
    assert is_of(pair.public_key, crypto_scalarmult_base(secret))
    assert not is_of(pair.public_key, crypto_scalarmult_base(b"\x08" * 32))
    assert not is_of(b"\1" + bytes(31), bytes(32))


# The eight points of small order and encodings of them that are not the canonical one.
LOW_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_attack_n03_a_point_of_low_order_is_refused(point: str) -> None:
    with pytest.raises(Misbehaved, match="no proper point"):
        CurveKeyPair(b"\x05" * 32).agree(bytes.fromhex(point))


def test_secrets_are_not_in_a_repr() -> None:
    pair = CurveKeyPair(b"\x05" * 32)
    assert repr(pair) == f"CurveKeyPair({pair.public_key.hex()})"
    with pytest.raises(ValueError, match="32 bytes"):
        CurveKeyPair(b"short")
