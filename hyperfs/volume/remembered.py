"""What a subtree of the trie reaches, remembered: so that marking reads what has changed and not the whole drive.

A stored node never changes, nor does anything below it; so the blocks that a branch reaches are the same for ever, and
stand in the derived index under the branch's place. Each row is authenticated with the drive's key for node ids, over
the branch's place and id: one that is damaged, or of another past of the log, is not believed, and is made anew of
the nodes. Rows are kept for branches of up to a MiB; a drive of ten million files has some 50,000 of them.
"""

import struct
import zlib
from collections.abc import Callable, Iterable
from hmac import compare_digest
from typing import Final

from hyperfs.crypto.ids import ID_BYTES, node_id
from hyperfs.log.cleared import runs_of
from hyperfs.trie.node import Child, Leaf, Ref, is_leaf
from hyperfs.trie.node_pack import Point, block_of, slot_of
from hyperfs.volume.catalog import Catalog, Change, reach_change
from hyperfs.volume.marking import Marks, Progress, mark_entry, mark_leaf
from hyperfs.volume.nodes import Nodes

SUBTREE_WEIGHT: Final = 1 << 20
"""The weight of a subtree up to which it is remembered as one: some 300 nodes."""
_DEEPEST: Final = 100
"""Branches on top of one another; keys that share hundreds of bytes make more. Those are read each time."""
_ROWS_AT_ONCE: Final = 500
_COUNT: Final = struct.Struct("<I")
_RUN: Final = struct.Struct("<IQQ")
_SLOTS: Final = struct.Struct("<IQ32s")



class Reached:
    """Collects blocks of content and nodes as Marks does, whatever their number."""

    def __init__(self) -> None:
        self._blocks: dict[int, set[int]] = {}  # by log
        self._nodes: dict[tuple[int, int], int] = {}  # as Marks has them

    def add(self, log: int, block: int) -> bool:
        self._blocks.setdefault(log, set()).add(block)
        return True

    def add_node(self, log: int, point: Point) -> bool:
        return self.add_nodes(log, block_of(point), 1 << slot_of(point))

    def add_nodes(self, log: int, block: int, slots: int) -> bool:
        known = self._nodes.get((log, block), 0)
        self._nodes[log, block] = known | slots
        return known | slots != known

    def add_run(self, log: int, start: int, end: int) -> None:
        self._blocks.setdefault(log, set()).update(range(start, end))

    def encode(self) -> bytes:
        runs = [(log, *run) for log, blocks in sorted(self._blocks.items()) for run in runs_of(sorted(blocks))]
        parts = [_COUNT.pack(len(runs)), *(_RUN.pack(*run) for run in runs)]
        parts += [_SLOTS.pack(*place, slots.to_bytes(32, "little")) for place, slots in sorted(self._nodes.items())]
        return b"".join(parts)

    @property
    def size(self) -> int:
        """How many blocks, and packs of nodes."""
        return sum(map(len, self._blocks.values())) + len(self._nodes)

    @staticmethod
    def decode(data: bytes, into: "Marks | Reached") -> None:
        """What `encode` gave: the row was authenticated."""
        (count,) = _COUNT.unpack_from(data)
        nodes = _COUNT.size + count * _RUN.size
        for run in _RUN.iter_unpack(data[_COUNT.size : nodes]):
            into.add_run(*run)
        for log, block, slots in _SLOTS.iter_unpack(data[nodes:]):
            into.add_nodes(log, block, int.from_bytes(slots, "little"))

    def pour(self, into: "Marks | Reached") -> None:
        for log, blocks in self._blocks.items():
            for start, end in runs_of(sorted(blocks)):
                into.add_run(log, start, end)
        for place, slots in self._nodes.items():
            into.add_nodes(*place, slots)


class Remembered:
    """Marks trees by what is remembered of them, and remembers what it had to read. In a worker thread."""

    def __init__(
        self,
        nodes: Nodes,
        catalog: Catalog,
        key: bytes,
        keep: Callable[[list[Change]], None],
        progress: Progress = lambda what, done, of: None,
    ) -> None:
        """`key`: for node ids. `keep` takes rows for the index; it may drop them. `progress` is told of each node."""
        self._nodes = nodes
        self._catalog = catalog
        self._key = key
        self._keep = keep
        self._rows: list[Change] = []
        self._progress = progress
        self._done = 0

    def mark(self, roots: Iterable[Ref | None], marks: Marks) -> None:
        """As mark_trees. Raises Corrupt or NotResident where a node that is not remembered can't be read."""
        stack: list[Child] = [root for root in roots if root is not None]
        while stack:
            child = stack.pop()
            assert isinstance(child, Ref)
            if _is_remembered(child):
                # One that is marked is marked with all below it: another version has brought it.
                if not marks.has_node(child.log, child.point) and not self._recall(child, marks):
                    self._below(child, 0).pour(marks)
            elif marks.add_node(child.log, child.point):
                stack += self._children(child, marks)
        self._hand_on()

    def _children(self, ref: Ref, into: Marks | Reached) -> list[Child]:
        """The children of a node whose own entries are marked here."""
        node = self._nodes.read(ref)
        self._done += 1
        self._progress("looking for what is kept", self._done, 0)
        if isinstance(node, Leaf):
            mark_leaf(node, into)
            return []
        if node.ends is not None:
            mark_entry(node.prefix, *node.ends, into)
        # In the order in which they were written, from the end of a stack.
        return [child for child in reversed(node.children) if child is not None]

    def _below(self, ref: Ref, depth: int) -> Reached:
        """All that a subtree reaches, itself included."""
        found = Reached()
        if _is_remembered(ref) and self._recall(ref, found):
            return found
        found.add_node(ref.log, ref.point)
        stack = self._children(ref, found)
        while stack:
            child = stack.pop()
            assert isinstance(child, Ref)
            if _is_remembered(child) and depth < _DEEPEST:
                self._below(child, depth + 1).pour(found)
                continue
            found.add_node(child.log, child.point)
            stack += self._children(child, found)
        if _is_remembered(ref):
            self._remember(ref, found)
        return found

    def _recall(self, ref: Ref, into: Marks | Reached) -> bool:
        """Whether it is remembered what the subtree reaches; then that is marked."""
        row = self._catalog.reach(ref.log, ref.point)
        if row is None or not compare_digest(row[:ID_BYTES], self._tag(ref, row[ID_BYTES:])):
            return False
        Reached.decode(zlib.decompress(row[ID_BYTES:]), into)
        return True

    def _remember(self, ref: Ref, found: Reached) -> None:
        data = zlib.compress(found.encode(), 1)
        self._rows.append(reach_change(ref.log, ref.point, self._tag(ref, data) + data))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._hand_on()

    def _hand_on(self) -> None:
        if self._rows:
            self._keep(self._rows)
            self._rows = []

    def _tag(self, ref: Ref, data: bytes) -> bytes:
        # No node's canonical form begins like this, so that no tag is ever a node's id.
        return node_id(self._key, b"reach" + ref.id + struct.pack("<IQ", ref.log, ref.point) + data)


def _is_remembered(ref: Ref) -> bool:
    return ref.weight <= SUBTREE_WEIGHT and not is_leaf(ref)
