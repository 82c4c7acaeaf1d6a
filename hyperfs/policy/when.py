"""WHEN: how people name a version.

    when    = number | time | date | words | name
    number  = ["@"] digits                                   1234, @1234: a version's number, from 1
    time    = date ("T" | " ") clock [zone]                  without zone: local time
    clock   = HH:MM [":" SS ["." 1*9digits]]  |  HH-MM-SS ["." 1*9digits]
    zone    = "Z" | ("+" | "-") HH [":"] MM                  with the dashed clock only "Z"
    date    = YYYY-MM-DD                                     the last version of that local day
    words   = "now" | "today" | "yesterday" | weekday        weekday: the last one that is over
            | count [" "] unit " ago"                        2h ago, 3 days ago; words in any case
    unit    = s sec second(s) | min minute(s) | h hour(s) | d day(s) | w week(s) | month(s) | y year(s)
    name    = anything else, unless it looks like a time: a snapshot's name

A text names the whole unit that it is written in, and stands for the last version in or before it: `10:00` is
up to the end of that minute, a date up to the end of that day. Nothing is guessed: what looks like a time and
is none (2026-13-45, "2026-11", "last week") is `BadWhen`, never a name and never something near.

When clocks change: a local time that happens twice is the second of the two; one that never happens is
`BadWhen`. Seconds, minutes and hours ago are elapsed time; days, weeks, months and years ago are the same
clock reading on that earlier day (the last day of the month where it has no such day). If that reading never
happened, it counts as if the clocks had not jumped yet.
"""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

from hyperfs.errors import BadWhen, InvalidArgument, NameTooLong
from hyperfs.policy.local_time import (
    EPOCH,
    NS_PER_SECOND,
    last_moment_of_day,
    later_moment,
    moment,
    moments_of,
    reading,
)
from hyperfs.values import NAME_MAX_BYTES, Version

EXAMPLES: Final = "@1234, 2026-11-21T10:00:00Z, 2026-11-21, yesterday, 2h ago, or a snapshot's name"
# Version numbers are unsigned 64-bit in the formats; a longer run of digits names nothing.
LAST_VERSION: Final = 2**64 - 1


class Number(NamedTuple):
    """The version of that number."""

    version: Version


class At(NamedTuple):
    """The last version whose commit time is at or before `time_ns` (inclusive).

    `second` is set where the text names one whole second: a version *listed* under it is meant first, for a
    listed second may lie after its commit's clock. `absolute` says that the text alone settles the moment,
    without clock or zone; all others mean something else tomorrow or elsewhere and are never cached.
    """

    time_ns: int
    second: int | None = None
    absolute: bool = False


class Name(NamedTuple):
    """A snapshot's name, if there is such a snapshot."""

    text: str


When = Number | At | Name

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ELAPSED: Final = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), timedelta(seconds=1)),
    **dict.fromkeys(("min", "minute", "minutes"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hour", "hours"), timedelta(hours=1)),
}
_DAYS: Final = {**dict.fromkeys(("d", "day", "days"), 1), **dict.fromkeys(("w", "week", "weeks"), 7)}
_MONTHS: Final = {"month": 1, "months": 1, "y": 12, "year": 12, "years": 12}

_NUMBER: Final = re.compile(r"@?([0-9]+)")
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_COLONS: Final = re.compile(
    r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_DASHES: Final = re.compile(r"([0-9]{2})-([0-9]{2})-([0-9]{2})(?:\.([0-9]{1,9}))?(Z)?")
_AGO: Final = re.compile(r"([0-9]{1,9}) ?([a-z]+) ago")
_LOOKS_LIKE_A_TIME: Final = re.compile(
    r"@.*"
    r"|[0-9]{4}[-/][0-9]{1,2}([-/][0-9]{1,2}([ t_]?[0-9:.,+z -]*)?)?"  # 2026-13-45, 2026-11, 2026/11/21 10:0
    r"|[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{4}"  # 21.11.2026
    r"|[0-9]{8}t[0-9]{4,6}z?"  # 20261121T100000Z
    r"|[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?( ?[ap]m|z)?"  # 10:00: of which day?
    r"|(.*\s)?ago"
    r"|in [0-9]+ ?[a-z]+|tomorrow"
    rf"|(last|this|next) (night|hour|day|week|month|year|{'|'.join(_WEEKDAYS)})",
    re.DOTALL,
)
_DISPLAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2})-([0-9]{2})-([0-9]{2})Z")


