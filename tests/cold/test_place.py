"""How long a place that fails is left alone."""

from itertools import pairwise

import pytest

from hyperfs.cold.place import wait_after


def test_twice_as_long_each_time_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the package's tests wait for nothing
    waits = [wait_after(failures) for failures in range(1, 40)]
    assert wait_after(0) == 0.0
    assert all(one <= other <= 2 * one for one, other in pairwise(waits))
    assert waits[-1] == waits[-2]
