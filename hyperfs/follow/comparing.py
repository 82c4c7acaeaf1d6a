"""Compares names of one folder with their copies and makes these equal: gathers what is known, plans, performs."""

import errno
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from hyperfs.follow import attributes
from hyperfs.follow.deeds import Deeds, Place
from hyperfs.follow.facts import Facts, Parts, Record
from hyperfs.follow.ignoring import Ignoring
from hyperfs.follow.plan import Deed, Elsewhere, Name, Step, plan
from hyperfs.follow.records import Records
from hyperfs.follow.report import Report
from hyperfs.follow.taking import Restless
from hyperfs.follow.tree import Tree, Unknown

VERSIONS: Final = b".versions"
MOST_ELSEWHERE: Final = 16
"""Other names of an inode that are looked at."""
MOVE_ROUNDS: Final = 3
_TRASH: Final = re.compile(rb"\.Trash(es|-\d+)?")
_OF_THE_DRIVE: Final = frozenset(
    {errno.ENOTCONN, errno.ECONNABORTED, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENODEV, errno.ESTALE}
)


@dataclass(frozen=True)
class Wishes:
    """What somebody asked for."""

    into_is_root: bool
    """INTO is the top of its drive, where the trash is too."""
    force: bool
    """What vanished is meant to be gone."""


class Comparing:
    """For one batch, or one rescan. What it makes is finished by `finish`, without which deletions don't happen."""

    def __init__(
        self, source: Tree, copy: Tree, records: Records, ignoring: Ignoring, deeds: Deeds, wishes: Wishes
    ) -> None:
        self.source = source
        self.copy = copy
        self.records = records
        self.ignoring = ignoring
        self.deeds = deeds
        self.report: Report = deeds.report
        self._wishes = wishes

    def names(self, at: Place, names: Iterable[bytes], restless: Callable[[Parts], None]) -> dict[Parts, bool]:
        """Makes the copies of these names equal. Returns the folders among them, and whether each is another one than
        was there: then what is in it is to be compared too.

        `restless` hears of files that are not at rest. Raises OSError when it is the drive that fails.
        """
        wanted = list(names)
        self.report.seen += len(wanted)
        folders: dict[Parts, bool] = {}
        # Of two names of one inode the second is planned when it is known what has become of the first.
        for name in self._equalise(at, wanted, restless, folders, _is_linked):
            self._equalise(at, [name], restless, folders, lambda _: False)
        return folders

    def _equalise(
        self,
        at: Place,
        names: list[bytes],
        restless: Callable[[Parts], None],
        folders: dict[Parts, bool],
        is_for_later: Callable[[Name], bool],
    ) -> list[bytes]:
        """Returns those that were left for later."""
        later: set[bytes] = set()
        for attempt in range(MOVE_ROUNDS + 1):
            known = self._gather(at, names, attempt < MOVE_ROUNDS)
            for name in known:
                if name.source is not None and name.source.is_folder:
                    path = (*at.parts, name.name)
                    folders[path] = folders.get(path, False) or _is_another(name)
            later = {name.name for name in known if is_for_later(name)}
            steps = plan(known, attributes.keeps_owners())
            are_moves = bool(steps) and steps[0].deed in (Deed.MOVE, Deed.EXCHANGE)
            self._perform(at, [step for step in steps if are_moves or step.name.name not in later], restless)
            if not are_moves:
                break
        return sorted(later)

    def _perform(self, at: Place, steps: list[Step], restless: Callable[[Parts], None]) -> None:
        for step in steps:
            path = (*at.parts, step.name.name)
            try:
                self.deeds.perform(at, step)
            except Restless:
                restless(path)
                continue
            except Unknown as error:
                self.report.note(path, str(error))
                continue
            except OSError as error:
                if error.errno in _OF_THE_DRIVE:
                    raise
                self.report.note(path, f"the drive says: {error.strerror}")
                continue
            self.report.fine(path)

    def _gather(self, at: Place, names: list[bytes], moves: bool) -> list[Name]:
        found = []
        for name in names:
            path = (*at.parts, name)
            record = self.records.child(at.record.number, name)
            try:
                raw = at.source.facts(name)
                source = None if raw is None or self.ignoring.leaves_out(path, raw) else raw
            except OSError as error:
                self.report.note(path, error.strerror or str(error))
                continue
            if self._is_left_alone(at, path, raw, record):
                continue
            elsewhere = self._elsewhere(source, record, moves)
            found.append(Name(name, source, at.copy.facts(name), record, elsewhere))
        return found

    def _is_left_alone(self, at: Place, path: Parts, source: Facts | None, record: Record | None) -> bool:
        """What is not compared at all."""
        if path[-1] == VERSIONS:
            if source is not None:
                self.report.note(path, "this name is the drive's own")
            return True
        if self._wishes.into_is_root and not at.parts and source is None and _TRASH.fullmatch(path[-1]):
            return True
        if record is None or self._wishes.force or not self._was_unmounted(at, source, record):
            return False
        self.report.note(path, "another disk was mounted there and is not any more: its copy is kept as it is")
        return True

    def _was_unmounted(self, at: Place, source: Facts | None, record: Record) -> bool:
        (was, number), above = record.identity, at.record.identity[0]
        if not record.is_folder or was == above:
            return False
        now_above = at.source.own_facts().identity[0]
        if source is None or source.identity[0] == now_above:
            return True
        if source.identity[1] == number and source.identity[0] != was:
            self.records.renumber_device(was, source.identity[0])
        return False

    def _elsewhere(self, source: Facts | None, record: Record | None, moves: bool) -> list[Elsewhere]:
        if source is None or not moves:
            return []
        is_same = record is not None and record.identity == source.identity
        if is_same and (source.is_folder or source.nlink == 1):
            return []
        others = []
        for other in self.records.of_inode(source.identity, MOST_ELSEWHERE):
            path = None if record is not None and other.number == record.number else self.records.path_of(other.number)
            if path is not None and other.is_folder == source.is_folder:
                found = self._look_elsewhere(path, other, source)
                if found is not None:
                    others.append(found)
        return others

    def _look_elsewhere(self, path: Parts, other: Record, source: Facts) -> Elsewhere | None:
        try:
            there = self.source.facts(path)
        except OSError:
            return None
        if source.is_folder and not self._is_same_folder(other, path, source):
            return None
        return Elsewhere(other, there, self.copy.facts(path))

    def _is_same_folder(self, other: Record, path: Parts, source: Facts) -> bool:
        """Inode numbers are given again: a folder is the one that was there if its mtime is, or its ctime's record."""
        copy = self.copy.facts(path)
        return copy is not None and (copy.mtime_ns == source.mtime_ns or other.ctime_ns == source.ctime_ns)


def is_of_the_drive(error: OSError) -> bool:
    """Whether it is the drive that can't be written to, not one name of it."""
    return error.errno in _OF_THE_DRIVE


def _is_linked(name: Name) -> bool:
    return name.source is not None and not name.source.is_folder and name.source.nlink > 1


def _is_another(name: Name) -> bool:
    """An inode number alone says little: that of a file that was removed may be the folder's now."""
    source, record, copy = name.source, name.record, name.copy
    if source is None or record is None or copy is None:
        return True
    return record.identity != source.identity or not record.is_folder or not copy.is_folder
