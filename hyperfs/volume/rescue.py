"""Opening a damaged drive read-only: what can be read is shown, and the warnings say what can't.

A writable opening refuses instead: with a part of the tree unreadable, or fsynced changes lost, a new version
would make the loss look intended.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hyperfs.errors import Corrupt, FormatTooNew, NotResident
from hyperfs.log.log import Log
from hyperfs.trie.node import Leaf, Load, Ref
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.gone import GoneVersions
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.versions import read_commit

ADVICE: Final = "`hyperfs verify` says what it touches; mount with --read-only to copy out what can be read"
DAMAGE: Final = (Corrupt, FormatTooNew)
"""A flipped format byte looks like a later format. Blocks that are only absent are no damage: they are fetched."""
UNREADABLE: Final = (*DAMAGE, NotResident)
"""What is passed over where as much as possible is to be had: a zeroed block looks like one that is absent."""

Found = tuple[Commit, int, int]
"""A commit and its place: log, block index."""


def newest_readable(
    nodes: Nodes, metadata: Mapping[int, int], warnings: dict[str, str]
) -> Found | None:
    """The newest commit that can be read in any of these logs; None when none can."""
    newest: Found | None = None
    for number, length in metadata.items():
        last = length - 1
        found = _commit_at_or_before(nodes, number, last)
        if last >= 0 and (found is None or found[2] != last):
            warnings["newest"] = f"the newest version (log {number} block {last}) can't be read: an older one is shown"
        if found is not None and (newest is None or found[0].version > newest[0].version):
            newest = found
    return newest


def note_damaged_heads(logs: Mapping[int, Log], warnings: dict[str, str]) -> None:
    for number, log in logs.items():
        if log.damaged_head_slot is not None:
            warnings[f"head-{number}"] = (
                f"one of the two heads of log {number} was unreadable; its twin served. Check the disk"
            )


def words_of_loss(missing: int, lost: Sequence[str]) -> str:
    """The warning for a drive of which a number of commits and some parts of the newest tree can't be read."""
    what = [f"{missing} older versions"] * bool(missing) + [f"{len(lost)} parts of the newest one"] * bool(lost)
    return f"the drive is damaged: {' and '.join(what)} can't be read; `hyperfs verify` lists them"


def _commit_at_or_before(nodes: Nodes, log: int, index: int) -> Found | None:
    while index >= 0:
        try:
            return read_commit(nodes, log, index), log, index
        except UNREADABLE:
            index -= 1  # damaged, let go, or a node: what is looked for lies further back
    return None


def history(nodes: Nodes, newest: Found, gone: GoneVersions) -> Iterator[Found]:
    """Every version whose commit can be read, newest first, down to the oldest that is kept.

    Those in between that are gone are among them: their commits stay while an older version does.
    """
    found: Found | None = newest
    while found is not None:
        yield found
        if gone.has_all_through(found[0].version - 1):
            return
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
        except UNREADABLE as error:
            if lost is not None:
                lost.append(str(error))
            continue
        if isinstance(node, Leaf):
            yield from zip(node.keys, node.values, node.hints, strict=True)
            continue
        if node.ends is not None:
            yield node.prefix, *node.ends
        stack.extend(child for child in reversed(node.children) if isinstance(child, Ref))
