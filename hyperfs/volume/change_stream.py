"""What changed from one version to the next, as a stream: in an order that depends on the trees alone, so that it can
be gone on with anywhere, and with memory for no more than it is working on.

Events come by inode number and not by path. Paths are those that things had in their own version: `old_path` in the
older one, `path` in the newer one, but for what was removed.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from hyperfs.errors import BadRequest
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.compare import ATTRIBUTES, CONTENT, Difference, Kind, difference_of
from hyperfs.volume.inode import Inode
from hyperfs.volume.paths import Paths, inside, join, scope
from hyperfs.volume.tree import Tree
from hyperfs.volume.tree_changes import ATTRIBUTES as ATTRIBUTES_FLAG
from hyperfs.volume.tree_changes import CONTENT as CONTENT_FLAG
from hyperfs.volume.tree_changes import InodeChanged, NameCame, NameWent, tree_changes
from hyperfs.volume.volume import Volume

_CURSOR: Final = re.compile(r"@?([0-9]{1,19})(?::([0-9]{1,19}):([0-9]{1,19}))?", re.ASCII)
FORGET_EVERY: Final = 5000
"""Events after which the paths that were looked up are forgotten."""


class Cursor(NamedTuple):
    """A place in the stream: behind all changes up to `version`, and behind the first `position` of version `into`.

    As text `1234`, or `1233:1234:17`.
    """

    version: int
    into: int = 0
    position: int = 0

    def __str__(self) -> str:
        return ":".join(map(str, self)) if self.position else str(self.version)

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Raises BadRequest."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise BadRequest(f"{text!r} is no place in the stream of changes: give a version's number or a 'resume'")
        cursor = cls(*(int(number or 0) for number in found.groups()))
        if cursor.position and cursor.into <= cursor.version:
            raise BadRequest(f"{text!r} is no place in the stream of changes: its versions go backwards")
        return cursor


class Told(NamedTuple):
    """One change, and the place in the stream right behind it."""

    facts: VersionFacts
    difference: Difference
    behind: Cursor


def stream(volume: Volume, path: bytes, cursor: Cursor) -> Iterator[Told | Cursor]:
    """All changes at and below a path behind a cursor, up to the newest version. Between them cursors: where a version
    had nothing (more), and now and then. Raises NoSuchVersion where a version of the cursor is not kept any more."""
    versions = volume.versions
    before = cursor.version
    versions.commit(before) if before else None
    if cursor.position:
        versions.commit(cursor.into)
    skip = cursor.position
    while True:
        found = versions.some(max(before, cursor.into - 1) + 1, 1)
        cursor = Cursor(0)
        if not found:
            return
        facts = found[0]
        yield from _of_version(volume, path, before, facts, skip)
        before, skip = facts.version, 0
        yield Cursor(before)


def _of_version(
    volume: Volume, path: bytes, before: int, facts: VersionFacts, skip: int
) -> Iterator[Told | Cursor]:
    """With a look ahead, to know which is the version's last."""
    waiting: Difference | None = None
    count = 0
    trees = volume.versions.tree(before), volume.versions.tree(facts.version)
    for difference in _below(volume, path, *trees):
        if difference is None:
            place = max(count, skip)
            yield Cursor(before, facts.version, place) if place else Cursor(before)
            continue
        if waiting is not None:
            count += 1
            if count > skip:
                yield Told(facts, waiting, Cursor(before, facts.version, count))
        waiting = difference
    if waiting is not None and count + 1 > skip:
        yield Told(facts, waiting, Cursor(facts.version))


def _below(volume: Volume, path: bytes, old: Tree, new: Tree) -> Iterator[Difference | None]:
    old_scope, new_scope = (scope(volume.overlay.live, Paths(tree), path) for tree in (old, new))
    for difference in tree_differences(old, new):
        if difference is None:
            yield None
            continue
        old_path = difference.path if difference.old_path is None else difference.old_path
        if (difference.kind != "removed" and inside(difference.path, new_scope)) or (
            difference.kind != "added" and inside(old_path, old_scope)
        ):
            yield difference


