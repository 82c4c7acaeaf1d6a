"""Verify: all of a log read and compared, block by leaf hash, node by parent, up to the signed roots."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt, TreeAbsent
from hyperfs.log import flat_tree
from hyperfs.log.merkle import Node, leaf_hash
from hyperfs.log.tree_file import TreeFile
from hyperfs.store.files import DiskFile

_READ_BYTES: Final = 1 << 20


class Damage(NamedTuple):
    """Something that is not what was signed.

    `what` is "block" (index: block), "node" (flat index; mended from below, nothing is lost), "subtree" (flat
    index of a node below which blocks can't be found), or "head" (slot number; its twin is fine).
    """

    what: str
    index: int  # type: ignore[assignment]  # hides tuple.index, which has no use here
    detail: str


class _Leaf(NamedTuple):
    block: int
    offset: int
    node: Node


def verify_log(
    tree: TreeFile,
    blocks: DiskFile,
    roots: Sequence[Node],
    damaged_slot: int | None,
    start: int,
    end: int | None = None,
    may_lack_nodes: bool = False,
) -> Iterator[Damage]:
    """Damage of blocks [start, end), in order, and of the nodes above them. Without `end`, to the log's.

    `may_lack_nodes`: what stands below nodes that are not there is not there either, and is passed over.
    Reads in runs of about 1 MiB; memory does not grow.
    """
    if damaged_slot is not None:
        yield Damage("head", damaged_slot, "a head slot can't be read; its twin holds the same")
    batch: list[_Leaf] = []
    pending = 0
    for found in _leaves(tree, roots, start, end, may_lack_nodes):
        if isinstance(found, Damage):
            yield found
            continue
        batch.append(found)
        pending += found.node.size
        if pending >= _READ_BYTES:
            yield from _check_blocks(blocks, batch)
            batch, pending = [], 0
    yield from _check_blocks(blocks, batch)


def _leaves(
    tree: TreeFile, roots: Sequence[Node], start: int, end: int | None, may_lack_nodes: bool
) -> Iterator[_Leaf | Damage]:
    """Every verified leaf in order with its offset, and damage of the nodes on the way."""
    stack: list[tuple[Node, int]] = []
    offset = sum(root.size for root in roots)
    for root in reversed(roots):
        offset -= root.size
        stack.append((root, offset))
        if tree.stored(root.index) != root:
            yield Damage("node", root.index, "a root on disk is damaged; mended from what stands below")
    while stack:
        node, offset = stack.pop()
        if flat_tree.right_span(node.index) < 2 * start:
            continue
        if end is not None and flat_tree.left_span(node.index) >= 2 * end:
            continue
        if not node.index & 1:
            yield _Leaf(node.index >> 1, offset, node)
            continue
        try:
            left, right = tree.children(node, offset)
        except Corrupt as error:
            if not (may_lack_nodes and isinstance(error, TreeAbsent)):
                yield Damage("subtree", node.index, error.what)
            continue
        for child in (left, right):
            if tree.stored(child.index) != child:
                yield Damage("node", child.index, "a Merkle node on disk is damaged; mended from what stands below")
        stack += [(right, offset + left.size), (left, offset)]


def _check_blocks(blocks: DiskFile, batch: list[_Leaf]) -> Iterator[Damage]:
    at = 0
    while at < len(batch):
        # Leaves that follow one another without a gap are read at once.
        first, end = batch[at], at
        reach = first.offset
        while end < len(batch) and batch[end].offset == reach:
            reach += batch[end].node.size
            end += 1
        view = memoryview(blocks.pread(reach - first.offset, first.offset))
        for leaf in batch[at:end]:
            low = leaf.offset - first.offset
            data = view[low : low + leaf.node.size]
            if len(data) < leaf.node.size:
                yield Damage("block", leaf.block, f"ends after {len(data)} of {leaf.node.size} bytes")
            elif leaf_hash(data) != leaf.node.hash and data.tobytes().strip(b"\0"):
                yield Damage("block", leaf.block, "its bytes do not fit the signed tree")
        at = end
