"""Find one key."""

from bisect import bisect_left

from hyperfs.errors import NotResident
from hyperfs.trie.node import Branch, Child, Entry, Leaf, Load, Ref, is_leaf, misplaced
from hyperfs.values import BlockRef


def lookup(load: Load, root: Child | None, key: bytes) -> Entry | None:
    """(value, hint) of the key, or None. Raises what `load` raises.

    Branches are followed by one nibble each without looking at the rest of their prefix: the leaf compares
    the whole key.
    """
    nibbles = 2 * len(key)
    child = root
    branch: Branch | None = None
    while child is not None:
        if type(child) is Ref:
            try:
                node = load(child)
            except NotResident as absent:
                raise NotResident(absent.blocks, (*absent.ahead, *_leaves_beside(branch, absent))) from None
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
        branch, child = node, node.children[byte & 15 if depth & 1 else byte >> 4]
    return None


def _leaves_beside(branch: Branch | None, absent: NotResident) -> list[BlockRef]:
    """Blocks of the other leaves of a branch: a folder's files are numbered one after the other, so that who looks at
    one key is about to look at its neighbours."""
    if branch is None:
        return []
    leaves = [found for found in branch.children if isinstance(found, Ref) and is_leaf(found)]
    return [ref for ref in {BlockRef(found.log, found.block): None for found in leaves} if ref not in absent.blocks]
