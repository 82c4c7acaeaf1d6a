"""What happened from one tree to another, as events about names and inodes. Reads only what differs."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias

from hyperfs.trie.diff import Difference, diff
from hyperfs.volume import keys
from hyperfs.volume.entries import Dentry, decode_dentry, kind_of_key
from hyperfs.volume.inode import Inode
from hyperfs.volume.tree import Tree

CONTENT: Final = 1
"""Bytes or size differ."""
ATTRIBUTES: Final = 2
"""Mode, owner, device number or an extended attribute differ; of what is no directory also the time of the bytes."""
REPLACED: Final = 8
"""The file was renamed over another one, whose history it goes on with."""
_TICK: Final = 200


class NameWent(NamedTuple):
    """A directory entry that the old tree has and the new one has not, or for another inode (`now`)."""

    directory: int
    name: bytes
    ino: int
    kind: int
    now: Dentry | None


class NameCame(NamedTuple):
    directory: int
    name: bytes
    ino: int
    kind: int


class InodeChanged(NamedTuple):
    """An inode that both trees have. Times of access and of change alone, and a directory's own, are no change."""

    before: Inode
    after: Inode
    flags: int


Event: TypeAlias = NameWent | NameCame | InodeChanged


def tree_changes(old: Tree, new: Tree) -> Iterator[Event | None]:
    """The events, by inode. None now and then, so that whoever works in slices gets a turn."""
    for number, found in groupby(diff(new.load, old.root, new.root), key=lambda difference: difference[0][:8]):
        ino = int.from_bytes(number, "big")
        if ino != keys.NO_INO:
            yield from _of_inode(ino, found, new)


def _of_inode(ino: int, found: Iterable[Difference], new: Tree) -> Iterator[Event | None]:
    before = after = None
    record = extents = xattrs = False
    for count, (key, was, now) in enumerate(found, 1):
        kind = kind_of_key(key)
        if kind == keys.DENTRY:
            yield from _of_name(ino, key[keys.PREFIX_BYTES :], was and was[0], now and now[0])
        elif kind == keys.INODE:
            record, before, after = True, was and was[0], now and now[0]
        extents = extents or kind == keys.EXTENT
        xattrs = xattrs or kind == keys.XATTR
        if not count % _TICK:
            yield None
    if record and before is not None and after is not None:
        yield from _changed(Inode.decode(ino, before), Inode.decode(ino, after), extents, xattrs)
    elif not record and (extents or xattrs):
        inode = new.inode(ino)
        if inode is not None:
            yield from _changed(inode, inode, extents, xattrs)


def _of_name(directory: int, name: bytes, was: bytes | None, now: bytes | None) -> Iterator[Event]:
    where = f"inode {directory}"
    dentry = None if now is None else decode_dentry(now, where)
    if was is not None:
        yield NameWent(directory, name, *decode_dentry(was, where), dentry)
    if dentry is not None:
        yield NameCame(directory, name, *dentry)


def _changed(before: Inode, after: Inode, extents: bool, xattrs: bool) -> Iterator[InodeChanged]:
    flags = 0
    if not after.is_directory:
        if extents or before.size != after.size or (before.inline or b"") != (after.inline or b""):
            flags |= CONTENT
        if before.mtime_ns != after.mtime_ns:
            flags |= ATTRIBUTES
    if xattrs or (before.mode, before.uid, before.gid, before.rdev) != (after.mode, after.uid, after.gid, after.rdev):
        flags |= ATTRIBUTES
    if before.predecessor != after.predecessor:
        flags |= REPLACED
    if flags:
        yield InodeChanged(before, after, flags)
