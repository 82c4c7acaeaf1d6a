"""Names, sizes and times for people."""

import os
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.daemon.times import iso_time
from hyperfs.web import words

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"letter.txt", "letter.txt"),
        ("Ärger \U0001f642".encode(), "Ärger \U0001f642"),
        (b"new\nline\ttab\rreturn", "new\\nline\\ttab\\rreturn"),
        (b"\x1b[2J", "\\x1b[2J"),
        ("bi\u202edi\u2066".encode(), "bi\\u202edi\\u2066"),
        (b"bytes\xff\xfe", "bytes\\xff\\xfe"),
        ("\U000e0041tag".encode(), "\\U000e0041tag"),
        ("\U0001f468\u200d\U0001f469".encode(), "\U0001f468\u200d\U0001f469"),
    ],
)
def test_what_could_deceive_in_a_name_is_written_out(name: bytes, shown: str) -> None:
    assert words.shown(os.fsdecode(name)) == shown


@given(st.binary(max_size=40))
def test_any_name_becomes_text_that_can_be_sent(name: bytes) -> None:
    shown = words.shown(os.fsdecode(name))
    shown.encode()
    assert not set(shown) & set("\n\r\0\u202e\u2066\u2028")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB"), (None, "")]
)
def test_sizes(size: int | None, text: str) -> None:
    assert words.size_text(size) == text


def test_times_are_of_the_zone_and_any_number_is_one() -> None:
    assert words.time_text(1_795_000_000 * 10**9, BERLIN) == "2026-11-18 12:06:40"
    for wild in (-(2**63), 2**63 - 1):
        assert words.time_text(wild, BERLIN)


@given(st.integers(min_value=0, max_value=2**62))
def test_times_of_messages_are_read_to_the_nanosecond(time_ns: int) -> None:
    assert words.from_iso(iso_time(time_ns)) == time_ns
