"""Following over time: rescans, batches of what has come to rest, versions, and waiting for what is not there."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hyperfs.daemon.exit_codes import words_of
from hyperfs.errors import HyperfsError, Unreachable
from hyperfs.follow import session as sessions
from hyperfs.follow.changes import Changes
from hyperfs.follow.comparing import Comparing, Wishes
from hyperfs.follow.deeds import Deeds
from hyperfs.follow.facts import Parts
from hyperfs.follow.ignoring import Ignoring
from hyperfs.follow.places import Follow, never_copied
from hyperfs.follow.records import TOP, Records
from hyperfs.follow.report import Counts, Report
from hyperfs.follow.session import Session
from hyperfs.follow.settling import RESTLESS_SECONDS
from hyperfs.follow.walking import Emptied, Walking

AGAIN_SECONDS: Final = 2.0
"""So long it is waited for a folder or a drive that is not there."""
FAILED_SECONDS: Final = 30.0
"""And so long after any other failure, for much may have been compared until it came."""
IDLE_SECONDS: Final = 5.0
VERSION_SECONDS: Final = 10.0
"""During a rescan a version is made at least so often, and the records are kept."""
UNWATCHED_SECONDS: Final = 300.0

Tell = Callable[[str, dict[str, Any]], None]
"""Hears of an event and its facts, as docs/follow.md lists them."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """`ignore`: the text of --ignore-file, read anew for each rescan. `alive`: called at each piece of work."""

    ignore: Callable[[], bytes]
    rescan_seconds: float
    force: bool
    alive: Callable[[], None] = lambda: None


class Follower:
    """One follow. All of it runs in the caller's thread; only `Changes` hears from others."""

    def __init__(
        self, follow: Follow, records: Records, changes: Changes, options: Options, tell: Tell, progress: Progress
    ) -> None:
        self._follow = follow
        self._records = records
        self._changes = changes
        self._options = options
        self._force = options.force
        self._tell = tell
        self._progress = progress
        self._ignore = b""
        self._told_why = ""
        self._scanned = False
        self._last_version = time.monotonic()
        self.report = Report(lambda path, why: tell("note", {"path": b"/".join(path), "why": why}), options.alive)

    def forever(self) -> None:
        """Until an exception ends it; KeyboardInterrupt is the usual one."""
        next_scan = time.monotonic()
        while True:
            self.report.alive()
            try:
                if time.monotonic() >= next_scan or self._changes.lost():
                    next_scan = float("inf")
                    self._rescan()
                    next_scan = time.monotonic() + self._pause()
                self._batch()
                self._tell_of_restless()
            except (HyperfsError, OSError, sqlite3.Error) as error:
                next_scan = time.monotonic() + (AGAIN_SECONDS if isinstance(error, Unreachable) else FAILED_SECONDS)
                self._give_up(error)
            self._changes.wait(max(0.0, min(next_scan - time.monotonic(), IDLE_SECONDS)))

    def once(self) -> None:
        """Until the copy is equal, or what keeps changing has had a minute."""
        until = time.monotonic() + RESTLESS_SECONDS
        self._rescan()
        while self._changes.pending() and time.monotonic() < until:
            self._changes.wait(IDLE_SECONDS)
            self._batch()
        for path in self._changes.waited_for():
            self.report.note(path, "it does not stop changing")

    def _pause(self) -> float:
        seconds = self._options.rescan_seconds
        return seconds if self._changes.watched else min(seconds, UNWATCHED_SECONDS)

    def _rescan(self) -> None:
        self._changes.begin_rescan()
        self._ignore = self._options.ignore()
        is_import = not self._records.has_children(TOP)
        self.report.seen = 0
        with sessions.opened(self._follow, self._records, self._force) as opened:
            walking = self._walking(opened)
            for _ in walking.everything():
                self.report.alive()
                self._progress(self._words(is_import), self.report.seen, 0)
                if self._changes.is_due():
                    self._take(opened)
                if self.report.unsaved and time.monotonic() - self._last_version > VERSION_SECONDS:
                    self._version(scan=True)
        self._version(scan=True, always=not self._scanned)
        self._force = False
        self._scanned = True

    def _words(self, is_import: bool) -> str:
        what = "first import" if is_import else "comparing"
        return f"{what}: {self.report.seen:,} names"

    def _batch(self) -> None:
        if self._changes.is_due():
            with sessions.opened(self._follow, self._records, self._force) as opened:
                self._take(opened)
            self._version(scan=False)

    def _take(self, opened: Session) -> None:
        due = self._changes.take()
        first = {path: since for path, (_, since) in due.items()}
        walking = self._walking(opened, first)
        for _ in walking.paths(due, [path for path, (whole, _) in due.items() if whole]):
            self.report.alive()

    def _walking(self, opened: Session, first: dict[Parts, float] | None = None) -> Walking:
        ignoring = Ignoring(opened.source, self._ignore, never_copied(self._follow.into), self.report)
        deeds = Deeds(opened.copy, self._records, self.report, from_the_future=self._changes.from_the_future)
        comparing = Comparing(
            opened.source, opened.copy, self._records, ignoring, deeds, Wishes(opened.into_is_root, self._force)
        )
        since = first or {}
        return Walking(comparing, lambda path: self._changes.restless(path, since.get(path)), self._force)

    def _version(self, scan: bool, always: bool = False) -> None:
        """The version first: records must not tell of what a power cut could take back."""
        report = self.report
        if report.unsaved or always:
            number = sessions.version(self._follow)
            if report.counts.any() or always:
                self._tell("batch", {"version": number, **vars(report.counts), "scan": scan})
        self._records.commit()
        report.unsaved = False
        report.counts = Counts()
        self._last_version = time.monotonic()
        self._told_why = ""

    def _tell_of_restless(self) -> None:
        for path in self._changes.never_at_rest():
            self.report.hint(path, "it does not stop changing, and is taken when it does")

    def _give_up(self, error: Exception) -> None:
        """What was done since the last version is looked at again, when there is something to wait for no more."""
        self._records.rollback()
        self.report.unsaved = True
        if isinstance(error, Emptied):
            why = f"{self._follow.folder} is empty, and was not. Nothing is deleted"
        else:
            why = words_of(error)
        if why != self._told_why:
            self._told_why = why
            self._tell("waiting", {"why": why})
