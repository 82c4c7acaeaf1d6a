"""The history of one file: its distinct versions, newest first."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from hyperfs.trie.below import diff_below
from hyperfs.volume import keys
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.compare import ATTRIBUTES, CONTENT, difference_of
from hyperfs.volume.file_states import Spot, file_at, spot_of
from hyperfs.volume.history_steps import FileVersion, Steps
from hyperfs.volume.inode import Inode
from hyperfs.volume.paths import Paths, join

DELETED: Final = "deleted"


class _Change(NamedTuple):
    """A version that differs from the one before it; it stays so until `until`. `ino`: what the file is in it."""

    listed: FileVersion
    facts: VersionFacts
    ino: int | None
    until: int


def file_versions(steps: Steps, spot: Spot, last: int) -> Iterator[FileVersion]:
    """`last`: the last version in which the name is known to have meant something."""
    return _with_pinned(steps, steps.pinned(spot), _offered(steps, _changes(steps, spot, last)))


def _changes(steps: Steps, spot: Spot, last: int) -> Iterator[_Change]:
    facts = steps.end_of(spot.directory, last)
    inode = steps.file_at(facts, spot)
    facts = facts or steps.newest_change(inode, spot)
    until = steps.newest
    while facts is not None:
        earliest, before, after = steps.pair(facts)
        change, earlier, spot = file_step(before, after, inode, spot)
        either = inode or earlier
        if change and either is not None:
            let_go = steps.let_go(either, earliest, facts, inode is not None)
            listed = steps.file_version(facts, inode.size if inode is not None else 0, change, let_go)
            yield _Change(listed, facts, inode.ino if inode is not None else None, until)
            until = earliest
        inode = earlier
        facts = steps.newest_change(inode, spot, earliest) if earliest else None


def _offered(steps: Steps, changes: Iterator[_Change]) -> Iterator[FileVersion]:
    """Those whose state can be had, each by the first version that offers it. The others count as let go."""
    newer: FileVersion | None = None
    for listed, facts, ino, until in changes:
        offered = facts if ino is None else steps.offered_from(facts, until, ino)
        if offered is None:
            if newer is not None:
                newer = newer._replace(let_go=newer.let_go + 1 + listed.let_go)
            continue
        if newer is not None:
            yield newer
        newer = listed if offered == facts else steps.file_version(offered, listed.size, listed.change, listed.let_go)
    if newer is not None:
        yield newer


def _with_pinned(steps: Steps, pinned: list[FileVersion], found: Iterator[FileVersion]) -> Iterator[FileVersion]:
    """With the last states, in versions that are gone, of what was deleted lately. `pinned`: newest first."""
    newer: FileVersion | None = None
    for listed in found:
        while pinned and pinned[0].version > listed.version:
            yield from _as_deleted(steps, newer, pinned[0])
            newer = pinned.pop(0)
        pinned = [pin for pin in pinned if pin.version != listed.version]
        yield listed
        newer = listed
    for pin in pinned:
        yield from _as_deleted(steps, newer, pin)
        newer = pin


def _as_deleted(steps: Steps, newer: FileVersion | None, pin: FileVersion) -> Iterator[FileVersion]:
    """The pinned state, behind its deletion, where that is not listed yet."""
    deleted = steps.kept_from(pin.version + 1)
    if deleted is not None and (newer is None or newer.change != DELETED):
        yield steps.file_version(deleted, 0, DELETED)
    yield pin


def file_step(before: Paths, after: Paths, inode: Inode | None, spot: Spot) -> tuple[str, Inode | None, Spot]:
    """What changed in a file from one version to the next; the file and its name as they were before."""
    if inode is None:
        earlier = file_at(before.tree, spot)
        return ("" if earlier is None else DELETED), earlier, spot
    earlier = before.tree.inode(inode.ino)
    if earlier is not None and earlier.predecessor == inode.predecessor:
        return _changed(before, after, earlier, inode, spot)
    replaced = before.tree.inode(inode.predecessor) if inode.predecessor else None
    earlier = replaced or file_at(before.tree, spot) or earlier
    if earlier is None:
        return "created", None, spot
    old_spot = spot_of(before.tree, earlier, spot)
    if earlier.mode >> 12 != inode.mode >> 12:
        change = "content"
    else:
        change = _words(difference_of(before.tree, earlier, after.tree, inode))
    return _with_name(change, before, after, earlier, inode, old_spot, spot), earlier, old_spot


def _changed(before: Paths, after: Paths, earlier: Inode, inode: Inode, spot: Spot) -> tuple[str, Inode | None, Spot]:
    """The same inode in both versions. Nothing more is read where nothing of it has changed."""
    prefix = keys.whole(inode.ino)
    load = after.tree.load
    if next(diff_below(load, before.tree.root, after.tree.root, prefix), None) is None:
        return "", earlier, spot
    old_spot = spot_of(before.tree, earlier, spot)
    change = _words(difference_of(before.tree, earlier, after.tree, inode))
    return _with_name(change, before, after, earlier, inode, old_spot, spot), earlier, old_spot


def _with_name(change: str, before: Paths, after: Paths, earlier: Inode, inode: Inode, old: Spot, new: Spot) -> str:
    if old == new:
        return change
    old_path = join(before.directory(old.directory), old.name)
    still_there = (dentry := after.tree.dentry(*old)) is not None and dentry[0] == inode.ino
    shown = (old.name if old.directory == new.directory else old_path).decode(errors="replace")
    words = f"{'linked' if still_there else 'renamed'} from {shown}"
    return f"{change}, {words}" if change else words


def _words(kind: str | None) -> str:
    return {CONTENT: "content", ATTRIBUTES: "attributes"}.get(kind or "", "")
