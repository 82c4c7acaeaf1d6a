"""Who has what: after all is said, each side believes of the other what is so, as far as it asked."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.replication.announcing import ANSWERED_AT_ONCE, MOST_WANTS, NEWEST, STRETCH, Announcing
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.messages import Bitfield as Bits
from hyperfs.replication.messages import Message, Range, Unwant, Want

LENGTH = 3000
runs = st.lists(st.tuples(st.integers(0, LENGTH - 1), st.integers(1, 900)), max_size=6)
changes = st.lists(st.tuples(st.booleans(), st.integers(0, LENGTH - 1), st.integers(1, 500)), max_size=8)


def field(of: list[tuple[int, int]]) -> Bitfield:
    found = Bitfield()
    for start, size in of:
        found.add(start, min(LENGTH, start + size))
    return found


class Pair:
    """One side that has blocks, and one that is told."""

    def __init__(self, have: Bitfield) -> None:
        self.have, self.believed = have, Bitfield()
        self.one = Announcing(have, Bitfield())
        self.other = Announcing(Bitfield(), self.believed)
        self.said: list[Message] = []

    def tell(self, messages: list[Message]) -> None:
        for message in messages:
            self.said.append(message)
            assert isinstance(message, Range | Bits)
            self.other.told(message)

    def inquire(self, block: int) -> None:
        for want in self.other.inquire(block):
            assert isinstance(want, Want)
            self.one.wanted(want)
            self.tell(list(self.one.answers(LENGTH)))


@settings(max_examples=150, deadline=None)
@given(runs, changes)
def test_who_asks_knows_what_there_is_and_hears_what_changes(
    of: list[tuple[int, int]], later: list[tuple[bool, int, int]]
) -> None:
    pair = Pair(field(of))
    pair.tell(list(pair.one.begin(LENGTH)))
    pair.inquire(7)
    assert list(pair.believed.runs(0, LENGTH)) == list(pair.have.runs(0, LENGTH))
    for is_gain, start, size in later:
        end = min(LENGTH, start + size)
        if is_gain:
            pair.have.add(start, end)
            pair.tell(list(pair.one.gained(start, end, LENGTH)))
        else:
            pair.have.discard(start, end)
            pair.tell(list(pair.one.lost(start, end)))
        assert list(pair.believed.runs(0, LENGTH)) == list(pair.have.runs(0, LENGTH))


@settings(max_examples=60, deadline=None)
@given(runs, changes)
def test_who_has_not_asked_never_believes_more_than_there_is(
    of: list[tuple[int, int]], later: list[tuple[bool, int, int]]
) -> None:
    pair = Pair(field(of))
    pair.tell(list(pair.one.begin(LENGTH)))
    for is_gain, start, size in later:
        end = min(LENGTH, start + size)
        (pair.have.add if is_gain else pair.have.discard)(start, end)
        pair.tell(list(pair.one.gained(start, end, LENGTH) if is_gain else pair.one.lost(start, end)))
        believed = [block for start, end in pair.believed.runs(0, LENGTH) for block in range(start, end)]
        assert all(block in pair.have for block in believed)
        if start + NEWEST >= LENGTH and is_gain:
            assert pair.believed.next_unset(start, end) == end


def test_a_whole_log_is_one_range_and_said_once() -> None:
    pair = Pair(field([(0, LENGTH)]))
    assert list(pair.one.begin(LENGTH)) == [Range(0, LENGTH)]
    assert list(pair.one.gained(LENGTH - 5, LENGTH, LENGTH)) == []
    pair.have.add(LENGTH, LENGTH + 10)
    assert list(pair.one.gained(LENGTH, LENGTH + 10, LENGTH + 10)) == [Range(0, LENGTH + 10)]


def test_what_was_whole_and_is_whole_again_is_said_again() -> None:
    pair = Pair(field([(0, LENGTH)]))
    pair.tell(list(pair.one.begin(LENGTH)))
    pair.have.discard(5, 6)
    assert list(pair.one.lost(5, 6)) == [Range(5, 1, drop=True)]
    pair.have.add(5, 6)
    assert list(pair.one.gained(5, 6, LENGTH)) == [Range(0, LENGTH)]


def test_scattered_blocks_are_told_as_bits_and_few_runs_as_ranges() -> None:
    pair = Pair(Bitfield())
    for block in range(1, LENGTH, 3):
        pair.have.add(block, block + 1)
    pair.inquire(0)
    assert [type(message) for message in pair.said] == [Bits]
    pair = Pair(field([(5, 100), (2000, 100)]))
    pair.inquire(0)
    assert pair.said == [Range(5, 100), Range(2000, 100)]
    pair.one.wanted(Want(0, STRETCH, any=True))
    assert list(pair.one.answers(LENGTH)) == [Range(5, 100)]


def test_stretches_are_asked_for_once_and_only_so_many() -> None:
    asking = Announcing(Bitfield(), Bitfield())
    assert list(asking.inquire(STRETCH + 5)) == [Want(STRETCH, STRETCH)]
    assert list(asking.inquire(STRETCH + 6)) == []
    found = [want for block in range(600) for want in asking.inquire(block * STRETCH)]
    assert len(found) == MOST_WANTS - 1


def test_what_is_not_wanted_any_more_is_not_told() -> None:
    pair = Pair(Bitfield())
    pair.inquire(0)
    pair.have.add(5, 6)
    assert list(pair.one.gained(5, 6, LENGTH)) == [Range(5, 1)]
    pair.one.unwanted(Unwant(0, STRETCH))
    assert list(pair.one.gained(5, 6, LENGTH)) == []


def test_attack_n05_who_wants_too_much_hears_everything_and_costs_little() -> None:
    side = Announcing(field([(10, 20)]), Bitfield())
    for number in range(MOST_WANTS + 1):
        side.wanted(Want(number * STRETCH, STRETCH))
    assert side._remote_wants is None
    assert list(side.gained(10, 12, LENGTH)) == [Range(10, 2)]
    huge = Announcing(field([(10, 20)]), Bitfield())
    huge.wanted(Want(0, 1 << 60))
    huge.wanted(Want(1 << 60, 5))
    assert list(huge.answers(LENGTH)) == [Range(10, 20)]


def test_attack_n05_many_wants_are_answered_a_few_at_a_time() -> None:
    length = MOST_WANTS * STRETCH
    scattered = Bitfield()
    for number in range(MOST_WANTS):
        scattered.put(number * STRETCH, b"\x55" * 8000)
    side = Announcing(scattered, Bitfield())
    for _ in range(10_000):
        side.wanted(Want(0, STRETCH))
    assert len(list(side.answers(length))) == 1
    for number in range(3 * MOST_WANTS):
        side.wanted(Want(number % MOST_WANTS * STRETCH, STRETCH - number // MOST_WANTS))
    count = 0
    while found := list(side.answers(length)):
        assert len(found) <= ANSWERED_AT_ONCE
        count += len(found)
    assert count == MOST_WANTS


def test_attack_m13_what_no_log_can_have_is_not_noted() -> None:
    believed = Bitfield()
    side = Announcing(Bitfield(), believed)
    side.told(Range(1 << 60, 1 << 60))
    side.told(Bits((1 << 60), b"\xff" * 64))
    side.told(Bits(3, b"\xff" * 64))  # no multiple of a word
    assert list(believed.runs(0, 1 << 62)) == []
    side.told(Range(5, (1 << 64) - 1))
    assert list(believed.runs(0, 1 << 62)) == [(5, 1 << 52)]
    assert all(before < after for before, after in pairwise([5, 1 << 52]))
