"""How much of the disk what came by links takes, all links of a user together: there is a bound.

What was used least lately goes first, all that came by a link at a time; it comes again when it is mounted again. What
is mounted stays: where that alone is past the bound, nothing more is kept of what is read.

    links/NAME          the store of a link; its lock file is written whenever it is opened or closed
    links/NAME.log      what its process said
    links/.gone-NAME    on its way out
"""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import trio

from hyperfs.errors import StoreLocked
from hyperfs.store import folder

MOST_BYTES: Final = 10 << 30
RECENT_SECONDS: Final = 600.0
"""Something so young may be about to be mounted, or being made."""
LOOK_SECONDS: Final = 5.0
GONE: Final = ".gone-"

log = logging.getLogger("hyperfs.sharing")


class Cached(NamedTuple):
    """What came by one link, and when it was last mounted or unmounted."""

    used: float
    store: Path
    nbytes: int


def found_in(links: Path) -> list[Cached]:
    """Least lately used first."""
    stores = [path for path in _within(links) if path.is_dir() and not path.name.startswith(GONE)]
    return sorted(Cached(_used(store), store, _bytes_of(store)) for store in stores)


def make_room(links: Path, most_bytes: int, now: float) -> int:
    """Deletes what has to go; how many bytes may come then, less than none where what is there is past the bound."""
    for path in _within(links):
        if path.name.startswith(GONE):
            shutil.rmtree(path, ignore_errors=True)
    found = found_in(links)
    left = most_bytes - sum(cached.nbytes for cached in found)
    for used, store, nbytes in found:
        if left >= 0:
            break
        if now - used >= RECENT_SECONDS and _delete(store):
            log.info("what came by a link and was used least lately has gone: %s, %d bytes", store, nbytes)
            left += nbytes
    return left


class Room:
    """How much more may be kept, for the process of a mounted link. Owned by the trio thread."""

    def __init__(self, links: Path, most_bytes: int, came: Callable[[], int]) -> None:
        """`came`: the bytes that have come in this process. Looks at once, and may delete."""
        self._links = links
        self._most_bytes = most_bytes
        self._came = came
        self._looked_at = came()
        self._left = make_room(links, most_bytes, time.time())

    @property
    def is_there(self) -> bool:
        return self._left > self._came() - self._looked_at

    async def run(self) -> None:
        """Looks again when something has come, until it is cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            if self._came() != self._looked_at:
                await self.look()

    async def look(self) -> None:
        came = self._came()
        self._left = await trio.to_thread.run_sync(make_room, self._links, self._most_bytes, time.time())
        self._looked_at = came


def _within(links: Path) -> list[Path]:
    try:
        return sorted(links.iterdir())
    except FileNotFoundError:
        return []


def _used(store: Path) -> float:
    times = [path.stat().st_mtime for path in (store, store / folder.LOCK) if path.exists()]
    return max(times, default=0.0)


def _bytes_of(store: Path) -> int:
    """On the disk, without holes. What goes meanwhile counts for nothing."""
    total = 0
    for path in store.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def _delete(store: Path) -> bool:
    """Whether it has gone: not where somebody has it open. Killed anywhere, it is there or it is not."""
    gone = store.with_name(f"{GONE}{store.name}")
    try:
        with folder.StoreLock(store):
            store.rename(gone)
    except (StoreLocked, OSError):
        return False
    shutil.rmtree(gone, ignore_errors=True)
    store.with_name(f"{store.name}.log").unlink(missing_ok=True)
    return True
