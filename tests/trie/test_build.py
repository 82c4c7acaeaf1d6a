"""The canonical shape, held against a builder that shares nothing with ours but the format's page."""

from hypothesis import given
from hypothesis import strategies as st
from trie_model import MemoryLog, applied, canonical_form, changes, contents, identify, shape, shape_of, weigh

from hyperfs.trie import update


@given(contents.filter(bool))
def test_the_shape_and_the_id_are_those_of_the_naive_builder(entries: dict) -> None:
    log = MemoryLog()
    root = log.of(entries)
    expected = shape({key.hex(): value for key, (value, _) in entries.items()})
    assert root is not None
    assert shape_of(log.load, root) == expected
    assert (root.weight, root.count) == weigh(expected)
    assert root.id == identify(canonical_form(expected))


@given(st.lists(changes, max_size=6), st.data())
def test_equal_contents_have_equal_ids_in_whatever_order_batches_and_log(
    batches: list, data: st.DataObject
) -> None:
    one, entries, root = MemoryLog(), {}, None
    for batch in batches:
        entries = applied(entries, batch)
        root = update(one.load, root, sorted(batch.items()), lambda ref: None)
        if data.draw(st.booleans()):
            root = one.save(root)
    root = one.save(root)

    other, again = MemoryLog(number=9, first=1 << 40), None
    for key in data.draw(st.permutations(sorted(entries))):
        elsewhere = (entries[key][0], b"another place")
        again = update(other.load, again, [(key, elsewhere)], lambda ref: None)
    again = other.save(again)
    assert (root and root.id) == (again and again.id)
    if root is not None:
        assert shape_of(one.load, root) == shape({key.hex(): value for key, (value, _) in entries.items()})
