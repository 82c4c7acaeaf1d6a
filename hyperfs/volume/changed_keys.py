"""The changed keys of two versions, by what they belong to: of all, or of what lies at and below one path.

Keys are filed by inode and not by path, so a path is no stretch of the trie. What lies below one is found in two ways:
all changed keys, of which the caller takes those that he wants; or all inodes that either version has below the path,
and whether each has changed. Which is quicker can't be known before, so both go on in turns until one is done.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hyperfs.trie.below import diff_below
from hyperfs.trie.diff import Difference, diff
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.entries import decode_dentry
from hyperfs.volume.paths import Paths, find
from hyperfs.volume.tree import Tree

_DIRECTORY: Final = 4  # as d_type
_KEYS_A_TURN: Final = 8
"""To look whether an inode changed takes two descents."""

Name = tuple[int, bytes, int]
"""Directory, name, inode."""


@dataclass
class Changes:
    """Of both sides, as dictionaries' keys: each once, in the order in which they were found."""

    gone: dict[Name, None] = field(default_factory=dict)
    come: dict[Name, None] = field(default_factory=dict)
    inodes: set[int] = field(default_factory=set)  # record, extents or attributes differ
    content: set[int] = field(default_factory=set)  # extents differ
    xattrs: set[int] = field(default_factory=set)

    def note(self, old: Tree, new: Tree, difference: Difference) -> None:
        key, before, after = difference
        ino, kind = int.from_bytes(key[: keys.PREFIX_BYTES - 1], "big"), key[keys.PREFIX_BYTES - 1]
        if ino == keys.NO_INO:
            return
        if kind == keys.DENTRY:
            name = key[keys.PREFIX_BYTES :]
            for tree, entry, names in ((old, before, self.gone), (new, after, self.come)):
                named = None if entry is None else decode_dentry(entry[0], f"inode {ino}")[0]
                if named is not None and not tree.hides(named):
                    names[ino, name, named] = None
        elif kind in (keys.INODE, keys.EXTENT, keys.XATTR):
            self.inodes.add(ino)
            if kind == keys.EXTENT:
                self.content.add(ino)
            elif kind == keys.XATTR:
                self.xattrs.add(ino)


def everywhere(old: Paths, new: Paths) -> Changes:
    """All that there are."""
    changes = Changes()
    for difference in diff(new.tree.load, old.tree.root, new.tree.root):
        changes.note(old.tree, new.tree, difference)
    return changes


def cheapest(old: Paths, new: Paths, old_scope: bytes, new_scope: bytes) -> Changes:
    """At least those of what lies at and below a path, which may have been another in the old version, with all names
    of what came there or went."""
    if not (old_scope or new_scope) or not (old.tree.whole_offered and new.tree.whole_offered):
        return everywhere(old, new)
    one, other = Changes(), _Below(old, new)
    all_keys = diff(new.tree.load, old.tree.root, new.tree.root)
    inodes = other.look(find(old.tree, old_scope), find(new.tree, new_scope))
    while next(inodes, None) is not None:
        for _ in range(_KEYS_A_TURN):
            difference = next(all_keys, None)
            if difference is None:
                return one
            one.note(old.tree, new.tree, difference)
    if other.is_complete:
        return other.changes
    for difference in all_keys:
        one.note(old.tree, new.tree, difference)
    return one


class _Below:
    """The second way."""

    def __init__(self, old: Paths, new: Paths) -> None:
        self._old = old
        self._new = new
        self.changes = Changes()
        self.is_complete = True
        """Not where names lie who knows where, of a file that has several: only the other way finds them."""

    def look(self, before: int | None, after: int | None) -> Iterator[int]:
        """One inode a step, which may be met in both trees: what had a path in the old one and has one in the new."""
        old, new, seen = self._old.tree, self._new.tree, set[int]()
        for tree, top in ((old, before), (new, after)):
            for ino in _at_and_below(tree, top):
                if ino not in seen:
                    seen.add(ino)
                    for difference in diff_below(new.load, old.root, new.root, keys.whole(ino)):
                        self.changes.note(old, new, difference)
                yield ino
        self._complete({ino for ino in (before, after) if ino not in (None, ROOT_INO)})

    def _complete(self, tops: set[int | None]) -> None:
        """Of what came or went, all names that did, wherever they are; and what has those names on the other side."""
        changes, old, new = self.changes, self._old, self._new
        involved = {ino for ino in tops if ino is not None} | {ino for _, _, ino in [*changes.gone, *changes.come]}
        involved |= {ino for ino in changes.inodes if _has_more_names(old.tree, ino) or _has_more_names(new.tree, ino)}
        for ino in sorted(involved):
            self._names_of(ino, old, new.tree, changes.gone)
            self._names_of(ino, new, old.tree, changes.come)
        gone, come = list(changes.gone), list(changes.come)
        for names, here, there, into in ((gone, old, new, changes.come), (come, new, old, changes.gone)):
            for directory, name, _ in names:
                parent = find(there.tree, here.directory(directory))
                named = None if parent is None else there.tree.dentry(parent, name)
                if parent is not None and named is not None and here.tree.dentry(parent, name) != named:
                    into[parent, name, named[0]] = None

    def _names_of(self, ino: int, here: Paths, there: Tree, into: dict[Name, None]) -> None:
        """The names that only one side has."""
        inode = here.tree.inode(ino)
        if inode is None:
            return
        names = here.names_nearby(inode)
        if not inode.is_directory and len(names) < inode.nlink:
            self.is_complete = False
        for directory, name in names:
            if there.dentry(directory, name) != here.tree.dentry(directory, name):
                into[directory, name, ino] = None


def _has_more_names(tree: Tree, ino: int) -> bool:
    inode = tree.inode(ino)
    return inode is not None and inode.nlink > 1 and not inode.is_directory


def _at_and_below(tree: Tree, top: int | None) -> Iterator[int]:
    waiting = [] if top is None else [top]
    while waiting:
        directory = waiting.pop()
        yield directory
        for _, (ino, kind) in tree.dentries(directory):
            if kind == _DIRECTORY:
                waiting.append(ino)
            else:
                yield ino
