"""The deeds of a plan, done on the drive. Each leaves something that can be planned again, wherever it is cut off."""

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from hyperfs.follow import attributes, removing, taking
from hyperfs.follow.facts import Facts, Parts, Record
from hyperfs.follow.plan import Deed, Elsewhere, Name, Step
from hyperfs.follow.records import Records
from hyperfs.follow.report import Report
from hyperfs.follow.settling import REST_SECONDS
from hyperfs.follow.taking import Restless
from hyperfs.follow.tree import Folder, Tree

_EXCHANGE: Final = 2
MOST_LINKS: Final = 1000
"""Other names of a changed file that are looked at at once; a rescan finds the rest."""


@dataclass(frozen=True)
class Place:
    """A folder of the source, that of the copy, and the record of it."""

    source: Folder
    copy: Folder
    record: Record

    @property
    def parts(self) -> Parts:
        return self.copy.parts


class Deeds:
    """Also collects what is to be done at the end: `gone` copies, `touched` folders, paths to look at `also`."""

    def __init__(
        self,
        copy: Tree,
        records: Records,
        report: Report,
        clock: Callable[[], float] = time.time,
        from_the_future: dict[Parts, Facts] | None = None,
    ) -> None:
        """`from_the_future`: files whose ctime is ahead of the clock, as they were in earlier batches."""
        self.report = report
        self.gone: set[int] = set()
        self.touched: set[Parts] = set()
        self.also: set[Parts] = set()
        self._copy = copy
        self._records = records
        self._clock = clock
        self._from_the_future = {} if from_the_future is None else from_the_future
        self._deeds: dict[Deed, Callable[[Place, Step], None]] = {
            Deed.TAKE: self._take,
            Deed.MOVE: self._move,
            Deed.EXCHANGE: self._move,
            Deed.LINK: self._link,
            Deed.ATTRIBUTES: self._attributes,
            Deed.EXPLAIN: self._explain,
            Deed.REMOVE: self._remove,
            Deed.GONE: self._gone,
            Deed.FORGET: self._gone,
        }

    def perform(self, at: Place, step: Step) -> None:
        """Raises Restless, Unknown, OSError; then the copy is as it was, or on the way that the plan goes on with."""
        self.report.unsaved = True
        self._deeds[step.deed](at, step)

    def _take(self, at: Place, step: Step) -> None:
        name, source = step.name, _source_of(step)
        if source.is_folder:
            self._make_folder(at, name)
        else:
            if source.is_file:
                self._must_rest((*at.parts, name.name), source)
            temporary = taking.temporary_name(name.name)
            with _removed_if_it_fails(at.copy, temporary):
                done = taking.take(at.source, name.name, source, at.copy, temporary, self.report.alive)
                attributes.set_all(at.source, name.name, source, at.copy, temporary)
                self._put_in_place(at, name, temporary)
            self.report.counts.bytes += done
            if source.nlink > 1:
                self._look_at_links(at, name, source)
        self._records.put(at.record.number, name.name, source)
        self.report.counts.taken += 1
        self.touched.add(at.parts)

    def _make_folder(self, at: Place, name: Name) -> None:
        if name.copy is not None:
            removing.remove(at.copy, name.name)
        os.mkdir(name.name, 0o700, dir_fd=at.copy.fd)
        self.touched.add((*at.parts, name.name))

    def _put_in_place(self, at: Place, name: Name, temporary: bytes) -> None:
        """Renames over what has the name. A folder there goes aside: what is in it may be wanted elsewhere."""
        if name.copy is not None and name.copy.is_folder:
            aside = taking.temporary_name(name.name)
            os.rename(name.name, aside, src_dir_fd=at.copy.fd, dst_dir_fd=at.copy.fd)
            if name.record is not None:
                self._records.move(name.record.number, at.record.number, aside)
                self.gone.add(name.record.number)
            else:
                removing.remove(at.copy, aside)
        elif name.copy is not None:
            attributes.keep_own_rules(at.copy, name.name, at.copy, temporary)
        os.rename(temporary, name.name, src_dir_fd=at.copy.fd, dst_dir_fd=at.copy.fd)

    def _look_at_links(self, at: Place, name: Name, source: Facts) -> None:
        """Their copies are still links to the old one, and no event tells of them."""
        for other in self._records.of_inode(source.identity, MOST_LINKS):
            path = self._records.path_of(other.number)
            if path is not None and path != (*at.parts, name.name):
                self.also.add(path)

    def _move(self, at: Place, step: Step) -> None:
        name, source, other = step.name, _source_of(step), _other_of(step)
        path = self._records.path_of(other.record.number)
        assert path is not None
        with self._copy.folder(path[:-1]) as there:
            if there is None or not _is_still(there.facts(path[-1]), other.copy):
                raise Restless("its copy is elsewhere by now")
            if step.deed is Deed.EXCHANGE:
                _exchange(there.fd, path[-1], at.copy.fd, name.name)
                self._records.exchange(other.record.number, at.record.number, name.name)
            else:
                os.rename(path[-1], name.name, src_dir_fd=there.fd, dst_dir_fd=at.copy.fd)
                if name.record is not None:
                    self._records.forget(name.record.number)
                self._records.move(other.record.number, at.record.number, name.name)
        self._records.put(at.record.number, name.name, source)
        self.report.counts.moved += 1
        self.touched |= {at.parts, path[:-1]}
        self.also.add(path)
        if source.is_folder:
            self.touched.add((*at.parts, name.name))
        else:
            attributes.set_all(at.source, name.name, source, at.copy, name.name)

    def _link(self, at: Place, step: Step) -> None:
        name, source, other = step.name, _source_of(step), _other_of(step)
        path = self._records.path_of(other.record.number)
        assert path is not None
        temporary = taking.temporary_name(name.name)
        with self._copy.folder(path[:-1]) as there, _removed_if_it_fails(at.copy, temporary):
            if there is None or not _is_still(there.facts(path[-1]), other.copy):
                raise Restless("its copy is elsewhere by now")
            os.link(path[-1], temporary, src_dir_fd=there.fd, dst_dir_fd=at.copy.fd, follow_symlinks=False)
            self._put_in_place(at, name, temporary)
        attributes.set_all(at.source, name.name, source, at.copy, name.name)
        self._records.put(at.record.number, name.name, source)
        self.report.counts.linked += 1
        self.touched.add(at.parts)

    def _attributes(self, at: Place, step: Step) -> None:
        name, source = step.name, _source_of(step)
        if source.is_folder:
            self.touched.add((*at.parts, name.name))
        else:
            self._set_attributes(at, name, source)
        self._records.put(at.record.number, name.name, source)

    def _set_attributes(self, at: Place, name: Name, source: Facts) -> None:
        before = at.copy.facts(name.name)
        attributes.set_all(at.source, name.name, source, at.copy, name.name)
        after = at.copy.facts(name.name)
        if before is None or after is None or before.rights != after.rights:
            self.report.counts.changed += 1

    def _explain(self, at: Place, step: Step) -> None:
        name, source = step.name, _source_of(step)
        if attributes.extended_differ(at.source, name.name, at.copy, name.name):
            self.report.counts.changed += 1
        else:
            if source.is_file:
                self._must_rest((*at.parts, name.name), source)
            alive = self.report.alive
            if not taking.holds_same_bytes(at.source, name.name, source, at.copy, name.name, alive):
                self._take(at, step)
                return
        self._attributes(at, step)

    def _remove(self, at: Place, step: Step) -> None:
        if not removing.remove(at.copy, step.name.name):
            self.report.hint((*at.parts, step.name.name), "in it lies the copy of another folder: it is left there")
            return
        self.report.counts.removed += 1
        self.touched.add(at.parts)

    def _gone(self, at: Place, step: Step) -> None:
        assert step.name.record is not None
        if step.deed is Deed.FORGET:
            self._records.forget(step.name.record.number)
        else:
            self.gone.add(step.name.record.number)

    def _must_rest(self, path: Parts, source: Facts) -> None:
        """Raises Restless. By the file's own ctime; where its clock is ahead of ours, by having looked twice."""
        age = self._clock() - source.ctime_ns / 1e9
        if age >= REST_SECONDS:
            return
        if age < 0:
            before = self._from_the_future.pop(path, None)
            if before is not None and before.is_state_of(source):
                return
            if len(self._from_the_future) < MOST_LINKS:
                self._from_the_future[path] = source
        raise Restless("it has changed just now")


def _source_of(step: Step) -> Facts:
    assert step.name.source is not None
    return step.name.source


def _other_of(step: Step) -> Elsewhere:
    assert step.other is not None
    return step.other


def _is_still(now: Facts | None, then: Facts | None) -> bool:
    return now is not None and then is not None and now.identity == then.identity


@contextlib.contextmanager
def _removed_if_it_fails(folder: Folder, temporary: bytes) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder.fd)
        raise


def _exchange(one_fd: int, one: bytes, other_fd: int, other: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(one_fd, one, other_fd, other, _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(other))

