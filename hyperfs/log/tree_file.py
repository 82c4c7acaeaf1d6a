"""The Merkle nodes of a log on disk: 40 bytes each, hash then size, at 40 x flat index of the file `tree`.

Nodes that are made wait in memory until write(). A node on disk is believed only through its parent's hash,
up to the roots, which the signed head vouches for; so bytes past the signed length, stale nodes of an earlier
fork and flipped bits are all met in one place. One damaged node is mended from what stands below it.

Byte offsets of blocks are cached for groups of 256 blocks, because the nodes below one parent of depth 8 lie
together in the file: a cold lookup costs one pread of 20 KiB for the group and two per level above it. In a log of a
million blocks there are some 4,000 groups, so that all pairs above them stay in the cache; with groups of 64 a cold
open of a file took twice the reads.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from struct import Struct
from typing import Final

from hyperfs.errors import Corrupt, TreeAbsent
from hyperfs.log import flat_tree
from hyperfs.log.merkle import HASH_BYTES, Node, parent_hash, parent_node, tree_hash
from hyperfs.store.files import DiskFile

NODE_BYTES: Final = 40
GROUP_SHIFT: Final = 8
GROUP_BLOCKS: Final = 1 << GROUP_SHIFT

_NODE: Final = Struct("<32sQ")
_GROUP_SIZES: Final = Struct("<" + "32xQ40x" * (GROUP_BLOCKS - 1) + "32xQ")  # sizes of a group's leaves
_GROUP_BYTES: Final = (2 * GROUP_BLOCKS - 1) * NODE_BYTES
_MAX_GROUPS: Final = 1024  # some 2 KB each
_GENERATION_PAIRS: Final = 5000  # pairs of verified siblings, some 500 bytes each, of which two generations are kept
_MAX_BLOCK_BYTES: Final = 1 << 26  # a bound for reads that a damaged size asks for; our blocks are far smaller

_FETCH: Final = "the blocks below can't be found until the tree is fetched from a peer"

HashRange = Callable[[int, int], bytes]
"""(byte offset, size) -> leaf hash of those bytes of the blocks file, as they lie on the disk."""


Groups = dict[int, Sequence[int]]
"""Byte offsets of the blocks of whole groups, and of their end, by group."""


class TreeFile:
    """Owned by the log's owner for changes; lookups may run in other threads.

    The caches are plain dicts, changed by single operations that are atomic under the GIL; whoever loses a
    race reads the disk once more. A new node stays in `_new` until it is in the file, so no reader misses it.
    Pairs are kept by the whole parent, not by its index alone, so that none of a forgotten past is ever taken
    for true; and not by its hash alone, because equal blocks make equal hashes at different places.
    """

    def __init__(self, file: DiskFile, hash_block: HashRange) -> None:
        self._file = file
        self._hash_block = hash_block
        self._new: dict[int, Node] = {}
        self._pairs: dict[Node, tuple[Node, Node]] = {}  # by the parent; all verified
        self._old_pairs: dict[Node, tuple[Node, Node]] = {}
        self.mended: dict[int, Node] = {}
        """Nodes whose bytes on disk are damaged, as they should be. write() puts them right."""

    def add(self, nodes: Iterable[Node]) -> None:
        self._new.update((node.index, node) for node in nodes)

    @property
    def waiting(self) -> int:
        """How many nodes are in memory only."""
        return len(self._new)

    def stored(self, index: int) -> Node:
        """The node as it is in memory or on disk, unverified. Past the file's end all zeros."""
        if node := self._new.get(index):
            return node
        data = self._file.pread(NODE_BYTES, NODE_BYTES * index)
        digest, size = _NODE.unpack(data.ljust(NODE_BYTES, b"\0"))
        return Node(index, size, digest)

    def roots(self, length: int, byte_length: int, expected: bytes) -> list[Node]:
        """Roots of the tree at a signed length. Corrupt if they don't fit its hash and can't be mended."""

        def fit(roots: list[Node]) -> bool:
            return tree_hash(roots) == expected and sum(root.size for root in roots) == byte_length

        roots = [self.stored(index) for index in flat_tree.full_roots(length)]
        if fit(roots):
            return roots
        for position, root in enumerate(roots):
            before = sum(node.size for node in roots[:position])
            after = sum(node.size for node in roots[position + 1 :])
            mended = self._rebuild(root.index, before, byte_length - before - after)
            candidate = [*roots[:position], mended, *roots[position + 1 :]]
            if fit(candidate):
                self.mended[root.index] = mended
                return candidate
        raise Corrupt("the log's tree does not fit its signed head", self._file.path, "fetch it from a peer")

    def find(self, roots: Sequence[Node], index: int) -> tuple[Node, int]:
        """A verified node and the byte offset of the first block below it. IndexError outside the roots."""
        offset = 0
        for node in roots:
            if index <= flat_tree.right_span(node.index):
                break
            offset += node.size
        else:
            raise IndexError(f"node {index} is not in the tree")
        if not flat_tree.contains(node.index, index):
            raise IndexError(f"node {index} is not complete")
        while node.index != index:
            left, right = self._pairs.get(node) or self._older(node) or self.children(node, offset)
            if index < node.index:
                node = left
            else:
                offset += left.size
                node = right
        return node, offset

    def children_of(self, node: Node, offset: int) -> tuple[Node, Node]:
        """As `children`, from memory if they were met before."""
        return self._pairs.get(node) or self._older(node) or self.children(node, offset)

    def children(self, node: Node, offset: int) -> tuple[Node, Node]:
        """Both children as they lie on the disk, verified against `node`, which must be verified. Corrupt where both
        are damaged, of which TreeAbsent where neither is there at all."""
        low, high = flat_tree.children(node.index)
        pair = self.stored(low), self.stored(high)
        if not _fit(node, *pair):
            if not (any(pair[0].hash) or any(pair[1].hash)):
                raise TreeAbsent(f"Merkle nodes {low} and {high} are not here", self._file.path, _FETCH)
            pair = self._mend(node, *pair, offset)
        self._keep(node, pair)
        return pair

    def _older(self, node: Node) -> tuple[Node, Node] | None:
        pair = self._old_pairs.get(node)
        if pair is not None:
            self._keep(node, pair)
        return pair

    def _keep(self, node: Node, pair: tuple[Node, Node]) -> None:
        if len(self._pairs) >= _GENERATION_PAIRS:
            self._old_pairs, self._pairs = self._pairs, {}
        self._pairs[node] = pair

    def offsets(self, roots: Sequence[Node], groups: Groups, group: int) -> Sequence[int]:
        """Byte offsets of the blocks from 256 * group and of their end: 257 numbers, fewer at the log's end.

        `groups` is the caller's cache for these roots and all that they grow to.
        """
        if (cached := groups.get(group)) is not None:
            return cached
        length = flat_tree.right_span(roots[-1].index) // 2 + 1
        count = min(GROUP_BLOCKS, length - group * GROUP_BLOCKS)
        found = self._load_group(roots, group, count)
        if count == GROUP_BLOCKS:
            if len(groups) >= _MAX_GROUPS:
                groups.clear()
            groups[group] = found
        return found

    def write(self) -> None:
        """Put all nodes that are in memory into the file: neighbours in one pwrite each. Not yet durable.

        May run beside add: what comes meanwhile stays for the next time.
        """
        mended = self.mended
        pending = sorted({**mended, **self._new}.items())
        run: list[bytes] = []
        start = expected = -1
        for index, (_, size, digest) in pending:
            if index != expected and run:
                self._file.pwrite(b"".join(run), NODE_BYTES * start)
                run = []
            if not run:
                start = index
            run.append(_NODE.pack(digest, size))
            expected = index + 1
        if run:
            self._file.pwrite(b"".join(run), NODE_BYTES * start)
        for index, node in pending:
            if self._new.get(index) is node:
                del self._new[index]
        if self.mended is mended:
            self.mended = {}

    def sync(self) -> None:
        self._file.fdatasync()

    def forget(self, length: int) -> None:
        """Drop from memory all that is no part of a tree of `length` blocks."""
        end = 2 * length
        self._new = {i: node for i, node in self._new.items() if flat_tree.right_span(i) < end}
        self.mended = {i: node for i, node in self.mended.items() if flat_tree.right_span(i) < end}

    def truncate(self, length: int) -> None:
        """Give back the space past a tree of `length` blocks."""
        self._file.truncate(min(self._file.size(), NODE_BYTES * max(0, 2 * length - 1)))

    def allocated(self) -> int:
        return self._file.allocated()

    def close(self) -> None:
        self._file.close()

    def _load_group(self, roots: Sequence[Node], group: int, count: int) -> Sequence[int]:
        base = 2 * GROUP_BLOCKS * group
        page = self._file.pread(_GROUP_BYTES, NODE_BYTES * base).ljust(_GROUP_BYTES, b"\0")
        sizes = list(_GROUP_SIZES.unpack(page)[:count])
        if self._new:
            for position in range(count):
                if node := self._new.get(base + 2 * position):
                    sizes[position] = node.size
        if count == GROUP_BLOCKS:
            tops = [base + GROUP_BLOCKS - 1]
        else:
            tops = [base + index for index in flat_tree.full_roots(count)]
        first = None
        for index in tops:
            top, offset = self.find(roots, index)
            first = offset if first is None else first
            low, high = (
                (flat_tree.left_span(index) - base) // 2,
                (flat_tree.right_span(index) - base) // 2 + 1,
            )
            if sum(sizes[low:high]) != top.size:
                # Some leaf's size is damaged: take the whole path to each through the hashes.
                for position in range(low, high):
                    sizes[position] = self.find(roots, base + 2 * position)[0].size
        return array("Q", accumulate(sizes, initial=first or 0))

    def _mend(self, node: Node, left: Node, right: Node, offset: int) -> tuple[Node, Node]:
        new_left = self._rebuild(left.index, offset, node.size - right.size)
        if _fit(node, new_left, right):
            self.mended[left.index] = new_left
            return new_left, right
        new_right = self._rebuild(right.index, offset + left.size, node.size - left.size)
        if _fit(node, left, new_right):
            self.mended[right.index] = new_right
            return left, new_right
        raise Corrupt(
            f"Merkle nodes {left.index} and {right.index} do not fit their parent",
            self._file.path,
            _FETCH,
        )

    def _rebuild(self, index: int, offset: int, size: int) -> Node:
        """What the node should be by what stands below it: a candidate, to be checked with the parent."""
        if index & 1:
            left, right = (self.stored(child) for child in flat_tree.children(index))
            if left.size + right.size == size:
                return parent_node(left, right)
        elif 0 <= size <= _MAX_BLOCK_BYTES:
            return Node(index, size, self._hash_block(offset, size))
        return Node(index, 0, bytes(HASH_BYTES))


def _fit(parent: Node, left: Node, right: Node) -> bool:
    size = left.size + right.size
    return size == parent.size and parent_hash(size, left.hash, right.hash) == parent.hash
