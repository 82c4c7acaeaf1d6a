from hypothesis import given, settings
from hypothesis import strategies as st
from trie_model import MemoryLog, changes, contents

from hyperfs.trie import update, walk_nodes
from hyperfs.trie.left_behind import left_behind


@settings(max_examples=60)
@given(contents, st.lists(changes, min_size=1, max_size=4))
def test_what_is_named_and_what_the_other_reaches_is_all_there_is(entries: dict, batches: list[dict]) -> None:
    log = MemoryLog()
    roots = [log.of(entries)]
    for batch in batches:
        roots.append(log.save(update(log.load, roots[-1], sorted(batch.items()), lambda ref: None)))
    for old, new in ((roots[0], roots[-1]), (roots[-1], roots[0]), (roots[-2], roots[-1])):
        named = [ref for ref, _ in left_behind(log.load, old, new)]
        assert len(named) == len(set(named))
        assert set(named) == log.refs(old) - log.refs(new)


@settings(max_examples=30)
@given(contents, contents)
def test_roots_that_share_nothing(one: dict, two: dict) -> None:
    log = MemoryLog()
    old, new = log.of(one), log.of(two)
    assert {ref for ref, _ in left_behind(log.load, old, new)} == log.refs(old)
    assert all(node == log.load(ref) for ref, node in left_behind(log.load, old, None))


def test_equal_nodes_that_lie_elsewhere_are_named() -> None:
    log = MemoryLog()
    entries = {i.to_bytes(4, "big"): (bytes(90), b"") for i in range(300)}
    one, two = log.of(entries), log.of(entries)
    assert {ref for ref, _ in left_behind(log.load, one, two)} == set(walk_nodes(log.load, one))


def test_it_enters_only_what_differs() -> None:
    log = MemoryLog()
    entries = {i.to_bytes(4, "big"): (bytes(90), b"") for i in range(16**3)}
    old = log.of(entries)
    new = log.save(update(log.load, old, [((77).to_bytes(4, "big"), None)], lambda ref: None))
    log.loads = 0
    assert len(list(left_behind(log.load, old, new))) == 3
    assert log.loads <= 3 + 2 * 2  # the two branches of the other root are looked at before and after
