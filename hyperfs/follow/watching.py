"""What changes in the followed folder, as it happens: `watchdog`, which here is inotify.

It may lose events and may be unable to watch; then it says so, and everything is compared.
"""

import errno
import logging
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchdog import events
from watchdog.observers import Observer
from watchdog.utils import BaseThread

from hyperfs.follow.facts import Parts

_WANTED: Final[list[type[events.FileSystemEvent]]] = [
    # Not that files are opened and read: this process does it all the time.
    events.FileCreatedEvent,
    events.FileModifiedEvent,
    events.FileAttribEvent,
    events.FileDeletedEvent,
    events.FileMovedEvent,
    events.FileClosedEvent,
    events.DirCreatedEvent,
    events.DirModifiedEvent,
    events.DirAttribEvent,
    events.DirDeletedEvent,
    events.DirMovedEvent,
]
_LIMITS: Final = {
    errno.ENOSPC: "there are more folders than fs.inotify.max_user_watches allows ('sysctl -w "
    "fs.inotify.max_user_watches=1000000' allows more)",
    errno.EMFILE: "there are more watchers than fs.inotify.max_user_instances allows",
}

Changed = Callable[[Parts, bool], None]
"""A path below the folder, and whether all that is in it may have changed."""


class Watching(events.FileSystemEventHandler):
    """Calls back from threads of its own. One at a time in a process: it hears of every failed thread of watchdog's."""

    def __init__(self, folder: Path, changed: Changed, lost: Callable[[str], None]) -> None:
        """`lost`: events may have been missed, or there will be none any more; with the reason for the latter, else
        an empty text. Raises OSError where the folder can't be watched."""
        # Where a folder comes while its watch is made, watchdog warns of its own doing, at length.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="watchdog")
        self._folder = os.fsencode(folder)
        self._changed = changed
        self._lost = lost
        self._log = _Log(lost)
        logging.getLogger("watchdog").addHandler(self._log)
        self._hook = threading.excepthook
        threading.excepthook = self._thread_failed
        self._observer = Observer()
        try:
            self._observer.schedule(self, os.fspath(folder), recursive=True, event_filter=_WANTED)
            self._observer.start()
        except BaseException:
            self.stop()
            raise

    def on_any_event(self, event: events.FileSystemEvent) -> None:
        is_new = isinstance(event, (events.DirCreatedEvent, events.DirMovedEvent))
        self._tell(event.src_path, is_new and not event.dest_path)
        if event.dest_path:
            self._tell(event.dest_path, is_new)

    def _tell(self, path: bytes | str, whole: bool) -> None:
        below = os.path.relpath(os.fsencode(path), self._folder)
        if not below.startswith(b".."):
            self._changed(() if below == b"." else tuple(below.split(b"/")), whole)

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        if isinstance(failure.thread, BaseThread):
            self._lost(why_not(failure.exc_value))
        else:
            self._hook(failure)

    def stop(self) -> None:
        threading.excepthook = self._hook
        logging.getLogger("watchdog").removeHandler(self._log)
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join()


def why_not(error: BaseException | None) -> str:
    """Why a folder can't be watched."""
    if isinstance(error, OSError):
        return _LIMITS.get(error.errno or 0, error.strerror or str(error))
    return f"watchdog failed: {error}"


class _Log(logging.Handler):
    """The only way in which watchdog tells that events were lost."""

    def __init__(self, lost: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._call = lost

    def emit(self, record: logging.LogRecord) -> None:
        self._call("")
