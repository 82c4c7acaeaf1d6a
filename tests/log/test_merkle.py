"""The Merkle tree: every case of Hypercore's vectors, and growth in any batches."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.log import flat_tree
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash, leaf_node, parent_hash, parent_node, tree_hash

Block = Callable[[str, int], bytes]


def test_leaf_hashes(hypercore: dict[str, Any]) -> None:
    for case in hypercore["leaf"]:
        data = bytes(case["zeros"]) if "zeros" in case else bytes.fromhex(case["data_hex"])
        assert len(data) == case["len"]
        assert leaf_hash(data).hex() == case["hash"]
        assert leaf_hash(memoryview(data)).hex() == case["hash"]


def test_parent_hashes(hypercore: dict[str, Any]) -> None:
    a, b = leaf_node(0, b"a"), leaf_node(1, b"b")
    assert parent_node(a, b).hash.hex() == hypercore["parent"]["a_b"]
    assert parent_node(a, b) == Node(1, 2, parent_hash(2, a.hash, b.hash))


def test_no_roots(hypercore: dict[str, Any]) -> None:
    assert tree_hash([]).hex() == hypercore["tree_of_no_roots"]
    assert MerkleTree().hash().hex() == hypercore["tree_of_no_roots"]


def test_every_core_of_the_vectors(hypercore: dict[str, Any], block_of: Block) -> None:
    for core in hypercore["cores"]:
        tree = MerkleTree()
        nodes: dict[int, Node] = {}
        hashes = core.get("treeHash_after_each_append", [])
        for i in range(core["blocks"]):
            data = block_of(core["kind"], i)
            nodes.update((node.index, node) for node in tree.extend([len(data)], [leaf_hash(data)]))
            if i < len(hashes):
                assert tree.hash().hex() == hashes[i]
        assert tree.byte_length == core["byteLength"]
        assert tree.hash().hex() == core["treeHash"]
        assert [(n.index, n.size, n.hash.hex()) for n in tree.roots] == [
            (root["index"], root["size"], root["hash"]) for root in core["roots"]
        ]
        for index, node in core["nodes"].items():
            assert nodes[int(index)] == Node(int(index), node["size"], bytes.fromhex(node["hash"]))


def test_hyperbee_and_hyperdrive_blocks(hypercore: dict[str, Any]) -> None:
    bee = [bytes.fromhex(block) for block in hypercore["hyperbee"]["blocks_hex"]]
    drive = [bytes.fromhex(block) for block in hypercore["hyperdrive"]["dbBlocks_hex"]]
    blobs = hypercore["hyperdrive"]["blobBlocks"]
    for sizes, hashes, expected in (
        ([len(b) for b in bee], [leaf_hash(b) for b in bee], hypercore["hyperbee"]["treeHash"]),
        ([len(b) for b in drive], [leaf_hash(b) for b in drive], hypercore["hyperdrive"]["dbTreeHash"]),
        (
            [b["len"] for b in blobs],
            [bytes.fromhex(b["leaf"]) for b in blobs],
            hypercore["hyperdrive"]["blobTreeHash"],
        ),
    ):
        tree = MerkleTree()
        tree.extend(sizes, hashes)
        assert tree.hash().hex() == expected


@given(st.lists(st.binary(max_size=4), max_size=70), st.lists(st.integers(0, 70), max_size=5))
def test_batches_make_no_difference(blocks: list[bytes], cuts: list[int]) -> None:
    hashes = [leaf_hash(block) for block in blocks]
    sizes = [len(block) for block in blocks]
    whole = MerkleTree()
    made = whole.extend(sizes, hashes)
    parts = MerkleTree()
    pieces: list[Node] = []
    edges = sorted({0, *(min(cut, len(blocks)) for cut in cuts), len(blocks)})
    for low, high in pairwise(edges):
        pieces += parts.extend(sizes[low:high], hashes[low:high])
    assert sorted(made) == sorted(pieces)
    assert parts.roots == whole.roots
    assert [node.index for node in whole.roots] == flat_tree.full_roots(len(blocks))
    assert MerkleTree(whole.roots).length == len(blocks)
    by_index = {node.index: node for node in made}
    for node in made:
        if node.index & 1:
            assert node == parent_node(*(by_index[child] for child in flat_tree.children(node.index)))


def test_roots_of_no_tree_are_refused() -> None:
    with pytest.raises(ValueError, match="full roots"):
        MerkleTree([leaf_node(1, b"x")])


def test_a_leaf_hash_for_each_size() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        MerkleTree().extend([1, 2], [bytes(32)])
