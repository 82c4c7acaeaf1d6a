"""Nodes of the trie in memory and their codec. The format's page is docs/formats/trie.md.

An encoded node is its canonical part followed by its locations. The canonical part (keys, values, children's
ids, weights and counts) is what the node's id is made of; the locations (hints, and log and point of each
child) may differ between two devices that hold equal contents, and are never part of an identity.

Nodes are immutable: readers of older roots share them.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from operator import lt
from typing import Final, NamedTuple, TypeAlias, final

from hyperfs.errors import Corrupt
from hyperfs.trie.node_pack import Point, block_of, slot_of

LEAF_WEIGHT: Final = 4096
"""The greatest weight of a leaf that has more than one entry."""
ENTRY_WEIGHT: Final = 8
"""What an entry weighs beside its key and value. Part of the canonical shape, so never to be changed."""
KEY_MAX_BYTES: Final = 512
VALUE_MAX_BYTES: Final = 65536
HINT_MAX_BYTES: Final = 255
ID_BYTES: Final = 16

_LEAF_KIND: Final = 0x11
_BRANCH_KIND: Final = 0x12
_ENDS_BIT: Final = 1 << 16
_LEAF_MAX_COUNT: Final = LEAF_WEIGHT // ENTRY_WEIGHT
_DEPTH_MAX: Final = 2 * KEY_MAX_BYTES
_LEAF_HEAD: Final = struct.Struct("<BHH")
_BRANCH_HEAD: Final = struct.Struct("<BHI")
_LENGTH: Final = struct.Struct("<I")
_CHILD: Final = struct.Struct("<16sQQ")
_LOCATION: Final = struct.Struct("<IQ")

Entry: TypeAlias = tuple[bytes, bytes]
"""(value, hint) of a key."""


class Ref(NamedTuple):
    """A stored node: what it is (id), where it lies (log, point), its subtree's weight and entry count."""

    id: bytes
    log: int
    point: Point
    weight: int
    count: int  # type: ignore[assignment]  # the field's name matters more here than tuple.count

    @property
    def block(self) -> int:
        """The index of the block that it lies in."""
        return block_of(self.point)

    @property
    def slot(self) -> int:
        """Which of the nodes in that block it is."""
        return slot_of(self.point)


@final
@dataclass(frozen=True, slots=True)
class Leaf:
    """Entries in ascending order of key, as three parallel columns. Never empty."""

    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]
    hints: tuple[bytes, ...]
    weight: int

    @property
    def count(self) -> int:
        return len(self.keys)


@final
@dataclass(frozen=True, slots=True)
class Branch:
    """Two parts or more (children, the ending entry) that share their first `depth` nibbles and not the next.

    `prefix` is counted from the beginning of the key, not from the parent, so that a branch that comes or
    goes above a node doesn't change that node. `children` has 16 places, one a nibble.
    """

    prefix: bytes
    depth: int
    ends: Entry | None
    children: "tuple[Child | None, ...]"
    weight: int
    count: int


Node: TypeAlias = Leaf | Branch
Child: TypeAlias = Ref | Leaf | Branch
Load: TypeAlias = Callable[[Ref], Node]
"""Gives the node that a reference names, from a cache or by decode(). May raise NotResident or Corrupt."""


def make_leaf(keys: Sequence[bytes], values: Sequence[bytes], hints: Sequence[bytes]) -> Leaf:
    """A leaf of entries that are sorted already. Doesn't look at the weight limit."""
    weight = ENTRY_WEIGHT * len(keys) + sum(map(len, keys)) + sum(map(len, values))
    return Leaf(tuple(keys), tuple(values), tuple(hints), weight)


def make_branch(prefix: bytes, depth: int, ends: Entry | None, children: Sequence[Child | None]) -> Branch:
    """A branch with its weight and count summed up. Doesn't look at the weight limit."""
    weight = count = 0
    if ends is not None:
        weight = ENTRY_WEIGHT + len(prefix) + len(ends[0])
        count = 1
    for child in children:
        if child is not None:
            weight += child.weight
            count += child.count
    return Branch(prefix, depth, ends, tuple(children), weight, count)


def is_leaf(child: Child) -> bool:
    """Whether it is a leaf, known from the reference alone: the canonical shape leaves no choice."""
    return child.weight <= LEAF_WEIGHT or child.count == 1


