"""What a peer is shown of a log, and in which order."""

from hyperfs.replication.bitfield import Bitfield
from hyperfs.syncing.revealing import MOST_BLOCKS, STEP_BLOCKS, Revealing
from hyperfs.syncing.runs import Runs

ROOM = 1 << 40
EVERYTHING = Runs([(0, 1 << 52)])


def size(low: int, high: int) -> int:
    return 100 * (high - low)


def begun(length: int) -> Revealing:
    made = Revealing()
    made.look_again(length)
    return made


def test_the_newest_blocks_come_first() -> None:
    length = 3 * STEP_BLOCKS
    has = Bitfield()
    made = begun(length)
    room = size(0, STEP_BLOCKS)
    assert made.take(EVERYTHING, has, size, room) == [(2 * STEP_BLOCKS, length)]
    assert made.take(EVERYTHING, has, size, room) == []
    has.add(2 * STEP_BLOCKS, length)
    assert made.take(EVERYTHING, has, size, room) == [(STEP_BLOCKS, 2 * STEP_BLOCKS)]
    made.grow(length + 5)
    has.add(0, length)
    assert made.take(EVERYTHING, has, size, room)[0] == (length, length + 5)
    assert made.is_done
    assert list(made.shown.runs(0, 2 * length)) == [(0, length + 5)]


def test_what_may_not_go_is_not_shown() -> None:
    made = begun(100)
    assert made.take(Runs([(3, 5), (50, 60)]), Bitfield(), size, ROOM) == [(3, 5), (50, 60)]
    assert not any(block in made.shown for block in (0, 2, 5, 49, 60, 99))


def test_what_may_go_later_is_shown_then_and_only_that() -> None:
    made = begun(100)
    made.take(Runs([(0, 50)]), Bitfield(), size, ROOM)
    made.look_again(100)
    assert made.take(Runs([(0, 80)]), Bitfield(), size, ROOM) == [(50, 80)]


def test_what_is_there_takes_no_room() -> None:
    has = Bitfield()
    has.add(0, 100 * STEP_BLOCKS)
    made = begun(100 * STEP_BLOCKS)
    made.take(EVERYTHING, has, size, 1)
    assert made.is_done
    assert made.waiting(has) == []


def test_large_blocks_are_bounded_by_their_bytes() -> None:
    made = begun(100)
    assert made.take(EVERYTHING, Bitfield(), size, 750) == [(93, 100), (92, 93)]
    assert made.take(EVERYTHING, Bitfield(), lambda low, high: 10**9 * (high - low), 8 * 10**9 + 1) == [(91, 92)]


def test_small_blocks_are_bounded_by_their_number() -> None:
    made = begun(10 * MOST_BLOCKS)
    shown = made.take(EVERYTHING, Bitfield(), size, ROOM)
    assert sum(high - low for low, high in shown) == MOST_BLOCKS


def test_what_is_hidden_can_be_shown_again() -> None:
    made = begun(10)
    made.take(EVERYTHING, Bitfield(), size, ROOM)
    assert made.hide(2, 4) == [(2, 4)]
    assert made.waiting(Bitfield()) == [(0, 2), (4, 10)]
    made.look_again(10)
    assert made.take(EVERYTHING, Bitfield(), size, ROOM) == [(2, 4)]


def test_what_somebody_waits_for_goes_before_the_rest() -> None:
    made = begun(10 * STEP_BLOCKS)
    made.first(Runs([(5, 8), (700, 710)]))
    assert made.take(EVERYTHING, Bitfield(), size, size(0, 12)) == [(700, 710), (6, 8)]
