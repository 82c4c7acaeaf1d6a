"""The part of a trie below a key prefix, and how it differs between two roots."""

from collections.abc import Iterator

from hyperfs.trie.diff import Difference, diff
from hyperfs.trie.nibbles import nibble_at
from hyperfs.trie.node import Branch, Child, Load, Ref, is_leaf, resolve


def subtree(load: Load, root: Child | None, prefix: bytes) -> Child | None:
    """The smallest subtree that holds every key with the prefix; None if there is none for sure.

    It may hold other keys too when it is a leaf.
    """
    child = root
    while child is not None and not is_leaf(child):
        node = resolve(load, child)
        assert isinstance(node, Branch)
        if node.depth >= 2 * len(prefix):
            return child if node.prefix.startswith(prefix) else None
        child = node.children[nibble_at(prefix, node.depth)]
    return child


def diff_below(load: Load, a: Child | None, b: Child | None, prefix: bytes) -> Iterator[Difference]:
    """diff() of the keys with the prefix. Costs two descents where nothing near them has changed."""
    if a is b or (isinstance(a, Ref) and isinstance(b, Ref) and a.id == b.id):
        return
    for difference in diff(load, subtree(load, a, prefix), subtree(load, b, prefix)):
        if difference[0].startswith(prefix):
            yield difference
