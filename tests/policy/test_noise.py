import gzip
import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.policy.noise import (
    LEAST_BYTES,
    LOOKED_BYTES,
    form_of,
    is_noise,
    is_scrambled,
    is_scrambled_inside,
    made_sense,
)

TEXT = "Sehr geehrte Damen und Herren, hiermit kündige ich den Vertrag Nummer 8812. ".encode()
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0"


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@given(st.integers(LEAST_BYTES, LOOKED_BYTES), st.integers(0, 1 << 30))
def test_random_bytes_are_noise_but_for_few_of_them(size: int, seed: int) -> None:
    found = [is_noise(noise(size, seed + number)) for number in range(10)]
    assert sum(found) >= 7  # of 16 bytes two equal ones are too many


@given(st.text(max_size=60))
def test_a_short_text_of_any_language_is_no_noise(text: str) -> None:
    assert not is_noise(text.encode())


@pytest.mark.parametrize("size", [0, 1, LEAST_BYTES - 1])
def test_of_a_few_bytes_nothing_is_said(size: int) -> None:
    assert not is_noise(noise(size))


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        TEXT * 50,
        bytes(4096),
        json.dumps({str(number): number**3 for number in range(300)}).encode(),
        zlib.compress(TEXT)[:60] + bytes(300),
        b"".join(number.to_bytes(4, "little") for number in range(100, 1000)),
    ],
)
def test_what_programs_write_is_no_noise(data: bytes) -> None:
    assert not is_noise(data[:LOOKED_BYTES])
    assert made_sense(data)


def test_a_form_says_what_does_not_compress() -> None:
    data = gzip.compress(noise(4000))
    assert is_noise(data[:LOOKED_BYTES])
    assert form_of(data) == "gzip"
    assert made_sense(data)
    assert not made_sense(noise(4000))


def test_what_is_scrambled() -> None:
    after = noise(LOOKED_BYTES)
    for before in (TEXT * 60, JPEG + noise(4000, 2), noise(4096, 3), None):
        assert is_scrambled(before, after)
    assert not is_scrambled(after, after)
    assert not is_scrambled(TEXT * 60, TEXT * 59)
    assert not is_scrambled(noise(4096, 3), TEXT * 50)
    assert not is_scrambled(JPEG + noise(4000, 2), JPEG + noise(4000, 3))
    assert not is_scrambled(JPEG + noise(4000, 2), gzip.compress(noise(4000)))


def test_text_that_becomes_a_picture_under_its_own_name_is_scrambled() -> None:
    """Else a few bytes before what is encrypted were enough to hide it."""
    assert is_scrambled(TEXT * 60, JPEG + noise(4000))
    assert not is_scrambled(None, JPEG + noise(4000))


def test_inside_only_what_compressed_can_be_scrambled() -> None:
    assert is_scrambled_inside(TEXT * 60, noise(4096))
    assert not is_scrambled_inside(noise(4096, 2), noise(4096))
    assert not is_scrambled_inside(TEXT * 60, TEXT * 59)
    assert not is_scrambled_inside(None, noise(4096))
