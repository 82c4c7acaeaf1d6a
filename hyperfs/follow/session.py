"""The two folders, opened for one batch and closed after it, once it is certain that they are what they were."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hyperfs.daemon import client, mounts
from hyperfs.errors import Unreachable
from hyperfs.follow import mark as marks
from hyperfs.follow.facts import Facts
from hyperfs.follow.places import Follow
from hyperfs.follow.records import TOP, Records
from hyperfs.follow.standing import Standing, why_not_it
from hyperfs.follow.tree import Tree

_STANDING = "standing"


@dataclass(frozen=True)
class Session:
    source: Tree
    copy: Tree
    into_is_root: bool


@contextmanager
def opened(follow: Follow, records: Records, force: bool) -> Iterator[Session]:
    """Raises Unreachable, with what is waited for."""
    mount = _drive_of(follow.into)
    with _open(follow.into) as copy:
        mark = marks.read(copy.top.fd)
        if mark is None or mark.name != follow.mark.name:
            raise Unreachable(f"{follow.into} is not the copy of {follow.folder} any more: is its drive mounted?")
        with _open(follow.folder) as source:
            _check_standing(follow, source, records, force)
            yield Session(source, copy, Path(os.fsdecode(mount.point)) == follow.into)


def version(follow: Follow) -> int:
    """Makes what was copied a version, on the disk. Raises Unreachable."""
    with client.connect(_drive_of(follow.into).store) as connection:
        return int(connection.check_version().begin().request("commit")["version"])


def _drive_of(into: Path) -> mounts.MountPoint:
    mount = mounts.containing(os.fsencode(into))
    if mount is None or not mount.is_hyperfs:
        raise Unreachable(f"no drive is mounted at {into}")
    return mount


def _open(folder: Path) -> Tree:
    try:
        return Tree(folder)
    except OSError as error:
        why = "is not there" if error.errno == errno.ENOENT else f"can't be opened ({error.strerror})"
        raise Unreachable(f"{folder} {why}") from error


def _check_standing(follow: Follow, source: Tree, records: Records, force: bool) -> None:
    facts = source.top.own_facts()
    mount = mounts.containing(os.fsencode(follow.folder))
    now = Standing(facts.identity, mount.point if mount is not None else b"/")
    found = records.fact(_STANDING)
    was = None if found is None else Standing.decode(found)
    if not force:
        why = why_not_it(
            was,
            now,
            _is_empty(source),
            records.has_children(TOP),
            lambda: any(source.top.facts(name) is not None for name in records.children(TOP)),
        )
        if why is not None:
            raise Unreachable(f"{follow.folder} {why}. Nothing is deleted; if it is meant: hyperfs follow --force")
    _note(records, was, now, facts)


def _is_empty(source: Tree) -> bool:
    try:
        with os.scandir(source.top.fd) as names:
            return next(names, None) is None
    except OSError as error:
        raise Unreachable(f"the followed folder can't be listed: {error.strerror}") from error


def _note(records: Records, was: Standing | None, now: Standing, facts: Facts) -> None:
    if was is not None and was.identity[1] == now.identity[1] and was.identity != now.identity:
        records.renumber_device(was.identity[0], now.identity[0])
    if was != now or records.top() is None:
        records.set_fact(_STANDING, now.encode())
        records.put_top(facts)
