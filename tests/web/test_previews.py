"""What kind of bytes a file holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.web.previews import picture_type, text_of


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n rest", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (b"<?xml version='1.0'?><svg>", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_pictures_are_known_by_their_first_bytes(head: bytes, kind: str | None) -> None:
    assert picture_type(head) == kind


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\r\ntext", "plain\ntext"),
        ("\ufeffÄrger".encode(), "Ärger"),
        ("Ärger".encode("latin-1"), "Ärger"),
        ("Ärger".encode("utf-16"), "Ärger"),
        (b"a\0b", None),
        (bytes(range(256)), None),
        (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_text_is_what_reads_as_one(data: bytes, text: str | None) -> None:
    assert text_of(data, whole=True) == text


def test_a_letter_that_was_cut_in_two_is_left_out() -> None:
    assert text_of("aÄ".encode()[:2], whole=False) == "a"


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_text_or_none(data: bytes, whole: bool) -> None:
    text = text_of(data, whole)
    if text is not None:
        text.encode()
        assert "\0" not in text
