"""Opening a damaged drive read-only: what can be read is shown, and the warnings say what can't.

A writable opening refuses instead: with a part of the tree unreadable, or fsynced changes lost, a new version
would make the loss look intended.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from hyperfs.chunks.extents import Extent
from hyperfs.errors import Corrupt, FormatTooNew, NotResident
from hyperfs.log.log import Log
from hyperfs.trie.node import Leaf, Load, Ref
from hyperfs.volume.catalog import Catalog, Change, ChunkFacts, chunk_change, commit_changes, content_change
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.entries import extent_in
from hyperfs.volume.gone import GoneVersions, marked_in
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.versions import read_commit

ADVICE: Final = "`hyperfs verify` says what it touches; mount with --read-only to copy out what can be read"
DAMAGE: Final = (Corrupt, FormatTooNew)
"""A flipped format byte looks like a later format. Blocks that are only absent are no damage: they are fetched."""

Found = tuple[Commit, int, int]
"""A commit and its place: log, block index."""


def newest_readable(
    nodes: Nodes, logs: dict[int, Log], metadata: Sequence[int], warnings: dict[str, str]
) -> Found | None:
    """The newest commit that can be read in any of these logs; None when none can."""
    newest: Found | None = None
    for number in metadata:
        last = logs[number].signed_length - 1
        found = _commit_at_or_before(nodes, number, last)
        if last >= 0 and (found is None or found[2] != last):
            warnings["newest"] = f"the newest version (log {number} block {last}) can't be read: an older one is shown"
        if found is not None and (newest is None or found[0].version > newest[0].version):
            newest = found
    return newest


def _commit_at_or_before(nodes: Nodes, log: int, index: int) -> Found | None:
    while index >= 0:
        try:
            return read_commit(nodes, log, index), log, index
        except (*DAMAGE, NotResident):
            index -= 1  # damaged, let go, or a node: what is looked for lies further back
    return None


def list_readable(
    catalog: Catalog, nodes: Nodes, logs: dict[int, Log], newest: Found, warnings: dict[str, str]
) -> None:
    """Fills an empty index in memory with what can be read: as catch_up, past damage."""
    changes: list[Change] = []
    gone = _gone(nodes, newest[0])
    commits = [found for found in _history(nodes, newest) if not gone.has(found[0].version)][::-1]
    length = 0
    for commit, log, index in commits:
        changes += commit_changes(commit, log, index, logs[log].fork)
        if commit.content.length > length:
            changes.append(content_change(commit))
        length = commit.content.length
    missing = newest[0].version - len(commits) - gone.count()
    lost: list[str] = []
    live: Counter[bytes] = Counter()
    extents: dict[bytes, Extent] = {}
    for key, value, hint in readable_entries(nodes.load, newest[0].root, lost):
        extent = extent_in(key, (value, hint))
        if extent is not None:
            live[extent.chunk] += 1
            extents[extent.chunk] = extent
    for chunk, extent in extents.items():
        changes.append(chunk_change(chunk, ChunkFacts(extent.place, extent.chunk_length, live[chunk])))
    catalog.apply(changes)
    if missing or lost:
        what = [f"{missing} older versions"] * bool(missing) + [f"{len(lost)} parts of the newest one"] * bool(lost)
        warnings["damage"] = f"the drive is damaged: {' and '.join(what)} can't be read; `hyperfs verify` lists them"


def _gone(nodes: Nodes, newest: Commit) -> GoneVersions:
    """What is known to have been let go: nothing, where that can't be read."""
    try:
        return marked_in(nodes.load, newest.root)
    except DAMAGE:
        return GoneVersions({})


def _history(nodes: Nodes, newest: Found) -> Iterator[Found]:
    found: Found | None = newest
    while found is not None:
        yield found
        parents = found[0].parents
        found = _commit_at_or_before(nodes, parents[0].log, parents[0].length - 1) if parents else None


def readable_entries(
    load: Load, root: Ref | None, lost: list[str] | None = None
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(key, value, hint) of every entry that can still be read, in order of keys. What can't be goes to `lost`."""
    stack: list[Ref] = [] if root is None else [root]
    while stack:
        ref = stack.pop()
        try:
            node = load(ref)
        except DAMAGE as error:
            if lost is not None:
                lost.append(str(error))
            continue
        if isinstance(node, Leaf):
            yield from zip(node.keys, node.values, node.hints, strict=True)
            continue
        if node.ends is not None:
            yield node.prefix, *node.ends
        stack.extend(child for child in reversed(node.children) if isinstance(child, Ref))