def parse_when(text: str, now_ns: int, zone: tzinfo) -> When:
    """What `text` means at `now_ns` (since 1970 UTC) in `zone`, by the grammar above.

    Which of the three kinds it is, or that it is BadWhen for looking like a time, depends on the text alone,
    save that a local time may not exist in `zone`. Raises BadWhen.
    """
    for read in _READERS:
        try:
            found = read(text, now_ns, zone)
        except (ValueError, OverflowError) as error:
            raise _bad(text, str(error)) from error
        if found is not None:
            return found
    stripped = text.strip()
    if not stripped:
        raise _bad(text, "it is empty")
    if _LOOKS_LIKE_A_TIME.fullmatch(stripped.lower()):
        raise _bad(text, "it looks like a time but is not one that hyperfs reads")
    if stripped != text and not isinstance(parse_when(stripped, now_ns, zone), Name):
        raise _bad(text, "it has blanks around it")
    return Name(text)


def check_snapshot_name(name: bytes) -> None:
    """Raises InvalidArgument or NameTooLong, with the reason, unless `name` may be given to a snapshot.

    A name must be a file name, must not begin with a dot (`.files`, `.deleted` and later ones stand beside
    the snapshots), and must not mean anything else as a WHEN, at any time and in any zone.
    """
    if len(name) > NAME_MAX_BYTES:
        raise NameTooLong(f"a snapshot's name has at most {NAME_MAX_BYTES} bytes; this one has {len(name)}")
    unfit = f"{name.decode('utf-8', 'backslashreplace')!r} can't be a snapshot's name"
    if not name or b"/" in name or b"\0" in name:
        raise InvalidArgument(f"{unfit}: it is no file name")
    if name.startswith(b"."):
        raise InvalidArgument(f"{unfit}: names with a leading dot are reserved")
    try:
        # Clock and zone are of no account here: they never turn a Name into another kind.
        meaning = parse_when(name.decode("utf-8", "surrogateescape"), 0, UTC)
    except BadWhen as error:
        raise InvalidArgument(f"{unfit}: it looks like a time or a number") from error
    if not isinstance(meaning, Name):
        raise InvalidArgument(f"{unfit}: it already means a version or a time")


def display_name(second: int) -> str:
    """The name in `.versions` of the version listed under that second: `%Y-%m-%dT%H-%M-%SZ`, in UTC.

    Raises OverflowError outside the years 1 to 9999.
    """
    at = EPOCH + timedelta(seconds=second)
    # Not strftime: its %Y leaves out the leading zeros of small years.
    return f"{at.year:04}-{at.month:02}-{at.day:02}T{at.hour:02}-{at.minute:02}-{at.second:02}Z"


def display_second(name: str) -> int:
    """The inverse of `display_name`. Raises BadWhen for any text that it does not produce."""
    match = _DISPLAY.fullmatch(name)
    if match is None:
        raise _bad(name, "a listed version is named like 2026-11-21T10-00-00Z")
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise _bad(name, str(error)) from error
    return (at - EPOCH) // timedelta(seconds=1)


def _bad(text: str, why: str) -> BadWhen:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return BadWhen(f"{shown!r} names no version: {why}. Write, for example, {EXAMPLES}.")


