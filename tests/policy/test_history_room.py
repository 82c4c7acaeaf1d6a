"""How much of a disk history may take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import InvalidArgument
from hyperfs.policy.history_room import LEAVE_BYTES, ORDER, Limits, may_be_too_much, read_share, wanted

GIB = 1 << 30


def test_half_of_the_disk_is_the_most() -> None:
    assert wanted(Limits(), 100 * GIB, 40 * GIB, 50 * GIB) == 0
    assert wanted(Limits(), 100 * GIB, 40 * GIB, 53 * GIB) == 3 * GIB
    assert wanted(Limits(share=0.1), 100 * GIB, 40 * GIB, 53 * GIB) == 43 * GIB


def test_the_last_five_percent_or_gibibytes_are_never_taken() -> None:
    assert wanted(Limits(), 40 * GIB, GIB, GIB) == GIB
    assert wanted(Limits(), 4000 * GIB, GIB, GIB) == LEAVE_BYTES - GIB


@given(*[st.integers(0, 1 << 50)] * 4)
def test_what_is_not_worth_finding_out_is_nothing(total: int, free: int, logs: int, history: int) -> None:
    history = min(history, logs)
    if not may_be_too_much(Limits(), total, free, logs):
        assert wanted(Limits(), total, free, history) == 0


def test_thinning_comes_before_deleted_things_and_the_oldest_of_these_first() -> None:
    assert [hardness.step for hardness in ORDER] == sorted(hardness.step for hardness in ORDER)
    ages = [hardness.deleted_ns for hardness in ORDER]
    assert ages == sorted(ages, reverse=True)
    assert ages[-1] == 0


@pytest.mark.parametrize(("text", "share"), [("30%", 0.3), ("50", 0.5), ("95%", 0.95)])
def test_shares(text: str, share: float) -> None:
    assert read_share(text) == share


@pytest.mark.parametrize("text", ["0%", "96%", "half", "", "-3", "1.5%", "３%"])
def test_no_shares(text: str) -> None:
    with pytest.raises(InvalidArgument):
        read_share(text)
