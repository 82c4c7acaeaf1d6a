"""What was deleted from a directory and can still be had, and under which names that is shown.

The rules stand in docs/history.md. A directory's deletions come from the rows of `changes`; whether and how one is
shown is looked up in the trees each time.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby, islice, takewhile
from typing import Final, NamedTuple

from hyperfs.errors import BadWhen
from hyperfs.policy.when import LAST_VERSION, display_name, display_second
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
    for found in _by_name(volume, volume.changes.went(directory), volume.versions.offers.pinned_from(directory)):
        yield from found


def all_deleted(volume: Volume, wanted: Callable[[int], bool]) -> Iterator[Iterator[Deleted]]:
    """Of all directories that are wanted, those too that are no more: by directory and name."""
    pins = (pin for pin in volume.versions.offers.pins if wanted(pin.directory))
    return _by_name(volume, volume.changes.all_went(wanted), pins)


def _by_name(volume: Volume, rows: Iterable[Went], pins: Iterable[Pin]) -> Iterator[Iterator[Deleted]]:
    pinned: dict[tuple[int, bytes], list[Went]] = {}
    for pin in pins:
        for went in _wents_of(volume, pin):
            pinned.setdefault((went.directory, went.name), []).append(went)
    for place, found in groupby(rows, key=lambda went: (went.directory, went.name)):
        yield of_name(volume, *place, _merged(found, pinned.pop(place, [])))
    for place, left in pinned.items():
        yield of_name(volume, *place, left)


def find_deleted(volume: Volume, directory: int, entry: bytes) -> Deleted | None:
    """What an entry of the directory's `.deleted` means, at a price that does not grow with how much there is.

    The last of a name is found by its time too. Raises Corrupt, NotResident.
    """
    found = _last(volume, directory, entry)
    marked = _MARKED.fullmatch(entry)
    if found is None and marked is not None:
        found = _marked(volume, directory, marked["stem"] + (marked["ending"] or b""), marked["mark"], entry)
    if found is not None:
        return found._replace(entry=entry)
    is_cut = marked is not None and len(entry) > NAME_MAX_BYTES - _LONGEST_MARK
    if is_cut or _has_further_names(volume, directory):
        return next((other for other in deleted_from(volume, directory) if other.entry == entry), None)
    return None


def _last(volume: Volume, directory: int, name: bytes) -> Deleted | None:
    """The last that went under a name: it has that for its entry."""
    return next(of_name(volume, directory, name, _went(volume, directory, name), whole=True), None)


def _marked(volume: Volume, directory: int, name: bytes, mark: bytes, entry: bytes) -> Deleted | None:
    """What went under a name in a version, or in a second: of several the last whose entry this is (a file's has the
    mark before its ending, a folder's behind it), and but for want of others not the last of all."""
    if mark.startswith(b"@"):
        through = int(mark[1:])
        if through > LAST_VERSION:
            return None
        newest = islice(_went(volume, directory, name, through), 1)
        that = (went for went in newest if went.version == through)
        return next(of_name(volume, directory, name, that, whole=True), None)
    try:
        second = display_second(mark.decode())
    except BadWhen:
        return None
    before = volume.versions.kept_before((second + 1) * _SECOND_NS)
    following = volume.versions.kept_from(before + 1)
    rows = _went(volume, directory, name, following.version if following is not None else None)
    of_second = takewhile(lambda went: went.time_ns >= second * _SECOND_NS, rows)
    those = [went for went in of_second if went.time_ns < (second + 1) * _SECOND_NS]
    those = [went for went in those if with_mark(went, mark) == entry] or those
    found = list(of_name(volume, directory, name, those, whole=True))
    if len(found) > 1 and (last := _last(volume, directory, name)) is not None and last.went == found[0].went:
        return found[1]
    return found[0] if found else None


def of_name(
    volume: Volume, directory: int, name: bytes, rows: Iterable[Went], whole: bool = False
) -> Iterator[Deleted]:
    """All that went under one name, newest first, each under an entry of its own. `rows`: the name's, newest first.

    What lies in a version that can't be read is left out; with `whole` that is raised.
    """
    seen: set[int] = set()
    taken: set[bytes] = set()
    births: set[Birth] = set()
    for went in rows:
        version = None
        with suppress(*(() if whole else UNREADABLE)):
            version = None if went.ino in seen else _shown_in(volume, went)
            birth = None if version is None else birth_of(volume.versions.tree(version).inode(went.ino))
            if birth in births:
                version = None  # it was put back, and what went later is it
            elif birth is not None:
                births.add(birth)
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


def _went(volume: Volume, directory: int, name: bytes, through: int | None = None) -> Iterable[Went]:
    """What went under a name, newest first and none behind `through`: by the rows, and by the pins that retention has
    set, which are no hints."""
    pins = (pin for pin in volume.versions.offers.pinned_from(directory) if pin.name == name)
    pinned = [_went_of(volume, pin) for pin in pins if through is None or pin.version < through]
    return _merged(volume.changes.went(directory, name, through), pinned)


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


def _wents_of(volume: Volume, pin: Pin) -> Iterator[Went]:
    """Under the name that the pin says, and those that the same file had beside it."""
    went = _went_of(volume, pin)
    yield went
    if _is_linked(volume, pin):
        for name, (ino, _) in volume.versions.whole_tree(pin.version).dentries(pin.directory):
            if ino == pin.ino and name != pin.name:
                yield went._replace(name=name)


def _is_linked(volume: Volume, pin: Pin) -> bool:
    inode = volume.versions.tree(pin.version).inode(pin.ino)
    return inode is not None and not inode.is_directory and inode.nlink > 1


def _has_further_names(volume: Volume, directory: int) -> bool:
    """Whether there may be names here that neither a row nor a pin says: an index that was made anew has no rows of
    what was deleted between versions that went."""
    return any(_is_linked(volume, pin) for pin in volume.versions.offers.pinned_from(directory))


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
    return now is not None and birth_of(now) == birth_of(inode)


Birth = tuple[int, int]
"""(time, kind): what a restore makes in the place of something has the same."""


def birth_of(inode: Inode | None) -> Birth | None:
    return None if inode is None else (inode.btime_ns, inode.mode >> 12)

