"""What was deleted from a directory and can still be had, and under which names that is shown.

The rules stand in docs/history.md. A directory's deletions come from the rows of `changes`; whether and how one is
shown is looked up in the trees each time.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import Final, NamedTuple

from hyperfs.policy.when import display_name
from hyperfs.values import NAME_MAX_BYTES
from hyperfs.volume.changes import DELETED, DIRECTORY, MOVED, TRASHED, UNREADABLE, Went
from hyperfs.volume.inode import Inode
from hyperfs.volume.pins import Pin
from hyperfs.volume.trash import in_trash
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

_SECOND_NS: Final = 10**9
_MARKED: Final = re.compile(rb"(?P<stem>.+)\.(?P<mark>@[0-9]+|[0-9-]+T[0-9-]+Z)(?P<ending>\.[^.]*)?", re.DOTALL)


class Deleted(NamedTuple):
    """A deletion that can be taken back: `went` as it was in `version`, shown as `entry`."""

    entry: bytes
    went: Went
    version: int


def deleted_from(volume: Volume, directory: int) -> Iterator[Deleted]:
    """All of a live directory, in no order of names. For the versions that have their rows."""
    pinned: dict[bytes, list[Went]] = {}
    for pin in volume.versions.offers.pinned_from(directory):
        pinned.setdefault(pin.name, []).append(_went_of(volume, pin))
    for name, found in groupby(volume.changes.went(directory), key=lambda went: went.name):
        yield from of_name(volume, directory, name, _merged(found, pinned.pop(name, [])))
    for name, left in pinned.items():
        yield from of_name(volume, directory, name, _merged([], left))


def find_deleted(volume: Volume, directory: int, entry: bytes) -> Deleted | None:
    """What an entry of the directory's `.deleted` means."""
    for found in of_name(volume, directory, entry, _went(volume, directory, entry), whole=True):
        if found.entry == entry:
            return found
    marked = _MARKED.fullmatch(entry)
    if marked is None:
        return None
    name = marked["stem"] + (marked["ending"] or b"")
    all_of_it = list(of_name(volume, directory, name, _went(volume, directory, name), whole=True))
    for found in all_of_it:
        if found.entry == entry:
            return found
    for found in all_of_it[:1]:  # the last one has its plain name, and its time as another
        if _with_time(found.went) == entry:
            return found
    if len(entry) > NAME_MAX_BYTES - _LONGEST_MARK:  # its stem may have been cut
        return next((found for found in deleted_from(volume, directory) if found.entry == entry), None)
    return None


def of_name(
    volume: Volume, directory: int, name: bytes, rows: Iterable[Went], whole: bool = False
) -> Iterator[Deleted]:
    """All that went under one name, newest first, each under an entry of its own. `rows`: the name's, newest first.

    What lies in a version that can't be read is left out; with `whole` that is raised.
    """
    seen: set[int] = set()
    taken: set[bytes] = set()
    for went in rows:
        version = None
        with suppress(*(() if whole else UNREADABLE)):
            version = None if went.ino in seen else _shown_in(volume, went)
        seen.add(went.ino)
        if version is None:
            continue
        entry = name if not taken else _with_time(went)
        if entry in taken or (taken and _is_a_name(volume, directory, entry)):
            entry = with_mark(went, f"@{went.version}".encode())
        taken.add(entry)
        yield Deleted(entry, went, version)


def _is_a_name(volume: Volume, directory: int, entry: bytes) -> bool:
    """Whether something went under that very name."""
    return next(iter(_went(volume, directory, entry)), None) is not None


def _went(volume: Volume, directory: int, name: bytes) -> Iterable[Went]:
    """What went under a name, newest first: by the rows, and by the pins that retention has set, which are no hints."""
    pins = [pin for pin in volume.versions.offers.pinned_from(directory) if pin.name == name]
    return _merged(volume.changes.went(directory, name), [_went_of(volume, pin) for pin in pins])


def _merged(rows: Iterable[Went], pinned: list[Went]) -> Iterable[Went]:
    """Newest first. An index that was made anew has no rows of what was deleted between versions that went."""
    if not pinned:
        return rows
    known = list(rows)
    inos = {went.ino for went in known}
    return sorted([*known, *(went for went in pinned if went.ino not in inos)], key=lambda went: -went.version)


def _went_of(volume: Volume, pin: Pin) -> Went:
    inode = volume.versions.tree(pin.version).inode(pin.ino)
    kind = inode.mode >> 12 if inode is not None else 0
    times = (pin.deleted_ns, pin.deleted_ns)
    return Went(pin.directory, pin.name, pin.version + 1, pin.ino, kind, DELETED, *times)


# Names

_LONGEST_MARK: Final = len(".@18446744073709551615")


def _with_time(went: Went) -> bytes:
    return with_mark(went, display_name(went.time_ns // _SECOND_NS).encode())


def with_mark(went: Went, mark: bytes) -> bytes:
    """The name with a mark before its ending."""
    stem, ending = split_ending(went.name) if went.kind != DIRECTORY else (went.name, b"")
    room = NAME_MAX_BYTES - len(mark) - 1 - len(ending)
    if len(stem) > room:
        stem = stem[: max(room, 1)].decode(errors="ignore").encode() or stem[: max(room, 1)]
    return stem + b"." + mark + ending


def split_ending(name: bytes) -> tuple[bytes, bytes]:
    """A name and its ending with the dot; a name that begins with its only dot has none, nor has a very long one."""
    stem, dot, ending = name.rpartition(b".")
    if not stem.strip(b".") or not dot or len(ending) > NAME_MAX_BYTES // 2:
        return name, b""
    return stem, dot + ending


# What is shown


def _shown_in(volume: Volume, went: Went) -> int | None:
    """The version whose state of it is shown; None for what is not shown at all."""
    if went.how == MOVED or _is_back(volume.overlay.live, went):
        return None
    pin = volume.versions.offers.pin_of(went.ino)
    if pin is not None and went.how != TRASHED:
        inode = volume.versions.tree(pin.version).inode(went.ino)
        return None if inode is None or _was_put_back(volume.overlay.live, went, inode) else pin.version
    for time_ns in dict.fromkeys((went.began_ns, went.time_ns)):
        version = volume.versions.kept_before(time_ns)
        inode = volume.versions.tree(version).inode(went.ino) if version else None
        if inode is not None:
            return None if _was_put_back(volume.overlay.live, went, inode) else version
    volume.changes.forget_went([went])  # no kept version has it, and none ever will
    return None


def _is_back(live: Tree, went: Went) -> bool:
    """Whether it has its name again, or has left the trash."""
    dentry = live.dentry(went.directory, went.name)
    if dentry is not None and dentry[0] == went.ino:
        return True
    if went.how != TRASHED:
        return False
    inode = live.inode(went.ino)
    return inode is not None and not in_trash(live, inode.parent)


def _was_put_back(live: Tree, went: Went, inode: Inode) -> bool:
    """Whether what has the name now is a copy that a restore made: it was born when the deleted one was."""
    dentry = live.dentry(went.directory, went.name)
    now = live.inode(dentry[0]) if dentry is not None else None
    return now is not None and (now.btime_ns, now.mode >> 12) == (inode.btime_ns, inode.mode >> 12)

