"""Marking: every block that some roots reach. The truth about what is needed, whatever the index believes.

Costs in proportion to the metadata that the roots reach, each node once however many roots share it; memory, one
bit a block, and some 150 bytes for each block of nodes. Runs in a worker thread: it reads blocks and its own marks, and
nothing that the trio thread changes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from hyperfs.chunks.extents import Extent, Place
from hyperfs.trie.node import Leaf, Ref
from hyperfs.trie.node_pack import Point, block_of, slot_of
from hyperfs.volume import keys
from hyperfs.volume.entries import decode_place, extent_in, kind_of_key
from hyperfs.volume.nodes import Nodes

Progress = Callable[[str, int, int], None]

_EXTENT_KINDS: Final = (keys.EXTENT, keys.XATTR)
_NAMING_KINDS: Final = (*_EXTENT_KINDS, keys.PLACE)
_KIND_AT: Final = keys.PREFIX_BYTES - 1
_TELL_EVERY: Final = 20

_NOT_ALL: Final = re.compile(rb"[^\xff]", re.DOTALL)
"""A byte of marks in which one is missing."""


class Adds(Protocol):
    """What collects blocks of content."""

    def add(self, log: int, block: int) -> bool: ...


class Marks:
    """One bit for each block of each log, and one for each node: blocks are kept or let go, but nodes are walked."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, int], int] = {}  # by log and block: bit n for the node in slot n
        self._lengths: dict[int, int] = {}
        self._bits: dict[int, bytearray] = {}

    def reach(self, lengths: Mapping[int, int]) -> None:
        """From now on blocks below these lengths, by log number, can be marked; what is past them never is."""
        self._lengths.update(lengths)
        for log, length in lengths.items():
            bits = self._bits.setdefault(log, bytearray())
            bits.extend(bytes(max(0, (length + 7) // 8 - len(bits))))

    def add(self, log: int, block: int) -> bool:
        """Whether it was not marked before."""
        if block >= self._lengths.get(log, 0):
            return False
        bits, byte, bit = self._bits[log], block >> 3, 1 << (block & 7)
        if bits[byte] & bit:
            return False
        bits[byte] |= bit
        return True

    def add_node(self, log: int, point: Point) -> bool:
        """As `add`, of the node's block; whether the node, and so all below it, was not marked before."""
        return self.add_nodes(log, block_of(point), 1 << slot_of(point))

    def add_nodes(self, log: int, block: int, slots: int) -> bool:
        """As `add_node`, of several in one block: bit n for slot n."""
        if block >= self._lengths.get(log, 0):
            return False
        self.add(log, block)
        known = self._nodes.get((log, block), 0)
        self._nodes[log, block] = known | slots
        return known | slots != known

    def add_run(self, log: int, start: int, end: int) -> None:
        """Blocks [start, end), quickly."""
        end = min(end, self._lengths.get(log, 0))
        first, last = -(-start // 8), end // 8
        if first < last:
            self._bits[log][first:last] = b"\xff" * (last - first)
        for block in (*range(start, min(8 * first, end)), *range(max(8 * last, start), end)):
            self._bits[log][block >> 3] |= 1 << (block & 7)

    def has(self, log: int, block: int) -> bool:
        return block < self._lengths.get(log, 0) and bool(self._bits[log][block >> 3] >> (block & 7) & 1)

    def has_node(self, log: int, point: Point) -> bool:
        return bool(self._nodes.get((log, block_of(point)), 0) >> slot_of(point) & 1)

    def unmarked(self, log: int, end: int) -> Iterator[int]:
        """The blocks below `end` that were not marked, ascending."""
        end = min(end, self._lengths.get(log, 0))
        for found in _NOT_ALL.finditer(self._bits.get(log, b"")):
            byte, value = found.start(), found[0][0]
            for block in range(byte * 8, min(byte * 8 + 8, end)):
                if not value >> (block & 7) & 1:
                    yield block


def mark_trees(nodes: Nodes, roots: Iterable[Ref | None], marks: Marks, progress: Progress) -> None:
    """Marks every node that the roots reach, and every block of content that a node names, bases of deltas too.

    Raises Corrupt or NotResident where a node can't be read: then nothing is known to be free.
    """
    stack = [root for root in roots if root is not None]
    done = 0
    while stack:
        ref = stack.pop()
        if not marks.add_node(ref.log, ref.point):
            continue  # with all below it
        node = nodes.read(ref)  # past the cache: this reads all, once
        if isinstance(node, Leaf):
            mark_leaf(node, marks)
        else:
            stack += [child for child in node.children if isinstance(child, Ref)]
            if node.ends is not None:
                mark_entry(node.prefix, *node.ends, marks)
        done += 1
        if done % _TELL_EVERY == 0:
            progress("looking for what is kept", done, 0)


def mark_offered(
    nodes: Nodes, roots: Iterable[Ref | None], marks: Marks, hides: Callable[[int], bool], progress: Progress
) -> None:
    """As mark_trees, but of content only what belongs to inodes that are not hidden. After what is marked whole."""
    stack = [root for root in roots if root is not None]
    seen: set[tuple[int, Point]] = set()
    while stack:
        ref = stack.pop()
        if marks.has_node(ref.log, ref.point) or (ref.log, ref.point) in seen:
            continue
        # The block is needed; not all that is below the node is.
        seen.add((ref.log, ref.point))
        marks.add(ref.log, ref.block)
        node = nodes.read(ref)
        if isinstance(node, Leaf):
            entries = list(zip(node.keys, node.values, node.hints, strict=True))
        else:
            stack += [child for child in node.children if isinstance(child, Ref)]
            entries = [] if node.ends is None else [(node.prefix, *node.ends)]
        for key, value, hint in entries:
            if key[_KIND_AT] in _EXTENT_KINDS and not hides(int.from_bytes(key[:_KIND_AT], "big")):
                mark_entry(key, value, hint, marks)
        progress("looking for what is kept", len(seen), 0)


def mark_extents(extents: Iterable[Extent], marks: Marks) -> None:
    """Blocks that something in memory names, and perhaps no version."""
    for extent in extents:
        _mark_place(extent.place, marks)


def mark_commit(log: int, index: int, dead_blocks: int, marks: Adds) -> None:
    """A version's commit block and the blocks right before it that go on with its lists."""
    for block in range(index - dead_blocks, index + 1):
        marks.add(log, block)


def mark_leaf(leaf: Leaf, marks: Adds) -> None:
    """What the entries of a leaf name."""
    for key, value, hint in zip(leaf.keys, leaf.values, leaf.hints, strict=True):
        if key[_KIND_AT] in _NAMING_KINDS:
            mark_entry(key, value, hint, marks)


def mark_entry(key: bytes, value: bytes, hint: bytes, marks: Adds) -> None:
    """The blocks of content that an entry names, bases of deltas too."""
    kind = kind_of_key(key)
    if kind in _EXTENT_KINDS:
        extent = extent_in(key, (value, hint))
        if extent is not None:
            _mark_place(extent.place, marks)
    elif kind == keys.PLACE:
        _mark_place(decode_place(value, key.hex()), marks)


def _mark_place(place: Place, marks: Adds) -> None:
    for found in (place, *place.bases):
        marks.add(found.log, found.block)
