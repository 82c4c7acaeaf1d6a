"""The canonical shape: which nodes a given set of entries has. It depends on nothing but the set.

A subtree is a leaf if it weighs at most LEAF_WEIGHT or has one entry; otherwise a branch at the longest
nibble prefix that all its keys share, with one subtree for each next nibble and a place for the key that ends
there.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from hyperfs.trie.nibbles import child_start, common_nibbles, cut, nibble_at
from hyperfs.trie.node import LEAF_WEIGHT, Child, Entry, make_branch


@dataclass(slots=True)
class _Open:
    """A branch whose children are being built: keys at..end have no subtree yet."""

    prefix: bytes
    depth: int
    ends: Entry | None
    parts: list[Child | None]
    at: int
    end: int
    nibble: int = 0


def build(
    keys: Sequence[bytes],
    weights: Sequence[int],
    leaf: Callable[[int, int], Child],
    entry: Callable[[int], Entry],
) -> Child:
    """The subtree of the items, at least one, sorted by key.

    `leaf(lo, hi)` gives the subtree of items that weigh little enough or of a single item, `entry(i)` the
    entry of an item. An item may stand for a whole subtree, with that subtree's prefix for its key and the
    subtree's weight; no other key may lie below that prefix. No recursion: a key of 512 bytes can be 1,024
    branches deep.
    """
    sums = list(accumulate(weights, initial=0))
    stack: list[_Open] = []
    lo, hi = 0, len(keys)
    while True:
        if hi - lo == 1 or sums[hi] - sums[lo] <= LEAF_WEIGHT:
            result = leaf(lo, hi)
            while stack:
                top = stack[-1]
                top.parts[top.nibble] = result
                if top.at < top.end:
                    break
                result = make_branch(top.prefix, top.depth, top.ends, top.parts)
                stack.pop()
            else:
                return result
        else:
            stack.append(_open(keys, lo, hi, entry))
        lo, hi = _next_part(keys, stack[-1])


def _open(keys: Sequence[bytes], lo: int, hi: int, entry: Callable[[int], Entry]) -> _Open:
    first = keys[lo]
    depth = common_nibbles(first, keys[hi - 1])
    parts: list[Child | None] = [None] * 16
    if 2 * len(first) == depth:
        return _Open(first, depth, entry(lo), parts, lo + 1, hi)
    return _Open(cut(first, depth), depth, None, parts, lo, hi)


def _next_part(keys: Sequence[bytes], top: _Open) -> tuple[int, int]:
    lo, hi = top.at, top.end
    top.nibble = nibble_at(keys[lo], top.depth)
    if top.nibble < 15:
        hi = bisect_left(keys, child_start(top.prefix, top.depth, top.nibble + 1), lo + 1, hi)
    top.at = hi
    return lo, hi
