"""Verifying proofs: nothing in them is believed until it hangs together with the asker's tree or a signature.

A proof that passes proves the right bytes. Sizes: a parent's hash covers the sum of its children's sizes, so
a block's way up proves each size on it; but of a node proved without its bytes (hash, seek), and its first
sibling, only the sum is proved. Hypercore's trees can't say more; whoever keeps such nodes learns the true
sizes with the blocks.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.log import flat_tree
from hyperfs.log.merkle import GetNode, MerkleTree, Node, leaf_node, parent_node
from hyperfs.log.proof import MAX_LENGTH, SeekProof, TreeProof, UpgradeProof, byte_offset

_MAX_WAY: Final = 64  # nodes from a leaf to a root: a tree has at most 2^52 leaves
_MAX_UPGRADE: Final = 128  # up the old edge of the tree and down the new one
_MAX_SIZE: Final = 1 << 53

CheckSignature = Callable[[bytes, int, int, bytes], bool]
"""(tree hash, length, fork, signature) -> whether it is the log's owner's."""


class Verified(NamedTuple):
    """What a proof has proved: the tree after it, and nodes and block that may be kept now."""

    tree: MerkleTree
    fork: int
    signature: bytes | None
    """The new head's, when the tree was upgraded."""
    nodes: tuple[Node, ...]
    block: tuple[int, bytes] | None


def verify_proof(
    proof: TreeProof, roots: Sequence[Node], fork: int, get_node: GetNode, check_signature: CheckSignature
) -> Verified:
    """Check a proof against the asker's tree, of which `get_node` gives nodes verified before.

    For another fork, or a log of which nothing is known, the roots are (). Raises Corrupt for a proof that
    does not hold, and what get_node raises where the asker lacks the node that the proof leads to.
    """
    tree = MerkleTree(roots)
    nodes: list[Node] = []
    loose = _verify_ways(proof, nodes)
    if proof.upgrade:
        used = _upgrade(tree, proof.upgrade, loose, nodes)
        if not check_signature(tree.hash(), tree.length, proof.fork, proof.upgrade.signature):
            raise Corrupt("a proof's signature is not that of the log's owner")
        loose = None if used else loose
        if proof.fork != fork and (roots or loose):
            raise Corrupt(f"a proof joins a tree of fork {fork} to one of fork {proof.fork}")
    elif proof.fork != fork:
        raise Corrupt(f"a proof is of fork {proof.fork}, the log is at {fork}")
    if loose is not None and get_node(loose.index)[1:] != loose[1:]:
        raise Corrupt(f"a proof leads to another node {loose.index} than the signed tree has")
    if proof.seek:
        _check_seek(proof.seek, tree, {node.index: node for node in [*nodes, *tree.roots]}, get_node)
    return Verified(
        tree,
        proof.fork,
        proof.upgrade.signature if proof.upgrade else None,
        tuple(nodes),
        (proof.block.block, proof.block.value) if proof.block else None,
    )


def _verify_ways(proof: TreeProof, nodes: list[Node]) -> Node | None:
    """The node that block, hash and seek lead up to, which is still to be compared with one that is known."""
    if proof.block and proof.hash:
        raise Corrupt("a proof is of a block and of a node at once")
    sought = _way(None, proof.seek.nodes, None, nodes) if proof.seek else None
    if proof.block:
        if not 0 <= proof.block.block < MAX_LENGTH:
            raise Corrupt(f"a proof of block {proof.block.block}")
        leaf = leaf_node(proof.block.block, proof.block.value)
        return _way(leaf, proof.block.nodes, sought, nodes)
    if proof.hash:
        if not proof.hash.nodes or proof.hash.nodes[0].index != proof.hash.node:
            raise Corrupt(f"a proof of node {proof.hash.node} does not begin with it")
        return _way(None, proof.hash.nodes, sought, nodes)
    return sought


def _way(first: Node | None, way: Sequence[Node], joined: Node | None, nodes: list[Node]) -> Node:
    """Climb from `first` (or the way's first node) over its siblings; `joined` is one of them if it fits."""
    if len(way) > _MAX_WAY:
        raise Corrupt(f"a proof has a way of {len(way)} nodes")
    rest = [_plausible(node) for node in way]
    rest.reverse()
    if first is None:
        if not rest:
            raise Corrupt("a proof has an empty way")
        first = rest.pop()
    at = first
    nodes.append(at)
    while rest or joined:
        wanted = flat_tree.sibling(at.index)
        if joined and joined.index == wanted:
            other, joined = joined, None
        elif rest and rest[-1].index == wanted:
            other = rest.pop()
            nodes.append(other)
        else:
            raise Corrupt(f"a proof lacks node {wanted}")
        at = parent_node(at, other) if at.index < wanted else parent_node(other, at)
        nodes.append(at)
    return at


def _plausible(node: Node) -> Node:
    if not (0 <= node.index < 2 * MAX_LENGTH and 0 <= node.size < _MAX_SIZE and len(node.hash) == 32):
        raise Corrupt(f"a proof has an impossible node {node.index}")
    return node


def _upgrade(tree: MerkleTree, upgrade: UpgradeProof, loose: Node | None, nodes: list[Node]) -> bool:
    """Grow the tree; whether `loose` took the place of one of the nodes."""
    if upgrade.start != tree.length:
        raise Corrupt(f"an upgrade from {upgrade.start} blocks to a tree of {tree.length}")
    if not 0 < upgrade.length <= MAX_LENGTH - upgrade.start:
        raise Corrupt(f"an upgrade by {upgrade.length} blocks")
    if len(upgrade.nodes) + len(upgrade.additional) > _MAX_UPGRADE:
        raise Corrupt("an upgrade of more nodes than any tree needs")
    used = False
    rest = list(reversed(upgrade.nodes))
    end = upgrade.start + upgrade.length
    while tree.length < end:
        if loose and not used and flat_tree.left_span(loose.index) == 2 * tree.length:
            used = True
            nodes += _join(tree, loose)
        elif rest:
            nodes += _join(tree, rest.pop())
        else:
            raise Corrupt("an upgrade lacks nodes")
    if rest or tree.length != end:
        raise Corrupt("an upgrade's nodes do not end where it says")
    for node in upgrade.additional:
        nodes += _join(tree, node)
    return used


def _join(tree: MerkleTree, node: Node) -> list[Node]:
    _plausible(node)
    if flat_tree.left_span(node.index) != 2 * tree.length:
        raise Corrupt(f"an upgrade's node {node.index} does not join a tree of {tree.length} blocks")
    return tree.join(node)


def _check_seek(seek: SeekProof, tree: MerkleTree, proved: dict[int, Node], get_node: GetNode) -> None:
    place = seek.nodes[0]

    def known(index: int) -> Node:
        return proved.get(index) or get_node(index)

    before = byte_offset(known, tree.length, place.index)
    before -= seek.padding * (flat_tree.left_span(place.index) >> 1)
    size = place.size - seek.padding * flat_tree.leaf_count(place.index)
    if not before <= seek.bytes <= before + size:
        raise Corrupt(f"a proof says that byte {seek.bytes} lies below node {place.index}, and it does not")
