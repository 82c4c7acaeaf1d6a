"""Extents of the live tree: the newest root under two layers answers as one sorted list would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.chunks import extents as arithmetic
from hyperfs.chunks.extents import Extent
from hyperfs.trie.node import Node, Ref
from hyperfs.trie.update import update
from hyperfs.volume import keys
from hyperfs.volume.entries import encode_extent
from hyperfs.volume.tree import LiveTree

INO = 5
SIZE = 60
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "cut", "freeze", "settle"]), st.integers(0, SIZE), st.integers(1, 9)),
    max_size=40,
)


def no_load(ref: Ref) -> Node:
    raise AssertionError("nothing is stored")


def folded(tree: LiveTree) -> None:
    """What a commit does with the frozen layer."""
    if tree.frozen is not None:
        changes = [
            (keys.extent_key(INO, offset), None if extent is None else encode_extent(extent))
            for offset, extent in tree.frozen.extents_of(INO)
        ]
        tree.settle(update(no_load, tree.root, changes, lambda ref: None))  # type: ignore[arg-type]


def replace(tree: LiveTree, new: list[Extent], start: int, end: int) -> None:
    """What `overlay.replace_extents` does."""
    old = tree.extents(INO, start, end)
    result = {e.offset: e for e in [*arithmetic.cut(old, start, end), *new]}
    for offset in {e.offset for e in old} - set(result):
        tree.active.set_extent(INO, offset, None)
    for offset, extent in result.items():
        if extent not in old:
            tree.active.set_extent(INO, offset, extent)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.booleans())
def test_any_range_of_extents_is_that_of_the_whole_list(steps: list[tuple[str, int, int]], neighbours: bool) -> None:
    tree = LiveTree(no_load, None, lambda extent: b"")
    if neighbours:  # other inodes' extents are not taken for ours
        entries = [(keys.extent_key(ino, 3), encode_extent(extent_of(3, 50, 0))) for ino in (INO - 1, INO + 1)]
        tree.root = update(no_load, None, entries, lambda ref: None)  # type: ignore[assignment]
    model: list[Extent] = []
    for number, (step, offset, length) in enumerate(steps):
        if step == "freeze" and tree.frozen is None:
            tree.freeze()
        elif step == "settle":
            folded(tree)
        elif step == "put":
            new = [extent_of(offset, length, number)]
            replace(tree, new, offset, offset + length)
            model = arithmetic.put(model, new)
        elif step == "cut":
            replace(tree, [], offset, offset + length)
            model = arithmetic.cut(model, offset, offset + length)
        for start in range(0, SIZE, 7):
            for end in (start + 1, start + 4, start + 30):
                assert tree.extents(INO, start, end) == [e for e in model if e.offset < end and e.end > start]


def extent_of(offset: int, length: int, number: int) -> Extent:
    return Extent(offset, length, number.to_bytes(16, "big"), 0, length, 2, number, 0)
