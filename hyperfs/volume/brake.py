"""The brake of an open drive: watches what versions lose, and says whether old ones may be let go.

Each version only adds to a number. Where that is too large for ten minutes a worker thread looks which files are lost;
whoever is about to let something go has it look first. Once it is on it stays on, over restarts, until somebody
releases it.
"""

import logging
import os
import shlex
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import trio

from hyperfs.errors import ReadOnlyDrive, Refused
from hyperfs.policy.brake import WINDOW_NS, Alarm, Sample, Stretch, Window, alarm
from hyperfs.policy.when import display_name
from hyperfs.volume import brake_record
from hyperfs.volume.brake_record import ON, RELEASED, BrakeRecord
from hyperfs.volume.losses import Losses
from hyperfs.volume.parts import Parts
from hyperfs.volume.rescue import UNREADABLE
from hyperfs.volume.touched import Pace, Trees, look_at

SETTLE_SECONDS: Final = 2.0
"""After a version, before anybody looks: more of them come."""
PATIENCE_SECONDS: Final = 15.0
REST: Final = 9
"""It rests so many times as long as it looked."""
WORK_SECONDS: Final = 0.002
REST_SECONDS: Final = 0.008
SECOND_NS: Final = 10**9

log = logging.getLogger("hyperfs.brake")

Durable = Callable[[], Awaitable[None]]
"""Returns when what was set is on the disk. Raises ReadOnlyDrive, OSError."""


