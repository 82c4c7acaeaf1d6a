"""The Merkle tree of a log, as Hypercore 10 and 11 hash it: BLAKE2b-256, sizes and indexes little-endian.

leaf   = H(0x00 | u64 size | block)
parent = H(0x01 | u64 size of both | left hash | right hash)
tree   = H(0x02 | for each root from the left: hash | u64 flat index | u64 size)

Sizes are bytes of blocks below a node; they are hashed, so offsets are as trustworthy as contents. Pure.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from hyperfs.log import flat_tree

HASH_BYTES: Final = 32

_U64: Final = Struct("<Q")
_ROOT: Final = Struct("<32sQQ")
# Copying a state that has taken the type byte costs 0.1 us less than building one with its parameters.
_LEAF: Final = blake2b(b"\x00", digest_size=HASH_BYTES)
_PARENT: Final = blake2b(b"\x01", digest_size=HASH_BYTES)


class Node(NamedTuple):
    """A node of the tree: flat index, bytes of blocks below it, hash."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which has no use here
    size: int
    hash: bytes


GetNode = Callable[[int], Node]
"""Reads a node by flat index; raises Corrupt or whatever the holder has for one that is not there."""


def hash32(data: bytes | memoryview) -> bytes:
    """BLAKE2b-256 without key."""
    return blake2b(data, digest_size=HASH_BYTES).digest()


def leaf_hash(data: bytes | bytearray | memoryview) -> bytes:
    """Releases the GIL for all but small blocks: worker threads gain from computing it ahead."""
    state = _LEAF.copy()
    state.update(_U64.pack(len(data)))
    state.update(data)
    return state.digest()


def parent_hash(size: int, left: bytes, right: bytes) -> bytes:
    """`size` is that of both children together."""
    state = _PARENT.copy()
    state.update(_U64.pack(size) + left + right)
    return state.digest()


def leaf_node(block: int, data: bytes | memoryview) -> Node:
    return Node(2 * block, len(data), leaf_hash(data))


def parent_node(left: Node, right: Node) -> Node:
    """The children must be siblings, left first: not checked here."""
    size = left.size + right.size
    return Node((left.index + right.index) >> 1, size, parent_hash(size, left.hash, right.hash))


def tree_hash(roots: Iterable[Node]) -> bytes:
    state = blake2b(b"\x02", digest_size=HASH_BYTES)
    for index, size, digest in roots:
        state.update(_ROOT.pack(digest, index, size))
    return state.digest()


class MerkleTree:
    """The roots of a growing tree. Nodes are handed to the caller when they come into being, never kept."""

    __slots__ = ("byte_length", "length", "roots")

    def __init__(self, roots: Sequence[Node] = ()) -> None:
        """`roots` must be the full roots of some length, left to right; ValueError otherwise."""
        self.roots = list(roots)
        self.length = sum(flat_tree.leaf_count(root.index) for root in roots)
        self.byte_length = sum(root.size for root in roots)
        if [root.index for root in roots] != flat_tree.full_roots(self.length):
            raise ValueError("not the full roots of a tree")

    def extend(self, sizes: Sequence[int], leaf_hashes: Sequence[bytes]) -> list[Node]:
        """Append leaves; gives every node that this makes: leaves, and parents that became complete."""
        roots = self.roots
        made: list[Node] = []
        count = self.length
        for size, digest in zip(sizes, leaf_hashes, strict=True):
            node = Node(2 * count, size, digest)
            made.append(node)
            count += 1
            pairs = count
            # One merge for each trailing zero bit of the new number of leaves, as a binary counter carries.
            while not pairs & 1:
                left = roots.pop()
                size = left.size + node.size
                node = Node((left.index + node.index) >> 1, size, parent_hash(size, left.hash, node.hash))
                made.append(node)
                pairs >>= 1
            roots.append(node)
        self.length = count
        self.byte_length += sum(sizes)
        return made

    def join(self, node: Node) -> list[Node]:
        """Append a complete subtree by its root, which must begin where the tree ends; gives all new nodes.

        Not checked here: verify_proof does.
        """
        roots = self.roots
        made = [node]
        self.length += flat_tree.leaf_count(node.index)
        self.byte_length += node.size
        while roots and roots[-1].index == flat_tree.sibling(node.index):
            node = parent_node(roots.pop(), node)
            made.append(node)
        roots.append(node)
        return made

    def hash(self) -> bytes:
        return tree_hash(self.roots)
