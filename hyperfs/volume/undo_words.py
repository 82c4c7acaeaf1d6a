"""Undo in words: what a step changed, what an undo does, and what stands in its way; as differences with paths."""

from collections.abc import Iterable, Iterator
from typing import Final

from hyperfs.errors import Corrupt
from hyperfs.volume.compare import ATTRIBUTES, CONTENT, Difference, Kind
from hyperfs.volume.paths import join
from hyperfs.volume.sides import Thing, TreeSide
from hyperfs.volume.steps import Change
from hyperfs.volume.undo_plan import Conflict, Plan, Why

WHY: Final[dict[Why, str]] = {
    "changed": "was changed since",
    "renamed": "something else has this name now",
    "added": "was made since, in a folder that would go",
    "gone": "is gone since",
    "inside itself": "would have to lie inside itself",
}


def step_differences(change: Change) -> Iterator[Difference]:
    """What a step changed, unsorted."""
    before, after = change.before, change.after
    gone: dict[int, list[bytes]] = {}
    for (directory, name), (_, old) in change.differing.names.items():
        if old is not None:
            gone.setdefault(old, []).append(join(_folder(before, directory), name))
    for (directory, name), (new, old) in change.differing.names.items():
        if new is None:
            continue
        path, size = join(_folder(after, directory), name), _size(after, new)
        if gone.get(new):
            yield Difference("moved", path, gone[new].pop(), _size(before, new), size)
        elif old is not None and _same_type(before.thing(old), after.thing(new)):
            _discard(gone, old, join(_folder(before, directory), name))
            yield Difference(CONTENT, path, None, _size(before, old), size)
        else:
            yield Difference("added", path, None, None, size)
    for ino, paths in gone.items():
        for path in paths:
            yield Difference("removed", path, None, _size(before, ino), None)
    for ino in change.differing.inodes:
        kind = _kind(before.thing(ino), after.thing(ino))
        if kind is not None:
            for path in _paths(after, ino)[:1]:
                yield Difference(kind, path, None, _size(before, ino), _size(after, ino))


def _discard(gone: dict[int, list[bytes]], ino: int, path: bytes) -> None:
    if path in gone.get(ino, ()):
        gone[ino].remove(path)


def plan_differences(plan: Plan, now: TreeSide, goal: TreeSide) -> Iterator[Difference]:
    """What a plan does to the present, unsorted. To be asked before it is carried out."""
    spots = {wanted: name for name, wanted in plan.names.items() if wanted is not None}

    def path_of(directory: int, name: bytes) -> bytes:
        below = name
        while directory < 0:
            directory, above = spots[directory]
            below = join(above, below)
        return join(_folder(now, directory), below)

    for (directory, name), wanted in plan.names.items():
        found = now.entry(directory, name) if directory > 0 else None
        old_size = _size(now, found) if found is not None else None
        path = path_of(directory, name)
        if wanted is None:
            if found is not None and found not in spots:
                yield Difference("removed", path, None, old_size, None)
        elif wanted > 0:
            before = next(iter(_paths(now, wanted)), None)
            yield Difference("moved", path, before, _size(now, wanted), _size(now, wanted))
        elif found is not None and _same_type(now.thing(found), goal.thing(-wanted)):
            yield Difference(CONTENT, path, None, old_size, _size(goal, -wanted))
        else:
            yield Difference("added", path, None, None, _size(goal, -wanted))
    for ino, rewrite in plan.rewrites.items():
        kind: Kind = ATTRIBUTES if rewrite.content is None else CONTENT
        size = _size(now, ino) if rewrite.content is None else _size(goal, rewrite.content)
        for path in _paths(now, ino):
            yield Difference(kind, path, None, _size(now, ino), size)
    for ino, thing in plan.attributes.items():
        if _kind(now.thing(ino), thing) is not None:
            yield Difference(ATTRIBUTES, _folder(now, ino), None, None, None)


def conflict_path(conflict: Conflict, sides: Iterable[TreeSide]) -> bytes:
    """By the first side that knows the folder."""
    for side in sides:
        if side.thing(conflict.directory) is not None:
            return join(_folder(side, conflict.directory), conflict.name)
    return conflict.name


def _folder(side: TreeSide, directory: int) -> bytes:
    try:
        return side.paths.directory(directory)
    except Corrupt:
        return b"?"


def _paths(side: TreeSide, ino: int) -> list[bytes]:
    inode = side.inode(ino)
    return [] if inode is None else side.paths.of(inode)


def _size(side: TreeSide, ino: int) -> int | None:
    inode = side.inode(ino)
    return None if inode is None or inode.is_directory else inode.size


def _same_type(old: Thing | None, new: Thing | None) -> bool:
    return old is not None and new is not None and old.mode >> 12 == new.mode >> 12


def _kind(old: Thing | None, new: Thing | None) -> Kind | None:
    """How two states of an inode differ, None where only a directory's time does."""
    if old is None or new is None or old == new:
        return None
    if old.content != new.content:
        return CONTENT
    if old.is_directory and old._replace(mtime_ns=0) == new._replace(mtime_ns=0):
        return None
    return ATTRIBUTES
