"""What changed from one version to the next, as a stream: in an order that depends on the trees alone, so that it can
be gone on with anywhere, and with memory for no more than it is working on.

Events come by inode number and not by path. Paths are those that things had in their own version: `old_path` in the
older one, `path` in the newer one, but for what was removed.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from hyperfs.errors import BadRequest, NotFound
from hyperfs.values import ROOT_INO
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.compare import ATTRIBUTES, CONTENT, Difference, Kind, difference_of
from hyperfs.volume.inode import Inode
from hyperfs.volume.name_finder import Name, NameFinder
from hyperfs.volume.paths import inside, join, locate, parts_of
from hyperfs.volume.tree import Tree
from hyperfs.volume.tree_changes import ATTRIBUTES as ATTRIBUTES_FLAG
from hyperfs.volume.tree_changes import CONTENT as CONTENT_FLAG
from hyperfs.volume.tree_changes import InodeChanged, NameCame, NameWent, tree_changes
from hyperfs.volume.volume import Volume

_CURSOR: Final = re.compile(r"@?([0-9]{1,19})(?::([0-9]{1,19}):([0-9]{1,19}))?", re.ASCII)


VERSIONS_AT_ONCE: Final = 100


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
    before, into, skip = cursor
    for version in (before, into):
        if version:
            versions.commit(version)  # which raises, where it is not kept
    names = NameFinder()
    while found := versions.some(max(before, into - 1) + 1, VERSIONS_AT_ONCE):
        for facts in found:
            if not versions.is_kept(facts.version):
                continue  # let go a moment ago: the next one has what it changed
            yield from _of_version(volume, path, names, before, facts, skip)
            before, into, skip = facts.version, 0, 0
            yield Cursor(before)


def _of_version(
    volume: Volume, path: bytes, names: NameFinder, before: int, facts: VersionFacts, skip: int
) -> Iterator[Told | Cursor]:
    """With a look ahead, to know which is the version's last."""
    waiting: Difference | None = None
    count = 0
    for difference in _below(volume, path, names, before, facts.version):
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


def _below(
    volume: Volume, path: bytes, names: NameFinder, before: int, version: int
) -> Iterator[Difference | None]:
    # What retention has a version not offer was there nevertheless, and is no change.
    old, new = volume.versions.whole_tree(before), volume.versions.whole_tree(version)
    path = b"/".join(parts_of(path))
    inos = [_ino_of(volume, tree, path) for tree in (old, new)]
    if inos[0] is not None and inos[0] == inos[1] and not _may_touch(volume, inos[0], before, version):
        return
    scopes = [path if ino is None else names.path(tree, ino) for tree, ino in zip((old, new), inos, strict=True)]
    for difference in tree_differences(old, new, names):
        if difference is None:
            yield None
            continue
        old_path = difference.path if difference.old_path is None else difference.old_path
        if (difference.kind != "removed" and inside(difference.path, scopes[1])) or (
            difference.kind != "added" and inside(old_path, scopes[0])
        ):
            yield difference


def _ino_of(volume: Volume, tree: Tree, path: bytes) -> int | None:
    """What a path of today was in a version."""
    if not path:
        return ROOT_INO
    try:
        return locate(volume.overlay.live, tree, path).ino
    except NotFound:
        return None


def _may_touch(volume: Volume, ino: int, before: int, version: int) -> bool:
    """Whether anything at or below a folder may have changed. By the rows, which never lack one where they are made."""
    changes = volume.changes
    if not before or ino == ROOT_INO or changes.filled < version:
        return True
    inode = volume.versions.whole_tree(version).inode(ino)
    if inode is None or not inode.is_directory:
        return True
    newest = next(changes.touched(ino, version), None)
    return newest is not None and newest.version > before


