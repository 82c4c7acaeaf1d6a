"""Retention: which versions of something stay, by a rule, at a moment. Pure: the moment is an argument.

docs/retention.md has the rules in plain words. What follows from them here:

- the newest version stays, whatever the rule and the clock say;
- what goes at a moment goes at every later one, so that thinning is the same in one step and in many;
- a bucket keeps its last listed version, whether it was thinned before or not.

Times are nanoseconds since 1970 UTC; so hours, days and weeks are those of UTC, and weeks begin on Mondays.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from hyperfs.errors import InvalidArgument

HOUR_NS: Final = 3600 * 10**9
DAY_NS: Final = 24 * HOUR_NS
WEEK_NS: Final = 7 * DAY_NS
_MONDAY_NS: Final = 3 * DAY_NS
"""1 January 1970 was a Thursday: so much has to be added for weeks to begin on Mondays."""


class Stamp(NamedTuple):
    """A version for retention. `listed`: whether `.versions` has it under a name of its own."""

    version: int
    time_ns: int
    listed: bool = True


@dataclass(frozen=True)
class Thin:
    """The default: fewer versions the older they are, and of each week one for ever."""


@dataclass(frozen=True)
class Within:
    """Every version that is not older, and the one that was current when that time began."""

    age_ns: int


@dataclass(frozen=True)
class Last:
    """The last so many listed versions, and what lies between them."""

    versions: int


@dataclass(frozen=True)
class All:
    """Every version."""


Rule = Thin | Within | Last | All


class Tier(NamedTuple):
    """One version of each bucket, for versions of at least that age."""

    age_ns: int
    bucket_ns: int


THINNING: Final = (Tier(HOUR_NS, HOUR_NS), Tier(DAY_NS, DAY_NS), Tier(30 * DAY_NS, WEEK_NS))

STEPS: Final = (
    THINNING,
    (Tier(HOUR_NS, HOUR_NS), Tier(DAY_NS, DAY_NS), Tier(7 * DAY_NS, WEEK_NS)),
    (Tier(HOUR_NS, HOUR_NS), Tier(DAY_NS, WEEK_NS), Tier(30 * DAY_NS, 4 * WEEK_NS)),
    (Tier(HOUR_NS, DAY_NS), Tier(DAY_NS, 4 * WEEK_NS), Tier(30 * DAY_NS, 16 * WEEK_NS)),
    (Tier(HOUR_NS, 16 * WEEK_NS), Tier(2 * HOUR_NS, 1 << 63)),
    *((Tier(minutes * HOUR_NS // 60, 1 << 63),) for minutes in (60, 30, 10, 2, 0)),
)
"""Harder each, for want of space; a bucket of one lies within one of the next. From LAST_HOURS on those of the last
hours go too, the oldest first, and in the end all but the newest."""
LAST_HOURS: Final = 5

_UNITS: Final = {"h": HOUR_NS, "d": DAY_NS, "w": WEEK_NS, "y": 365 * DAY_NS}
_AGE: Final = re.compile(r"([1-9][0-9]{0,5})([hdwy])")
_COUNT: Final = re.compile(r"(?:([2-9]|[1-9][0-9]{1,5}) versions|(1) version)")
EXAMPLES: Final = "30d, 1y, all or '10 versions'"


def parse_keep(text: str) -> Rule:
    """What a value of `user.hyperfs.keep` means. Raises InvalidArgument for any other text."""
    if text == "all":
        return All()
    if (age := _AGE.fullmatch(text)) is not None:
        return Within(int(age[1]) * _UNITS[age[2]])
    if (count := _COUNT.fullmatch(text)) is not None:
        return Last(int(count[1] or count[2]))
    shown = text if len(text) <= 40 else text[:37] + "..."
    raise InvalidArgument(f"{shown!r} says nothing that can be kept to: write {EXAMPLES}")


def words_of(rule: Rule) -> str:
    """The rule as a sentence's end."""
    match rule:
        case Thin():
            return "all for an hour, then one per hour for a day, per day for 30 days, per week"
        case Within(age):
            unit = next(name for name in ("y", "w", "d", "h") if age % _UNITS[name] == 0)
            many = {"y": "years", "w": "weeks", "d": "days", "h": "hours"}[unit]
            return f"all of the last {age // _UNITS[unit]} {many}"
        case Last(versions):
            return f"the last {versions} versions" if versions > 1 else "the last version"
        case All():
            return "all versions"


def kept(rule: Rule, stamps: Sequence[Stamp], now_ns: int, step: int = 0) -> list[bool]:
    """Which of the versions, oldest first, stay; `step` thins harder, which `All` does not hear.

    Their times must ascend. A clock that is behind the newest version counts as that version's time.
    """
    if not stamps:
        return []
    now_ns = max(now_ns, stamps[-1].time_ns)
    match rule:
        case Thin():
            stay = _thinned(STEPS[0], stamps, now_ns)
        case Within(age):
            stay = _young(stamps, now_ns - age)
        case Last(versions):
            stay = _last(stamps, versions)
        case All():
            return [True] * len(stamps)
    if step:
        stay = [a and b for a, b in zip(stay, _thinned(STEPS[step], stamps, now_ns), strict=True)]
    _newest_stay(stay, stamps)
    return stay


def _thinned(tiers: Sequence[Tier], stamps: Sequence[Stamp], now_ns: int) -> list[bool]:
    stay = [True] * len(stamps)
    seen = [-1] * len(tiers)  # of each tier, the bucket of which a later version was met
    ends = [now_ns - tier.age_ns for tier in tiers]
    for position in range(len(stamps) - 1, -1, -1):
        _, time_ns, listed = stamps[position]
        # Later versions count for every tier: a bucket's last one is the same before and after it has aged.
        for number, (_, bucket_ns) in enumerate(tiers):
            bucket = _bucket(time_ns, bucket_ns)
            if time_ns <= ends[number] and (not listed or bucket == seen[number]):
                stay[position] = False
            if listed:
                seen[number] = bucket
    return stay


def _bucket(time_ns: int, bucket_ns: int) -> int:
    return (time_ns + _MONDAY_NS) // bucket_ns if bucket_ns >= WEEK_NS else time_ns // bucket_ns


def _young(stamps: Sequence[Stamp], since_ns: int) -> list[bool]:
    stay = [time_ns > since_ns for _, time_ns, _ in stamps]
    for position in range(len(stamps) - 1, -1, -1):
        if not stay[position] and stamps[position].listed:
            stay[position] = True
            break
    return stay


def _last(stamps: Sequence[Stamp], count: int) -> list[bool]:
    stay = [False] * len(stamps)
    for position in range(len(stamps) - 1, -1, -1):
        stay[position] = count > 0
        count -= stamps[position].listed
    return stay


def _newest_stay(stay: list[bool], stamps: Sequence[Stamp]) -> None:
    """The newest of all, and the newest that has a name."""
    stay[-1] = True
    for position in range(len(stamps) - 1, -1, -1):
        if stamps[position].listed:
            stay[position] = True
            return
