"""The pages on formats show what the code writes."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEAL = (ROOT / "docs" / "formats" / "seal.md").read_text()
KEYS = (ROOT / "docs" / "formats" / "keys.md").read_text()


def vectors(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((ROOT / "tests" / "vectors" / name).read_text())
    return found


def shown(page: str, name: str) -> bytes:
    """The bytes of the page's example of that name: hex up to a '#'."""
    block = re.search(rf"```hex {re.escape(name)}\n(.*?)```", page, re.DOTALL)
    assert block is not None, f"no example {name}"
    return b"".join(bytes.fromhex(line.split("#")[0]) for line in block[1].splitlines())


@pytest.mark.parametrize("name", ["chunk", "chunk with base"])
def test_sealed_blocks(name: str) -> None:
    cases = {case["name"]: case for case in vectors("seal.json")["blocks"]}
    assert shown(SEAL, name).hex() == cases[name]["block"]


@pytest.mark.parametrize("name", ["root, plain", "root, wrapped"])
def test_key_files(name: str) -> None:
    cases = {case["name"]: case for case in vectors("keyfile.json")["files"]}
    assert shown(KEYS, name).hex() == cases[name]["file"]


def test_key_id_and_recovery_key() -> None:
    assert shown(KEYS, "key id").hex() == vectors("ids.json")["derived"]["key_id"]
    texts = {case["seed"]: case["text"] for case in vectors("recovery.json")["keys"]}
    assert f"```text\n{texts[bytes(range(0x10, 0x30)).hex()]}\n```" in KEYS


def test_recovery_share() -> None:
    words = vectors("shares.json")["sets"][1]["shares"][0]
    assert words in " ".join(KEYS.split())


def test_every_domain_of_the_code_is_on_the_page() -> None:
    code = "".join((ROOT / "hyperfs" / "crypto" / name).read_text() for name in ("keys.py", "recovery.py", "shares.py"))
    domains = set(re.findall(r'b"(hyperfs/v1/[a-z/-]+)', code))
    assert len(domains) == 10
    assert not [domain for domain in domains if f"`{domain}`" not in KEYS]
