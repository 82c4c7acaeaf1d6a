"""Times as messages have them."""

from datetime import UTC, datetime


def iso_time(time_ns: int) -> str:
    """UTC to the nanosecond; as a WHEN it means exactly the version of that time."""
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
