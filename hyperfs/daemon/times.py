"""Times as messages have them."""

from datetime import UTC, datetime


def iso_time(time_ns: int) -> str:
    """UTC to the nanosecond; as a WHEN it means exactly the version of that time."""
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def duration_text(seconds: float) -> str:
    """As people say it: 40 s, 12 minutes, 3 hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    size, unit = next(
        ((size, unit) for size, unit in ((60, "minutes"), (3600, "hours")) if seconds < 90 * size), (86400, "days")
    )
    return f"{round(seconds / size)} {unit}"