def resolve(load: Load, child: Child) -> Node:
    """The node itself. Corrupt if it isn't of the weight and count that its parent promised.

    A child weighs less than its parent, so this check is also what makes every descent end.
    """
    if not isinstance(child, Ref):
        return child
    node = load(child)
    if node.weight != child.weight or node.count != child.count:
        raise misplaced(child)
    return node


def misplaced(ref: Ref) -> Corrupt:
    """The error for a node that isn't what its reference promised."""
    where = f"log {ref.log} block {ref.block} node {ref.slot}"
    return Corrupt("a trie node is not the one that its parent names", where)


def encode(node: Node) -> bytes:
    """The node as it is stored. Children must be stored already: ValueError otherwise."""
    canonical_part, locations = encode_parts(node)
    return canonical_part + locations


def canonical(node: Node) -> bytes:
    """What the node's id is made of: its encoding without hints, logs and points."""
    return encode_parts(node)[0]


def encode_parts(node: Node) -> tuple[bytes, bytes]:
    """(canonical part, locations). encode() is their concatenation."""
    if isinstance(node, Leaf):
        return _encode_leaf(node)
    return _encode_branch(node)


def decode(data: bytes) -> Node:
    """The node of an encoding. Corrupt on whatever encode() could not have written."""
    kind = data[0] if data else -1
    if kind == _LEAF_KIND:
        return _decode_leaf(data)[0]
    if kind == _BRANCH_KIND:
        return _decode_branch(data)[0]
    raise Corrupt("no trie node of a known kind")


def canonical_size(data: bytes) -> int:
    """How many leading bytes of an encoded node are its canonical part, so that its id can be checked."""
    if data[:1] == bytes((_LEAF_KIND,)):
        return _decode_leaf(data)[1]
    if data[:1] == bytes((_BRANCH_KIND,)):
        return _decode_branch(data)[1]
    raise Corrupt("no trie node of a known kind")


@cache
def _lengths(count: int) -> struct.Struct:
    # Bounded: count is at most _LEAF_MAX_COUNT. Only an entry alone in its leaf can have a value of 64 KiB.
    return struct.Struct("<HI" if count == 1 else f"<{2 * count}H")


def _encode_leaf(leaf: Leaf) -> tuple[bytes, bytes]:
    keys, values, hints = leaf.keys, leaf.values, leaf.hints
    count = len(keys)
    prefix = _common_prefix(keys[0], keys[-1])
    size = len(prefix)
    suffixes = [key[size:] for key in keys] if size else keys
    lengths = _lengths(count).pack(*map(len, suffixes), *map(len, values))
    head = _LEAF_HEAD.pack(_LEAF_KIND, count, size)
    canonical_part = b"".join((head, lengths, prefix, *suffixes, *values))
    if not any(hints):
        return canonical_part, b""
    return canonical_part, bytes(map(len, hints)) + b"".join(hints)


