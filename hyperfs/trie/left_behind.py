"""Which stored nodes one root reaches and another does not, without entering what they share."""

from collections.abc import Iterator

from hyperfs.trie.nibbles import cut, nibble_at
from hyperfs.trie.node import Branch, Child, Leaf, Load, Node, Ref, is_leaf, resolve


def left_behind(load: Load, old: Child | None, new: Child | None) -> Iterator[tuple[Ref, Node]]:
    """(reference, node) of the nodes that `old` reaches and `new` does not reach at the same place, parents first.

    A node is the same only where its place in its log is the same, too: whoever asks wants to keep blocks, and not
    contents. All that is reached by `old` is named, or reached by `new`.
    """
    stack = [(old, new)]
    while stack:
        child, other = stack.pop()
        if child is None or child == other:
            continue
        node = resolve(load, child)
        other = _at_its_place(load, child, node, other)
        if child == other:
            continue
        if isinstance(child, Ref):
            yield child, node
        if isinstance(node, Branch):
            stack += reversed(list(zip(node.children, _counterparts(load, node, other), strict=True)))


def _at_its_place(load: Load, child: Child, node: Node, other: Child | None) -> Child | None:
    """The subtree of `other` that has all keys which `child` might have: below branches that `old` has not."""
    key, depth = (node.prefix, node.depth) if isinstance(node, Branch) else (node.keys[0], 2 * len(node.keys[0]))
    while other is not None and other != child and not is_leaf(other):
        above = resolve(load, other)
        assert isinstance(above, Branch)
        if above.depth >= depth:
            break
        if cut(key, above.depth) != above.prefix:
            return None
        other = above.children[nibble_at(key, above.depth)]
    return other


def _counterparts(load: Load, branch: Branch, other: Child | None) -> list[Child | None]:
    """By child of the branch, what `other`, the subtree at its place, has of the keys which that child might have."""
    found: list[Child | None] = [None] * len(branch.children)
    node = None if other is None else resolve(load, other)
    if isinstance(node, Leaf):
        key, depth = node.keys[0], 2 * len(node.keys[0])
    elif node is None or node.depth < branch.depth:
        return found
    elif node.depth == branch.depth:
        return list(node.children) if node.prefix == branch.prefix else found
    else:
        key, depth = node.prefix, node.depth
    if depth > branch.depth and cut(key, branch.depth) == branch.prefix:
        found[nibble_at(key, branch.depth)] = other
    return found
