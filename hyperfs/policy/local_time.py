"""Wall-clock arithmetic in a zone whose clocks may jump.

Moments are nanoseconds since 1970 UTC. A wall-clock reading is a naive `datetime`. Twice a year a reading may
happen twice (clocks go back) or never (clocks go forward); each function says what it makes of that.
All raise OverflowError outside the years 1 to 9999.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

NS_PER_SECOND: Final = 1_000_000_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ONE_DAY: Final = timedelta(days=1)


def moment(aware: datetime) -> int:
    """The nanoseconds of an aware datetime, exactly (no floats)."""
    return (aware - EPOCH) // timedelta(microseconds=1) * 1000


def reading(time_ns: int, zone: tzinfo) -> datetime:
    """What a clock in `zone` shows at `time_ns`, naive, cut to whole microseconds."""
    return (EPOCH + timedelta(microseconds=time_ns // 1000)).astimezone(zone).replace(tzinfo=None)


def moments_of(wall: datetime, zone: tzinfo) -> list[int]:
    """When clocks in `zone` show `wall`, in order: never in a gap, twice where clocks go back."""
    found = {moment(wall.replace(tzinfo=zone, fold=fold)) for fold in (0, 1)}
    return sorted(ns for ns in found if reading(ns, zone) == wall.replace(fold=0))


def later_moment(wall: datetime, zone: tzinfo) -> int:
    """The last moment with that reading; in a gap, as if the clocks had not jumped yet (so past the gap)."""
    return max(moments_of(wall, zone), default=moment(wall.replace(tzinfo=zone, fold=0)))


def last_moment_of_day(day: date, zone: tzinfo) -> int:
    """The last nanosecond at which the calendar in `zone` shows `day`, however long that day is.

    Where clocks go back over midnight, midnight comes twice and either one may end the day; where they go
    forward over it, the jump ends the day.
    """
    midnight = datetime(day.year, day.month, day.day) + ONE_DAY
    ends = [ns - 1 for ns in moments_of(midnight, zone)]
    of_this_day = [ns for ns in ends if reading(ns, zone).date() <= day]
    return max(of_this_day, default=moment(midnight.replace(tzinfo=zone, fold=0)) - 1)
