"""Another device's log, of which blocks and nodes of the tree are here as far as they have come.

What is signed is known from the beginning: the head, and the roots of its tree. A block comes with the nodes on its way
up, each proved, and from then on it has a place in the file. Which blocks are not here stands in `evicted`. Of a node
that is not here, or is damaged, it is said that a block below it is not here (NotResident): when that comes, so does
the node. A log that came whole is one of these in which nothing lacks.

The nodes go to the file before any record says that a block is here (`sync_blocks`).
"""

from collections.abc import Callable, Sequence
from typing import Final

from hyperfs.errors import Corrupt, NotResident
from hyperfs.log import flat_tree
from hyperfs.log.heads import Head, HeadFile
from hyperfs.log.log import Log
from hyperfs.log.merkle import Node
from hyperfs.log.proof import missing_nodes
from hyperfs.log.verify_proof import Verified
from hyperfs.values import BlockRef

NODES_MOST: Final = 20_000
"""That came and are in memory only: some 4 MB."""


class SparseLog(Log):
    """Without a signer. Nodes come in one thread at a time; any may read."""

    may_lack_nodes = True
    _signature: bytes | None = None  # of the tree, while its head is not written

    def missing(self, node: int) -> int:
        return missing_nodes(self._has_node, node, self.signed_length)

    def sync_blocks(self) -> None:
        self._nodes.write()
        self._nodes.sync()
        super().sync_blocks()

    # What comes of a log that its owner goes on writing. One thread at a time; others may read what was there.

    def grow(self, verified: Verified) -> None:
        """Put down what `check_proof` has just given: a longer tree, a block, or both. Not durable."""
        self._nodes.add(verified.nodes)
        if verified.signature is not None:
            self._signature = verified.signature
            self._blocks.truncate(max(self._blocks.size(), verified.tree.byte_length))
            self._tree = verified.tree
            self._offsets.leap(verified.tree)
        if verified.block is not None:
            index, data = verified.block
            self._blocks.pwrite(data, self.block_range(index)[0])

    def sync_grown(self, first_head: Callable[[Head], HeadFile]) -> Head:
        """All that was put down is durable when it returns, the head last. `first_head` makes the file of the heads,
        of a log of which nothing had come."""
        self.sync_blocks()
        if self._signature is not None:
            tree = self._tree
            head = Head(self.fork, tree.length, tree.byte_length, tree.hash(), self._signature)
            if self.has_head:
                self._heads.write(head)
            else:
                self._heads = first_head(head)
            self._signature = None
        return self.head()

    def node(self, index: int) -> Node:
        try:
            return super().node(index)
        except Corrupt:
            raise NotResident([BlockRef(self.number, flat_tree.left_span(index) >> 1)]) from None

    def block_range(self, index: int) -> tuple[int, int]:
        try:
            return super().block_range(index)
        except Corrupt:
            raise NotResident([BlockRef(self.number, index)]) from None

    def size_about(self, index: int) -> int:
        first, end = self.bytes_about(index, index + 1)
        return end - first

    def bytes_about(self, start: int, end: int) -> tuple[int, int]:
        return self._offset_about(start), self._offset_about(end)

    def is_gone(self, index: int) -> bool:
        try:
            return super().is_gone(index)
        except NotResident:
            return True

    def holds(self, index: int) -> bool:
        try:
            return super().holds(index)
        except NotResident:
            return False

    def _offset_about(self, index: int) -> int:
        """Where a block begins: for sure, or where it would if all below the nearest known node had one size."""
        offset, leaf = 0, 2 * index
        for root in self._tree.roots:
            if leaf > flat_tree.right_span(root.index):
                offset += root.size
                continue
            node = root
            while node.index != leaf and node.index & 1:
                try:
                    left, right = self._nodes.children_of(node, offset)
                except Corrupt:
                    before = index - (flat_tree.left_span(node.index) >> 1)
                    return offset + node.size * before // flat_tree.leaf_count(node.index)
                if leaf < node.index:
                    node = left
                else:
                    offset += left.size
                    node = right
            return offset
        return offset

    def _keep_nodes(self, nodes: Sequence[Node]) -> None:
        self._nodes.add(nodes)
        if self._is_writable and self._nodes.waiting > NODES_MOST:
            self._nodes.write()

    def _known(self, index: int) -> Node:
        """For verify_proof: a proof that leads to what is not here proves nothing."""
        try:
            return self.node(index)
        except (NotResident, IndexError):
            raise Corrupt(f"a proof leads to node {index}, which is not known here") from None

    def _has_node(self, index: int) -> bool:
        try:
            self.node(index)
        except NotResident:
            return False
        return True
