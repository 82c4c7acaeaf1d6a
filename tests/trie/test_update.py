import pytest
from hypothesis import given
from hypothesis import strategies as st
from trie_model import MemoryLog, applied, changes, contents, nothing_replaced

from hyperfs.errors import NotResident
from hyperfs.trie import lookup, persist, update, walk
from hyperfs.values import BlockRef


def entries_of(log: MemoryLog, root: object) -> dict:
    return {key: (value, hint) for key, value, hint in walk(log.load, root)}


@given(contents, changes)
def test_a_batch_does_what_a_dict_does(entries: dict, batch: dict) -> None:
    log = MemoryLog()
    old = log.of(entries)
    new = log.save(update(log.load, old, sorted(batch.items()), lambda ref: None))
    assert entries_of(log, new) == applied(entries, batch)
    assert entries_of(log, old) == entries


@given(contents, st.lists(changes, max_size=4))
def test_replaced_are_exactly_the_stored_nodes_that_only_the_old_root_reaches(
    entries: dict, batches: list
) -> None:
    log = MemoryLog()
    old = log.of(entries)
    replaced: list = []
    root = old
    for batch in batches:
        root = update(log.load, root, sorted(batch.items()), replaced.append)
    new = log.save(root)
    assert len(set(replaced)) == len(replaced)
    assert set(replaced) == log.refs(old) - log.refs(new)


@given(contents, st.data())
def test_a_batch_that_changes_nothing_gives_back_the_same_reference(
    entries: dict, data: st.DataObject
) -> None:
    log = MemoryLog()
    root = log.of(entries)
    same = data.draw(st.sets(st.sampled_from(sorted(entries)))) if entries else set()
    batch = {key: entries[key] for key in same}
    batch |= {key: None for key in data.draw(changes) if key not in entries}
    assert update(log.load, root, sorted(batch.items()), nothing_replaced) is root


@given(contents.filter(bool), st.data())
def test_an_untouched_subtree_keeps_its_reference_and_is_not_loaded(
    entries: dict, data: st.DataObject
) -> None:
    log = MemoryLog()
    old = log.of(entries)
    key = data.draw(st.sampled_from(sorted(entries)))
    replaced: list = []
    log.loads = 0
    new = log.save(update(log.load, old, [(key, (bytes(9000), b""))], replaced.append))
    assert log.loads == len(replaced)
    for ref in log.refs(new) & log.refs(old):
        assert key not in entries_of(log, ref)


def test_a_change_of_a_hint_alone_is_stored_under_the_same_id() -> None:
    log = MemoryLog()
    old = log.of({b"a": (b"v", b"here")})
    replaced: list = []
    new = log.save(update(log.load, old, [(b"a", (b"v", b"there"))], replaced.append))
    assert old is not None
    assert new is not None
    assert (new.id, new.block) == (old.id, 1)
    assert replaced == [old]
    assert lookup(log.load, new, b"a") == (b"v", b"there")


def test_not_resident_names_every_block_that_the_batch_needs_and_reports_nothing_replaced() -> None:
    log = MemoryLog()
    root = log.of({bytes([i << 4]): (bytes(1000), b"") for i in range(16)})
    assert root is not None
    branch = log.load(root)
    log.absent = {branch.children[3].block, branch.children[9].block}
    batch = [(bytes([i << 4]), (b"new", b"")) for i in (1, 3, 9)]
    with pytest.raises(NotResident) as caught:
        update(log.load, root, batch, nothing_replaced)
    assert set(caught.value.blocks) == {BlockRef(1, index) for index in log.absent}
    log.absent = set()
    assert lookup(log.load, update(log.load, root, batch, lambda ref: None), b"\x30") == (b"new", b"")


def test_a_node_that_a_deletion_would_fold_in_is_named_when_it_is_not_resident() -> None:
    log = MemoryLog()
    root = log.of({b"\x10": (bytes(2000), b""), b"\x20": (bytes(2000), b""), b"\x30": (bytes(2000), b"")})
    assert root is not None
    branch = log.load(root)
    log.absent = {branch.children[2].block, branch.children[3].block}
    with pytest.raises(NotResident) as caught:
        update(log.load, root, [(b"\x10", None)], nothing_replaced)
    assert set(caught.value.blocks) <= {BlockRef(1, index) for index in log.absent}


