import base64
import gzip
import hashlib
import json
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.policy.noise import (
    LEAST_BYTES,
    LOOKED_BYTES,
    form_of,
    is_noise,
    is_scrambled,
    is_scrambled_inside,
    is_text_of_noise,
    looks_encrypted,
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


def in_lines(data: bytes, width: int = 64) -> bytes:
    return b"".join(data[at : at + width] + b"\n" for at in range(0, len(data), width))


WRITTEN = [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes, lambda data: data.hex().encode()]


@pytest.mark.parametrize("written", WRITTEN)
@settings(max_examples=20)
@given(size=st.integers(260, LOOKED_BYTES), seed=st.integers(0, 1 << 30))
def test_noise_that_is_written_as_text_looks_encrypted(
    written: Callable[[bytes], bytes], size: int, seed: int
) -> None:
    found = [written(noise(size, seed + number))[:LOOKED_BYTES] for number in range(4)]
    assert all(not is_noise(text) or text.startswith(b"-") for text in found)
    assert sum(map(is_text_of_noise, found)) >= 3
    assert sum(is_scrambled(TEXT * 60, text) for text in found) >= 3


@pytest.mark.parametrize(
    "data",
    [
        TEXT * 50,
        in_lines(TEXT.replace(b" ", b"").replace("ü".encode(), b"ue").replace(b".", b"") * 50),
        b"".join(b"%d\n" % (number * number) for number in range(1000)),
        in_lines(bytes(300).hex().encode()),
        base64.encodebytes(JPEG + noise(3000)),
        base64.b64encode(gzip.compress(noise(3000))),
        base64.encodebytes(TEXT * 40),
        base64.b64encode(noise(180)),
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(noise(900)),
        json.dumps({"integrity": "sha512-" + base64.b64encode(noise(3000)).decode()}).encode(),
        b"".join(hashlib.sha256(noise(9, n)).hexdigest().encode() + b"  file%d\n" % n for n in range(60)),
        b"\n".join(b"someIdentifier%dOfAProgram" % number for number in range(200)),
    ],
)
def test_text_that_says_something_or_has_anything_beside_it_does_not(data: bytes) -> None:
    assert not is_text_of_noise(data[:LOOKED_BYTES])
    assert not looks_encrypted(data[:LOOKED_BYTES])
    assert not is_scrambled(TEXT * 60, data[:LOOKED_BYTES])


def test_text_of_noise_that_becomes_other_such_text_is_as_it_was() -> None:
    old, new = (base64.b64encode(noise(3000, seed)) for seed in (1, 2))
    assert not is_scrambled(old, new)
    assert is_scrambled(None, new)
    assert made_sense(old), "who deletes it loses something"
