"""One place: its store, what is known to lie there, and how it fares.

Every question to a store is put in a worker thread, with a deadline: past it the thread is left to itself (the store's
own bounds end it, those of a file system that hangs do not), and as many such threads as there may be make the place
unreachable and nothing else slow.
"""

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import trio

from hyperfs.cold.holdings import Holdings
from hyperfs.cold.object_format import Name
from hyperfs.cold.storage_classes import StorageClasses
from hyperfs.errors import HyperfsError, NoSuchObject, PlaceFull, PlaceRefuses, Unreachable
from hyperfs.store.objects import Objects

T = TypeVar("T")

THREADS: Final = 8
FETCH_SECONDS: Final = 6.0
"""For a ranged read that somebody waits for, and for what is asked about one object."""
LIST_SECONDS: Final = 600.0
PUT_SECONDS: Final = 330.0
FIRST_WAIT_SECONDS: Final = 5.0
WAIT_MOST_SECONDS: Final = 600.0

log = logging.getLogger("hyperfs.cold")


def wait_after(failures: int) -> float:
    """Seconds until a place that failed so many times in a row is tried again in the background. Pure."""
    return min(WAIT_MOST_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(failures - 1, 10)) if failures else 0.0


class Health:
    """Whether one kind of question to a place is answered. Trio thread."""

    def __init__(self) -> None:
        self.failures = 0
        self._not_before = -math.inf  # trio time before which nothing is tried that nobody waits for

    @property
    def wait(self) -> float:
        """Seconds until it is tried again in the background."""
        return max(0.0, self._not_before - trio.current_time())

    def failed(self) -> None:
        if not self.wait:  # else it is one of several questions that failed together
            self.failures += 1
        self._not_before = trio.current_time() + wait_after(self.failures)

    def works(self) -> None:
        self.failures, self._not_before = 0, -math.inf


class Place:
    """Owned by the trio thread. `warnings` are the volume's: what stands there is told by `status`.

    Writing may fail where reading works (a full store, rights to read only), so each has its own health.
    """

    def __init__(self, name: str, url: str, objects: Objects, warnings: dict[str, str]) -> None:
        self.name = name
        self.url = url
        self.objects = objects
        self.holdings = Holdings()
        self.classes = StorageClasses(url)
        self.bad: set[tuple[int, Name]] = set()
        """Objects that were found to be other than they were written; not counted until they are written again."""
        self.is_listed = False
        """Whether the place was listed since the drive was opened."""
        self._reading, self._writing = Health(), Health()
        self._limiter = trio.CapacityLimiter(THREADS)
        self._warnings: dict[str, str] = warnings

    @property
    def answers(self) -> bool:
        """Whether reading works, or may work again by now."""
        return not self._reading.wait

    @property
    def takes(self) -> bool:
        """Whether writing does too."""
        return not self.takes_again_in

    @property
    def takes_again_in(self) -> float:
        return max(self._reading.wait, self._writing.wait)

    @property
    def trouble(self) -> str | None:
        """What is wrong with it now, in words; None when nothing is."""
        return next((self._warnings[key] for key in self._keys if key in self._warnings), None)

    async def ask(self, work: Callable[[], T], seconds: float = FETCH_SECONDS, writes: bool = False) -> T:
        """Raises NoSuchObject, and Unreachable with the place's name, which is remembered as trouble."""
        try:
            with trio.fail_after(seconds):
                found = await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
        except trio.TooSlowError:
            error = Unreachable(f"the cold store {self.name} did not answer within {seconds:.0f} s")
            self.failed(error, writes)
            raise error from None
        except NoSuchObject:
            self._works(writes)
            raise
        except Unreachable as error:
            told = type(error)(f"the cold store {self.name} can't be used: {error}")
            self.failed(told, writes)
            raise told from None
        self._works(writes)
        return found

    async def put(self, path: str, data: bytes, storage_class: str) -> None:
        """Raises as `ask`. A class that the store refuses is not asked for again."""
        wanted = "" if storage_class in self.classes.refused else storage_class
        if not await self.ask(partial(self.objects.put, path, data, wanted), PUT_SECONDS, True):
            self.classes.refused.add(wanted)
            self._tell_refused(wanted)

    def _tell_refused(self, storage_class: str) -> None:
        """Of one that nobody named, in the log alone: no harm that a store has no such class."""
        words = (
            f"the cold store {self.name} takes nothing in the storage class {storage_class}: it is there in the "
            "standard class. With '&class=STANDARD' in its URL, 'hyperfs cold add' has it asked for none"
        )
        if self.classes.named:
            self._warn(self._keys[3], words, logging.WARNING)
        else:
            log.warning("%s", words)

    def failed(self, error: HyperfsError, writes: bool) -> None:
        """Something went wrong with it: from now on it is tried after a while, and `status` says why."""
        (self._writing if writes else self._reading).failed()
        self._warn(self._keys[1 if writes else 0], f"{error}: {_advice(error, writes)}", logging.WARNING)

    def _works(self, writes: bool) -> None:
        (self._writing if writes else self._reading).works()
        if self._warnings.pop(self._keys[1 if writes else 0], None):
            log.info("the cold store %s can be %s again", self.name, "written to" if writes else "read")

    def lied(self, what: str) -> None:
        """It gave other bytes than it was given, or does not have what it acknowledged."""
        self._warn(
            self._keys[2],
            f"the cold store {self.name} can't be relied on: {what}. What is still on this device is sent again, and "
            "nothing leaves for it meanwhile; look at the store's disks, or take it away with 'hyperfs cold remove'",
            logging.ERROR,
        )

    def is_honest(self) -> None:
        """All that it should have was found to be good."""
        self._warnings.pop(self._keys[2], None)

    def leave(self) -> None:
        """It is no place of ours any more: nothing is told of it."""
        for key in self._keys:
            self._warnings.pop(key, None)
        self._warnings = {}

    def _warn(self, key: str, words: str, level: int) -> None:
        if self._warnings.get(key) != words:
            log.log(level, "%s", words)
        self._warnings[key] = words

    @property
    def _keys(self) -> tuple[str, str, str, str]:
        """Of its warnings: reading, writing, lying, classes."""
        key = f"cold-{self.name}"
        return key, f"{key}-writes", f"{key}-lies", f"{key}-class"


def _advice(error: HyperfsError, writes: bool) -> str:
    if isinstance(error, PlaceFull):
        return "it is full: make room there, or add another place; nothing leaves for it meanwhile"
    if isinstance(error, PlaceRefuses):
        return "it refuses: look at its credentials and rights; 'hyperfs cold add' with the same name gives it others"
    if writes:
        return "it is tried again; nothing leaves for it meanwhile"
    return "it is tried again; what is only there can't be read meanwhile"
