"""A block opens at its own place, whole, or not at all."""

import json
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto import seal
from hyperfs.crypto.keys import EpochKeys
from hyperfs.crypto.seal import BlockHeader, Sealer
from hyperfs.errors import Corrupt, FormatTooNew, KeyMissing

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "seal.json").read_text())

LOG_KEY = bytes(range(32))
OTHER_LOG_KEY = bytes(range(1, 33))
NONCE = b"nonce nonce "
ONE = EpochKeys(1, b"1" * 32, b"d" * 32)
TWO = EpochKeys(2, b"2" * 32, b"d" * 32)
SEALER = Sealer({1: ONE, 2: TWO}, {1}, 2)


def sealed(payload: bytes = b"some bytes", **changes: object) -> bytes:
    place: dict[str, object] = {
        "log_number": 3,
        "log_key": LOG_KEY,
        "fork": 1,
        "index": 7,
        "kind": seal.KIND_NODES,
        "codec": seal.CODEC_RAW,
        "decoded_length": len(payload),
        "payload": payload,
        "nonce": NONCE,
    }
    return SEALER.seal(**(place | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", VECTORS["blocks"], ids=lambda case: case["name"])
def test_golden_blocks_are_written_and_read(case: dict[str, object]) -> None:
    keys = EpochKeys(case["epoch"], bytes.fromhex(case["epoch_key"]), bytes.fromhex(case["drive_key"]))
    sealer = Sealer({keys.epoch: keys}, {1}, keys.epoch)
    base = bytes.fromhex(case["base"]) if case["base"] else None
    log_key, payload = bytes.fromhex(case["log_key"]), bytes.fromhex(case["payload"])
    nonce, block = bytes.fromhex(case["nonce"]), bytes.fromhex(case["block"])
    place = (case["log"], log_key, case["fork"], case["index"])
    rest = (case["kind"], case["codec"], case["decoded_length"], payload, nonce)
    assert sealer.seal(*place, *rest, case["realm"], base, case["padding"]) == block
    header, found = sealer.open(*place, block)
    assert found == payload
    assert header.encode() == block[: len(header.encode())]
    assert (header.base, header.padding, header.key_id) == (base, case["padding"], keys.key_id)


@given(
    st.binary(max_size=300),
    st.integers(1, 6),
    st.integers(0, 2),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 50),
    st.binary(min_size=12, max_size=12),
)
def test_whatever_was_sealed_comes_back(
    payload: bytes, kind: int, codec: int, index: int, number: int, padding: int, nonce: bytes
) -> None:
    base = b"b" * 16 if codec == seal.CODEC_ZSTD_BASE else None
    block = SEALER.seal(number, LOG_KEY, number, index, kind, codec, 99, payload, nonce, number, base, padding)
    assert len(block) == seal.OVERHEAD_BYTES + len(payload) + padding + len(base or b"")
    expected = BlockHeader(kind, 1, codec, number, 2, TWO.key_id, number, number, index, 99, padding, base)
    assert SEALER.open(number, LOG_KEY, number, index, block) == (expected, payload)
    assert SEALER.open(number, LOG_KEY, None, index, memoryview(block))[1] == payload


@pytest.mark.parametrize("base", [None, b"b" * 16])
def test_attack_m01_every_flipped_bit_is_noticed(base: bytes | None) -> None:
    codec = seal.CODEC_RAW if base is None else seal.CODEC_ZSTD_BASE
    block = sealed(b"twelve bytes", codec=codec, base=base, padding=3)
    for bit in range(8 * len(block)):
        damaged = bytearray(block)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Corrupt, FormatTooNew, KeyMissing)):
            SEALER.open(3, LOG_KEY, 1, 7, bytes(damaged))


def test_every_cut_or_lengthened_block_is_noticed() -> None:
    block = sealed()
    for size in range(len(block)):
        with pytest.raises(Corrupt):
            SEALER.open(3, LOG_KEY, 1, 7, block[:size])
    with pytest.raises(Corrupt):
        SEALER.open(3, LOG_KEY, 1, 7, block + b"\0")


@pytest.mark.parametrize(
    "place", [(4, LOG_KEY, 1, 7), (3, OTHER_LOG_KEY, 1, 7), (3, LOG_KEY, 0, 7), (3, LOG_KEY, 1, 8)]
)
def test_attack_m02_a_block_opens_at_no_other_place(place: tuple[int, bytes, int, int]) -> None:
    with pytest.raises(Corrupt):
        SEALER.open(*place, sealed())


@pytest.mark.parametrize(
    ("at", "value"), [(1, seal.KIND_CHUNK), (3, seal.CODEC_ZSTD), (4, 1), (8, 1), (20, 0), (16, 4), (24, 8)]
)
def test_attack_m02_a_header_rewritten_for_another_place_does_not_open(at: int, value: int) -> None:
    moved = bytearray(sealed())
    moved[at] = value
    log, index = (value if at == 16 else 3), (value if at == 24 else 7)
    with pytest.raises(Corrupt):
        SEALER.open(log, LOG_KEY, 1, index, bytes(moved))


