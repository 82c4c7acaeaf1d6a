"""Find one key."""

from bisect import bisect_left

from hyperfs.trie.node import Branch, Child, Entry, Leaf, Load, Ref, misplaced


def lookup(load: Load, root: Child | None, key: bytes) -> Entry | None:
    """(value, hint) of the key, or None. Raises what `load` raises.

    Branches are followed by one nibble each without looking at the rest of their prefix: the leaf compares
    the whole key.
    """
    nibbles = 2 * len(key)
    child = root
    while child is not None:
        if type(child) is Ref:
            node = load(child)
            if node.weight != child.weight:
                raise misplaced(child)
        else:
            assert not isinstance(child, Ref)
            node = child
        if type(node) is Leaf:
            keys = node.keys
            at = bisect_left(keys, key)
            if at < len(keys) and keys[at] == key:
                return node.values[at], node.hints[at]
            return None
        assert isinstance(node, Branch)
        depth = node.depth
        if depth >= nibbles:
            return node.ends if node.prefix == key and not depth & 1 else None
        byte = key[depth >> 1]
        child = node.children[byte & 15 if depth & 1 else byte >> 4]
    return None
