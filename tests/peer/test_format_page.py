"""The worked example and the texts of docs/formats/peer-folder.md are true."""

import json
from pathlib import Path

import pytest

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.peer import identity, settings
from hyperfs.peer.account import PartOf, decode_part
from hyperfs.peer.holds import DAY_NS, HoldClock, Holds, decode
from hyperfs.peer.settings import Settings
from tests.log.test_format_pages import example

from .conftest import NOW

VECTORS = Path(__file__).parents[1] / "vectors"


def test_the_record_of_the_page() -> None:
    data = example("peer-folder.md", "holds")
    assert decode(data) == Holds(HoldClock(NOW, 5 * DAY_NS), 9, {7: 4 * DAY_NS}, (), frozenset({3}))
    assert decode(data).encode() == data


def test_the_golden_identity() -> None:
    golden = json.loads((VECTORS / "peer.json").read_text())["identity"]
    assert identity.decode(bytes.fromhex(golden["hex"])).hex() == golden["seed"]
    assert identity.encode(bytes.fromhex(golden["seed"])).hex() == golden["hex"]


def test_settings_are_text() -> None:
    assert Settings(5).encode() == b"hyperfs held drive\nformat 1\nquota 5\n"
    for found in (Settings(), Settings(0), Settings(1 << 50)):
        assert settings.decode(found.encode()) == found
    with pytest.raises(FormatTooNew):
        settings.decode(b"hyperfs held drive\nformat 2\nmore\n")
    for bad in (b"", b"hyperfs held drive\nformat 1\nquota 05\n", b"hyperfs held drive\nformat 1\nquota 5\n\n"):
        with pytest.raises(Corrupt):
            settings.decode(bad)


def test_what_a_drive_is_part_of_is_text() -> None:
    found = PartOf(bytes(range(32)), 7)
    assert found.encode() == f"hyperfs part of\nformat 1\ndrive {bytes(range(32)).hex()}\ndevice 7\n".encode()
    assert decode_part(found.encode()) == found
    with pytest.raises(FormatTooNew):
        decode_part(b"hyperfs part of\nformat 2\nmore\n")
    for bad in (b"", found.encode()[:-1], found.encode() + b"\n", found.encode().replace(b"device 7", b"device 07")):
        with pytest.raises(Corrupt):
            decode_part(bad)