def test_a_block_from_before_a_truncate_opens() -> None:
    assert SEALER.open(3, LOG_KEY, 5, 7, sealed(fork=1))[0].fork == 1


def test_blocks_of_an_older_epoch_open_and_new_ones_take_the_current() -> None:
    old = Sealer({1: ONE}, {1}, 1).seal(3, LOG_KEY, 0, 7, 1, 0, 3, b"old", NONCE)
    assert SEALER.open(3, LOG_KEY, 0, 7, old)[1] == b"old"
    assert SEALER.epoch == BlockHeader.parse(sealed()).epoch == 2


def test_a_missing_epoch_key_is_told_from_an_epoch_that_never_was() -> None:
    only_two = Sealer({2: TWO}, {1}, 2)
    old = Sealer({1: ONE}, {1}, 1).seal(3, LOG_KEY, 0, 7, 1, 0, 3, b"old", NONCE)
    with pytest.raises(KeyMissing):
        only_two.open(3, LOG_KEY, 0, 7, old)
    with pytest.raises(Corrupt, match="never was"):
        Sealer({1: ONE}, {1}, 1).open(3, LOG_KEY, 1, 7, sealed())
    with pytest.raises(KeyMissing):
        Sealer({1: ONE}, {1}, 2)


def test_another_key_for_the_same_epoch_is_named_as_such() -> None:
    impostor = EpochKeys(2, b"x" * 32, b"d" * 32)
    with pytest.raises(Corrupt, match="another key for epoch 2"):
        Sealer({2: impostor}, {1}, 2).open(3, LOG_KEY, 1, 7, sealed())


def test_attack_m09_a_cipher_that_is_not_permitted_is_refused() -> None:
    with pytest.raises(ValueError, match="permits ciphers"):
        Sealer({1: ONE}, {seal.CIPHER_XCHACHA20_POLY1305}, 1)
    downgraded = bytearray(sealed())
    downgraded[2] = seal.CIPHER_XCHACHA20_POLY1305
    with pytest.raises(Corrupt, match="cipher 2"):
        SEALER.open(3, LOG_KEY, 1, 7, bytes(downgraded))


def test_a_later_format_is_told_from_damage() -> None:
    with pytest.raises(FormatTooNew):
        BlockHeader.parse(b"\2" + sealed()[1:])
    with pytest.raises(Corrupt):
        BlockHeader.parse(bytes(200))


def test_attack_m13_absurd_lengths_are_refused_before_the_cipher() -> None:
    for at in (32, 36):
        block = bytearray(sealed())
        block[at : at + 4] = b"\xff" * 4
        with pytest.raises(Corrupt, match="claims"):
            SEALER.open(3, LOG_KEY, 1, 7, bytes(block))


def test_padding_that_is_not_zeros_is_refused_even_under_a_good_seal() -> None:
    header = BlockHeader(3, 1, 0, 0, 2, TWO.key_id, 3, 1, 7, 2, 2, None).encode()
    cipher = AESGCM(TWO.block_key(LOG_KEY, 0, 3, 0))
    for plaintext in (b"ab\0x", b"\0"):
        with pytest.raises(Corrupt, match="padding"):
            SEALER.open(3, LOG_KEY, 1, 7, header + NONCE + cipher.encrypt(NONCE, plaintext, header))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": 0},
        {"kind": 7},
        {"codec": 3},
        {"codec": 2},
        {"base": b"b" * 16},
        {"codec": 2, "base": b"short"},
        {"nonce": b"short"},
        {"padding": seal.MAX_DECODED_BYTES + 1},
        {"decoded_length": seal.MAX_DECODED_BYTES + 1},
        {"log_key": b"short", "kind": seal.KIND_VOID},
    ],
    ids=str,
)
def test_nothing_is_sealed_that_a_reader_would_refuse(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the facts differ by case
        sealed(**wrong)


def test_runs_logs_kinds_and_realms_have_keys_of_their_own() -> None:
    keys = {
        TWO.block_key(log_key, realm, kind, run)
        for log_key in (LOG_KEY, OTHER_LOG_KEY)
        for realm in (0, 1)
        for kind in (1, 2)
        for run in (0, 1)
    } | {ONE.block_key(LOG_KEY, 0, 1, 0)}
    assert len(keys) == 17
    for index in (0, (1 << 20) - 1, 1 << 20, 5 << 20):
        assert SEALER.open(3, LOG_KEY, 1, index, sealed(index=index))[1] == b"some bytes"


def test_one_sealer_serves_many_threads_and_more_runs_than_it_caches() -> None:
    wrong: list[int] = []

    def work(first: int) -> None:
        for step in range(700):
            index = (first * 350 + step) << 20
            payload = index.to_bytes(8, "little") * 40
            if SEALER.open(3, LOG_KEY, 1, index, sealed(payload, index=index))[1] != payload:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
