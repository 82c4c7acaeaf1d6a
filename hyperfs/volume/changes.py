"""What each version changed, kept in the derived index: by version, by inode, and by directory and name.

So that a file's history, a folder's deleted things and the steps of an undo cost what is asked for, and not a walk
through a hundred thousand versions. The rows are made of the difference between a version and the kept version before
it, in the background when the drive is quiet, or when somebody asks; they are made anew when the index is lost.

**They are hints.** Rows of versions that were let go stand for a change by the next kept version, until a collection
takes them away (see row_trimming.py); who finds a row looks into the trees of kept versions, which alone decide.
Nothing is ever freed because of a row.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

import trio

from hyperfs.errors import Corrupt, FormatTooNew, IndexDamaged, NoSuchVersion, NotResident
from hyperfs.store.memory import MemoryIndex
from hyperfs.volume import change_rows as rows
from hyperfs.volume.catalog import Catalog, Change, VersionFacts
from hyperfs.volume.change_collector import BELOW, LEFT, LISTED_MOST, NAMED, Collector
from hyperfs.volume.change_rows import DELETED, MOVED, TRASHED, Name, Touched, VersionChanges, Went
from hyperfs.volume.tree_changes import ATTRIBUTES, CONTENT, REPLACED, tree_changes
from hyperfs.volume.versions import Versions

__all__ = [
    "ATTRIBUTES",
    "BELOW",
    "CONTENT",
    "DELETED",
    "LEFT",
    "MOVED",
    "NAMED",
    "REPLACED",
    "STEP_NS",
    "TRASHED",
    "UNREADABLE",
    "Changes",
    "Name",
    "Touched",
    "VersionChanges",
    "Went",
]

STEP_NS: Final = 5_000_000_000
"""Changes with shorter pauses between them are one step: to undo, and the deletion of a folder."""
QUIET_SECONDS: Final = 3.0
"""So long after the newest version the rows are made in the background."""
SLICE_SECONDS: Final = 0.004
REST_SECONDS: Final = 0.016
"""Between slices in the background, so that nobody waits long for the thread that does everything."""
ROWS_AT_ONCE: Final = 500
VERSIONS_AT_ONCE: Final = 500
Tell = Callable[[str, int, int], Awaitable[None]]
DIRECTORY: Final = 4  # as d_type
UNREADABLE: Final = (Corrupt, FormatTooNew, NotResident, NoSuchVersion)


class Changes:
    """Owned by the trio thread. Questions answer for the versions that have rows: ask `caught_up` first."""

    def __init__(self, catalog: Catalog, versions: Versions, key: bytes, read_only: bool) -> None:
        """`key`: the drive's for node ids. `read_only`: the index takes no rows; those that lack are in memory."""
        self._catalog = catalog
        self._versions = versions
        self.codec = self._codec = rows.RowCodec(key)
        self._extra: Catalog | None = Catalog(MemoryIndex()) if read_only else None
        self._filling = trio.Lock()
        self._pending: list[Change] = []

    # Questions

    def of(self, version: int) -> VersionChanges:
        """What a version changed, from its row or else from the trees, of which up to LISTED_MOST differences are read.

        Raises NoSuchVersion, Corrupt, NotResident.
        """
        before = self._versions.before(version)
        value = self._row(rows.version_key(version))
        found = None if value is None else self._codec.version_changes(version, value)
        if found is not None and found.before == before:
            return found
        collector = self._collector(version, before)
        events = tree_changes(self._versions.whole_tree(before), self._versions.whole_tree(version))
        for count, event in enumerate(event for event in events if event is not None):
            collector.take(event)
            if count >= LISTED_MOST:
                break
        changes = collector.changes()
        self._keep([self._codec.version_row(changes)])
        return changes

    def touched(self, ino: int, through: int | None = None) -> Iterator[Touched]:
        """The versions, newest first and none behind `through`, that changed an inode which the version before had;
        of a directory also those that changed anything below it."""
        prefix = rows.inode_prefix(ino)
        for key, value in self._rows(prefix, prefix if through is None else rows.inode_start(ino, through)):
            yield rows.touched(key, value)

    def went(self, directory: int, name: bytes | None = None, through: int | None = None) -> Iterator[Went]:
        """The names that a live directory, or one that was live then, lost; of one name newest first, and none behind
        `through`."""
        prefix = self._codec.went_prefix(directory, name)
        start = prefix if name is None or through is None else rows.went_start(prefix, through)
        for key, value in self._rows(prefix, start):
            found = self._codec.went(key, value)
            if found is not None and name in (None, found.name):
                yield found

    def all_went(self, wanted: Callable[[int], bool]) -> Iterator[Went]:
        """Of all directories that are wanted. The rows of others are passed over, however many there are."""
        start: bytes | None = rows.WENT_PREFIX
        while start is not None:
            found, start = self._rows(rows.WENT_PREFIX, start), None
            for key, value in found:
                directory = rows.ino_of(key)
                if not wanted(directory):
                    start = rows.behind_directory(directory)
                    break
                went = self._codec.went(key, value)
                if went is not None:
                    yield went

    def forget_went(self, found: Iterable[Went]) -> None:
        """These can't be had any more."""
        self._keep([(self._codec.went_row(went)[0], None) for went in found])

    @property
    def filled(self) -> int:
        """The version up to which all versions have their rows."""
        return rows.filled(self._row(rows.FILLED_KEY))

    # Filling

    async def caught_up(self, tell: Tell | None = None) -> None:
        """Returns when every version that there was at the call has its rows. `tell` hears how far that is."""
        newest = self._versions.newest.version
        if self.filled >= newest:
            return
        async with self._filling:
            await self._fill(rest_seconds=0, tell=tell)

    async def follow(self, made: Callable[[], trio.Event]) -> None:
        """Makes rows whenever the drive is quiet. Runs until it is cancelled. `made`: set at the next version."""
        with suppress(IndexDamaged):  # the next opening makes the index anew
            while True:
                next_one = made()
                behind = self._versions.newest.version - self.filled
                with trio.move_on_after(QUIET_SECONDS if behind and not self._catalog.trouble else math.inf):
                    await next_one.wait()
                    if behind < VERSIONS_AT_ONCE:
                        continue
                async with self._filling:
                    await self._fill(REST_SECONDS)

    async def _fill(self, rest_seconds: float, tell: Tell | None = None) -> None:
        while (filled := self.filled) < (newest := self._versions.newest.version):
            if tell is not None:
                await tell("reading what versions changed", filled, newest)
            found = self._versions.some(filled + 1, VERSIONS_AT_ONCE)
            if not found:
                return
            until = trio.current_time() + SLICE_SECONDS
            try:
                for _ in self._steps(found):
                    if trio.current_time() >= until:
                        await trio.sleep(rest_seconds)
                        until = trio.current_time() + SLICE_SECONDS
            finally:
                self._pending = []  # what a cancelled turn had not kept is made again
            await trio.lowlevel.checkpoint()

    def _steps(self, found: list[VersionFacts]) -> Iterator[None]:
        """Makes the rows of these versions; gives others a turn at every yield."""
        for facts in found:
            try:
                yield from self._make(facts)
            except IndexDamaged:
                raise
            except UNREADABLE:
                # Damaged, or let go a moment ago. Who asks for its list hears of it; the histories go on without.
                pass
            self._pending.append(rows.filled_row(facts.version))
            if len(self._pending) >= ROWS_AT_ONCE:
                self._keep_pending()
            yield None
        self._keep_pending()

    def _make(self, facts: VersionFacts) -> Iterator[None]:
        before = self._versions.before(facts.version)
        if not before:
            return  # all came: births stand in the inodes
        collector = self._collector(facts.version, before)
        old, new = self._versions.whole_tree(before), self._versions.whole_tree(facts.version)
        for count, event in enumerate(tree_changes(old, new)):
            if event is not None:
                collector.take(event)
            if event is None or not count % 20:
                yield None
        for ino, flags in collector.flags.items():
            self._pending.append(rows.inode_row(ino, facts.version, flags))
            if len(self._pending) >= ROWS_AT_ONCE:
                self._keep_pending()
                yield None
        for went in collector.gone:
            whole = went.kind == DIRECTORY and went.how == DELETED
            began = went._replace(began_ns=self._began(went)) if whole else went
            self._pending.append(self._codec.went_row(began))
            yield None
        self._pending.append(self._codec.version_row(collector.changes()))

    def _collector(self, version: int, before: int) -> Collector:
        versions = self._versions
        trees = versions.whole_tree(before), versions.whole_tree(version)
        known = versions.commit(before) if before else None
        return Collector(*trees, before, known.next_ino if known else 0, versions.commit(version).time_ns, version)

    def _began(self, went: Went) -> int:
        """The time of the first version of the burst that ends with a directory's going: versions with short pauses
        between them, in which names below it went and nothing else happened there."""
        self._keep_pending()
        began = went.time_ns
        for found in self.touched(went.ino, went.version - 1):
            facts = self._catalog.version(found.version)
            if found.flags != LEFT or facts is None or began - facts.time_ns >= STEP_NS:
                break
            began = facts.time_ns
        return began

    # Rows

    def _keep_pending(self) -> None:
        kept, self._pending = self._pending, []
        if kept:
            self._keep(kept)

    def _keep(self, changes: Iterable[Change]) -> None:
        (self._extra or self._catalog).apply(changes)

    def _row(self, key: bytes) -> bytes | None:
        found = self._extra.row(key) if self._extra is not None else None
        return self._catalog.row(key) if found is None else found

    def _rows(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        if self._extra is None:
            return self._catalog.rows(prefix, start)
        known = dict(self._extra.rows(prefix, start))
        return iter(sorted({**dict(self._catalog.rows(prefix, start)), **known}.items()))
