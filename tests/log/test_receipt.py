"""Receipts: one encoding, one signer, one challenge, and what a device finds before it believes one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, Refused
from hyperfs.log.receipt import DAY_NS, Receipt, SignedReceipt, check, decode, sign_receipt

from .test_format_pages import example

VECTORS = Path(__file__).parents[1] / "vectors"
PEER = SigningKeyPair(b"\x07" * 32)
DRIVE, LOG, CHALLENGE, TREE = (bytes([number]) * 32 for number in (1, 2, 3, 4))
ISSUED = 1_795_300_000_000_000_000
RECEIPT = Receipt(
    DRIVE, PEER.public_key, CHALLENGE, ISSUED, ISSUED + 30 * DAY_NS, LOG, 0, 1000, TREE, ((0, 300), (512, 1000))
)

edges = st.lists(st.integers(0, 1 << 52), unique=True, max_size=40).map(sorted)


@given(edges, st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_every_receipt_comes_back(edges: list[int], fork: int, issued: int) -> None:
    ranges = tuple(zip(edges[::2], edges[1::2], strict=False))
    receipt = RECEIPT._replace(fork=fork, issued_ns=issued, length=1 << 52, ranges=ranges)
    signed = sign_receipt(PEER, receipt)
    assert decode(signed.encode()) == signed


def test_the_golden_bytes() -> None:
    golden = json.loads((VECTORS / "receipt.json").read_text())
    for case in golden["receipts"]:
        signed = decode(bytes.fromhex(case["hex"]))
        assert signed.receipt.length == case["length"]
        assert [list(found) for found in signed.receipt.ranges] == case["ranges"]
        again = sign_receipt(SigningKeyPair(bytes.fromhex(case["seed"])), signed.receipt)
        assert again.encode().hex() == case["hex"]


def test_the_receipt_of_the_page() -> None:
    assert sign_receipt(PEER, RECEIPT).encode() == example("receipt.md", "receipt")


def believe(signed: SignedReceipt, now: int = ISSUED + 5) -> Receipt:
    return check(signed.encode(), PEER.public_key, DRIVE, LOG, CHALLENGE, now)


def test_a_right_one_is_believed_and_covers_what_it_says() -> None:
    found = believe(sign_receipt(PEER, RECEIPT))
    assert found == RECEIPT
    assert found.covers(0, 300)
    assert found.covers(600, 700)
    assert found.covers(5, 5)
    assert not found.covers(299, 301)
    assert not found.covers(300, 513)
    assert not found.covers(999, 1001)


def test_attack_m10_a_forged_receipt_is_refused() -> None:
    """Every byte of one is flipped in turn; and a thief signs one with a key of his own."""
    data = sign_receipt(PEER, RECEIPT).encode()
    for at in range(len(data)):
        bad = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(HyperfsError):
            check(bad, PEER.public_key, DRIVE, LOG, CHALLENGE, ISSUED)
    thief = SigningKeyPair(b"\x09" * 32)
    with pytest.raises(Refused, match="another peer's"):
        believe(sign_receipt(thief, RECEIPT._replace(peer_key=thief.public_key)))
    forged = SignedReceipt(RECEIPT, thief.sign(b"anything"))
    with pytest.raises(Corrupt, match="signature"):
        believe(forged)
    with pytest.raises(ValueError, match="signed by the peer"):
        sign_receipt(thief, RECEIPT)


@pytest.mark.parametrize(
    ("change", "now", "says"),
    [
        ({"challenge": b"\x05" * 32}, ISSUED, "played again"),
        ({"drive": b"\x05" * 32}, ISSUED, "another log"),
        ({"log": b"\x05" * 32}, ISSUED, "another log"),
        ({}, ISSUED + 30 * DAY_NS, "expired"),
        ({}, ISSUED - 601 * 10**9, "future"),
        ({"expires_ns": ISSUED + 31 * DAY_NS}, ISSUED, "30 days"),
    ],
)
def test_attack_m11_a_receipt_from_elsewhere_or_before_is_refused(
    change: dict[str, bytes], now: int, says: str
) -> None:
    with pytest.raises(Refused, match=says):
        believe(sign_receipt(PEER, RECEIPT._replace(**change)), now)


def test_what_none_can_say_is_corrupt() -> None:
    for ranges in (((0, 1), (1, 2)), ((3, 3),), ((0, 1001),)):
        with pytest.raises(Corrupt):
            decode(sign_receipt(PEER, RECEIPT._replace(ranges=ranges)).encode())
    data = bytearray(sign_receipt(PEER, RECEIPT).encode())
    data[8] = 2
    with pytest.raises(FormatTooNew):
        decode(bytes(data))
    with pytest.raises(Corrupt, match="no receipt"):
        decode(b"x" * 400)
