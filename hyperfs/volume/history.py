"""The history of one file or folder, and of the drive: which versions made a difference, newest first.

A file's history follows the file across renames, and its name across saving by rename and across deletion: where
the inode was not there yet, what it replaced goes on, else what had the name before it.

Everything is a generator that does one version a step: whoever runs it in the event loop lets others run between.
Only versions that may have made a difference are looked at, by the rows of `changes`: ask `caught_up` first.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from hyperfs.errors import NotFound
from hyperfs.trie.below import diff_below
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.compare import ATTRIBUTES, CONTENT, Difference, difference_of, differences, within
from hyperfs.volume.difference_words import counted_in_words
from hyperfs.volume.file_states import Spot, file_at, spot_of
from hyperfs.volume.history_steps import FileVersion, Steps
from hyperfs.volume.inode import Inode
from hyperfs.volume.meanings import last_meaning
from hyperfs.volume.paths import Paths, join, parts_of
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume


class CommitSummary(NamedTuple):
    """A version and how many things differ from the one before it, of those that were asked for."""

    version: int
    time_ns: int
    second: int
    device: int
    name: bytes | None
    added: int
    removed: int
    moved: int
    changed: int
    attributes: int
    change: str  # the same in words, with some names


def versions_of(volume: Volume, path: bytes) -> Iterator[FileVersion]:
    """The distinct versions of what a path means, newest first. Raises NotFound when it never meant anything.

    A path that is no more is looked for in older versions, and its history begins with its deletion.
    """
    steps = Steps(volume, path)
    found = last_meaning(volume, path)
    if found is None:
        raise NotFound(f"no version has {path.decode(errors='replace')!r}")
    inode = volume.versions.whole_tree(found.version).inode(found.ino)
    if inode is not None and inode.is_directory:
        return _folder_versions(steps, found.ino, found.version)
    return _file_versions(steps, Spot(found.directory, parts_of(path)[-1]), found.version)


def commits(volume: Volume, path: bytes = b"") -> Iterator[CommitSummary]:
    """The versions in which something at or below a path changed, newest first; all of them for the root."""
    steps = Steps(volume, path)
    place = last_meaning(volume, path)
    if place is None:
        raise NotFound(f"no version has {path.decode(errors='replace')!r}")
    for facts in steps.all_versions() if place.ino == ROOT_INO else steps.of_folder(place.ino, place.version):
        _, before, after = steps.pair(facts)
        found = _differences_below(before, after, place.ino)
        if found or place.ino == ROOT_INO:
            counts = Counter(difference.kind for difference in found)
            yield CommitSummary(
                facts.version,
                facts.time_ns,
                facts.second,
                volume.versions.commit(facts.version).device,
                steps.names.get(facts.version),
                counts["added"],
                counts["removed"],
                counts["moved"],
                counts["changed"],
                counts["attributes"],
                counted_in_words(found),
            )


# Files


def _file_versions(steps: Steps, spot: Spot, last: int) -> Iterator[FileVersion]:
    """`last`: the last version in which the name is known to have meant something."""
    facts = steps.end_of(spot.directory, last)
    inode = steps.file_at(facts, spot)
    facts = facts or steps.newest_change(inode, spot)
    while facts is not None:
        earliest, before, after = steps.pair(facts)
        change, earlier, spot = file_step(before, after, inode, spot)
        either = inode or earlier
        if change and either is not None:
            let_go = steps.let_go(either, earliest, facts, inode is not None)
            yield steps.file_version(facts, inode.size if inode is not None else 0, change, let_go)
        inode = earlier
        facts = steps.newest_change(inode, spot, earliest) if earliest else None


def file_step(before: Paths, after: Paths, inode: Inode | None, spot: Spot) -> tuple[str, Inode | None, Spot]:
    """What changed in a file from one version to the next; the file and its name as they were before."""
    if inode is None:
        earlier = file_at(before.tree, spot)
        return ("" if earlier is None else "deleted"), earlier, spot
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


# Folders


def _folder_versions(steps: Steps, ino: int, last: int) -> Iterator[FileVersion]:
    """`last`: the last version that has the folder."""
    deleted = steps.kept_from(last + 1)
    if deleted is not None:
        yield steps.file_version(deleted, 0, "deleted")
    size: int | None = None
    for facts in steps.of_folder(ino, last):
        _, before, after = steps.pair(facts)
        if size is None:
            size = tree_bytes(after.tree, ino)
        if before.tree.inode(ino) is None:
            yield steps.file_version(facts, size, "created")
            return
        found = _differences_below(before, after, ino)
        if found:
            yield steps.file_version(facts, size, _counted(found))
            size = _bytes_before(size, found)


def _differences_below(before: Paths, after: Paths, ino: int) -> list[Difference]:
    """What differs at or below an inode, which may have had another path then. Nothing is nowhere."""
    if _same_root(before, after):
        return []
    old_scope, new_scope = (_path_of(paths, ino) for paths in (before, after))
    nowhere = b"\0"
    return list(
        within(
            differences(before, after),
            nowhere if old_scope is None else old_scope,
            nowhere if new_scope is None else new_scope,
        )
    )


def _same_root(before: Paths, after: Paths) -> bool:
    a, b = before.tree.root, after.tree.root
    return a is b or (a is not None and b is not None and a.id == b.id)


def _path_of(paths: Paths, ino: int) -> bytes | None:
    inode = paths.tree.inode(ino)
    if inode is None:
        return None
    return paths.of(inode)[0]


def _counted(found: list[Difference]) -> str:
    counts = Counter(difference.kind for difference in found)
    words = [f"{counts[kind]} {kind}" for kind in ("added", "removed", "moved", "changed") if counts[kind]]
    if counts["attributes"]:
        words.append(f"{counts['attributes']} with other attributes")
    return ", ".join(words)


def _bytes_before(size: int, found: list[Difference]) -> int | None:
    """A folder's bytes one version earlier; None when they must be counted, for something was moved in or out."""
    if any(difference.kind == "moved" or difference.old_path is not None for difference in found):
        return None
    changed = (difference for difference in found if difference.kind != "attributes")
    return size + sum((difference.old_size or 0) - (difference.new_size or 0) for difference in changed)


def tree_bytes(tree: Tree, ino: int) -> int:
    """The sizes of all names below a directory; a file with two names counts twice."""
    total = 0
    waiting = [ino]
    while waiting:
        for _, (child, _) in tree.dentries(waiting.pop()):
            inode = tree.inode(child)
            if inode is None:
                continue
            if inode.is_directory:
                waiting.append(child)
            else:
                total += inode.size
    return total
