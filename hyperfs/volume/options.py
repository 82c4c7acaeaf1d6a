"""How to open a drive."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyperfs.crypto.keys import EpochKeys
from hyperfs.store.files import Disk

COARSE_CLOCK: Final = 5
"""Linux's CLOCK_REALTIME_COARSE, for which Python has no name: the time of the kernel's last tick."""

Progress = Callable[[str, int, int], None]
"""(what is being done, done, of how many): for a progress bar."""


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def kernel_time_ns() -> int:
    """The time as the kernel gives it to files. With the writeback cache it sets some of a file's times itself, and
    those that we set by a finer clock would be ahead of them by up to a tick: touch would make a file older."""
    return time.clock_gettime_ns(COARSE_CLOCK)


@dataclass
class Options:
    """How to open. `disk` and `wall_ns` are there for tests that put faults and other times in their place.

    `reserve_bytes` is how much a new store sets aside; None takes what reserve.py reckons. `take_over` is for a
    recovery: the journal in the store is that of a device that is no more, and this one goes on from there. `rescue` is
    for a repair: it may write, and takes the newest version that can be read where the newest can't. `link_keys`: the
    epochs' keys that a link gives; the drive is only read, and the device's keys are those of none of its devices.
    `older_will_do`: where the newest version has not come whole, one before it is shown.
    """

    read_only: bool = False
    memory_index: bool = False
    take_over: bool = False
    rescue: bool = False
    older_will_do: bool = False
    link_keys: Mapping[int, EpochKeys] | None = None
    reserve_bytes: int | None = None
    disk: Callable[[Path], Disk] = Disk
    wall_ns: Callable[[], int] = kernel_time_ns
    progress: Progress = no_progress
