"""Go through entries in order of key, or through the stored nodes of a root."""

from bisect import bisect_left
from collections.abc import Callable, Iterator

from hyperfs.trie.nibbles import beyond, cut, nibble_at
from hyperfs.trie.node import Branch, Child, Leaf, Load, Ref, is_leaf, resolve


def walk(
    load: Load, root: Child | None, prefix: bytes = b"", start: bytes = b""
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(key, value, hint) of the keys that begin with `prefix` and are not before `start`, ascending.

    Nodes are loaded as the iterator gets to them, and none that can't hold such a key.
    """
    node = _narrow(load, root, prefix)
    if isinstance(node, Leaf):
        yield from _slice(node, max(prefix, start), beyond(prefix, 2 * len(prefix)))
        return
    if node is None:
        return
    seeking = start > prefix
    stack: list[Child] = [node]
    while stack:
        node = resolve(load, stack.pop())
        if isinstance(node, Leaf):
            yield from _slice(node, start if seeking else b"", None)
            seeking = False
            continue
        least = -1
        if seeking:
            least = _seek(node, start)
            seeking = least >= 0
        if least < 0 and node.ends is not None:
            yield node.prefix, *node.ends
        stack.extend(child for child in reversed(node.children[max(least, 0) :]) if child is not None)


def walk_nodes(load: Load, root: Child | None) -> Iterator[Ref]:
    """Every stored node that the root reaches, parents first."""
    return reachable(load, root, lambda ref: False)


def reachable(load: Load, root: Child | None, skip: Callable[[Ref], bool]) -> Iterator[Ref]:
    """The stored nodes that the root reaches, parents first; leaves out what `skip` knows and all below it.

    Leaves are named without being loaded: their weight tells what they are.
    """
    stack: list[Child] = [] if root is None else [root]
    while stack:
        child = stack.pop()
        if isinstance(child, Ref):
            if skip(child):
                continue
            yield child
        if not is_leaf(child):
            node = resolve(load, child)
            assert isinstance(node, Branch)
            stack.extend(part for part in reversed(node.children) if part is not None)


def _narrow(load: Load, root: Child | None, prefix: bytes) -> Leaf | Branch | None:
    """The node below which all keys with the prefix lie. If it is a branch, it holds no others."""
    child = root
    while child is not None:
        node = resolve(load, child)
        if isinstance(node, Leaf):
            return node
        if node.depth >= 2 * len(prefix):
            return node if node.prefix.startswith(prefix) else None
        child = node.children[nibble_at(prefix, node.depth)]
    return None


def _slice(leaf: Leaf, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes, bytes]]:
    keys = leaf.keys
    lo = bisect_left(keys, start) if start else 0
    hi = len(keys) if end is None else bisect_left(keys, end, lo)
    if lo == 0 and hi == len(keys):
        return zip(keys, leaf.values, leaf.hints, strict=True)
    return zip(keys[lo:hi], leaf.values[lo:hi], leaf.hints[lo:hi], strict=True)


def _seek(branch: Branch, start: bytes) -> int:
    """The first child that may hold keys from `start` on: -1 the whole branch does, 16 none of it."""
    depth = branch.depth
    if 2 * len(start) <= depth:
        return -1 if start <= branch.prefix else 16
    head = cut(start, depth)
    if head != branch.prefix:
        return -1 if head < branch.prefix else 16
    return nibble_at(start, depth)
