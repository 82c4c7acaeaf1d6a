"""Which blocks share an object, and what may go: against plain statements of the rules."""

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.cold.choosing import FEW, OBJECT_BYTES, SMALL_BYTES, Plan, joined, places_for, rewrites, split, surplus
from hyperfs.cold.holdings import Held, Holdings
from hyperfs.cold.object_format import BLOCKS_MOST, Name, Run
from hyperfs.volume.elsewhere import Wish

from .test_holdings import LOG, NOW, apart, blocks, held_of, objects, runs

MIB = 1 << 20


def of_a_mebibyte(first: int, end: int) -> int:
    return (end - first) * MIB


def tiny(first: int, end: int) -> int:
    return end - first


@given(runs.map(apart))
def test_every_block_is_in_one_object_of_at_least_eight_mebibytes_but_the_last(found: tuple[Run, ...]) -> None:
    plans = list(split(LOG, found, of_a_mebibyte))
    assert [block for plan in plans for run in plan.runs for block in range(*run)] == sorted(blocks(found))
    assert all(OBJECT_BYTES <= plan.nbytes < OBJECT_BYTES + MIB for plan in plans[:-1])
    assert [plan.tail for plan in plans[:-1]] == [False] * (len(plans) - 1 if plans else 0)
    assert all(plan.nbytes == sum(of_a_mebibyte(*run) for run in plan.runs) for plan in plans)


def test_an_object_spans_a_bounded_number_of_blocks() -> None:
    plans = list(split(LOG, [(0, BLOCKS_MOST + 10), (3 * BLOCKS_MOST, 3 * BLOCKS_MOST + 1)], tiny))
    assert all(plan.end - plan.first <= BLOCKS_MOST for plan in plans)
    assert sum(end - first for plan in plans for first, end in plan.runs) == BLOCKS_MOST + 11


def test_a_block_larger_than_an_object_has_one_of_its_own() -> None:
    def huge(first: int, end: int) -> int:
        return (end - first) * 20 * MIB

    assert [plan.runs for plan in split(LOG, [(0, 2)], huge)] == [((0, 1),), ((1, 2),)]


@given(runs, runs)
def test_joined_is_a_union(one: tuple[Run, ...], other: tuple[Run, ...]) -> None:
    assert tuple(joined([*one, *other])) == apart((*one, *other))


def wish(copies: int, *places: str) -> Wish:
    return Wish(LOG, 0, 10, frozenset(places), copies, False)


def test_places_that_answer_come_first_then_those_that_have_most_then_in_order() -> None:
    order, none = ["a", "b", "c"], {"a": 10, "b": 10, "c": 10}
    ready = frozenset(order)
    assert places_for(wish(2, "a", "b", "c"), order, ready, none) == ("a", "b")
    assert places_for(wish(2, "b", "c"), order, ready, none) == ("b", "c")
    assert places_for(wish(1, "a", "b", "c"), order, ready, none | {"c": 0}) == ("c",)
    assert places_for(wish(1, "a", "b", "c"), order, ready - {"a"}, none | {"a": 0}) == ("b",)
    assert places_for(wish(3, "a", "b"), order, ready, none) == ("a", "b")


@given(objects, runs.map(apart), st.sets(st.integers(0, 7)))
def test_nothing_goes_that_is_needed(all_held: list[Held], cleared: tuple[Run, ...], old: set[int]) -> None:
    holdings = Holdings()
    for number, held in enumerate(all_held):
        held.proven_ns = 0 if number in old else NOW
        holdings.add(held)
    everything = list(holdings)
    gone = surplus(holdings.of(LOG), cleared, NOW)
    staying = [held for held in everything if held not in gone]
    proven_before = set().union(*(blocks(h.runs or ()) for h in everything if h.is_proven(NOW))) - blocks(cleared)
    proven_after = set().union(*(blocks(h.runs or ()) for h in staying if h.is_proven(NOW)))
    assert proven_before <= proven_after
    there_before = set().union(*(blocks(h.runs or ()) for h in everything)) - blocks(cleared)
    assert there_before <= set().union(*(blocks(h.runs or ()) for h in staying))
    for held in staying:  # and what is left is needed, by itself
        others = [o for o in staying if o is not held and o.is_proven(NOW)]
        assert blocks(held.runs or ()) - blocks(cleared) - set().union(*(blocks(o.runs or ()) for o in others))


def test_an_object_of_which_only_the_name_is_known_stays() -> None:
    holdings = Holdings()
    holdings.add(Held(LOG, Name(0, 4, 2, "0" * 32, "0" * 32), 9, "", None))
    assert surplus(holdings.of(LOG), [(0, 4)], NOW) == []


def sized(found: tuple[Run, ...], number: int) -> Held:
    return held_of(found, number, size=sum(of_a_mebibyte(*run) for run in found))


def rewritten(all_held: list[Held], cleared: list[Run]) -> list[Plan]:
    return list(rewrites(LOG, all_held, cleared, of_a_mebibyte))


def test_small_ones_beside_each_other_become_one() -> None:
    small = [sized(((first, first + 2),), first) for first in range(0, 8, 2)]
    assert [plan.runs for plan in rewritten(small, [])] == [((0, 8),)]
    assert rewritten(small[:3], []) == []


def test_one_of_which_little_is_needed_is_written_anew() -> None:
    assert SMALL_BYTES >= FEW * 8 * MIB
    large = sized(((0, 8),), 0)
    assert [plan.runs for plan in rewritten([large], [(1, 8)])] == [((0, 1),)]
    assert rewritten([large], [(2, 4)]) == []


def test_what_little_is_needed_of_several_shares_an_object() -> None:
    large = [sized(((first, first + 8),), first) for first in range(0, 64, 8)]
    cleared = [(first + 1, first + 8) for first in range(0, 64, 8)]
    assert [plan.runs for plan in rewritten(large, cleared)] == [tuple((first, first + 1) for first in range(0, 64, 8))]


def test_what_is_not_needed_at_all_is_not_written_anew() -> None:
    assert rewritten([sized(((0, 8),), 0)], [(0, 8)]) == []


@given(objects, runs.map(apart))
def test_writing_anew_comes_to_an_end(all_held: list[Held], cleared: tuple[Run, ...]) -> None:
    """What was written anew, with what it replaced gone, is not written anew again and again."""
    holdings = Holdings()
    for held in all_held:
        held.size = sum(of_a_mebibyte(*run) for run in held.runs or ())
        holdings.add(held)
    for turn in range(100, 110):
        for held in surplus(holdings.of(LOG), cleared, NOW):
            holdings.remove(held)
        plans = rewritten(holdings.of(LOG), list(cleared))
        if not plans:
            return
        for number, plan in enumerate(plans):
            holdings.add(sized(plan.runs, 1000 * turn + number))
    raise AssertionError("it goes on for ever")
