"""What differs between two versions, as paths. Reads only what has changed, or of a small folder what is in it.

The trie's diff gives the changed keys (changed_keys.py); names that came and went make additions, removals and moves;
changed records, extents and attributes are looked at once per inode.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

import trio

from hyperfs.volume.changed_keys import Changes, cheapest, everywhere
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.paths import Paths, inside, join, scope
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume
from hyperfs.volume.xattrs import HAS_XATTRS

Kind = Literal["added", "removed", "moved", "changed", "attributes"]
CONTENT: Final = "changed"
ATTRIBUTES: Final = "attributes"


class Difference(NamedTuple):
    """One path that differs.

    `path` is the new one, or the old one of what was removed; `old_path` is set where there was another one.
    Sizes are bytes; None for directories and for the side that has nothing. A file that was moved and changed
    gives two. What stands in a moved directory has moved with it and is not listed.
    """

    kind: Kind
    path: bytes
    old_path: bytes | None
    old_size: int | None
    new_size: int | None


async def compare(volume: Volume, old: int, new: int, path: bytes = b"") -> list[Difference]:
    """The differences between two versions at and below what a path means today, sorted by path.

    Whoever means the present commits first. Times of access and of change alone are no difference, nor are a
    directory's own times. Raises NoSuchVersion, Corrupt, NotResident. In a worker thread: there may be many.
    """
    with volume.reads(old), volume.reads(new):
        before, after = (Paths(volume.versions.tree(version)) for version in (old, new))
        old_scope, new_scope = (scope(volume.overlay.live, paths, path) for paths in (before, after))
        found = await trio.to_thread.run_sync(differences_below, before, after, old_scope, new_scope)
    return found


def differences_below(old: Paths, new: Paths, old_scope: bytes, new_scope: bytes) -> list[Difference]:
    """Those at and below what had one path in the old version and has one in the new.

    Costs about as much as the cheaper of two ways: through all that changed, or through all that is there.
    """
    changes = cheapest(old, new, old_scope, new_scope)
    return list(within(_told(old, new, changes), old_scope, new_scope))


def within(found: Iterable[Difference], old_scope: bytes, new_scope: bytes) -> Iterator[Difference]:
    """Those with a side in the folder, which had one path in the old version and has one in the new."""
    for difference in found:
        old_path = difference.path if difference.old_path is None else difference.old_path
        if (difference.kind != "removed" and inside(difference.path, new_scope)) or (
            difference.kind != "added" and inside(old_path, old_scope)
        ):
            yield difference


def differences(old: Paths, new: Paths) -> list[Difference]:
    """All differences of two versions, sorted by path."""
    return _told(old, new, everywhere(old, new))


def _told(old: Paths, new: Paths, changes: Changes) -> list[Difference]:
    gone = {join(old.directory(parent), name): ino for parent, name, ino in changes.gone}
    come = {join(new.directory(parent), name): ino for parent, name, ino in changes.come}
    found: list[Difference] = []
    replaced: set[bytes] = set()
    for path in gone.keys() & come.keys():
        before, after = old.tree.inode(gone[path]), new.tree.inode(come[path])
        if before is not None and after is not None and _goes_on(old.tree, before, new.tree, after):
            found += _replaced(old.tree, new.tree, path, before, after)
            del gone[path], come[path]
            replaced.add(path)
    found += name_differences(old.tree, new.tree, gone, come)
    moved = {d.path for d in found if d.kind == "moved"}
    for ino in changes.inodes:
        before, after = old.tree.inode(ino), new.tree.inode(ino)
        if before is None or after is None:
            continue
        kind = _kind(before, after, ino in changes.content, ino in changes.xattrs)
        if kind is not None:
            paths = [path for path in new.of(after) if path not in replaced and (path not in come or path in moved)]
            found += [_same_inode(kind, path, before, after, old) for path in paths]
    return sorted(found, key=lambda difference: (difference.path, difference.kind))


def name_differences(old: Tree, new: Tree, gone: dict[bytes, int], come: dict[bytes, int]) -> Iterator[Difference]:
    """A name that went and one that came for the same inode are a move; the rest went or came."""
    went: dict[int, list[bytes]] = {}
    for path in sorted(gone, reverse=True):
        went.setdefault(gone[path], []).append(path)
    for path in sorted(come):
        ino = come[path]
        earlier = went.get(ino)
        size = _size(new, ino)
        if earlier:
            yield Difference("moved", path, earlier.pop(), _size(old, ino), size)
        else:
            yield Difference("added", path, None, None, size)
    for ino, paths in went.items():
        for path in paths:
            yield Difference("removed", path, None, _size(old, ino), None)


def _size(tree: Tree, ino: int) -> int | None:
    inode = tree.inode(ino)
    return None if inode is None or inode.is_directory else inode.size


def _file_size(inode: Inode) -> int | None:
    return None if inode.is_directory else inode.size


def _same_inode(kind: Kind, path: bytes, before: Inode, after: Inode, old: Paths) -> Difference:
    earlier = old.of(before)
    old_path = None if path in earlier or not earlier else earlier[0]
    return Difference(kind, path, old_path, _file_size(before), _file_size(after))


def _goes_on(old: Tree, before: Inode, new: Tree, after: Inode) -> bool:
    """Whether what has a name now goes on in the place of what had it: a folder only if neither was moved."""
    if before.mode >> 12 != after.mode >> 12:
        return False
    return not after.is_directory or (new.inode(before.ino) is None and old.inode(after.ino) is None)


def _replaced(old: Tree, new: Tree, path: bytes, before: Inode, after: Inode) -> Iterator[Difference]:
    """Another inode has the name now: a program saved by renaming, or a restore."""
    kind = difference_of(old, before, new, after)
    if kind is not None:
        yield Difference(kind, path, None, _file_size(before), _file_size(after))


def difference_of(old: Tree, before: Inode, new: Tree, after: Inode) -> Kind | None:
    """How two inodes of one type differ: in their bytes, else in their attributes, else not at all."""
    content = before.is_file and _extents(old, before) != _extents(new, after)
    return _kind(before, after, content, _xattrs(old, before) != _xattrs(new, after))


def _extents(tree: Tree, inode: Inode) -> list[tuple[int, bytes, int, int]]:
    return [(e.offset, e.chunk, e.skip, e.length) for e in tree.extents(inode.ino, 0, MAX_FILE_BYTES)]


def _xattrs(tree: Tree, inode: Inode) -> dict[bytes, bytes]:
    return tree.xattrs(inode.ino) if inode.flags & HAS_XATTRS else {}


def _kind(before: Inode, after: Inode, extents_differ: bool, xattrs_differ: bool) -> Kind | None:
    if not after.is_directory and (
        extents_differ or before.size != after.size or (before.inline or b"") != (after.inline or b"")
    ):
        return CONTENT
    if (before.mode, before.uid, before.gid, before.rdev) != (after.mode, after.uid, after.gid, after.rdev):
        return ATTRIBUTES
    if xattrs_differ or (before.mtime_ns != after.mtime_ns and not after.is_directory):
        return ATTRIBUTES
    return None