class Brake:
    """Owned by the trio thread. `_window`, `_sample` and `_known` belong to the holder of `_looking`, who lends them to
    the thread that looks."""

    def __init__(self, parts: Parts, durable: Durable) -> None:
        self._parts = parts
        self._durable = durable
        self._looking = trio.Lock()
        self._released = trio.Event()
        self._window = Window()
        self._sample = Sample()
        self._known: dict[tuple[int, ...], bool] = {}
        self._counted = parts.committer.changed_files
        self.record = self._load()
        """What was seen last; None where nothing ever was."""
        self._seen = self._begin()
        """The version up to which the window has everything."""
        self._is_retired = False

    def _load(self) -> BrakeRecord | None:
        try:
            value = self._parts.overlay.live.fact(brake_record.KEY)
            return None if value is None else brake_record.decode(value)
        except UNREADABLE:
            self._parts.warnings["brake"] = "whether the brake was on can't be read: 'hyperfs verify' tells more"
            return None

    def _begin(self) -> int:
        """What came in the last ten minutes of the drive is looked at again when it is opened, since this process
        doesn't know how much that was; but nothing from before a release."""
        newest = self._parts.committer.newest
        with suppress(*UNREADABLE):
            before = self._parts.catalog.at_time(newest.time_ns - WINDOW_NS - 1) or 0
            return max(before, self.record.seen if self.record is not None else 0)
        return newest.version

    @property
    def is_on(self) -> bool:
        """Whether nothing may be let go, here or to make room for other things."""
        return self.record is not None and self.record.state == ON

    def check(self) -> None:
        """Raises Refused while it is on."""
        if self.is_on:
            raise Refused(f"nothing is let go while the brake is on. {self.words()}")

    def retire(self) -> None:
        """Nothing is looked at any more."""
        self._is_retired = True

    # Watching

    async def follow(self) -> None:
        """Looks whenever there is reason to. Runs until it is cancelled."""
        while True:
            made = self._parts.committer.made
            if self.is_on:
                await self._released.wait()
                continue
            async with self._looking:
                self._count()
                suspicious = self._window.is_suspicious and bool(self._window.unknown)
            if not suspicious:
                await made.wait()
                continue
            await trio.sleep(SETTLE_SECONDS)
            began = trio.current_time()
            await self.look(_paced(), PATIENCE_SECONDS)
            await trio.sleep(REST * (trio.current_time() - began))

    async def look(self, pace: Pace = trio.from_thread.check_cancelled, patience_seconds: float = 0) -> None:
        """Returns when everything up to the newest version has been looked at, and the brake is on if it must be.

        `patience_seconds`: what was only deleted may be about to come again, so it is looked at twice.
        """
        async with self._looking:
            if self.is_on or self._parts.read_only or self._is_retired:
                return
            self._count()
            if not self._window.is_suspicious:
                return
            newest = self._parts.committer.newest
            trees = Trees(self._parts, newest)
            losses = Losses(trees, self._parts.chunkstore, pace, self._known)
            found = await trio.to_thread.run_sync(_look, trees, losses, self._window, self._sample, pace)
            if found is None:
                return
            if not patience_seconds or 2 * found.deleted < found.lost:
                await self._put_on(found, newest.version, losses.path_of(found.folder))
                return
        await trio.sleep(patience_seconds)
        await self.look(pace)

    def _count(self) -> None:
        """Takes up what came since the last time."""
        newest, counted = self._parts.committer.newest, self._parts.committer.changed_files
        if newest.version <= self._seen:
            return
        files = counted - self._counted if self._window.stretches else float("inf")
        self._window.add(Stretch(self._seen + 1, newest.version, newest.time_ns, files))
        self._sample.forget(newest.time_ns - WINDOW_NS)
        self._seen, self._counted = newest.version, counted

    # On and off

    async def _put_on(self, found: Alarm, seen: int, path: bytes) -> None:
        when_ns = self._parts.overlay.now_ns()
        facts = (found.before, seen, found.folder, found.lost, found.deleted, found.of)
        self._released = trio.Event()
        self._note(BrakeRecord(ON, when_ns, *facts, path))
        log.critical("%s", self.words())
        with suppress(ReadOnlyDrive, OSError):  # it is on all the same, and in the next version that can be made
            await self._durable()

    async def release(self) -> bool:
        """Lets versions go again; whether it was on. What was lost until now counts no more. Raises ReadOnlyDrive,
        OSError."""
        if self.record is None or not self.is_on:
            return False
        newest = self._parts.committer.newest
        async with self._looking:
            self._window, self._sample, self._known = Window(), Sample(), {}
            self._window.add(Stretch(newest.version, newest.version, newest.time_ns, 0, known=True))
            self._seen, self._counted = newest.version, self._parts.committer.changed_files
        log.warning("the brake was released")
        self._note(self.record._replace(state=RELEASED, when_ns=self._parts.overlay.now_ns(), seen=newest.version))
        self._released.set()
        await self._durable()
        return True

    def _note(self, record: BrakeRecord) -> None:
        self.record = record
        self._parts.overlay.set_fact(brake_record.KEY, brake_record.encode(record))

    # In words

    def words(self) -> str:
        """What put it on, and what to do: sentences. Empty where nothing ever did."""
        if self.record is None:
            return ""
        record = self.record
        where = repr(os.fsdecode(record.path)) if record.path else "the drive"
        when = display_name(record.when_ns // SECOND_NS)
        lost = [f"{record.overwritten} overwritten with what looks encrypted"] * bool(record.overwritten)
        lost += [f"{record.deleted} deleted"] * bool(record.deleted)
        path = shlex.quote(os.fsdecode(record.path) or ".")
        return (
            f"THE BRAKE IS ON since {when}: in {where} {record.lost} of {record.of} files were lost within minutes "
            f"({', '.join(lost)}). Nothing old is let go, and version {record.before} still has them all. In the "
            f"drive's root, 'hyperfs diff @{record.before} --names' tells what changed since, 'hyperfs restore {path} "
            f"--at @{record.before}' puts it back. If it was meant: 'hyperfs brake release'."
        )

    def facts(self) -> dict[str, Any]:
        """For programs: what put it on, or did so last. `when_ns`: since when it is on, or when it was released."""
        if self.record is None:
            return {"on": False}
        record = self.record
        return {
            "on": self.is_on,
            "when_ns": record.when_ns,
            "folder": os.fsdecode(record.path),
            "restore": record.before,
            "seen": record.seen,
            "lost": record.lost,
            "overwritten": record.overwritten,
            "deleted": record.deleted,
            "of": record.of,
        }


def _look(trees: Trees, losses: Losses, window: Window, sample: Sample, pace: Pace) -> Alarm | None:
    """In a worker thread. Each version is looked at once, each file that is in the sample each time."""
    for stretch in window.unknown:
        window.learn(stretch, list(look_at(trees, stretch, sample, pace)))
    if not window.is_suspicious or not len(sample):
        return None
    oldest, lost = min(touched.before for touched in sample), losses.of(sample)
    log.info(
        "of %d files that were changed or deleted in ten minutes, %d are lost",
        *(len(found) * sample.scale for found in (sample, lost)),
    )
    return alarm(lost, sample.scale, lambda folder, most: losses.files_below(oldest, folder, most))


def _paced() -> Pace:
    """Has the thread rest most of the time, and end when it is to end."""
    rested = time.monotonic()

    def pace() -> None:
        nonlocal rested
        trio.from_thread.check_cancelled()
        if time.monotonic() - rested >= WORK_SECONDS:
            time.sleep(REST_SECONDS)
            rested = time.monotonic()

    return pace