def tree_differences(old: Tree, new: Tree) -> Iterator[Difference | None]:
    """What differs between two trees; None now and then, so that whoever works in slices gets a turn.

    As `compare.differences`, but that a file with several names has one path, the one in the folder of its newest
    name, and that its names come and go and are never moved.
    """
    told = _Telling(old, new)
    for count, event in enumerate(tree_changes(old, new), 1):
        if isinstance(event, NameWent):
            yield from told.went(event)
        elif isinstance(event, NameCame):
            yield from told.came(event)
        elif isinstance(event, InodeChanged):
            yield from told.changed(event)
        if count % 20 == 0 or event is None:
            yield None
        if count % FORGET_EVERY == 0:
            told = _Telling(old, new)


class _Telling:
    def __init__(self, old: Tree, new: Tree) -> None:
        self._old, self._new = Paths(old), Paths(new)

    def went(self, event: NameWent) -> Iterator[Difference]:
        if self._replaced(event.directory, event.name) is None and self._moved_from(event.ino) is None:
            path = join(self._old.directory(event.directory), event.name)
            yield Difference("removed", path, None, _size(self._old.tree.inode(event.ino)), None)

    def came(self, event: NameCame) -> Iterator[Difference]:
        path = join(self._new.directory(event.directory), event.name)
        replaced = self._replaced(event.directory, event.name)
        if replaced is not None:
            before, after = replaced
            kind = difference_of(self._old.tree, before, self._new.tree, after)
            old_path = join(self._old.directory(event.directory), event.name)
            if kind is not None:
                yield Difference(kind, path, None if old_path == path else old_path, before.size, after.size)
            return
        size = _size(self._new.tree.inode(event.ino))
        old_name = self._moved_from(event.ino)
        if old_name is None:
            yield Difference("added", path, None, None, size)
            return
        old_path = join(self._old.directory(old_name[0]), old_name[1])
        yield Difference("moved", path, old_path, _size(self._old.tree.inode(event.ino)), size)

    def changed(self, event: InodeChanged) -> Iterator[Difference]:
        kind: Kind | None = ATTRIBUTES if event.flags & ATTRIBUTES_FLAG else None
        if event.flags & CONTENT_FLAG:
            kind = CONTENT
        if kind is None:
            return
        before, after = event.before, event.after
        if after.is_directory:
            old_path, path = self._old.directory(before.ino), self._new.directory(after.ino)
        else:
            name = next(iter(self._new.names_nearby(after)), None)
            if name is None or self._replaced(*name) is not None:
                return  # told where it came
            stood = self._old.tree.dentry(*name)
            same = stood is not None and stood[0] == after.ino
            old_name = name if same else next(iter(self._old.names_nearby(before)), name)
            path, old_path = join(self._new.directory(name[0]), name[1]), join(
                self._old.directory(old_name[0]), old_name[1]
            )
        yield Difference(kind, path, None if old_path == path else old_path, _size(before), _size(after))

    def _replaced(self, directory: int, name: bytes) -> tuple[Inode, Inode] | None:
        """What had a name and what has it, where that is another file of the same type: the name goes on."""
        old, new = self._old.tree.dentry(directory, name), self._new.tree.dentry(directory, name)
        if old is None or new is None or old[0] == new[0]:
            return None
        before, after = self._old.tree.inode(old[0]), self._new.tree.inode(new[0])
        if before is None or after is None or before.is_directory or before.mode >> 12 != after.mode >> 12:
            return None
        return before, after

    def _moved_from(self, ino: int) -> tuple[int, bytes] | None:
        """The name that something had, where it has another one now and neither goes on with another file."""
        before, after = self._old.tree.inode(ino), self._new.tree.inode(ino)
        if before is None or after is None or not (_has_one_name(before) and _has_one_name(after)):
            return None
        old_name, new_name = self._old.names(before)[0], self._new.names(after)[0]
        if old_name == new_name:
            return None
        goes_on = self._replaced(*old_name) is not None or self._replaced(*new_name) is not None
        return None if goes_on and not after.is_directory else old_name


def _has_one_name(inode: Inode) -> bool:
    return inode.is_directory or inode.nlink == 1


def _size(inode: Inode | None) -> int | None:
    return None if inode is None or inode.is_directory else inode.size
