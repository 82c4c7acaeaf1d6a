"""Apply a sorted batch of changes to a root. The old root stays as it was and readable."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import lt

from hyperfs.errors import NotResident
from hyperfs.trie.build import build
from hyperfs.trie.nibbles import beyond, child_start, nibble_at
from hyperfs.trie.node import (
    ENTRY_WEIGHT,
    HINT_MAX_BYTES,
    KEY_MAX_BYTES,
    LEAF_WEIGHT,
    VALUE_MAX_BYTES,
    Branch,
    Child,
    Entry,
    Leaf,
    Load,
    Ref,
    make_branch,
    make_leaf,
    resolve,
)
from hyperfs.values import BlockRef

Change = tuple[bytes, Entry | None]
"""A key with its new (value, hint), or None to take it away; taking away what isn't there is no change."""


def update(
    load: Load, root: Child | None, changes: Sequence[Change], replaced: Callable[[Ref], None]
) -> Child | None:
    """The root after the changes, which must be sorted by key, each key once (else ValueError).

    Subtrees that end as they were (same values, same hints) are given back as they were given. New nodes are
    in memory until persist(). `replaced` is called for each stored node that the old root reaches and the
    result doesn't, after all has been computed: when `load` raises, nothing was called. NotResident names
    every block that was found missing on the way, not just the first.
    """
    keys = [change[0] for change in changes]
    _check(keys, changes)
    if not keys:
        return root
    batch = _Batch(load, keys, [change[1] for change in changes])
    result = batch.run(root)
    for ref in batch.gone:
        replaced(ref)
    return result


def _check(keys: list[bytes], changes: Sequence[Change]) -> None:
    if not all(map(lt, keys, keys[1:])):
        raise ValueError("changes must be sorted by key, each key once")
    if keys and max(map(len, keys)) > KEY_MAX_BYTES:
        raise ValueError(f"a key has at most {KEY_MAX_BYTES} bytes")
    for _, entry in changes:
        if entry is not None and (len(entry[0]) > VALUE_MAX_BYTES or len(entry[1]) > HINT_MAX_BYTES):
            raise ValueError(f"a value has at most {VALUE_MAX_BYTES} bytes, a hint {HINT_MAX_BYTES}")


class _Visit:
    """A branch on the way down: its parts as they become, and which of them are still to be visited."""

    __slots__ = ("branch", "ends", "nibble", "outside", "parts", "source", "todo")

    def __init__(self, source: Child, branch: Branch) -> None:
        self.source = source
        self.branch = branch
        self.ends = branch.ends
        self.parts = list(branch.children)
        self.nibble = 0
        self.todo: list[tuple[int, int, int]] = []
        """(nibble, lo, hi): a child and the changes that concern it. In whatever order: they don't meet."""
        self.outside: list[int] = []
        """Changes that add keys which do not lie below the branch's prefix, in order."""


