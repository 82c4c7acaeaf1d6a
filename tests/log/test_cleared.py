"""Which blocks were let go, by the control chain."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.log.cleared import Cleared

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)).map(lambda r: (r[0], r[0] + r[1])), max_size=12)


@given(RANGES, RANGES)
def test_it_has_exactly_the_blocks_of_its_ranges(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    cleared = Cleared({7: first}).more([(7, 0, 100, bytes(32), tuple(second))])
    blocks = {block for start, end in first + second for block in range(start, end)}
    assert {block for block in range(80) if cleared.has(7, block)} == blocks
    assert not cleared.has(8, 0)
    for block in blocks:
        start, end = cleared.around(7, block) or (0, 0)
        assert set(range(start, end)) <= blocks
        assert start - 1 not in blocks
        assert end not in blocks
    ranges = cleared.ranges(7)
    assert all(end < start for (_, end), (start, _) in pairwise(ranges))


def test_nothing_was_let_go_of_a_drive_without_intents() -> None:
    assert not Cleared.of([]).has(1, 0)
    assert Cleared.of([]).ranges(1) == ()
