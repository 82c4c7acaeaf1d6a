"""The canonical persistent trie: equal contents have equal roots. One operation a module, all of it pure."""

from hyperfs.trie.diff import Difference, diff
from hyperfs.trie.lookup import lookup
from hyperfs.trie.node import (
    Branch,
    Child,
    Entry,
    Leaf,
    Load,
    Node,
    Ref,
    canonical,
    canonical_size,
    decode,
    encode,
)
from hyperfs.trie.node_pack import NodePack, Point, block_of, point_of, slot_of
from hyperfs.trie.persist import Append, Identify, persist
from hyperfs.trie.update import Change, update
from hyperfs.trie.walk import reachable, walk, walk_nodes

__all__ = [
    "Append",
    "Branch",
    "Change",
    "Child",
    "Difference",
    "Entry",
    "Identify",
    "Leaf",
    "Load",
    "Node",
    "NodePack",
    "Point",
    "Ref",
    "block_of",
    "canonical",
    "canonical_size",
    "decode",
    "diff",
    "encode",
    "lookup",
    "persist",
    "point_of",
    "reachable",
    "slot_of",
    "update",
    "walk",
    "walk_nodes",
]
