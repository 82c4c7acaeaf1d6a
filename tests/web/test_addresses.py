"""Paths and values in addresses and forms."""

import os
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import BadRequest
from hyperfs.web import addresses

NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: not set(b"/\0") & set(name) and name not in (b".", b"..")
)
PATHS = st.lists(NAMES, max_size=4).map(b"/".join)


@given(PATHS)
def test_any_path_comes_back_from_an_address(path: bytes) -> None:
    text = addresses.address("files", {"p": os.fsdecode(path), "at": None, "scale": ""})
    page, _, asked = text.partition("?")
    assert page == "files"
    assert text.isascii()
    assert not set(text) & set("\"'<> \n")
    assert addresses.query(asked.encode()) == {"p": os.fsdecode(path)}


@given(PATHS)
def test_any_path_comes_back_from_a_form(path: bytes) -> None:
    field = urlencode({"e": addresses.to_field(os.fsdecode(path)), "path": addresses.to_field(os.fsdecode(path))})
    values = addresses.query(field.encode())
    assert values["p"] == os.fsdecode(path)
    assert addresses.from_field(values["path"]) == os.fsdecode(path)


def test_the_root_is_named_and_not_left_out() -> None:
    assert addresses.address("space", {"p": ""}) == "space?p="


@pytest.mark.parametrize("path", ["..", "../etc", "a/../../b", "a/..", ".", "a/./b"])
def test_no_path_goes_up(path: str) -> None:
    with pytest.raises(BadRequest):
        addresses.normal(path)


def test_empty_parts_mean_nothing() -> None:
    assert addresses.normal("//a//b/") == "a/b"


@pytest.mark.parametrize("raw", [b"p=%00", b"e=%2500", b"&".join(b"p%d=1" % n for n in range(100))])
def test_what_no_page_of_ours_sends_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        addresses.query(raw)


@given(st.binary(max_size=60))
def test_no_bytes_make_anything_but_values_or_a_refusal(raw: bytes) -> None:
    try:
        found = addresses.query(raw)
    except BadRequest:
        return
    for value in found.values():
        os.fsencode(value)


def test_the_way_to_a_path() -> None:
    assert addresses.crumbs("a/b/c") == [("a", "a"), ("b", "a/b"), ("c", "a/b/c")]
    assert addresses.crumbs("") == []
