"""How much of a disk history may take, and in which order it makes room. Pure.

`History` is what old versions and deleted things take on the disk beside the present.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from hyperfs.errors import InvalidArgument
from hyperfs.policy.retention import DAY_NS, LAST_HOURS, STEPS

SHARE: Final = 0.5
LEAVE_SHARE: Final = 0.05
LEAVE_BYTES: Final = 5 << 30
DELETED_NS: Final = 30 * DAY_NS
"""How long deleted things stay, while there is room."""


class Limits(NamedTuple):
    """`share` of the disk is the most for history; `leave_bytes` of it stay free, or 5% where that is less."""

    share: float = SHARE
    leave_bytes: int = LEAVE_BYTES

    def leave(self, total: int) -> int:
        return min(self.leave_bytes, int(total * LEAVE_SHARE))


class Hardness(NamedTuple):
    """How hard to let go: a step of thinning, and for how long deleted things stay."""

    step: int = 0
    deleted_ns: int = DELETED_NS


ORDER: Final = (
    *(Hardness(step) for step in range(LAST_HOURS)),
    *(Hardness(LAST_HOURS - 1, days * DAY_NS) for days in (20, 10, 5, 2, 1, 0)),
    *(Hardness(step, 0) for step in range(LAST_HOURS, len(STEPS))),
)
"""First thinning steps up, then deleted things go, the oldest first, and at last the versions of the last hours."""


def wanted(limits: Limits, total: int, free: int, history: int) -> int:
    """How many bytes of history have to go; 0 for none."""
    return max(0, limits.leave(total) - free, history - int(total * limits.share))


def may_be_too_much(limits: Limits, total: int, free: int, logs: int) -> bool:
    """Whether `wanted` is worth finding out, by what all logs take, the present included."""
    return free < limits.leave(total) or logs > total * limits.share


def read_leave(text: str) -> int:
    """Bytes, as 5G or 500M. Raises InvalidArgument."""
    found = re.fullmatch(r"([0-9]{1,6})([MG]?)", text, re.ASCII)
    if found is None:
        raise InvalidArgument(f"{text!r} is no size to leave free: write, for example, 5G or 500M")
    return int(found[1]) * {"": 1, "M": 1 << 20, "G": 1 << 30}[found[2]]


def read_share(text: str) -> float:
    """A percentage from 1% to 95%. Raises InvalidArgument."""
    number = text.removesuffix("%")
    if not number.isdecimal() or not number.isascii() or not 1 <= int(number) <= 95:
        raise InvalidArgument(f"{text!r} is no share of a disk: write 1% to 95%")
    return int(number) / 100


SETTINGS: Final[Mapping[str, Callable[[str], object]]] = {"history-share": read_share, "history-leave": read_leave}
"""By name, what reads a value; it raises InvalidArgument for a wrong one. They are the drive's."""
