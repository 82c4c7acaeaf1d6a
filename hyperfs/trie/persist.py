"""Store the nodes of a root that are only in memory."""

from collections.abc import Callable

from hyperfs.trie.node import Branch, Child, Leaf, Node, Ref, encode_parts
from hyperfs.trie.node_pack import Point

Identify = Callable[[bytes], bytes]
"""The id of a canonical form, 16 bytes, keyed."""
Append = Callable[[bytes], tuple[int, Point]]
"""Takes an encoded node to store and says where it will lie: (log, point)."""


def persist(
    root: Child | None,
    identify: Identify,
    append: Append,
    stored: Callable[[Ref, Node], None] | None = None,
) -> Ref | None:
    """The stored root. Each node in memory is appended once, children before parents, in the order of keys.

    `stored` is told of each new node, so that a cache needs not read back what was just written.
    """

    def store(node: Node) -> Ref:
        canonical_part, locations = encode_parts(node)
        id_ = identify(canonical_part)
        log, point = append(canonical_part + locations)
        ref = Ref(id_, log, point, node.weight, node.count)
        if stored is not None:
            stored(ref, node)
        return ref

    if root is None or isinstance(root, Ref):
        return root
    if isinstance(root, Leaf):
        return store(root)
    stack = [_Pending(root)]
    while True:
        top = stack[-1]
        while top.todo:
            child = top.parts[top.todo[-1]]
            if isinstance(child, Branch):
                stack.append(_Pending(child))
                break
            if isinstance(child, Leaf):
                top.parts[top.todo[-1]] = store(child)
            top.todo.pop()
        else:
            ref = store(top.whole())
            stack.pop()
            if not stack:
                return ref
            above = stack[-1]
            above.parts[above.todo.pop()] = ref


class _Pending:
    """A branch whose children are being stored."""

    __slots__ = ("branch", "parts", "todo")

    def __init__(self, branch: Branch) -> None:
        self.branch = branch
        self.parts = list(branch.children)
        self.todo = [
            nibble
            for nibble in range(15, -1, -1)
            if self.parts[nibble] is not None and not isinstance(self.parts[nibble], Ref)
        ]

    def whole(self) -> Branch:
        b = self.branch
        return Branch(b.prefix, b.depth, b.ends, tuple(self.parts), b.weight, b.count)
