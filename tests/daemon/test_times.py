"""Times and durations as people and messages have them."""

import pytest

from hyperfs.daemon.times import duration_text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89.4, "89 s"), (90, "2 minutes"), (3000, "50 minutes"), (5400, "2 hours"), (400_000, "5 days")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration_text(seconds) == words
