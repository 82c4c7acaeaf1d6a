"""What leaves, in which order, and what stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.policy.placement import STAYS, Needs, Strength, Stretch, is_media, plan, together

HOT, AUTO, COLD = Strength.HOT, Strength.AUTO, Strength.COLD
TWO = frozenset({"nas", "office"})
MIB = 1 << 20

places = st.none() | st.frozensets(st.sampled_from(["nas", "office", "away"]))
needs = st.builds(Needs, st.sampled_from(Strength), st.integers(0, 9), st.booleans(), places)
configured = st.frozensets(st.sampled_from(["nas", "office", "away", "more"]))


def stretch(first: int, strength: Strength = AUTO, *, live: bool = True, used: int = 0, media: bool = False,
            here: bool = True, nbytes: int = MIB, wants: Needs | None = None) -> Stretch:
    return Stretch(2, first, first + 1, nbytes, wants or Needs(strength), live, used, media, here)


def order(*stretches: Stretch, budget: int | None = None, here: int = 100 * MIB) -> list[int]:
    return [found.first for found in plan(stretches, TWO, here, budget).leaving]


def test_what_no_file_has_now_leaves_before_all_else_then_cold_then_what_was_used_least_lately() -> None:
    found = [
        stretch(1, AUTO, used=7),
        stretch(2, COLD, used=1),
        stretch(3, AUTO, live=False, used=9),
        stretch(4, AUTO, used=5),
        stretch(5, COLD, live=False, used=9),
    ]
    assert order(*found, budget=0) == [3, 5, 2, 4, 1]


def test_of_what_was_used_in_the_same_hour_large_media_leave_before_documents() -> None:
    found = [stretch(1, used=5), stretch(2, used=5, media=True), stretch(3, used=4), stretch(4, used=6, media=True)]
    assert order(*found, budget=0) == [3, 2, 1, 4]


def test_without_a_budget_auto_stays_and_cold_and_deleted_leave() -> None:
    assert order(stretch(1, AUTO), stretch(2, COLD), stretch(3, AUTO, live=False), stretch(4, HOT)) == [3, 2]


def test_auto_leaves_only_as_far_as_the_budget_asks() -> None:
    found = [stretch(number, used=number) for number in range(20)]
    assert order(*found, budget=30 * MIB, here=30 * MIB) == []
    assert order(*found, budget=20 * MIB, here=25 * MIB) == [0, 1, 2, 3, 4, 5]
    assert order(*found, stretch(90, COLD, nbytes=6 * MIB), budget=20 * MIB, here=25 * MIB) == [90]


def test_hot_never_leaves_and_comes_back() -> None:
    made = plan([stretch(1, HOT), stretch(2, HOT, here=False), stretch(3, AUTO, here=False)], TWO, 9, 0)
    assert made.leaving == []
    assert [found.first for found in made.returning] == [2]
    assert plan([stretch(1, HOT, live=False, here=False)], TWO, 9, None).returning == []


def test_what_may_go_to_fewer_places_than_it_must_have_copies_stays_and_is_told() -> None:
    three = stretch(1, wants=Needs(COLD, 3, False))
    local = stretch(2, wants=Needs(COLD, places=frozenset()))
    other = stretch(3, wants=Needs(COLD, places=frozenset({"elsewhere"})))
    made = plan([three, local, other], TWO, 9 * MIB, None)
    assert made.leaving == []
    assert made.lacking == 3 * MIB


@pytest.mark.parametrize(
    ("wants", "there", "copies"),
    [
        (Needs(), {"nas", "office"}, 2),
        (Needs(), {"nas", "office", "away"}, 2),
        (Needs(), {"nas"}, 1),
        (Needs(places=frozenset({"nas"})), {"nas", "office"}, 1),
        (Needs(copies=1, by_default=False), {"nas", "office"}, 1),
        (Needs(copies=3, by_default=False), {"nas", "office"}, 3),
        (Needs(copies=1, by_default=True), {"nas", "office"}, 2),
    ],
)
def test_without_a_number_two_copies_are_needed_and_one_where_there_is_one_place(
    wants: Needs, there: set[str], copies: int
) -> None:
    assert wants.copies_of(frozenset(there)) == copies


@given(needs, needs, needs)
def test_what_holds_together_is_the_same_in_any_order(one: Needs, other: Needs, third: Needs) -> None:
    assert together(one, other) == together(other, one)
    assert together(one, one) == one
    assert together(together(one, other), third) == together(one, together(other, third))


@given(needs, needs, configured, configured)
def test_what_is_safe_for_both_is_safe_for_each(
    one: Needs, other: Needs, there: frozenset[str], proven: frozenset[str]
) -> None:
    both = together(one, other)
    if both.are_met(proven, there):
        assert not both.lacks_places(there)
        for single in (one, other):
            allowed = single.allowed(there)
            assert both.allowed(there) <= allowed
            assert len(allowed & proven) >= max(1, single.copies)
            if single.by_default:
                assert len(allowed & proven) >= min(2, len(both.allowed(there)))


@given(needs, configured)
def test_what_nobody_looked_at_goes_nowhere_with_whatever_it_is_packed(wants: Needs, there: frozenset[str]) -> None:
    both = together(wants, STAYS)
    assert both.strength is HOT
    assert both.allowed(there) == frozenset()


stretches = st.lists(
    st.builds(
        Stretch,
        st.just(2),
        st.integers(0, 99),
        st.just(0),
        st.integers(1, 9),
        needs,
        st.booleans(),
        st.integers(0, 5),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


@given(stretches, configured, st.integers(0, 99), st.none() | st.integers(0, 99))
def test_nothing_leaves_that_must_stay_nor_more_than_the_budget_asks(
    found: list[Stretch], there: frozenset[str], here: int, budget: int | None
) -> None:
    made = plan(found, there, here, budget)
    for going in made.leaving:
        assert going.is_here
        assert going.needs.strength is not HOT
        assert not going.needs.lacks_places(there)
    under_pressure = made.leaving[made.soon :]
    assert all(going.is_live and going.needs.strength is AUTO for going in under_pressure)
    if under_pressure:
        assert budget is not None
        before_last = here - sum(going.nbytes for going in made.leaving[:-1])
        assert before_last > budget * 0.95


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        (b"film.mp4", 9 * MIB, True),
        (b"FILM.MKV", 9 * MIB, True),
        (b"film.mp4", 1000, False),
        (b"paper.pdf", 9 * MIB, False),
        (b".mp4", 9 * MIB, False),
        (b"mp4", 9 * MIB, False),
    ],
)
def test_large_media_are_told_by_their_names_ending(name: bytes, size: int, expected: bool) -> None:
    assert is_media(name, size) is expected
