"""From the events between two versions to the rows of the index that say so. One collector a version."""

from typing import Final

from hyperfs.values import ROOT_INO
from hyperfs.volume.change_rows import DELETED, MOVED, TRASHED, Name, VersionChanges, Went
from hyperfs.volume.entries import Dentry
from hyperfs.volume.newest import COUNTER_BITS
from hyperfs.volume.trash import in_trash
from hyperfs.volume.tree import Tree
from hyperfs.volume.tree_changes import ATTRIBUTES, CONTENT, Event, InodeChanged, NameCame, NameWent

NAMED: Final = 4
"""Of an inode that both versions have: a name of it came or went."""
LEFT: Final = 16
"""Of a directory: a name in it, or further below, went."""
BELOW: Final = 32
"""Of a directory: anything else in it or further below changed, or its own attributes did."""

LISTED_MOST: Final = 1000
"""Things that a version's list holds; where more changed it says so and holds none. Some 20 KiB."""

_DIRECTORY: Final = 4  # as d_type


class Collector:
    """Takes the events of a version, in any order."""

    def __init__(self, old: Tree, new: Tree, before: int, next_ino: int, time_ns: int, version: int) -> None:
        """`before`: the version of the old tree; `next_ino`: the number that its device would have given next."""
        self._old = old
        self._new = new
        self._before = before
        self._next_ino = next_ino
        self._time_ns = time_ns
        self._version = version
        self.flags: dict[int, int] = {}
        """By inode that both versions have."""
        self.gone: list[Went] = []
        self._climbed: set[tuple[bool, int, int]] = set()
        self._trash: dict[tuple[bool, int], bool] = {}
        self._went: list[Name] = []
        self._came: list[Name] = []
        self._content: set[int] = set()
        self._attributes: set[int] = set()
        self._count = 0

    def changes(self) -> VersionChanges:
        """The list of what the version changed."""
        if self._count > LISTED_MOST:
            return VersionChanges(self._version, self._before, True)
        return VersionChanges(
            self._version,
            self._before,
            False,
            tuple(self._went),
            tuple(self._came),
            frozenset(self._content),
            frozenset(self._attributes),
        )

    def take(self, event: Event) -> None:
        self._count += 1
        if isinstance(event, InodeChanged):
            self._take_inode(event)
        elif isinstance(event, NameCame):
            self._came += self._listed(event.directory, event.name, event.ino, event.kind)
            self._climb(event.directory, BELOW, in_new=True)
            self._named(event.ino)
        else:
            self._went += self._listed(event.directory, event.name, event.ino, event.kind)
            self._take_went(event)

    def _listed(self, directory: int, name: bytes, ino: int, kind: int) -> list[Name]:
        return [Name(directory, name, ino, kind)] if self._count <= LISTED_MOST else []

    def _take_inode(self, event: InodeChanged) -> None:
        ino = event.after.ino
        self._flag(ino, event.flags)
        if self._count <= LISTED_MOST:
            if event.flags & CONTENT:
                self._content.add(ino)
            if event.flags & ATTRIBUTES:
                self._attributes.add(ino)
        self._climb(ino if event.after.is_directory else event.after.parent, BELOW, in_new=True)

    def _take_went(self, event: NameWent) -> None:
        stays = self._new.inode(event.directory) is not None
        self._climb(event.directory, LEFT, in_new=stays)
        self._named(event.ino)
        how = self._how(event) if stays else None
        if how is not None:
            found = (event.ino, event.kind, how, self._time_ns, self._time_ns)
            self.gone.append(Went(event.directory, event.name, self._version, *found))

    def _how(self, event: NameWent) -> int | None:
        """How a name went; None where another file took its place, and with it goes on in its history."""
        after = self._new.inode(event.ino)
        if after is None:
            return None if _goes_on(event.kind, event.now) else DELETED
        before = self._old.inode(event.ino)
        if before is not None and after.nlink < before.nlink and not after.is_directory:
            return None if _goes_on(event.kind, event.now) else DELETED
        if self._in_trash(after.parent, in_new=True) and not self._in_trash(event.directory, in_new=False):
            return TRASHED
        return None if _goes_on(event.kind, event.now) else MOVED

    def _in_trash(self, directory: int, in_new: bool) -> bool:
        known = self._trash.get((in_new, directory))
        if known is None:
            known = self._trash[in_new, directory] = in_trash(self._new if in_new else self._old, directory)
        return known

    def _named(self, ino: int) -> None:
        """A name came or went of an inode: of one that came into being or died by it there is nothing to say."""
        if not self._is_new(ino) and self._new.inode(ino) is not None and self._old.inode(ino) is not None:
            self._flag(ino, NAMED)

    def _climb(self, directory: int, flag: int, in_new: bool) -> None:
        """Flags a directory and all above it."""
        tree = self._new if in_new else self._old
        while directory and (in_new, flag, directory) not in self._climbed:
            self._climbed.add((in_new, flag, directory))
            self._flag(directory, flag)
            if directory == ROOT_INO:
                return
            inode = tree.inode(directory)
            directory = inode.parent if inode is not None else 0

    def _flag(self, ino: int, flag: int) -> None:
        if not self._is_new(ino):
            self.flags[ino] = self.flags.get(ino, 0) | flag

    def _is_new(self, ino: int) -> bool:
        """Whether an inode's number was given after the version before: its record says when it was born."""
        end = self._next_ino
        return ino >> COUNTER_BITS == end >> COUNTER_BITS and ino >= end


def _goes_on(kind: int, now: Dentry | None) -> bool:
    """Whether what has a name now goes on in the history of what had it: files do, folders do not."""
    return now is not None and now[1] == kind and kind != _DIRECTORY
