"""The journal's cipher: what goes in comes out, under the same segment, nonce and associated data only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto.journal_cipher import JournalCipher
from hyperfs.crypto.keys import EpochKeys
from hyperfs.errors import Corrupt

KEYS = EpochKeys(1, b"e" * 32, b"d" * 32)
CIPHER = JournalCipher(KEYS.journal_key)
NONCE = b"n" * 12


@given(st.integers(0, 2**64 - 1), st.binary(max_size=50), st.binary(max_size=200))
def test_a_record_comes_back(segment: int, aad: bytes, plaintext: bytes) -> None:
    sealed = CIPHER.encrypt(segment, NONCE, aad, plaintext)
    assert len(sealed) == len(plaintext) + 16
    assert CIPHER.decrypt(segment, NONCE, aad, memoryview(sealed)) == plaintext


def test_attack_l03_an_edited_record_is_noticed() -> None:
    sealed = CIPHER.encrypt(1, NONCE, b"aad", b"plaintext")
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupt):
            CIPHER.decrypt(1, NONCE, b"aad", bytes(damaged))


def test_a_record_opens_nowhere_else() -> None:
    sealed = CIPHER.encrypt(1, NONCE, b"aad", b"plaintext")
    elsewhere = [(2, NONCE, b"aad"), (1, b"m" * 12, b"aad"), (1, NONCE, b"aae"), (1, b"short", b"aad")]
    for segment, nonce, aad in elsewhere:
        with pytest.raises(Corrupt):
            CIPHER.decrypt(segment, nonce, aad, sealed)
    with pytest.raises(Corrupt):
        CIPHER.decrypt(1, NONCE, b"aad", b"too short")


def test_a_wrong_nonce_is_a_fault_of_the_writer() -> None:
    with pytest.raises(ValueError, match="nonce"):
        CIPHER.encrypt(1, b"short", b"", b"")


def test_more_segments_than_are_cached() -> None:
    sealed = [CIPHER.encrypt(segment, NONCE, b"", b"%d" % segment) for segment in range(200)]
    for segment, record in enumerate(sealed):
        assert CIPHER.decrypt(segment, NONCE, b"", record) == b"%d" % segment