@pytest.mark.parametrize(
    "batch",
    [
        [(b"b", None), (b"a", None)],
        [(b"a", None), (b"a", None)],
        [(b"k" * 513, (b"", b""))],
        [(b"a", (bytes(65537), b""))],
        [(b"a", (b"", bytes(256)))],
    ],
)
def test_a_batch_out_of_order_or_over_the_limits_is_refused(batch: list) -> None:
    log = MemoryLog()
    with pytest.raises(ValueError, match=r"must be sorted|at most"):
        update(log.load, None, batch, nothing_replaced)


def test_the_deepest_trie_works_without_recursion() -> None:
    # Each byte has two branches: a key ends at its beginning, and another parts from it in its low half.
    spine = bytes(512)
    entries = {spine[:size]: (bytes(4096), b"") for size in range(513)}
    entries |= {spine[:size] + b"\x01": (bytes(4096), b"") for size in range(512)}
    log = MemoryLog()
    root = log.of(entries)
    assert root is not None
    assert root.count == len(entries)
    assert lookup(log.load, root, spine) == (bytes(4096), b"")
    replaced: list = []
    root2 = log.save(update(log.load, root, [(spine, (b"x", b""))], replaced.append))
    assert len(replaced) >= 1023
    assert list(walk(log.load, root2, spine)) == [(spine, b"x", b"")]
    gone = sorted(entries)
    assert update(log.load, root2, [(key, None) for key in gone], lambda ref: None) is None
    whole = update(log.load, None, sorted(entries.items()), nothing_replaced)
    assert persist(whole, lambda data: root.id, log.append) is not None


def heavy(*names: bytes) -> dict:
    return {name: (bytes(2100), b"") for name in names}


def test_entries_beside_a_branch_that_goes_take_its_place() -> None:
    log = MemoryLog()
    root = log.of(heavy(b"aaa1", b"aaa2"))
    replaced: list = []
    batch = [(b"aaa1", None), (b"aaa2", None), (b"ab", (b"v", b""))]
    new = log.save(update(log.load, root, batch, replaced.append))
    assert new is not None
    assert new.id == log.of({b"ab": (b"v", b"")}).id
    assert set(replaced) == log.refs(root)


def test_entries_beside_a_branch_that_shrinks_are_folded_with_what_is_left() -> None:
    log = MemoryLog()
    root = log.of(heavy(b"aaa1", b"aaa2"))
    replaced: list = []
    batch = [(b"aaa1", None), (b"ab", (b"v", b""))]
    new = log.save(update(log.load, root, batch, replaced.append))
    assert new is not None
    assert new.id == log.of({**heavy(b"aaa2"), b"ab": (b"v", b"")}).id
    assert set(replaced) == log.refs(root)


def test_entries_beside_a_branch_leave_it_where_it_is() -> None:
    log = MemoryLog()
    root = log.of(heavy(b"aaa1", b"aaa2"))
    batch = [(b"a", (b"v", b"")), (b"aab", (b"v", b"")), (b"b", (b"v", b""))]
    new = log.save(update(log.load, root, batch, nothing_replaced))
    assert root in log.refs(new)
    assert lookup(log.load, new, b"aaa1") == (bytes(2100), b"")
    assert [key for key, _, _ in walk(log.load, new)] == [b"a", b"aaa1", b"aaa2", b"aab", b"b"]


@pytest.mark.parametrize(
    ("one", "two"),
    [(b"\x0f\xff\x10", b"\x0f\xff\x20"), (b"\x00\xf1", b"\x00\xf2"), (b"\0\xff\xff\x10", b"\0\xff\xff\x20")],
)
def test_a_short_key_right_after_a_branch_does_not_get_into_it(one: bytes, two: bytes) -> None:
    log = MemoryLog()
    below = heavy(one, two)
    after = bytes([one[0] + 1])
    new = log.save(update(log.load, log.of(below), [(after, (b"v", b""))], nothing_replaced))
    assert new is not None
    assert new.id == log.of({**below, after: (b"v", b"")}).id
    assert lookup(log.load, new, after) == (b"v", b"")
    assert [key for key, _, _ in walk(log.load, new)] == [one, two, after]
