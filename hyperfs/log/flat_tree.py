"""Arithmetic of flat trees: a binary tree laid out in one array, by in-order position.

Leaves (blocks) have even indexes, 2 x block; parents have odd ones. Depth is the count of trailing one bits.
A tree over a number of leaves that is no power of two has several roots, one for each bit of that number.
All pure; indexes are ints without bound.

    3
  1   5
 0 2 4 6
"""


def depth(index: int) -> int:
    return (~index & (index + 1)).bit_length() - 1


def offset(index: int) -> int:
    """Position among the nodes of the same depth."""
    return index >> (depth(index) + 1)


def node_index(depth: int, offset: int) -> int:
    return (offset << (depth + 1)) | ((1 << depth) - 1)


def parent(index: int) -> int:
    span = ~index & (index + 1)  # 2 ** depth
    return (index | span) & ~(span << 1)


def sibling(index: int) -> int:
    return index ^ ((~index & (index + 1)) << 1)


def children(index: int) -> tuple[int, int]:
    """(left, right) of a parent; ValueError for a leaf."""
    if not index & 1:
        raise ValueError(f"{index} is a leaf")
    half = (~index & (index + 1)) >> 1
    return index - half, index + half


def left_span(index: int) -> int:
    """The leftmost leaf below, as a flat index."""
    return index - (~index & (index + 1)) + 1


def right_span(index: int) -> int:
    """The rightmost leaf below, as a flat index. A node is complete at a length iff this is < 2 * length."""
    return index + (~index & (index + 1)) - 1


def contains(index: int, other: int) -> bool:
    """Whether `other` is `index` or stands below it."""
    reach = ~index & (index + 1)
    return index - reach < other < index + reach


def leaf_count(index: int) -> int:
    return ~index & (index + 1)


def full_roots(length: int) -> list[int]:
    """Roots of a tree of `length` leaves, left to right."""
    roots = []
    start = 0
    while length:
        size = 1 << (length.bit_length() - 1)
        roots.append(2 * start + size - 1)
        start += size
        length -= size
    return roots