def _common_prefix(a: bytes, b: bytes) -> bytes:
    if b.startswith(a):
        return a
    size = min(len(a), len(b))
    unlike = int.from_bytes(a[:size], "big") ^ int.from_bytes(b[:size], "big")
    return a[: size - (unlike.bit_length() + 7) // 8]


def _decode_leaf(data: bytes) -> tuple[Leaf, int]:
    if len(data) < _LEAF_HEAD.size:
        raise Corrupt("a trie leaf is cut short")
    _, count, prefix_size = _LEAF_HEAD.unpack_from(data)
    if not 1 <= count <= _LEAF_MAX_COUNT:
        raise Corrupt("a trie leaf has an impossible number of entries")
    table = _lengths(count)
    start = _LEAF_HEAD.size + table.size
    if len(data) < start:
        raise Corrupt("a trie leaf is cut short")
    lengths = table.unpack_from(data, _LEAF_HEAD.size)
    key_sizes = lengths[:count]
    value_sizes = lengths[count:]
    key_ends = list(accumulate(key_sizes, initial=start + prefix_size))
    value_ends = list(accumulate(value_sizes, initial=key_ends[-1]))
    end = value_ends[-1]
    weight = (ENTRY_WEIGHT + prefix_size) * count + end - start - prefix_size
    if len(data) < end or prefix_size + max(key_sizes) > KEY_MAX_BYTES:
        raise Corrupt("a trie leaf has impossible lengths")
    if (weight > LEAF_WEIGHT and count > 1) or max(value_sizes) > VALUE_MAX_BYTES:
        raise Corrupt("a trie leaf is too heavy")
    prefix = data[start : start + prefix_size]
    keys = tuple([prefix + data[a:b] for a, b in pairwise(key_ends)])
    if not all(map(lt, keys, keys[1:])) or len(_common_prefix(keys[0], keys[-1])) != prefix_size:
        raise Corrupt("a trie leaf's keys are not in order")
    values = tuple([data[a:b] for a, b in pairwise(value_ends)])
    return Leaf(keys, values, _decode_hints(data, end, count), weight), end


def _decode_hints(data: bytes, at: int, count: int) -> tuple[bytes, ...]:
    # The table is left out when all hints are empty, and then only, so that a node has one encoding.
    if len(data) == at:
        return (b"",) * count
    sizes = data[at : at + count]
    ends = list(accumulate(sizes, initial=at + count))
    if ends[-1] != len(data) or not any(sizes):
        raise Corrupt("a trie leaf's hints have impossible lengths")
    return tuple([data[a:b] for a, b in pairwise(ends)])


def _encode_branch(branch: Branch) -> tuple[bytes, bytes]:
    which = 0
    canonical_part = [b"", branch.prefix]
    locations: list[bytes] = []
    if branch.ends is not None:
        which = _ENDS_BIT
        value, hint = branch.ends
        canonical_part += (_LENGTH.pack(len(value)), value)
        locations += (bytes((len(hint),)), hint)
    for nibble, child in enumerate(branch.children):
        if child is None:
            continue
        if not isinstance(child, Ref):
            raise ValueError("a branch is encoded after its children are stored")
        which |= 1 << nibble
        canonical_part.append(_CHILD.pack(child.id, child.weight, child.count))
        locations.append(_LOCATION.pack(child.log, child.point))
    canonical_part[0] = _BRANCH_HEAD.pack(_BRANCH_KIND, branch.depth, which)
    return b"".join(canonical_part), b"".join(locations)


def _decode_branch(data: bytes) -> tuple[Branch, int]:
    if len(data) < _BRANCH_HEAD.size:
        raise Corrupt("a trie branch is cut short")
    _, depth, which = _BRANCH_HEAD.unpack_from(data)
    parts = which.bit_count()
    ended = bool(which & _ENDS_BIT)
    if depth >= _DEPTH_MAX or which >= 2 * _ENDS_BIT or parts < 2 or (ended and depth & 1):
        raise Corrupt("a trie branch has an impossible head")
    at = _BRANCH_HEAD.size + ((depth + 1) >> 1)
    prefix = data[_BRANCH_HEAD.size : at]
    if depth & 1 and prefix[-1:] and prefix[-1] & 15:
        raise Corrupt("a trie branch's prefix is not padded with zero")
    value = b""
    if ended:
        value, at = _decode_value(data, at)
    end = at + (parts - ended) * _CHILD.size
    place = end
    hint = b""
    if ended:
        hint_size = data[place] if place < len(data) else 0
        hint = data[place + 1 : place + 1 + hint_size]
        place += 1 + hint_size
    if len(data) != place + (parts - ended) * _LOCATION.size:
        raise Corrupt("a trie branch is of the wrong length")
    children: list[Child | None] = [None] * 16
    nibbles = [nibble for nibble in range(16) if which >> nibble & 1]
    names = _CHILD.iter_unpack(data[at:end])
    for nibble, (id_, weight, count), (log, point) in zip(
        nibbles, names, _LOCATION.iter_unpack(data[place:]), strict=True
    ):
        if count < 1 or weight < ENTRY_WEIGHT * count:
            raise Corrupt("a trie branch names an impossible child")
        children[nibble] = Ref(id_, log, point, weight, count)
    branch = make_branch(prefix, depth, (value, hint) if ended else None, children)
    if not LEAF_WEIGHT < branch.weight < 1 << 64:
        raise Corrupt("a trie branch has an impossible weight")
    return branch, end


def _decode_value(data: bytes, at: int) -> tuple[bytes, int]:
    start = at + _LENGTH.size
    if len(data) < start:
        raise Corrupt("a trie branch is cut short")
    (size,) = _LENGTH.unpack_from(data, at)
    if size > VALUE_MAX_BYTES or len(data) < start + size:
        raise Corrupt("a trie branch has an impossible length")
    return data[start : start + size], start + size
