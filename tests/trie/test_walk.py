from hypothesis import given
from hypothesis import strategies as st
from trie_model import MemoryLog, contents, keys, nothing_replaced

from hyperfs.trie import reachable, update, walk, walk_nodes


@given(contents, keys | st.just(b""), keys | st.just(b""), st.booleans())
def test_walk_is_the_slice_of_the_sorted_dict(
    entries: dict, prefix: bytes, start: bytes, stored: bool
) -> None:
    log = MemoryLog()
    root = update(log.load, None, sorted(entries.items()), nothing_replaced)
    if stored:
        root = log.save(root)
    expected = [
        (key, *entry) for key, entry in sorted(entries.items()) if key.startswith(prefix) and key >= start
    ]
    assert list(walk(log.load, root, prefix, start)) == expected


@given(contents.filter(bool), st.data())
def test_walk_starts_at_any_key_or_beside_it(entries: dict, data: st.DataObject) -> None:
    log = MemoryLog()
    root = log.of(entries)
    key = data.draw(st.sampled_from(sorted(entries)))
    for start in (key, key + b"\0", key[:-1], key[:-1] + b"\xff"):
        for prefix in (b"", key[:1], key[:-1], key):
            found = [k for k, _, _ in walk(log.load, root, prefix, start)]
            assert found == sorted(k for k in entries if k.startswith(prefix) and k >= start)


def test_walk_of_a_prefix_or_start_beside_a_branch_finds_what_follows_only() -> None:
    log = MemoryLog()
    root = log.of({b"mm1": (bytes(2100), b""), b"mm2": (bytes(2100), b"")})
    for prefix, found in ((b"m", 2), (b"mm", 2), (b"mn", 0), (b"ml", 0), (b"a", 0), (b"mm2", 1), (b"mm3", 0)):
        assert len(list(walk(log.load, root, prefix))) == found
    for start, found in ((b"a", 2), (b"mlz", 2), (b"mm", 2), (b"mm11", 1), (b"mn", 0), (b"n", 0)):
        assert len(list(walk(log.load, root, start=start))) == found


def test_walk_loads_no_node_beside_the_prefix() -> None:
    log = MemoryLog()
    root = log.of({bytes([i, j]): (bytes(400), b"") for i in range(16) for j in range(16)})
    log.loads = 0
    assert len(list(walk(log.load, root, b"\x07"))) == 16
    assert log.loads == 18  # the root, the branch of 07, its 16 leaves
    log.loads = 0
    assert next(iter(walk(log.load, root, start=b"\x07\x01")))[0] == b"\x07\x01"
    assert log.loads == 3


@given(contents, contents)
def test_reachable_leaves_out_what_is_known_and_all_below_it(one: dict, two: dict) -> None:
    log = MemoryLog()
    known = log.refs(log.of(one))
    root = log.of(two)
    shared = {ref.id for ref in known}
    found = list(reachable(log.load, root, lambda ref: ref.id in shared))
    assert set(found) == {ref for ref in log.refs(root) if ref.id not in shared}
    assert len(found) == len(set(found))


def test_marking_loads_branches_only() -> None:
    log = MemoryLog()
    root = log.of({bytes([i, j]): (bytes(400), b"") for i in range(16) for j in range(16)})
    log.loads = 0
    assert len(list(walk_nodes(log.load, root))) == 1 + 16 + 256
    assert log.loads == 17


def test_walk_of_a_prefix_that_ends_in_ones_stops_before_the_short_key_after_it() -> None:
    log = MemoryLog()
    root = log.of({b"a\xff": (b"v", b""), b"a\xffz": (b"v", b""), b"b": (b"v", b"")})
    assert [key for key, _, _ in walk(log.load, root, b"a\xff")] == [b"a\xff", b"a\xffz"]
