"""What changed between two roots, without entering what they share."""

from collections.abc import Iterable, Iterator

from hyperfs.trie.nibbles import cut, nibble_at
from hyperfs.trie.node import Branch, Child, Entry, Leaf, Load, Ref, resolve
from hyperfs.trie.walk import walk

Difference = tuple[bytes, Entry | None, Entry | None]


def diff(load: Load, a: Child | None, b: Child | None) -> Iterator[Difference]:
    """(key, old, new) of every key whose value differs, ascending; None stands for the absence of the key.

    Ids alone decide whether subtrees are equal: neither where a node lies nor hints are a difference.
    """
    # Pairs of subtrees that still are to be compared, the next one last. All keys of a pair come before all
    # keys of the pair below it in the stack.
    stack: list[tuple[Child | None, Child | None]] = [(a, b)]
    while stack:
        old, new = stack.pop()
        if old is new or (isinstance(old, Ref) and isinstance(new, Ref) and old.id == new.id):
            continue
        if old is None or new is None:
            yield from _merge(walk(load, old), walk(load, new))
            continue
        old_node, new_node = resolve(load, old), resolve(load, new)
        if isinstance(old_node, Leaf) or isinstance(new_node, Leaf):
            yield from _merge(walk(load, old_node), walk(load, new_node))
            continue
        if old_node.depth == new_node.depth and old_node.prefix == new_node.prefix:
            if old_node.ends is not None or new_node.ends is not None:
                yield from _ending(old_node.prefix, old_node.ends, new_node.ends)
            stack.extend(reversed(list(zip(old_node.children, new_node.children, strict=True))))
        elif (nibble := _inside(new_node, old_node)) is not None:
            yield from _ending(old_node.prefix, old_node.ends, None)
            stack.extend(
                (child, new if place == nibble else None)
                for place, child in reversed(list(enumerate(old_node.children)))
            )
        elif (nibble := _inside(old_node, new_node)) is not None:
            yield from _ending(new_node.prefix, None, new_node.ends)
            stack.extend(
                (old if place == nibble else None, child)
                for place, child in reversed(list(enumerate(new_node.children)))
            )
        elif old_node.prefix < new_node.prefix:
            stack += ((None, new), (old, None))
        else:
            stack += ((old, None), (None, new))


def _inside(inner: Branch, outer: Branch) -> int | None:
    """Which child of `outer` holds all that is below `inner`; None if no single one does."""
    if inner.depth > outer.depth and cut(inner.prefix, outer.depth) == outer.prefix:
        return nibble_at(inner.prefix, outer.depth)
    return None


def _ending(key: bytes, old: Entry | None, new: Entry | None) -> Iterator[Difference]:
    if (old and old[0]) != (new and new[0]):
        yield key, old, new


def _merge(
    old: Iterable[tuple[bytes, bytes, bytes]], new: Iterable[tuple[bytes, bytes, bytes]]
) -> Iterator[Difference]:
    """The differences of two ascending sequences of entries."""
    olds, news = iter(old), iter(new)
    a, b = next(olds, None), next(news, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield a[0], (a[1], a[2]), None
            a = next(olds, None)
        elif a is None or b[0] < a[0]:
            yield b[0], None, (b[1], b[2])
            b = next(news, None)
        else:
            if a[1] != b[1]:
                yield a[0], (a[1], a[2]), (b[1], b[2])
            a, b = next(olds, None), next(news, None)
