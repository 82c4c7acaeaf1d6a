"""The worked examples of docs/formats/log.md and control-chain.md are true."""

import json
import re
from pathlib import Path

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.log.control import Chain
from hyperfs.log.have import decode_sector, encode_sector
from hyperfs.log.log import Log
from hyperfs.store.files import Disk

PAGES = Path(__file__).parents[2] / "docs" / "formats"
VECTORS = Path(__file__).parents[1] / "vectors"


def example(page: str, name: str) -> bytes:
    """The bytes of a page's example: hex, `zeros N`, and comments after a semicolon."""
    found = re.search(rf"```hex {name}\n(.*?)```", (PAGES / page).read_text(), re.S)
    assert found, f"{page} has no example {name}"
    data = b""
    for line in found[1].splitlines():
        text = line.split(";")[0].strip()
        data += bytes(int(text.split()[1])) if text.startswith("zeros") else bytes.fromhex(text)
    return data


def test_the_log_of_the_page(disk: Disk) -> None:
    signer = SigningKeyPair(bytes(range(32)))
    log = Log.create(disk, "log", signer)
    log.append([b"a", b"bc", b""])
    log.flush()
    text = (PAGES / "log.md").read_text()
    for named in (signer.public_key, log.key, log.discovery_key):
        assert named.hex() in text
    assert disk.read_all("log/blocks") == b"abc"
    assert disk.read_all("log/tree") == example("log.md", "tree")
    slot = example("log.md", "slot")
    assert disk.read_all("log/heads") == slot + bytes(3584) + slot


def test_the_sector_of_the_page() -> None:
    bits = bytearray(480)
    for block in (0, 1, 2, 9, 3839):
        bits[block // 8] |= 1 << block % 8
    sector = example("log.md", "have")
    assert encode_sector(0, bytes(bits)) == sector
    assert decode_sector(0, sector) == bits


def test_the_control_chain_of_the_page() -> None:
    data = example("control-chain.md", "control")
    chain = Chain.parse(data)
    assert chain.encode() == data
    assert chain.drive_id.hex() in (PAGES / "control-chain.md").read_text()
    assert chain.devices[1].name == b"laptop"
    golden = json.loads((VECTORS / "control_chain.json").read_text())
    assert golden["drive_id"] == chain.drive_id.hex()