class _Batch:
    """One run of update(). The way down is a loop with its own stack: tries can be 1,024 branches deep."""

    def __init__(self, load: Load, keys: list[bytes], entries: list[Entry | None]) -> None:
        self.load = load
        self.keys = keys
        self.entries = entries
        self.gone: list[Ref] = []
        self.missing: list[BlockRef] = []

    def run(self, root: Child | None) -> Child | None:
        child, lo, hi = root, 0, len(self.keys)
        stack: list[_Visit] = []
        while True:
            node = self._node(child)
            if isinstance(node, Branch) and child is not None:
                stack.append(self._enter(child, node, lo, hi))
            else:
                assert not isinstance(node, Branch)
                result = child if self.missing else self._merge(child, node, lo, hi)
                if not stack:
                    break
                stack[-1].parts[stack[-1].nibble] = result
            while stack and not stack[-1].todo:
                visit = stack.pop()
                result = visit.source if self.missing else self._leave(visit)
                if stack:
                    stack[-1].parts[stack[-1].nibble] = result
            if not stack:
                break
            visit = stack[-1]
            visit.nibble, lo, hi = visit.todo.pop()
            child = visit.parts[visit.nibble]
        if self.missing:
            raise NotResident(self.missing)
        return result

    def _node(self, child: Child | None) -> Leaf | Branch | None:
        if child is None:
            return None
        try:
            return resolve(self.load, child)
        except NotResident as absent:
            self.missing += absent.blocks
            return None

    def _enter(self, source: Child, branch: Branch, lo: int, hi: int) -> _Visit:
        """Share out the changes lo..hi among the branch's parts."""
        keys, prefix, depth = self.keys, branch.prefix, branch.depth
        visit = _Visit(source, branch)
        past = beyond(prefix, depth)
        first = lo if keys[lo] >= prefix else bisect_left(keys, prefix, lo, hi)
        last = hi if past is None or keys[hi - 1] < past else bisect_left(keys, past, first, hi)
        if first > lo or last < hi:
            outside = (*range(lo, first), *range(last, hi))
            visit.outside = [i for i in outside if self.entries[i] is not None]
        at = first
        if at < last and not depth & 1 and keys[at] == prefix:
            visit.ends = self.entries[at]
            at += 1
        while at < last:
            nibble = nibble_at(keys[at], depth)
            end = last
            if nibble < 15 and at + 1 < last:
                end = bisect_left(keys, child_start(prefix, depth, nibble + 1), at + 1, last)
            visit.todo.append((nibble, at, end))
            at = end
        return visit

    def _merge(self, source: Child | None, leaf: Leaf | None, lo: int, hi: int) -> Child | None:
        """The subtree of a leaf's entries, or of none, after the changes lo..hi."""
        table: dict[bytes, Entry] = {}
        if leaf is not None:
            table = dict(zip(leaf.keys, zip(leaf.values, leaf.hints, strict=True), strict=True))
        changed = False
        for key, entry in zip(self.keys[lo:hi], self.entries[lo:hi], strict=True):
            if table.get(key) != entry:
                changed = True
                if entry is None:
                    del table[key]
                else:
                    table[key] = entry
        if not changed:
            return source
        self._drop(source)
        return _subtree(table)

    def _leave(self, visit: _Visit) -> Child | None:
        """What becomes of a branch after its children are done."""
        result = self._fold(visit)
        if visit.outside:
            return self._graft(result, visit)
        return result

    def _fold(self, visit: _Visit) -> Child | None:
        branch, parts, ends = visit.branch, visit.parts, visit.ends
        if ends == branch.ends and all(a is b for a, b in zip(parts, branch.children, strict=True)):
            return visit.source
        self._drop(visit.source)
        result = make_branch(branch.prefix, branch.depth, ends, parts)
        if result.weight > LEAF_WEIGHT:
            children = [part for part in parts if part is not None]
            if len(children) + (ends is not None) > 1:
                return result
            if children:
                return children[0]
        table = {} if ends is None else {branch.prefix: ends}
        for part in parts:
            if part is not None:
                table.update(self._take(part))
        return _subtree(table)

    def _graft(self, sub: Child | None, visit: _Visit) -> Child | None:
        """Join a branch's subtree with entries that do not lie below its prefix."""
        added = {self.keys[i]: entry for i in visit.outside if (entry := self.entries[i]) is not None}
        if sub is None:
            return _subtree(added)
        grafted = sub
        prefix = visit.branch.prefix
        keys = sorted([*added, prefix])
        place = keys.index(prefix)
        weights = [
            sub.weight if i == place else ENTRY_WEIGHT + len(key) + len(added[key][0])
            for i, key in enumerate(keys)
        ]

        def leaf(lo: int, hi: int) -> Child:
            if not lo <= place < hi:
                return _leaf({key: added[key] for key in keys[lo:hi]})
            if hi - lo == 1:
                return grafted
            table = {key: added[key] for key in keys[lo:hi] if key in added}
            table.update(self._take(grafted))
            return _leaf(table)

        return build(keys, weights, leaf, lambda i: added[keys[i]])

    def _take(self, child: Child) -> dict[bytes, Entry]:
        """A light subtree's entries, which will live in another node."""
        leaf = resolve(self.load, child)
        assert isinstance(leaf, Leaf)
        self._drop(child)
        return dict(zip(leaf.keys, zip(leaf.values, leaf.hints, strict=True), strict=True))

    def _drop(self, child: Child | None) -> None:
        if isinstance(child, Ref):
            self.gone.append(child)


def _leaf(table: dict[bytes, Entry]) -> Leaf:
    keys = sorted(table)
    values, hints = zip(*map(table.__getitem__, keys), strict=True)
    return make_leaf(keys, values, hints)


def _subtree(table: dict[bytes, Entry]) -> Child | None:
    """The canonical subtree of the entries; None of none."""
    if not table:
        return None
    whole = _leaf(table)
    if whole.weight <= LEAF_WEIGHT:
        return whole
    keys, values, hints = whole.keys, whole.values, whole.hints
    weights = [ENTRY_WEIGHT + len(key) + len(value) for key, value in zip(keys, values, strict=True)]
    return build(
        keys,
        weights,
        lambda lo, hi: Leaf(keys[lo:hi], values[lo:hi], hints[lo:hi], sum(weights[lo:hi])),
        lambda i: (values[i], hints[i]),
    )
