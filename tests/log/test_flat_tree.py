"""Flat trees: Hypercore's known answers, and what must hold for every index."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.log import flat_tree

indexes = st.integers(0, 1 << 53)


def test_known_answers(hypercore: dict[str, Any]) -> None:
    for length, roots in hypercore["flat_tree"]["fullRoots"].items():
        assert flat_tree.full_roots(int(length)) == roots
    for sample in hypercore["flat_tree"]["samples"]:
        index = sample["i"]
        assert flat_tree.depth(index) == sample["depth"]
        assert flat_tree.offset(index) == sample["offset"]
        assert flat_tree.parent(index) == sample["parent"]
        assert flat_tree.sibling(index) == sample["sibling"]
        assert [flat_tree.left_span(index), flat_tree.right_span(index)] == sample["spans"]
        if sample["children"]:
            assert list(flat_tree.children(index)) == sample["children"]


def test_a_leaf_has_no_children() -> None:
    with pytest.raises(ValueError, match="leaf"):
        flat_tree.children(4)


@given(indexes)
def test_relations_agree(index: int) -> None:
    assert flat_tree.node_index(flat_tree.depth(index), flat_tree.offset(index)) == index
    parent = flat_tree.parent(index)
    assert set(flat_tree.children(parent)) == {index, flat_tree.sibling(index)}
    assert flat_tree.parent(flat_tree.sibling(index)) == parent
    assert flat_tree.depth(parent) == flat_tree.depth(index) + 1
    assert flat_tree.right_span(index) - flat_tree.left_span(index) == 2 * flat_tree.leaf_count(index) - 2
    assert flat_tree.contains(parent, index)
    assert flat_tree.contains(index, index)
    assert not flat_tree.contains(index, parent)
    assert not flat_tree.contains(index, flat_tree.sibling(index))


@given(st.integers(0, 1 << 52))
def test_full_roots_cover_every_leaf_once(length: int) -> None:
    at = 0
    for root in flat_tree.full_roots(length):
        assert flat_tree.left_span(root) == at
        at = flat_tree.right_span(root) + 2
    assert at == 2 * length
    assert len(flat_tree.full_roots(length)) == length.bit_count()
