"""Letting go for want of space: as much as is needed, in the order of history_room.py, and saying what went."""

import os
from collections.abc import Callable
from typing import Final, NamedTuple

from hyperfs.errors import InvalidArgument
from hyperfs.policy.attributes import KEEP, PROTECT
from hyperfs.policy.history_room import (
    LEAVE_BYTES,
    ORDER,
    SHARE,
    Hardness,
    Limits,
    may_be_too_much,
    read_leave,
    read_share,
    wanted,
)
from hyperfs.policy.protection import LOCK
from hyperfs.policy.retention import All
from hyperfs.policy.when import display_name
from hyperfs.volume import gone, keys
from hyperfs.volume.clearing import Progress
from hyperfs.volume.collecting import collect
from hyperfs.volume.content import Room
from hyperfs.volume.given_back import Pruned
from hyperfs.volume.paths import near_path
from hyperfs.volume.plan import Plan
from hyperfs.volume.retaining import by_rules, remember_collected
from hyperfs.volume.rules import rules_of
from hyperfs.volume.volume import Volume

SHARE_SETTING: Final = b"history-share"
LEAVE_SETTING: Final = b"history-leave"
NAMED_MOST: Final = 3
NAMES_MOST: Final = 1000
"""Of a folder on the way up, in search of the name of one that keeps all."""
SECOND_NS: Final = 10**9


class Freed(NamedTuple):
    """What making room did, or would do. `wanted`: bytes; `went`: in words; `holds`: what never goes, in words."""

    pruned: Pruned
    wanted: int
    step: int
    deleted: int
    went: str
    holds: str


def limits_of(volume: Volume) -> Limits:
    """As they were set for the drive."""
    live = volume.overlay.live
    share, leave = (live.fact(keys.setting_key(name)) for name in (SHARE_SETTING, LEAVE_SETTING))
    try:
        return Limits(
            SHARE if share is None else read_share(share.decode()),
            LEAVE_BYTES if leave is None else read_leave(leave.decode()),
        )
    except (InvalidArgument, ValueError):
        return Limits()


def may_want_room(volume: Volume, room: Room) -> bool:
    """Whether history may take too much. Quick."""
    logs = sum(log.size_on_disk() for log in volume.parts.logs.values())
    return may_be_too_much(limits_of(volume), room.total, room.free, logs)


async def bytes_wanted(volume: Volume, room: Room, progress: Progress) -> int:
    """How much of history has to go; 0 for nothing. Raises as `collect`."""
    if not may_want_room(volume, room):
        return 0

    def begin() -> Callable[[], Plan]:
        def look() -> Plan:
            facts = list(volume.versions.all())
            return Plan(facts[-1:], facts[:-1], gone.FOR_SPACE)

        return look

    history = await collect(volume, begin, True, progress)
    return wanted(limits_of(volume), room.total, room.free, history.bytes)


async def make_room(volume: Volume, size: int, dry_run: bool, progress: Progress) -> Freed:
    """Lets go of as little as gives `size` bytes back, or of all that may go. Raises as `collect`."""
    low, high = 0, len(ORDER) - 1
    while low < high:  # each lets go of at least what the one before does
        middle = (low + high) // 2
        pruned, _ = await _collect(volume, ORDER[middle], True, progress)
        low, high = (low, middle) if pruned.bytes >= size else (middle + 1, high)
    before = volume.versions.offers.pins
    pruned, plan = await _collect(volume, ORDER[low], dry_run, progress)
    if not dry_run:
        remember_collected(volume)
    stays = {(pin.version, pin.ino) for pin in plan.pins}
    lost = [pin.name for pin in before if (pin.version, pin.ino) not in stays]
    return Freed(pruned, size, ORDER[low].step, len(lost), _words(plan, lost), holds(volume))


async def _collect(volume: Volume, hardness: Hardness, dry_run: bool, progress: Progress) -> tuple[Pruned, Plan]:
    plans: list[Plan] = []

    def begin() -> Callable[[], Plan]:
        look = by_rules(volume, False, progress, hardness)

        def note() -> Plan:
            plans.append(look())
            return plans[-1]

        return note

    return await collect(volume, begin, dry_run, progress), plans[-1]


def _words(plan: Plan, lost: list[bytes]) -> str:
    words = []
    if plan.going:
        first, last = (display_name(found.time_ns // SECOND_NS) for found in (plan.going[0], plan.going[-1]))
        words.append(f"{len(plan.going)} versions, of {first} to {last}")
    if lost:
        names = ", ".join(repr(os.fsdecode(name)) for name in lost[:NAMED_MOST])
        words.append(f"{len(lost)} deleted things ({names}{', ...' if len(lost) > NAMED_MOST else ''})")
    return " and ".join(words) or "nothing"


def holds(volume: Volume) -> str:
    """What never goes for want of space, in words."""
    live = volume.overlay.live
    names = sorted({os.fsdecode(snapshot.name) for snapshot in volume.versions.snapshots()})
    words = ["the present"]
    if names:
        words.append(f"the snapshots {', '.join(names[:NAMED_MOST])}{', ...' if len(names) > NAMED_MOST else ''}")
    for ino, rule in rules_of(live).items():
        locked = live.xattr(ino, PROTECT) == LOCK
        inode = live.inode(ino) if rule == All() and (locked or live.xattr(ino, KEEP) is not None) else None
        path = near_path(live, inode, NAMES_MOST) if inode is not None else None
        if path is not None:
            words.append(f"'/{os.fsdecode(path)}', which {'is locked' if locked else 'keeps all'}")
    return " and ".join(words)
