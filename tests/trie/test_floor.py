from hypothesis import given
from hypothesis import strategies as st
from trie_model import MemoryLog, contents, keys

from hyperfs.trie.floor import floor


def expected(entries: dict, key: bytes) -> tuple[bytes, bytes, bytes] | None:
    below = [k for k in entries if k <= key]
    return (max(below), *entries[max(below)]) if below else None


@given(contents, keys | st.just(b""))
def test_floor_is_the_last_of_the_sorted_keys_up_to_it(entries: dict, key: bytes) -> None:
    log = MemoryLog()
    assert floor(log.load, log.of(entries) if entries else None, key) == expected(entries, key)


@given(contents.filter(bool), st.data())
def test_floor_of_a_key_and_of_its_neighbours(entries: dict, data: st.DataObject) -> None:
    log = MemoryLog()
    root = log.of(entries)
    key = data.draw(st.sampled_from(sorted(entries)))
    for wanted in (key, key + b"\0", key[:-1], key[:-1] + b"\xff", key[:1]):
        assert floor(log.load, root, wanted) == expected(entries, wanted)


def test_floor_loads_one_path_or_two() -> None:
    log = MemoryLog()
    root = log.of({bytes([i, j]): (bytes(400), b"") for i in range(16) for j in range(0, 16, 2)})
    log.loads = 0
    found = floor(log.load, root, b"\x07\x03")
    assert found is not None
    assert found[0] == b"\x07\x02"
    assert log.loads <= 3
    log.loads = 0
    found = floor(log.load, root, b"\x06\xff")
    assert found is not None
    assert found[0] == b"\x06\x0e"
    assert log.loads <= 5
