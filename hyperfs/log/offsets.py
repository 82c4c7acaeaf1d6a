"""Where blocks lie in a log's file: by the sizes in its tree, and of the newest ones by what is in memory."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from hyperfs.errors import Corrupt
from hyperfs.log.merkle import MerkleTree, Node
from hyperfs.log.tree_file import GROUP_SHIFT, Groups, TreeFile

_GROUP_MASK: Final = (1 << GROUP_SHIFT) - 1
_TAIL_MAX: Final = 4096  # offsets of that many flushed blocks may stay in memory, 8 bytes each


class Offsets:
    """One thread changes it; `range` may run in any, for blocks that were there before the call."""

    def __init__(self, nodes: TreeFile, tree: MerkleTree) -> None:
        self._nodes = nodes
        # Replaced as a whole, never changed in place: a reader in another thread takes one reference.
        self._view: tuple[Sequence[Node], Groups] = tree.roots, {}
        # The first block of the tail, and the offsets of the blocks from there and of the log's end. Replaced
        # as a whole when its start moves, so that a reader in another thread sees two that belong together.
        self._tail: tuple[int, array[int]] = self._load_tail(tree)

    def range(self, index: int) -> tuple[int, int]:
        """(offset, size) of a block. IndexError past the end, Corrupt where the tree's nodes are beyond mending."""
        start, tail = self._tail
        if index >= start:
            position = index - start
            if position + 1 >= len(tail):
                raise IndexError(f"block {index} is past the log's end")
            offset = tail[position]
            return offset, tail[position + 1] - offset
        if index < 0:
            raise IndexError(f"block {index}")
        view = self._view
        try:
            return self._locate(view, index)
        except Corrupt:
            if self._view is view:
                raise
            return self.range(index)  # a rollback took away nodes that we were looking for

    def grow(self, tree: MerkleTree, ends: Iterable[int]) -> None:
        """The log is as long as `tree`, whose nodes can be had: `ends` of its new blocks."""
        self._view = tree.roots, self._view[1]
        self._tail[1].extend(ends)

    def leap(self, tree: MerkleTree) -> None:
        """As `grow`, of a log that comes in parts: of its new blocks only the tree may know, when its nodes come."""
        self._view = tree.roots, self._view[1]
        self._tail = tree.length, array("Q", [tree.byte_length])

    def cut(self, tree: MerkleTree) -> None:
        """The log is as short as `tree`, and nothing that was known of longer ones holds."""
        self._view = tree.roots, {}
        self._tail = self._load_tail(tree)

    def trim(self, written: int) -> None:
        """Forgets offsets of blocks below `written`, whose nodes are in the file, when there are many."""
        start, tail = self._tail
        keep = written >> GROUP_SHIFT << GROUP_SHIFT
        if keep - start > _TAIL_MAX:
            self._tail = keep, tail[keep - start :]

    def _locate(self, view: tuple[Sequence[Node], Groups], index: int) -> tuple[int, int]:
        roots, groups = view
        try:
            offsets = self._nodes.offsets(roots, groups, index >> GROUP_SHIFT)
        except Corrupt:
            # Among its neighbours a node is beyond mending: the block's own way may still be whole.
            node, offset = self._nodes.find(roots, 2 * index)
            return offset, node.size
        position = index & _GROUP_MASK
        offset = offsets[position]
        return offset, offsets[position + 1] - offset

    def _load_tail(self, tree: MerkleTree) -> tuple[int, "array[int]"]:
        start = tree.length & ~_GROUP_MASK
        if start < tree.length:
            try:
                return start, array("Q", self._nodes.offsets(*self._view, start >> GROUP_SHIFT))
            except Corrupt:
                start = tree.length  # the older blocks then go by the other ways of `range`
        return start, array("Q", [tree.byte_length])
