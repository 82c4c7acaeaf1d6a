"""Runs of blocks against sets."""

import random

import pytest

from hyperfs.log.cleared import runs_of
from hyperfs.syncing.runs import Runs


def some(rng: random.Random) -> tuple[set[int], Runs]:
    blocks = {block for block in range(60) if rng.random() < rng.choice([0.1, 0.5, 0.9])}
    return blocks, Runs(runs_of(sorted(blocks)))


@pytest.mark.parametrize("seed", range(100))
def test_they_do_what_sets_do(seed: int) -> None:
    rng = random.Random(seed)
    (one, runs), (other, more) = some(rng), some(rng)
    for found, wanted in ((runs - more, one - other), (runs & more, one & other), (runs | more, one | other)):
        assert list(found) == list(runs_of(sorted(wanted)))
    low, high = sorted((rng.randrange(70), rng.randrange(70)))
    assert list(runs.within(low, high)) == list(runs_of(sorted(one & set(range(low, high)))))
    assert runs.covers(low, high) == (set(range(low, high)) <= one)
    assert [block for block in range(-2, 70) if block in runs] == sorted(one)
    assert runs.blocks == len(one)
    assert [runs.nth(number) for number in range(len(one))] == sorted(one)
    with pytest.raises(IndexError):
        runs.nth(len(one))


def test_what_touches_is_joined_and_what_is_empty_is_left_out() -> None:
    assert list(Runs([(0, 2), (2, 3), (5, 5), (6, 9), (7, 8)])) == [(0, 3), (6, 9)]
