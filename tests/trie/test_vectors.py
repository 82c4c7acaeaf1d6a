"""Golden bytes: a drive written by an earlier hyperfs must be read, and written, just so for ever."""

import json
from pathlib import Path

import pytest
from trie_model import MemoryLog

from hyperfs.crypto.ids import node_id
from hyperfs.trie import Ref, lookup, persist, update, walk

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "trie.json").read_text())


def unpacked(parts: list) -> bytes:
    return b"".join(
        bytes.fromhex(part) if isinstance(part, str) else bytes.fromhex(part[0]) * part[1] for part in parts
    )


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_golden_nodes_are_written_and_read(case: dict) -> None:
    entries = [tuple(unpacked(part) for part in entry) for entry in case["entries"]]
    nodes = [unpacked(node) for node in case["nodes"]]
    expected = case["root"] and Ref(**{**case["root"], "id": bytes.fromhex(case["root"]["id"])})

    log = MemoryLog(number=3, first=100)
    root = update(log.load, None, [(key, (value, hint)) for key, value, hint in entries], lambda ref: None)
    stored = persist(root, lambda data: node_id(bytes.fromhex(VECTORS["id_key"]), data), log.append)
    assert stored == expected
    assert log.blocks == nodes

    golden = MemoryLog(number=3, first=100)
    golden.blocks = nodes
    assert list(walk(golden.load, expected)) == entries
    for key, value, hint in entries:
        assert lookup(golden.load, expected, key) == (value, hint)
