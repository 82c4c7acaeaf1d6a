from hypothesis import given
from trie_model import MemoryLog, changes, contents, identify, nothing_replaced

from hyperfs.trie import Node, Ref, persist, update


@given(contents)
def test_children_are_stored_before_their_parents_and_each_node_once(entries: dict) -> None:
    log = MemoryLog()
    root = log.of(entries)
    assert len(log.refs(root)) == len(log.blocks)
    for ref in log.refs(root):
        for child in getattr(log.load(ref), "children", ()):
            assert child is None or child.block < ref.block
    if root is not None:
        assert root.block == len(log.blocks) - 1


@given(contents, changes)
def test_only_new_nodes_are_stored(entries: dict, batch: dict) -> None:
    log = MemoryLog()
    old = log.of(entries)
    before = len(log.blocks)
    new = log.save(update(log.load, old, sorted(batch.items()), lambda ref: None))
    assert {ref.block for ref in log.refs(new) - log.refs(old)} == set(range(before, len(log.blocks)))
    assert log.save(new) is new


@given(contents)
def test_stored_is_told_every_node_as_it_would_be_read_back(entries: dict) -> None:
    log, told = MemoryLog(), dict[Ref, Node]()
    root = update(log.load, None, sorted(entries.items()), nothing_replaced)
    stored = persist(root, identify, log.append, told.__setitem__)
    assert told.keys() == log.refs(stored)
    assert all(log.load(ref) == node for ref, node in told.items())
