"""The text of a link: golden bytes, and what is refused."""

import json
from pathlib import Path

import pytest

from hyperfs.errors import BadRequest, FormatTooNew
from hyperfs.replication.address import Address, Endpoint
from hyperfs.sharing.link import Link, Opening, Seen, parse

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "link.json").read_text())
DRIVE = b"\1" * 32
TREE = b"\4" * 32
OPENING = Opening(
    (Address(b"\2" * 32, Endpoint("cloud.example", 4717)), Address(b"\x22" * 32, Endpoint("::1", 1))),
    b"\3" * 32,
    Seen(300, TREE),
    {1: b"\5" * 32, 3: b"\6" * 32},
    b"\7" * 32,
)
LINKS = {
    "live": Link(DRIVE, OPENING),
    "version": Link(DRIVE, OPENING, 12, TREE),
    "named": Link(DRIVE, None, 12, TREE, "a folder/ä ?#+%".encode()),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_the_same_text_everywhere(name: str) -> None:
    assert str(LINKS[name]) == GOLDEN[name]
    assert parse(GOLDEN[name]) == LINKS[name]
    assert parse(f"  {GOLDEN[name]}\n") == LINKS[name]


def test_no_key_is_in_the_public_part_nor_in_what_is_logged() -> None:
    assert LINKS["version"].public == str(Link(DRIVE, None, 12, TREE))
    for shown in (LINKS["live"].public, repr(LINKS["live"]), repr(OPENING)):
        for key in (b"\5", b"\6", b"\7"):
            assert (key * 32).hex() not in shown
            assert repr(key * 32)[2:-1] not in shown
            assert "BQUF" not in shown


def test_one_character_that_is_wrong_anywhere_is_found() -> None:
    text = GOLDEN["version"]
    for place in range(len("hyper://"), len(text)):
        for other in "0Z":
            changed = text[:place] + other + text[place + 1 :]
            if changed != text:
                with pytest.raises((BadRequest, FormatTooNew)):
                    parse(changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hyper://",
        "hyperfs://" + "0f" * 32 + "@cloud.example:1",
        "hyper://" + "0F" * 32 + "/",
        "hyper://" + "01" * 32 + "+12/",
        "hyper://" + "01" * 32 + "/?tree=" + "04" * 32,
        "hyper://" + "01" * 32 + "+12/../x?tree=" + "04" * 32,
        "hyper://" + "01" * 32 + "+12/a%00b?tree=" + "04" * 32,
        "hyper://" + "01" * 32 + "+99999999999999999999/?tree=" + "04" * 32,
        "hyper://" + "01" * 32 + "/#" + "A" * 20_000,
    ],
)
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse(text)


def test_a_later_form_is_not_taken_for_a_torn_link() -> None:
    text = GOLDEN["live"]
    assert "/#AQ" in text
    with pytest.raises(FormatTooNew, match="link"):
        parse(text.replace("/#AQ", "/#Ag"))


def test_a_version_whose_two_trees_differ_is_forged() -> None:
    with pytest.raises(BadRequest, match="two trees"):
        parse(str(Link(DRIVE, OPENING, 12, b"\x09" * 32)))
