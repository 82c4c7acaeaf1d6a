"""What is known to have changed, shared by watchdog's threads and the one that copies."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from hyperfs.daemon import mounts
from hyperfs.follow.facts import Facts, Parts
from hyperfs.follow.settling import Settling
from hyperfs.follow.watching import Watching, why_not

LOOK_SECONDS: Final = 5.0
SHORTEST_WAIT_SECONDS: Final = 0.05


class Changes:
    """`watch` False: only what it is told. `_lock` guards `_settling`, `_lost` and `_broken`; all else is the copying
    thread's."""

    def __init__(self, folder: Path, unwatched: Callable[[str], None], watch: bool = True) -> None:
        """`unwatched` hears why the folder can't be watched."""
        self.from_the_future: dict[Parts, Facts] = {}
        """Files whose clock is ahead of ours, as they were when they were looked at last."""
        self._folder = folder
        self._unwatched = unwatched
        self._wanted = watch
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._settling = Settling()
        self._lost = False
        self._broken = ""
        self._watching: Watching | None = None
        self._state: object = None
        self._looked = 0.0

    @property
    def watched(self) -> bool:
        return self._watching is not None

    def begin_rescan(self) -> None:
        """Everything is about to be compared. Watches first, so that nothing is missed in between."""
        state = _what_is_there(self._folder)
        with self._lock:
            broken, self._broken = self._broken, ""
            self._settling.forget_all()
            self._lost = False
        if self._watching is not None and not broken and state == self._state:
            return
        self.stop()
        self._state = state
        if broken:
            self._unwatched(broken)
        elif self._wanted:
            try:
                self._watching = Watching(self._folder, self._changed, self._missed)
            except OSError as error:
                self._unwatched(why_not(error))

    def lost(self) -> bool:
        """Whether everything has to be compared: events were lost, or the watch is not on what is there now."""
        with self._lock:
            if self._lost or self._settling.overflowed:
                return True
        if self._watching is None or time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        return _what_is_there(self._folder) != self._state

    def is_due(self) -> bool:
        with self._lock:
            due = self._settling.next_due()
        return due is not None and due <= time.monotonic()

    def take(self) -> dict[Parts, tuple[bool, float]]:
        """What has come to rest, as `Settling.due`."""
        with self._lock:
            return self._settling.due(time.monotonic())

    def restless(self, path: Parts, first: float | None) -> None:
        """A file was not at rest; `first`: when it was first heard of, if it had been."""
        now = time.monotonic()
        with self._lock:
            self._settling.restless(path, now if first is None else first, now)

    def pending(self) -> int:
        with self._lock:
            return len(self._settling)

    def waited_for(self) -> list[Parts]:
        with self._lock:
            return self._settling.paths()

    def never_at_rest(self) -> list[Parts]:
        with self._lock:
            return list(self._settling.never_at_rest(time.monotonic()))

    def wait(self, most: float) -> None:
        """Until something may be due, or is the first that is heard of."""
        with self._lock:
            due = self._settling.next_due()
        if due is not None:
            # Events come in crowds: one look for many.
            most = min(most, max(due - time.monotonic(), SHORTEST_WAIT_SECONDS))
        self._wake.wait(most)
        self._wake.clear()

    def stop(self) -> None:
        if self._watching is not None:
            self._watching.stop()
            self._watching = None

    def _changed(self, path: Parts, whole: bool) -> None:
        with self._lock:
            first = len(self._settling) == 0
            self._settling.touch(path, time.monotonic(), whole)
        if first:
            self._wake.set()

    def _missed(self, why: str) -> None:
        with self._lock:
            self._lost = True
            self._broken = self._broken or why
        self._wake.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _what_is_there(folder: Path) -> object:
    """What a watch hangs on: the folder itself, and the disks that are mounted in it."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    top = os.fsencode(folder).rstrip(b"/") + b"/"
    below = [mount.point for mount in mounts.mount_points() if mount.point.startswith(top)]
    return found.st_dev, found.st_ino, below