def _read_number(text: str, now_ns: int, zone: tzinfo) -> Number | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    digits = match[1]
    if digits.startswith("0"):
        raise ValueError("version numbers begin at 1 and have no leading zeros")
    # Length first: int() of thousands of digits is refused by Python itself, with another message.
    if len(digits) > len(str(LAST_VERSION)) or int(digits) > LAST_VERSION:
        raise ValueError("version numbers are not that large")
    return Number(Version(int(digits)))


def _read_date(text: str, now_ns: int, zone: tzinfo) -> At | None:
    match = _DATE.fullmatch(text)
    return match and At(last_moment_of_day(_day(match), zone))


def _read_time(text: str, now_ns: int, zone: tzinfo) -> At | None:
    day = _DATE.match(text)
    if day is None or text[day.end() : day.end() + 1] not in ("T", " "):
        return None
    clock = _COLONS.fullmatch(text, day.end() + 1) or _DASHES.fullmatch(text, day.end() + 1)
    if clock is None:
        return None
    hour, minute, second, fraction, offset = clock.groups()
    wall = datetime.combine(_day(day), time(int(hour), int(minute), int(second or 0)))
    start = _start(wall, offset, zone)
    if second is None:
        return At(start + 60 * NS_PER_SECOND - 1)
    if fraction is None:
        return At(start + NS_PER_SECOND - 1, second=start // NS_PER_SECOND, absolute=offset is not None)
    unit = 10 ** (9 - len(fraction))
    return At(start + (int(fraction) + 1) * unit - 1, absolute=offset is not None)


def _day(match: re.Match[str]) -> date:
    return date(int(match[1]), int(match[2]), int(match[3]))


def _start(wall: datetime, offset: str | None, zone: tzinfo) -> int:
    if offset is not None:
        return moment(wall.replace(tzinfo=_fixed_zone(offset)))
    moments = moments_of(wall, zone)
    if not moments:
        raise ValueError("that local time never was: the clocks went forward over it")
    return moments[-1]


def _fixed_zone(offset: str) -> tzinfo:
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError(f"a zone is at most 23:59 from UTC, not {offset}")
    return timezone((-1 if offset[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))


def _read_word(text: str, now_ns: int, zone: tzinfo) -> At | None:
    word = text.lower()
    if word == "now":
        return At(now_ns)
    if word not in ("today", "yesterday", *_WEEKDAYS):
        return None
    today = reading(now_ns, zone).date()
    back = {"today": 0, "yesterday": 1}.get(word)
    if back is None:
        # The last such day that is over: on a Monday, "monday" is a week ago, for today is "today".
        back = (today.weekday() - _WEEKDAYS.index(word) - 1) % 7 + 1
    return At(last_moment_of_day(today - timedelta(days=back), zone))


def _read_ago(text: str, now_ns: int, zone: tzinfo) -> At | None:
    match = _AGO.fullmatch(text.lower())
    if match is None:
        return None
    count, unit = int(match[1]), match[2]
    if unit in _ELAPSED:
        return At(now_ns - count * (_ELAPSED[unit] // timedelta(seconds=1)) * NS_PER_SECOND)
    wall = reading(now_ns, zone)
    if unit in _DAYS:
        earlier = wall - timedelta(days=count * _DAYS[unit])
    elif unit in _MONTHS:
        earlier = _months_before(wall, count * _MONTHS[unit])
    else:
        raise ValueError(f"{unit!r} is no unit: s, min, h, days, weeks, months, years are")
    # `reading` cuts to microseconds: what it cut is put back. The later of two readings may lie ahead of now.
    return At(min(now_ns, later_moment(earlier, zone) + now_ns % 1000))


def _months_before(wall: datetime, months: int) -> datetime:
    year, month = divmod(wall.year * 12 + wall.month - 1 - months, 12)
    if year < 1:
        raise OverflowError("that is before the year 1")
    return wall.replace(year=year, month=month + 1, day=min(wall.day, monthrange(year, month + 1)[1]))


_READERS: Final[tuple[Callable[[str, int, tzinfo], When | None], ...]] = (
    _read_number,
    _read_date,
    _read_time,
    _read_word,
    _read_ago,
)
