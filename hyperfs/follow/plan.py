"""What to do about each name of a folder: a pure function of what is known of it.

Three things are compared: the source as it is, the copy as it is, and the record of what the copy was made from.
Nothing here depends on the order of names, and what was interrupted is planned again from what is there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from hyperfs.follow.facts import Facts, Identity, Record


class Deed(Enum):
    """What makes a copy equal to its source."""

    TAKE = auto()
    """Make the copy anew, with the source's bytes; a folder's contents are looked at afterwards."""
    MOVE = auto()
    """Rename the copy that was made from this inode to this name."""
    EXCHANGE = auto()
    """As MOVE, and what is at this name goes where the other one comes from."""
    LINK = auto()
    """Make this name a hard link to the copy that was made from this inode."""
    ATTRIBUTES = auto()
    """Owner, mode, extended attributes, times; no bytes."""
    EXPLAIN = auto()
    """The ctime changed and nothing else that stat shows: extended attributes, or bytes under an old mtime.
    Also of a symlink, whose size and times say nothing of where it leads."""
    REMOVE = auto()
    """The copy of nothing, and never was one of anything."""
    GONE = auto()
    """The source is gone: remove the copy when all else is done, for it may turn up under another name."""
    FORGET = auto()
    """Source and copy are both gone."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another name for which the record names the same inode, with what is at that name now."""

    record: Record
    source: Facts | None
    copy: Facts | None


@dataclass(frozen=True, slots=True)
class Name:
    """All that is known of one name. No source: it is not there, or ignored."""

    name: bytes
    source: Facts | None
    copy: Facts | None
    record: Record | None
    elsewhere: Sequence[Elsewhere] = ()


@dataclass(frozen=True, slots=True)
class Step:
    deed: Deed
    name: Name
    other: Elsewhere | None = None


def plan(names: Iterable[Name], owners: bool) -> list[Step]:
    """Steps for the names of one folder, none for those that are equal. `owners`: whether owners are kept.

    Moves come alone: once they are done other names mean other copies, and it must be planned again.
    """
    known = list(names)
    present = frozenset(name.source.identity for name in known if name.source is not None)
    moves = [step for name in known if (step := _move(name, present)) is not None]
    if moves:
        return moves
    return [step for name in known if (step := _step(name, owners)) is not None]


def _move(name: Name, present: frozenset[Identity]) -> Step | None:
    source, record = name.source, name.record
    if source is None or (record is not None and record.identity == source.identity):
        return None
    for other in name.elsewhere:
        stands_there = other.source is not None and other.source.identity == source.identity
        if not stands_there and other.copy is not None and source.holds_what(other.copy):
            return Step(_way(name, present), name, other)
    return None


def _way(name: Name, present: frozenset[Identity]) -> Deed:
    """What is replaced is kept where it may be wanted again: a folder's contents, and what is now called otherwise."""
    if name.copy is None:
        return Deed.MOVE
    assert name.source is not None
    wanted = name.record is not None and name.record.identity in present
    return Deed.EXCHANGE if wanted or name.copy.is_folder or name.source.is_folder else Deed.MOVE


def _step(name: Name, owners: bool) -> Step | None:
    source, copy = name.source, name.copy
    if source is None:
        return _left_over(name)
    if not source.is_folder and source.nlink > 1 and (other := _linked(name)) is not None:
        same_inode = copy is not None and other.copy is not None and copy.identity == other.copy.identity
        if not same_inode:
            return Step(Deed.LINK, name, other)
    if copy is None or not source.holds_what(copy):
        return Step(Deed.TAKE, name)
    deed = _about_what_looks_equal(source, copy, name.record, owners)
    return None if deed is None else Step(deed, name)


def _left_over(name: Name) -> Step | None:
    if name.record is None:
        return None if name.copy is None else Step(Deed.REMOVE, name)
    return Step(Deed.FORGET if name.copy is None else Deed.GONE, name)


def _linked(name: Name) -> Elsewhere | None:
    """Another name of the same inode whose copy is what this one must be."""
    source = name.source
    assert source is not None
    for other in name.elsewhere:
        if (
            other.source is not None
            and other.source.identity == source.identity
            and other.copy is not None
            and source.holds_what(other.copy)
        ):
            return other
    return None


def _about_what_looks_equal(source: Facts, copy: Facts, record: Record | None, owners: bool) -> Deed | None:
    attributes = _attributes_differ(source, copy, owners)
    if record is None:
        return Deed.EXPLAIN if source.is_link else Deed.ATTRIBUTES
    if record.identity == source.identity and record.ctime_ns == source.ctime_ns:
        return Deed.ATTRIBUTES if attributes else None
    if source.is_folder:
        return Deed.ATTRIBUTES
    if source.is_link:
        return Deed.EXPLAIN
    if not source.is_file:
        return Deed.TAKE
    # A hard link that was made or removed changes the ctime too, and shows in nothing that the record has.
    return Deed.ATTRIBUTES if attributes and record.identity == source.identity else Deed.EXPLAIN


def _attributes_differ(source: Facts, copy: Facts, owners: bool) -> bool:
    if source.is_folder and source.mtime_ns != copy.mtime_ns:
        return True
    if source.mode != copy.mode and not source.is_link:
        return True
    return owners and (source.uid, source.gid) != (copy.uid, copy.gid)
