"""What a restore would change, told without changing anything: what stands at its target against what would come."""

from collections.abc import Iterator
from typing import NamedTuple

import trio

from hyperfs.trie.below import diff_below
from hyperfs.volume import keys
from hyperfs.volume.changes import DIRECTORY
from hyperfs.volume.compare import Difference, difference_of, name_differences
from hyperfs.volume.copies import read_copies
from hyperfs.volume.inode import Inode
from hyperfs.volume.paths import find, join, locate, parts_of
from hyperfs.volume.restore import check_target, check_whole
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume


class Preview(NamedTuple):
    """What a restore would bring, and, where something stands there or it is in place, what would differ then, sorted
    by path."""

    files: int
    folders: int
    bytes: int
    differences: list[Difference]


async def preview(volume: Volume, path: bytes, version: int, to: bytes | None = None) -> Preview:
    """What `restore` would do to the newest version; changes nothing. Raises as it does."""
    newest = volume.versions.newest.version
    with volume.reads(version), volume.reads(newest):
        past, now = volume.versions.tree(version), volume.versions.tree(newest)
        source = locate(volume.overlay.live, past, path)
        if to is None:
            check_whole(past, source)
        target = parts_of(path if to is None else to)
        check_target(target)
        copies = await read_copies(past, source)
        folders = sum(copy.inode.is_directory for copy in copies.values())
        nbytes = sum(copy.inode.size for copy in copies.values() if not copy.inode.is_directory)
        there = find(now, b"/".join(target))
        found: list[Difference] = []
        if to is None or there is not None:
            found = await trio.to_thread.run_sync(would_differ, now, there, past, source.ino, b"/".join(target))
        return Preview(len(copies) - folders, folders, nbytes, found)


def would_differ(now: Tree, there: int | None, past: Tree, source: int, path: bytes) -> list[Difference]:
    """What would differ at and below a path, where `there` stands now, if `source` came from another version."""
    stands = {} if there is None else dict(_places(now, there, path))
    comes = dict(_places(past, source, path))
    gone, come = dict(stands), dict(comes)
    found: list[Difference] = []
    for place in stands.keys() & comes.keys():
        before, after = now.inode(stands[place]), past.inode(comes[place])
        if before is not None and after is not None and before.mode >> 12 == after.mode >> 12:
            found += _changed(now, before, past, after, place, None)
            del gone[place], come[place]
    for difference in name_differences(now, past, gone, come):
        found.append(difference)
        if difference.kind == "moved":
            before, after = (tree.inode(come[difference.path]) for tree in (now, past))
            if before is not None and after is not None:
                found += _changed(now, before, past, after, difference.path, difference.old_path)
    return sorted(found, key=lambda difference: (difference.path, difference.kind))


def _places(tree: Tree, top: int, path: bytes) -> Iterator[tuple[bytes, int]]:
    """Paths and inodes of what is at and below something."""
    waiting = [(path, top, tree.inode(top))]
    while waiting:
        place, ino, inode = waiting.pop()
        yield place, ino
        if inode is None or not inode.is_directory:
            continue
        for name, (child, kind) in tree.dentries(ino):
            if kind == DIRECTORY:
                waiting.append((join(place, name), child, tree.inode(child)))
            else:
                yield join(place, name), child


def _changed(
    now: Tree, before: Inode, past: Tree, after: Inode, path: bytes, old_path: bytes | None
) -> Iterator[Difference]:
    if before.ino == after.ino and _is_same(now, past, after.ino):
        return
    kind = difference_of(now, before, past, after)
    if kind is not None:
        sizes = [None if inode.is_directory else inode.size for inode in (before, after)]
        yield Difference(kind, path, old_path, *sizes)


def _is_same(now: Tree, past: Tree, ino: int) -> bool:
    """Quick, and without reading extents."""
    return next(diff_below(past.load, now.root, past.root, keys.whole(ino)), None) is None
