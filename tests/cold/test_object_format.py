"""The object's bytes and its name: golden ones, the page that shows them, and bytes that are none."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.cold import object_format
from hyperfs.cold.object_format import ABSENT, BLOCKS_MOST, Head, Name, decode, encode, folder_of, head_bytes, name_of
from hyperfs.errors import Corrupt, FormatTooNew

ROOT: Final = Path(__file__).parents[2]
GOLDEN: Final[list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/cold_object.json").read_text())
PAGE: Final = (ROOT / "docs/formats/cold-object.md").read_text()
DRIVE, LOG = bytes(range(32)), bytes(range(32, 64))

sizes = st.lists(st.none() | st.integers(0, 40), min_size=1, max_size=30).filter(
    lambda found: found[0] is not None and found[-1] is not None
)


def head_of(case: dict[str, Any]) -> Head:
    drive, log = bytes.fromhex(case["drive"]), bytes.fromhex(case["log"])
    return Head(drive, log, case["fork"], case["first"], tuple(case["sizes"]))


def blocks_of(head: Head) -> list[bytes]:
    return [bytes([number % 251]) * size for number, size in enumerate(head.sizes) if size is not None]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["what"])
def test_golden_bytes(case: dict[str, Any]) -> None:
    head, blocks = head_of(case), [bytes.fromhex(block) for block in case["blocks"]]
    data = bytes.fromhex(case["hex"])
    assert encode(head, blocks) == data
    assert decode(data) == (head, blocks)
    assert f"{folder_of(head.drive, head.log)}/{name_of(head, data).encode()}" == case["name"]


def test_the_page_shows_the_golden_bytes() -> None:
    found = re.search(r"^```hex\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    shown = bytes.fromhex(re.sub(r";.*", "", found[1]))
    assert shown.hex() == GOLDEN[1]["hex"]
    assert GOLDEN[1]["name"] in PAGE.replace("\n", "").replace("    ", "")


@given(sizes, st.integers(0, 1 << 40), st.integers(0, 9))
def test_what_is_written_is_read(found: list[int | None], first: int, fork: int) -> None:
    head = Head(DRIVE, LOG, fork, first, tuple(found))
    data = encode(head, blocks_of(head))
    assert decode(data) == (head, blocks_of(head))
    assert Head.decode(data[: head_bytes(len(found))]) == head
    name = name_of(head, data)
    assert Name.decode(name.encode()) == name
    runs = list(head.runs())
    assert {block for low, high in runs for block in range(low, high)} == {
        first + number for number, size in enumerate(found) if size is not None
    }
    assert all(one[1] < other[0] for one, other in pairwise(runs))


@given(sizes, st.data())
def test_any_flipped_bit_of_the_head_is_found(found: list[int | None], data: st.DataObject) -> None:
    head = Head(DRIVE, LOG, 0, 5, tuple(found))
    good = bytearray(head.encode())
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    good[bit // 8] ^= 1 << bit % 8
    with pytest.raises((Corrupt, FormatTooNew)):
        Head.decode(bytes(good))


def test_a_later_format_is_told_by_its_number() -> None:
    good = bytearray(Head(DRIVE, LOG, 0, 0, (1,)).encode())
    good[8] = 2
    with pytest.raises(FormatTooNew):
        Head.decode(bytes(good))


def test_a_torn_object_is_corrupt() -> None:
    head = Head(DRIVE, LOG, 0, 0, (3, None, 4))
    data = encode(head, [b"abc", b"defg"])
    for end in range(len(data)):
        with pytest.raises(Corrupt):
            decode(data[:end])
    with pytest.raises(Corrupt):
        decode(data + b"x")


@pytest.mark.parametrize("found", [(), (None,), (None, 1), (1, None), (1,) * (BLOCKS_MOST + 1)])
def test_what_no_reader_takes_is_not_written(found: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match="object"):
        Head(DRIVE, LOG, 0, 0, found).encode()


@pytest.mark.parametrize("found", [(ABSENT, 1), (1, ABSENT)])
def test_an_object_has_its_first_and_last_block(found: tuple[int, ...]) -> None:
    fixed = object_format._FIXED.pack(object_format.MAGIC, 1, 0, DRIVE, LOG, 0, 0, len(found), 0)
    listed = fixed + b"".join(size.to_bytes(4, "little") for size in found)
    with pytest.raises(Corrupt, match="first or last"):
        Head.decode(listed + object_format._checksum(listed))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hyperfs-cold",
        "000000000005-000000000005-0001-" + "0" * 32 + "-" + "0" * 32,
        "000000000005-000000000004-0001-" + "0" * 32 + "-" + "0" * 32,
        "000000000005-000000000007-0003-" + "0" * 32 + "-" + "0" * 32,
        "000000000005-000000000007-0001-" + "0" * 32 + "-" + "0" * 32,
        "000000000005-000000000006-0000-" + "0" * 32 + "-" + "0" * 32,
        "000000000000-00000000ffff-1000-" + "0" * 32 + "-" + "0" * 32,
        "00000000000A-00000000000B-0001-" + "0" * 32 + "-" + "0" * 32,
        "000000000005-000000000006-0001-" + "0" * 32 + "-" + "0" * 32 + ".new",
    ],
)
def test_names_of_others_are_none(text: str) -> None:
    assert Name.decode(text) is None


@given(st.text(alphabet="0123456789abcdef-", max_size=110))
def test_any_text_is_a_name_that_is_written_the_same_or_none(text: str) -> None:
    found = Name.decode(text)
    assert found is None or found.encode() == text
