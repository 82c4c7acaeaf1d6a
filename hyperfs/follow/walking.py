"""From names to the whole: a batch of changed paths, or everything. Both end with what had to wait for the end."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from hyperfs.errors import Unreachable
from hyperfs.follow import attributes, removing
from hyperfs.follow.comparing import Comparing, is_of_the_drive
from hyperfs.follow.deeds import Place
from hyperfs.follow.facts import Facts, Parts
from hyperfs.follow.patterns import FILE_NAME
from hyperfs.follow.tree import Unknown

CHUNK_NAMES: Final = 200
"""Names that are compared without a pause in which others may be taken."""
MOST_ROUNDS: Final = 4
"""How often what comes up while comparing is compared as well; a rescan does the rest."""


class Emptied(Unreachable):
    """The followed folder is empty and was not: that is no deletion."""


class Walking:
    """One batch or one rescan, to be driven: its iterators do a piece between two steps.

    `restless` hears of files that are not at rest, for the next time. `may_empty`: an empty folder is meant.
    """

    def __init__(self, comparing: Comparing, restless: Callable[[Parts], None], may_empty: bool = False) -> None:
        self._comparing = comparing
        self._source = comparing.source
        self._copy = comparing.copy
        self._records = comparing.records
        self._report = comparing.report
        self._deeds = comparing.deeds
        self._restless = restless
        self._may_empty = may_empty

    def everything(self) -> Iterator[None]:
        """Raises Emptied, at the end; OSError where it is the drive that fails."""
        yield from self._below([()])
        yield from self._also()
        self._finish()

    def paths(self, paths: Iterable[Parts], whole: Iterable[Parts] = ()) -> Iterator[None]:
        """Compares these; those in `whole` with all that is in them. Raises as `everything`."""
        yield from self._round(set(paths), set(whole))
        yield from self._also()
        self._finish()

    def _also(self) -> Iterator[None]:
        done: set[Parts] = set()
        for _ in range(MOST_ROUNDS):
            paths = self._deeds.also - done
            if not paths:
                return
            done |= paths
            yield from self._round(paths, set())

    def _round(self, paths: set[Parts], whole: set[Parts]) -> Iterator[None]:
        for path in paths:
            if path and path[-1] == FILE_NAME:
                self._comparing.ignoring.forget(path[:-1])
                whole = whole | {path[:-1]}
        new = {path for path in whole if not path}
        groups: dict[Parts, set[bytes]] = defaultdict(set)
        known: dict[Parts, Parts | None] = {}
        for path in paths | whole:
            self._put_in_group(path, groups, known)
        for folder in sorted(groups, key=len):
            found = self._names(folder, groups[folder])
            new |= {path for path, is_new in found.items() if is_new or path in whole}
            yield
        yield from self._below(sorted(new, key=len, reverse=True))

    def _put_in_group(
        self, path: Parts, groups: dict[Parts, set[bytes]], known: dict[Parts, Parts | None]
    ) -> None:
        """A path is compared in its folder; where that is not known or not what it was, the folder is."""
        if not path:
            self._deeds.touched.add(())
            return
        parent = path[:-1]
        if parent not in known:
            known[parent] = self._first_unknown(parent)
        where = known[parent] or path
        groups[where[:-1]].add(where[-1])

    def _first_unknown(self, folder: Parts) -> Parts | None:
        """The first folder on the way to one, or this itself, that is not what it was. None if all are."""
        record = self._records.top()
        for depth in range(1, len(folder) + 1):
            way = folder[:depth]
            record = self._records.child(record.number, way[-1]) if record is not None else None
            if record is None or not record.is_folder:
                return way
            try:
                source = self._source.facts(way)
                left_out = source is not None and self._comparing.ignoring.leaves_out(way, source)
            except OSError:
                return way
            copy = self._copy.facts(way)
            if source is None or source.identity != record.identity or left_out or copy is None or not copy.is_folder:
                return way
        return None

    def _names(self, folder: Parts, names: Iterable[bytes]) -> dict[Parts, bool]:
        with self._place(folder) as place:
            return {} if place is None else self._comparing.names(place, sorted(names), self._restless)

    @contextmanager
    def _place(self, parts: Parts) -> Iterator[Place | None]:
        """None where one of the three is missing or the source can't be opened: then nothing in it is concluded."""
        try:
            source = self._source.open(parts)
        except OSError as error:
            self._report.note(parts, error.strerror or str(error))
            yield None
            return
        try:
            with self._copy.folder(parts) as copy:
                record = self._records.find(parts)
                if source is None or copy is None or record is None:
                    yield None
                    return
                self._make_writable(copy.own_facts(), parts, copy.fd)
                yield Place(source, copy, record)
        finally:
            if source is not None:
                source.close()

    def _make_writable(self, facts: Facts, parts: Parts, fd: int) -> None:
        """Its own mode comes back when the folder is finished."""
        if facts.mode & 0o700 != 0o700 and os.geteuid() != 0:
            os.chmod(fd, facts.mode | 0o700)
            self._deeds.touched.add(parts)

    def _below(self, folders: Iterable[Parts]) -> Iterator[None]:
        """Everything in these folders, each finished when all that is in it is."""
        stack = [(folder, False) for folder in folders]
        while stack:
            parts, leaving = stack.pop()
            if leaving:
                self._settle(parts)
                continue
            with self._place(parts) as place:
                names = None if place is None else self._all_names(place)
                if place is None or names is None:
                    continue
                stack.append((parts, True))
                for start in range(0, len(names), CHUNK_NAMES):
                    found = self._comparing.names(place, names[start : start + CHUNK_NAMES], self._restless)
                    stack += [(path, False) for path in found]
                    yield

    def _all_names(self, place: Place) -> list[bytes] | None:
        """Of the source, the copy and the records. None if the source can't be listed."""
        try:
            names = place.source.names()
        except OSError as error:
            self._report.note(place.parts, error.strerror or str(error))
            return None
        self._report.fine(place.parts)
        return sorted({*names, *place.copy.names(), *self._records.children(place.record.number)})

    def _finish(self) -> None:
        try:
            self._remove_gone()
        finally:
            for parts in sorted(self._deeds.touched, key=len, reverse=True):
                self._settle(parts)

    def _remove_gone(self) -> None:
        paths = {number: path for number in self._deeds.gone if (path := self._records.path_of(number))}
        gone = {number: path for number, path in paths.items() if self._is_gone(path)}
        if gone and not self._may_empty and not self._source.top.names():
            raise Emptied("the followed folder is empty")
        for number, path in gone.items():
            self._report.unsaved = True
            with self._copy.folder(path[:-1]) as folder:
                if folder is None or removing.remove(folder, path[-1]):
                    self._records.forget(number)
                    self._report.counts.removed += 1
                    self._report.fine(path)
                else:
                    self._report.hint(path, "in it lies the copy of another folder: it is left there")
            self._deeds.touched.add(path[:-1])

    def _is_gone(self, path: Parts) -> bool:
        """It may have come back, or have been found under the name that it has now."""
        try:
            return self._source.facts(path) is None or self._comparing.ignoring.leaves_out_way(path)
        except OSError:
            return False

    def _settle(self, parts: Parts) -> None:
        """Gives a folder its attributes, after what was done in it has changed its times."""
        above, name = (parts[:-1], parts[-1]) if parts else ((), b".")
        try:
            with self._source.folder(above) as source, self._copy.folder(above) as copy:
                wanted = None if source is None else source.facts(name)
                now = None if copy is None else copy.facts(name)
                if source is None or copy is None or wanted is None or now is None or not wanted.is_folder:
                    return
                if parts in self._deeds.touched or (wanted.mode, wanted.mtime_ns) != (now.mode, now.mtime_ns):
                    self._report.unsaved = True
                    attributes.set_all(source, name, wanted, copy, name)
        except Unknown as error:
            self._report.note(parts, str(error))
        except OSError as error:
            if is_of_the_drive(error):
                raise
            self._report.note(parts, error.strerror or str(error))
        self._deeds.touched.discard(parts)
