"""Retention in the background of a mounted drive: versions go when they are due, and their space some time later.

Saying that versions are gone takes moments, and is done twice an hour. Freeing what only they reached reads, so it
waits until a day has passed or much was written; it works a few milliseconds at a time and then rests, in a thread.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from hyperfs.daemon.drive import Drive
from hyperfs.errors import HyperfsError, Refused
from hyperfs.policy.steady_clock import SteadyClock
from hyperfs.volume import retaining
from hyperfs.volume.catalog import Collected
from hyperfs.volume.content import Room
from hyperfs.volume.making_room import bytes_wanted, make_room, may_want_room

FIRST_SECONDS: Final = 300.0
EVERY_SECONDS: Final = 1800.0
ROOM_SECONDS: Final = 60.0
FREE_EVERY_NS: Final = 24 * 3600 * 10**9
PACKS_EVERY_NS: Final = 7 * 24 * 3600 * 10**9
"""Half-dead packs: all that is kept is walked for them."""
FREE_BYTES: Final = 256 << 20
"""So much written since the last time brings it forward, to the next time that versions go."""
WORK_SECONDS: Final = 0.002
REST_SECONDS: Final = 0.008

log = logging.getLogger("hyperfs.retention")


@dataclass
class Clocks:
    """`counted_ns` only counts, from whenever, and also while the machine sleeps."""

    wall_ns: Callable[[], int]
    counted_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Retention:
    """Runs beside a mounted drive; `stand_aside` ends what it is doing. Owned by the trio thread."""

    def __init__(self, drive: Drive, clocks: Clocks) -> None:
        self._drive = drive
        self._volume = drive.volume
        self._clocks = clocks
        self._steady = SteadyClock(clocks.wall_ns(), clocks.counted_ns())
        self._scope: trio.CancelScope | None = None
        self._no_room_before = 0.0

    async def run(self) -> None:
        due = trio.current_time() + FIRST_SECONDS
        while True:
            await trio.sleep(ROOM_SECONDS)
            if trio.current_time() >= due:
                await self.turn()
                due = trio.current_time() + EVERY_SECONDS
            await self.look_for_room(self._volume.content.room())

    def stand_aside(self) -> bool:
        """Somebody wants to prune or verify: what is being done here, if anything, can be done later."""
        if self._scope is None:
            return False
        self._scope.cancel()
        return True

    async def turn(self) -> None:
        """Does what is due. Never raises but for a defect: what went wrong is a warning."""
        if not self._clock_jumped():
            await self._do(self._let_go)

    async def look_for_room(self, room: Room) -> None:
        """Where history takes too much of the disk, or the disk is nearly full, more goes than the rules say."""
        if trio.current_time() >= self._no_room_before and may_want_room(self._volume, room):
            await self._do(partial(self._make_room, room))

    async def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        volume = self._volume
        if volume.read_only or volume.journaling.read_only_because or volume.collecting.locked() or volume.brake.is_on:
            return
        try:
            with trio.CancelScope() as self._scope:
                await work()
            volume.warnings.pop("retention", None)
        except Refused:
            return
        except (HyperfsError, OSError) as error:
            log.warning("old versions were not let go: %s", error)
            volume.warnings["retention"] = f"old versions could not be let go: {error}; it is tried again"
        finally:
            self._scope = None

    def _clock_jumped(self) -> bool:
        jump = self._steady.jump(self._clocks.wall_ns(), self._clocks.counted_ns())
        if not jump:
            self._volume.warnings.pop("retention-clock", None)
            return False
        self._volume.warnings["retention-clock"] = (
            f"this computer's clock was set forward by {jump / 3.6e12:.0f} hours: until it has gone on for a day, no "
            "versions are let go for their age. If the clock is right now, 'hyperfs prune' does it at once"
        )
        return True

    async def _let_go(self) -> None:
        volume = self._volume
        gone = await retaining.thin(volume)
        if gone:
            log.info("%d versions let go", gone)
        if self._drive.mount is not None:
            await self._drive.mount.forget_versions()
        if self._worth_freeing():
            packed_ns = self._clocks.wall_ns() - volume.parts.catalog.packed_ns()
            with_packs = not 0 <= packed_ns < PACKS_EVERY_NS
            done = await retaining.retain(volume, False, paced(), careful=True, with_packs=with_packs)
            log.info("%d bytes given back", done.bytes)

    async def _make_room(self, room: Room) -> None:
        volume = self._volume
        self._no_room_before = trio.current_time() + EVERY_SECONDS
        size = await bytes_wanted(volume, room, paced())
        if not size:
            volume.warnings.pop("history-room", None)
            return
        freed = await make_room(volume, size, False, paced())
        if self._drive.mount is not None:
            await self._drive.mount.forget_versions()
        if freed.pruned.bytes >= size // 2:
            self._no_room_before = 0.0  # it may be needed again soon
        short = "" if freed.pruned.bytes >= size else f". It was not enough; what never goes is {freed.holds}"
        volume.warnings["history-room"] = (
            "the disk of the store was nearly full, or more than its share was history: "
            f"let go before its time was {freed.went}{short}"
        )
        log.warning("%s", volume.warnings["history-room"])

    def _worth_freeing(self) -> bool:
        """Whether something went since the last time, and that was long ago or much was written since."""
        last, now = self._volume.parts.catalog.collected() or Collected(0, 0, 0), retaining.collected_now(self._volume)
        if now.gone == last.gone:
            return False
        return not 0 <= now.time_ns - last.time_ns < FREE_EVERY_NS or now.nbytes - last.nbytes >= FREE_BYTES


def paced() -> Callable[[str, int, int], None]:
    """Progress that nobody sees: it has the thread rest, and end when it is to end."""
    rested = time.monotonic()

    def progress(what: str, done: int, of: int) -> None:
        nonlocal rested
        trio.from_thread.check_cancelled()
        if time.monotonic() - rested >= WORK_SECONDS:
            time.sleep(REST_SECONDS)
            rested = time.monotonic()

    return progress