def tree_differences(old: Tree, new: Tree, names: NameFinder | None = None) -> Iterator[Difference | None]:
    """What differs between two trees; None now and then, so that whoever works in slices gets a turn.

    As `compare.differences`, but that a file with several names has one path, the one in the folder of its newest
    name, that its names come and go and are never moved, and that a folder never goes on in another one's place.
    """
    told = _Telling(old, new, names or NameFinder())
    for count, event in enumerate(tree_changes(old, new), 1):
        if isinstance(event, NameWent):
            yield from told.went(event)
        elif isinstance(event, NameCame):
            yield from told.came(event)
        elif isinstance(event, InodeChanged):
            yield from told.changed(event)
        if count % 20 == 0 or event is None:
            yield None


class _Telling:
    def __init__(self, old: Tree, new: Tree, names: NameFinder) -> None:
        self._old, self._new, self._names = old, new, names

    def _old_path(self, name: Name) -> bytes:
        return join(self._names.path(self._old, name[0]), name[1])

    def _new_path(self, name: Name) -> bytes:
        return join(self._names.path(self._new, name[0]), name[1])

    def went(self, event: NameWent) -> Iterator[Difference]:
        name = (event.directory, event.name)
        if self._replaced(name) is None and self._moved_from(event.ino) is None:
            yield Difference("removed", self._old_path(name), None, _size(self._old.inode(event.ino)), None)

    def came(self, event: NameCame) -> Iterator[Difference]:
        name = (event.directory, event.name)
        path, replaced = self._new_path(name), self._replaced(name)
        if replaced is not None:
            before, after = replaced
            kind = difference_of(self._old, before, self._new, after)
            old_path = self._old_path(name)
            if kind is not None:
                yield Difference(kind, path, None if old_path == path else old_path, before.size, after.size)
            return
        size = _size(self._new.inode(event.ino))
        old_name = self._moved_from(event.ino)
        if old_name is None:
            yield Difference("added", path, None, None, size)
        else:
            yield Difference("moved", path, self._old_path(old_name), _size(self._old.inode(event.ino)), size)

    def changed(self, event: InodeChanged) -> Iterator[Difference]:
        kind: Kind | None = ATTRIBUTES if event.flags & ATTRIBUTES_FLAG else None
        if event.flags & CONTENT_FLAG:
            kind = CONTENT
        if kind is None:
            return
        before, after = event.before, event.after
        if after.is_directory:
            old_path, path = self._names.path(self._old, before.ino), self._names.path(self._new, after.ino)
        else:
            name = self._names.name(self._new, after)
            if name is None or self._replaced(name) is not None:
                return  # told where it came
            stood = self._old.dentry(*name)
            same = stood is not None and stood[0] == after.ino
            old_name = name if same else self._names.name(self._old, before) or name
            path, old_path = self._new_path(name), self._old_path(old_name)
        yield Difference(kind, path, None if old_path == path else old_path, _size(before), _size(after))

    def _replaced(self, name: Name) -> tuple[Inode, Inode] | None:
        """What had a name and what has it, where that is another file of the same type: the name goes on."""
        old, new = self._old.dentry(*name), self._new.dentry(*name)
        if old is None or new is None or old[0] == new[0]:
            return None
        before, after = self._old.inode(old[0]), self._new.inode(new[0])
        if before is None or after is None or before.is_directory or before.mode >> 12 != after.mode >> 12:
            return None
        return before, after

    def _moved_from(self, ino: int) -> Name | None:
        """The name that something had, where it has another one now and neither goes on with another file."""
        before, after = self._old.inode(ino), self._new.inode(ino)
        if before is None or after is None or not (_has_one_name(before) and _has_one_name(after)):
            return None
        old_name, new_name = self._names.name(self._old, before), self._names.name(self._new, after)
        if old_name is None or new_name is None or old_name == new_name:
            return None
        goes_on = self._replaced(old_name) is not None or self._replaced(new_name) is not None
        return None if goes_on and not after.is_directory else old_name


def _has_one_name(inode: Inode) -> bool:
    return inode.is_directory or inode.nlink == 1


def _size(inode: Inode | None) -> int | None:
    return None if inode is None or inode.is_directory else inode.size
