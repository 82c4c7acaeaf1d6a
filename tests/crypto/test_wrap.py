"""A key file opens with its passphrase, or says whether it is damaged or the passphrase is wrong."""

import json
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto import wrap
from hyperfs.errors import Corrupt, FormatTooNew, WrongPassphrase

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "keyfile.json").read_text())

BODY = bytes(range(128))
SALT, NONCE = b"salt salt salt !", b"nonce nonce "
PLAIN = wrap.wrap(wrap.KIND_DEVICE, BODY)
WRAPPED = wrap.wrap(wrap.KIND_DEVICE, BODY, b"passphrase", SALT, NONCE, wrap.LEAST_COST)


def summed(data: bytes) -> bytes:
    """With a good checksum, as somebody would write it who edits a key file with intent."""
    return data + blake2b(data, digest_size=32).digest()


@pytest.mark.parametrize("case", VECTORS["files"], ids=lambda case: case["name"])
def test_golden_key_files_are_written_and_read(case: dict[str, object]) -> None:
    body, data = bytes.fromhex(case["body"]), bytes.fromhex(case["file"])
    passphrase = None if case["passphrase"] is None else case["passphrase"].encode()
    if passphrase is None:
        assert wrap.wrap(case["kind"], body) == data
    else:
        salt, nonce = bytes.fromhex(case["salt"]), bytes.fromhex(case["nonce"])
        cost = wrap.Cost(case["passes"], case["memory_kib"])
        assert wrap.wrap(case["kind"], body, passphrase, salt, nonce, cost) == data
    assert wrap.unwrap(data, case["kind"], passphrase) == body
    assert wrap.is_wrapped(data) == (passphrase is not None)
    assert len(data) <= wrap.MAX_FILE_BYTES


@pytest.mark.parametrize("data", [PLAIN, WRAPPED], ids=["plain", "wrapped"])
def test_every_flipped_bit_is_damage_and_no_wrong_passphrase(data: bytes) -> None:
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            wrap.unwrap(bytes(damaged), wrap.KIND_DEVICE, b"passphrase")
    for size in range(len(data)):
        with pytest.raises(Corrupt):
            wrap.unwrap(data[:size], wrap.KIND_DEVICE, b"passphrase")
    with pytest.raises(Corrupt):
        wrap.unwrap(data + b"\0", wrap.KIND_DEVICE, b"passphrase")


def test_a_wrong_passphrase_is_told_from_damage_and_from_none() -> None:
    for passphrase in (b"Passphrase", b"passphrase ", None):
        with pytest.raises(WrongPassphrase):
            wrap.unwrap(WRAPPED, wrap.KIND_DEVICE, passphrase)


def test_the_wrapped_file_does_not_hold_the_body() -> None:
    assert BODY[:8] not in WRAPPED
    assert BODY in PLAIN


def test_attack_m09_parameters_are_authenticated() -> None:
    at = 16
    for passes, memory_kib in ((wrap.MIN_PASSES + 1, wrap.MIN_MEMORY_KIB), (2, wrap.MIN_MEMORY_KIB + 1024)):
        edited = bytearray(WRAPPED[:-32])
        edited[at : at + 8] = passes.to_bytes(4, "little") + memory_kib.to_bytes(4, "little")
        with pytest.raises(WrongPassphrase):
            wrap.unwrap(summed(bytes(edited)), wrap.KIND_DEVICE, b"passphrase")


@pytest.mark.parametrize(
    ("passes", "memory_kib"),
    [
        (0, 1 << 16),
        (1, 1 << 16),
        (2, (1 << 16) - 1),
        (17, 1 << 16),
        (2, (1 << 20) + 1),
        (2**32 - 1, 2**32 - 1),
    ],
)
def test_attack_m09_floors_and_ceilings_hold_before_anything_is_spent(passes: int, memory_kib: int) -> None:
    edited = WRAPPED[:16] + passes.to_bytes(4, "little") + memory_kib.to_bytes(4, "little") + WRAPPED[24:-32]
    with pytest.raises(Corrupt, match="nobody may use"):
        wrap.unwrap(summed(edited), wrap.KIND_DEVICE, b"passphrase")
    with pytest.raises(ValueError, match="bounds"):
        wrap.Cost(passes, memory_kib)


def test_one_kind_of_key_is_not_taken_for_another() -> None:
    with pytest.raises(Corrupt, match="device's key file and not the root's"):
        wrap.unwrap(PLAIN, wrap.KIND_ROOT)


def test_a_later_format_is_told_from_damage() -> None:
    with pytest.raises(FormatTooNew):
        wrap.unwrap(summed(PLAIN[:8] + b"\2" + PLAIN[9:-32]), wrap.KIND_DEVICE)


@pytest.mark.parametrize("at", [9, 10, 11, 12])
def test_unknown_fields_under_a_good_checksum_are_refused(at: int) -> None:
    edited = bytearray(PLAIN[:-32])
    edited[at] = 9
    with pytest.raises(Corrupt):
        wrap.unwrap(summed(bytes(edited)), wrap.KIND_DEVICE)


@given(st.binary(max_size=400))
def test_no_bytes_at_all_make_it_stumble(data: bytes) -> None:
    for forged in (data, wrap.MAGIC + data, summed(wrap.MAGIC + b"\1" + data)):
        with pytest.raises((Corrupt, WrongPassphrase)):
            wrap.unwrap(forged, wrap.KIND_DEVICE)


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1025])
def test_passphrases_out_of_bounds_are_refused(passphrase: bytes) -> None:
    with pytest.raises(ValueError, match="passphrase"):
        wrap.wrap(wrap.KIND_ROOT, BODY, passphrase, SALT, NONCE, wrap.LEAST_COST)


def test_arguments_that_make_no_key_file_are_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        wrap.wrap(9, BODY)
    with pytest.raises(ValueError, match="kind"):
        wrap.wrap(wrap.KIND_ROOT, b"")
    with pytest.raises(ValueError, match="salt"):
        wrap.wrap(wrap.KIND_ROOT, BODY, b"passphrase", b"", NONCE)


def test_a_passphrase_is_the_same_typed_or_stored() -> None:
    assert wrap.normalise(b"word\n") == wrap.normalise(b"word\r\n") == wrap.normalise(b"word") == b"word"
    assert wrap.normalise("cafe\u0301".encode()) == "caf\u00e9".encode()
    assert wrap.normalise(b"\xff\xfe\n") == b"\xff\xfe"
    assert wrap.normalise(b" word ") == b" word "
