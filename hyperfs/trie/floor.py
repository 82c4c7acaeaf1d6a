"""Find the greatest key that is not past another."""

from bisect import bisect_right

from hyperfs.trie.nibbles import cut, nibble_at
from hyperfs.trie.node import Branch, Child, Leaf, Load, Ref, misplaced, resolve


def floor(load: Load, root: Child | None, key: bytes) -> tuple[bytes, bytes, bytes] | None:
    """(key, value, hint) of the greatest key that is `key` or before it; None if all are past it.

    Loads one path, and where the path ends before such a key, a second one.
    """
    # As `lookup` does, without a look at prefixes: where the key lies between two of the leaf, it was the right way.
    child, nibbles = root, 2 * len(key)
    while child is not None:
        if type(child) is Ref:
            node = load(child)
            if node.weight != child.weight:
                raise misplaced(child)
        else:
            assert not isinstance(child, Ref)
            node = child
        if type(node) is Leaf:
            at = bisect_right(node.keys, key)
            if 0 < at < len(node.keys):
                return node.keys[at - 1], node.values[at - 1], node.hints[at - 1]
            break
        assert isinstance(node, Branch)
        depth = node.depth
        if depth >= nibbles:
            break
        byte = key[depth >> 1]
        child = node.children[byte & 15 if depth & 1 else byte >> 4]
    return _search(load, root, key)


def _search(load: Load, root: Child | None, key: bytes) -> tuple[bytes, bytes, bytes] | None:
    """As `floor`, for a key that may lie beside a branch."""
    before: Child | Branch | None = None  # holds keys that are all before `key`, and greater ones than what was left
    only_ends = False  # of `before`, a branch, the entry that ends there is meant alone
    child = root
    while child is not None:
        node = resolve(load, child)
        if isinstance(node, Leaf):
            at = bisect_right(node.keys, key)
            if at:
                return node.keys[at - 1], node.values[at - 1], node.hints[at - 1]
            break
        depth = node.depth
        head = cut(key, depth) if 2 * len(key) >= depth else key
        if head != node.prefix:
            if head > node.prefix:
                return _greatest(load, node)
            break
        if node.ends is not None:
            before, only_ends = node, True
        if 2 * len(key) == depth:
            break
        nibble = nibble_at(key, depth)
        for number in range(nibble - 1, -1, -1):
            if node.children[number] is not None:
                before, only_ends = node.children[number], False
                break
        child = node.children[nibble]
    if only_ends:
        assert isinstance(before, Branch)
        assert before.ends is not None
        return before.prefix, *before.ends
    return None if before is None else _greatest(load, before)


def _greatest(load: Load, child: Child) -> tuple[bytes, bytes, bytes]:
    node = resolve(load, child)
    while isinstance(node, Branch):
        # A branch has two parts at least, and one of them ends it at most.
        node = resolve(load, next(part for part in reversed(node.children) if part is not None))
    return node.keys[-1], node.values[-1], node.hints[-1]
