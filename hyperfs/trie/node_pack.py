"""Several nodes in one block, and the points by which they are named. The format's page is docs/formats/trie.md.

A point says where in a log a node lies: the block, and the slot in the block's pack. It is one number, `slot << 56 |
block`, so that a reference, a cache's key and a list of what died hold it as they would hold an index. No log has so
many blocks that the two could meet.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple, NewType

from hyperfs.errors import Corrupt, FormatTooNew

Point = NewType("Point", int)

PACK_FORMAT: Final = 1
MAX_NODES: Final = 256
"""In a pack: a slot has 8 bits."""

_SLOT_SHIFT: Final = 56
_BLOCK_MASK: Final = (1 << _SLOT_SHIFT) - 1
_HEAD: Final = struct.Struct("<BH")  # format, number of nodes
_LENGTH_BYTES: Final = 4


def point_of(block: int, slot: int) -> Point:
    return Point(slot << _SLOT_SHIFT | block)


def block_of(point: Point) -> int:
    """The index of the block."""
    return point & _BLOCK_MASK


def slot_of(point: Point) -> int:
    return point >> _SLOT_SHIFT


class NodePack(NamedTuple):
    """A parsed pack: node `slot` is `plaintext[ends[slot] : ends[slot + 1]]`."""

    plaintext: bytes
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ends) - 1

    def node(self, slot: int) -> bytes:
        """An encoded node. Raises Corrupt where there is no such slot."""
        if slot >= len(self):
            raise Corrupt(f"reference to node {slot} of a pack of {len(self)}")
        return self.plaintext[self.ends[slot] : self.ends[slot + 1]]


def packed_size(nodes: int, node_bytes: int) -> int:
    """The length of what `build` gives for so many nodes, which come to so many bytes."""
    return _HEAD.size + _LENGTH_BYTES * nodes + node_bytes


def build(nodes: Sequence[bytes]) -> bytes:
    """The plaintext of a block with these encoded nodes, 1..MAX_NODES, in slots from 0 on."""
    if not 1 <= len(nodes) <= MAX_NODES or not all(nodes):
        raise ValueError(f"a pack has 1 to {MAX_NODES} nodes, none of them empty")
    lengths = struct.pack(f"<{len(nodes)}I", *map(len, nodes))
    return b"".join((_HEAD.pack(PACK_FORMAT, len(nodes)), lengths, *nodes))


def parse(plaintext: bytes) -> NodePack:
    """The directory; the nodes are not decoded. Corrupt for what `build` would not give, FormatTooNew for a later
    format. Allocates no more than the plaintext has."""
    if len(plaintext) < _HEAD.size:
        raise Corrupt(f"a node pack of {len(plaintext)} bytes has no directory")
    found, count = _HEAD.unpack_from(plaintext)
    if found > PACK_FORMAT:
        raise FormatTooNew("a node pack", found, PACK_FORMAT)
    start = packed_size(count, 0)
    if found != PACK_FORMAT or not 1 <= count <= MAX_NODES or start > len(plaintext):
        raise Corrupt(f"a node pack of {len(plaintext)} bytes begins with {plaintext[: _HEAD.size].hex()}")
    lengths = struct.unpack_from(f"<{count}I", plaintext, _HEAD.size)
    ends = tuple(accumulate(lengths, initial=start))
    if ends[-1] != len(plaintext) or not all(lengths):
        raise Corrupt(f"a node pack's directory describes {ends[-1]} bytes, there are {len(plaintext)}")
    return NodePack(plaintext, ends)
