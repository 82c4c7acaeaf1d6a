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
from hyperfs.volume.catalog import Catalog, Change, reach_change
from hyperfs.volume.marking import Marks, mark_entry, mark_leaf
from hyperfs.volume.nodes import Nodes

SUBTREE_WEIGHT: Final = 1 << 20
"""The weight of a subtree up to which it is remembered as one: some 300 nodes."""
_DEEPEST: Final = 100
"""Branches on top of one another; keys that share hundreds of bytes make more. Those are read each time."""
_ROWS_AT_ONCE: Final = 500
_RUN: Final = struct.Struct("<IQQ")

Blocks = dict[int, set[int]]
"""By log."""
Run = tuple[int, int, int]
"""Log, and blocks [start, end) of it."""


class Reached:
    """Collects blocks as Marks does, whatever their number."""

    def __init__(self) -> None:
        self.blocks: Blocks = {}

    def add(self, log: int, block: int) -> bool:
        self.blocks.setdefault(log, set()).add(block)
        return True

    def runs(self) -> list[Run]:
        """In order."""
        return [(log, *run) for log, blocks in sorted(self.blocks.items()) for run in runs_of(sorted(blocks))]

    def join(self, other: "Reached") -> None:
        for log, blocks in other.blocks.items():
            self.blocks.setdefault(log, set()).update(blocks)


class Remembered:
    """Marks trees by what is remembered of them, and remembers what it had to read. In a worker thread."""

    def __init__(self, nodes: Nodes, catalog: Catalog, key: bytes, keep: Callable[[list[Change]], None]) -> None:
        """`key`: for node ids. `keep` takes rows for the index; it may drop them."""
        self._nodes = nodes
        self._catalog = catalog
        self._key = key
        self._keep = keep
        self._rows: list[Change] = []

    def mark(self, roots: Iterable[Ref | None], marks: Marks) -> None:
        """As mark_trees. Raises Corrupt or NotResident where a node that is not remembered can't be read."""
        stack: list[Child] = [root for root in roots if root is not None]
        while stack:
            child = stack.pop()
            assert isinstance(child, Ref)
            if _is_remembered(child):
                for log, start, end in self._recalled(child) or self._below(child, 0).runs():
                    marks.add_run(log, start, end)
            elif marks.add(child.log, child.index):
                stack += self._children(child, marks)
        self._hand_on()

    def _children(self, ref: Ref, into: Marks | Reached) -> list[Child]:
        """The children of a node whose own entries are marked here."""
        node = self._nodes.read(ref)
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
        if _is_remembered(ref) and (runs := self._recalled(ref)) is not None:
            for log, start, end in runs:
                found.blocks.setdefault(log, set()).update(range(start, end))
            return found
        found.add(ref.log, ref.index)
        stack = self._children(ref, found)
        while stack:
            child = stack.pop()
            assert isinstance(child, Ref)
            if _is_remembered(child) and depth < _DEEPEST:
                found.join(self._below(child, depth + 1))
                continue
            found.add(child.log, child.index)
            stack += self._children(child, found)
        if _is_remembered(ref):
            self._remember(ref, found)
        return found

    def _recalled(self, ref: Ref) -> list[Run] | None:
        row = self._catalog.reach(ref.log, ref.index)
        if row is None or not compare_digest(row[:ID_BYTES], self._tag(ref, row[ID_BYTES:])):
            return None
        return list(_RUN.iter_unpack(zlib.decompress(row[ID_BYTES:])))

    def _remember(self, ref: Ref, found: Reached) -> None:
        data = zlib.compress(b"".join([_RUN.pack(*run) for run in found.runs()]), 1)
        self._rows.append(reach_change(ref.log, ref.index, self._tag(ref, data) + data))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._hand_on()

    def _hand_on(self) -> None:
        if self._rows:
            self._keep(self._rows)
            self._rows = []

    def _tag(self, ref: Ref, data: bytes) -> bytes:
        # No node's canonical form begins like this, so that no tag is ever a node's id.
        return node_id(self._key, b"reach" + ref.id + struct.pack("<IQ", ref.log, ref.index) + data)


def _is_remembered(ref: Ref) -> bool:
    return ref.weight <= SUBTREE_WEIGHT and not is_leaf(ref)
