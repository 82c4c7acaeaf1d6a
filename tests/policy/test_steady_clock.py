"""A clock that was set forward is not believed at once."""

from hyperfs.policy.steady_clock import HOUR_NS, SteadyClock

DAY = 24 * HOUR_NS


def test_a_clock_that_goes_on_is_believed() -> None:
    clock = SteadyClock(1000 * DAY, 5)
    assert [clock.jump(1000 * DAY + n * HOUR_NS, 5 + n * HOUR_NS) for n in range(50)] == [0] * 50


def test_a_clock_that_was_set_forward_is_believed_after_a_day() -> None:
    clock = SteadyClock(0, 0)
    assert clock.jump(400 * DAY, HOUR_NS) == 400 * DAY - HOUR_NS
    assert clock.jump(400 * DAY + 23 * HOUR_NS, 24 * HOUR_NS) > 0
    assert clock.jump(400 * DAY + 24 * HOUR_NS, 25 * HOUR_NS) == 0
    assert clock.jump(400 * DAY + 25 * HOUR_NS, 26 * HOUR_NS) == 0


def test_a_clock_that_was_set_right_again_is_believed_at_once() -> None:
    clock = SteadyClock(0, 0)
    assert clock.jump(400 * DAY, HOUR_NS) > 0
    assert clock.jump(2 * HOUR_NS, 2 * HOUR_NS) == 0
    assert clock.jump(400 * DAY, 3 * HOUR_NS) > 0


def test_small_corrections_and_clocks_that_go_back_are_no_jumps() -> None:
    clock = SteadyClock(10 * DAY, 0)
    assert clock.jump(10 * DAY + HOUR_NS // 2, 0) == 0
    assert clock.jump(5 * DAY, 0) == 0
    assert clock.jump(10 * DAY, 0) > 0
