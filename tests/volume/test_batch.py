"""The blocks of one version, before they are sealed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto.seal import KIND_COMMIT, KIND_DEAD, KIND_NODES
from hyperfs.trie import block_of, node_pack, slot_of
from hyperfs.volume.batch import PACK_BYTES, PACK_NODES, Batch

sizes = st.lists(st.one_of(st.integers(1, 3000), st.sampled_from([PACK_BYTES - 1, PACK_BYTES, 66_000])), max_size=70)


@given(sizes, st.integers(0, 1 << 40))
def test_each_node_lies_where_was_said_when_it_came(sizes: list[int], first: int) -> None:
    batch = Batch(first)
    nodes = [bytes([n % 256]) * size for n, size in enumerate(sizes)]
    points = [batch.add_node(node) for node in nodes]
    dead = batch.add(KIND_DEAD, b"dead")
    assert batch.add(KIND_COMMIT, b"commit") == dead + 1
    blocks = batch.blocks()
    assert dead == first + len(blocks) - 2
    assert [block.kind for block in blocks] == [KIND_NODES] * (len(blocks) - 2) + [KIND_DEAD, KIND_COMMIT]
    for node, point in zip(nodes, points, strict=True):
        assert node_pack.parse(blocks[block_of(point) - first].data).node(slot_of(point)) == node
    assert points == sorted(points, key=lambda point: (block_of(point), slot_of(point)))


@given(sizes)
def test_a_pack_is_closed_only_when_it_is_full(sizes: list[int]) -> None:
    batch = Batch(0)
    for size in sizes:
        batch.add_node(bytes(size))
    packs = [node_pack.parse(block.data) for block in batch.blocks()]
    for pack in packs:
        assert len(pack) <= PACK_NODES
        assert len(pack) == 1 or pack.ends[-1] - pack.ends[0] <= PACK_BYTES
    for pack, following in pairwise(packs):
        size = pack.ends[-1] - pack.ends[0]
        assert len(pack) == PACK_NODES or size + len(following.node(0)) > PACK_BYTES
