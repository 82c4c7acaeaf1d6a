import pytest
from hypothesis import given
from trie_model import MemoryLog, contents, keys

from hyperfs.errors import Corrupt
from hyperfs.trie import lookup


@given(contents, keys)
def test_lookup_finds_every_entry_and_nothing_else(entries: dict, other: bytes) -> None:
    log = MemoryLog()
    root = log.of(entries)
    for key in [*entries, other, *(key + b"\0" for key in entries), *(key[:-1] for key in entries)]:
        assert lookup(log.load, root, key) == entries.get(key)


def test_lookup_loads_one_node_a_level() -> None:
    log = MemoryLog()
    root = log.of({i.to_bytes(8, "big"): (bytes(80), b"") for i in range(16 * 16 * 16)})
    log.loads = 0
    assert lookup(log.load, root, (77).to_bytes(8, "big")) == (bytes(80), b"")
    assert log.loads == 3


def test_lookup_refuses_a_node_that_its_parent_did_not_promise() -> None:
    log = MemoryLog()
    root = log.of({b"a": (b"v", b"")})
    assert root is not None
    with pytest.raises(Corrupt, match="log 1 block 0"):
        lookup(log.load, root._replace(weight=11), b"a")
