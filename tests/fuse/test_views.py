"""Numbers of what stands in the past: they tell all, and take memory for views alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import StaleHandle
from hyperfs.fuse.views import PAST_BIT, View, Views

counters = st.integers(0, (1 << 41) - 1)
inodes = st.builds(lambda device, counter: device << 48 | counter, st.integers(1, 65_535), counters)
places = st.tuples(inodes, st.binary(min_size=1, max_size=9), st.integers(1, 9), inodes, st.binary(max_size=3))


@given(st.lists(places, max_size=60))
def test_a_number_tells_view_and_inode(found: list[tuple[int, bytes, int, int, bytes]]) -> None:
    views = Views()
    numbers = {}
    for directory, entry, version, ino, target in found:
        number = views.number(directory, entry, version, ino, target)
        assert number & PAST_BIT
        assert number < 1 << 64
        numbers[number] = (View(directory, entry, version, ino >> 48, target), ino)
        views.given(number)
    assert len(numbers) == len(set(found))
    for number, expected in numbers.items():
        assert views.find(number) == expected


def test_a_number_is_the_same_when_it_is_asked_for_again() -> None:
    views = Views()
    first = views.number(1, b"kept", 7, (3 << 48) + 5)
    views.given(first)
    views.forget(first, 1)
    assert len(views) == 0
    assert views.number(1, b"kept", 7, (3 << 48) + 5) == first
    assert Views().number(1, b"kept", 7, (3 << 48) + 5) == first


def test_inodes_of_one_view_take_one_slot() -> None:
    views = Views()
    numbers = {views.number(1, b"kept", 7, (1 << 48) + counter) for counter in range(10_000)}
    assert (len(numbers), len(views)) == (10_000, 1)


def test_a_view_stays_until_all_answers_are_taken_back() -> None:
    views = Views()
    one, two = (views.number(1, b"kept", 7, (1 << 48) + counter) for counter in (5, 6))
    for number in (one, one, two):
        views.given(number)
    views.forget(one, 2)
    assert views.find(one)[1] == (1 << 48) + 5
    views.forget(two, 1)
    with pytest.raises(StaleHandle):
        views.find(two)


def test_views_that_the_kernel_never_heard_of_do_not_add_up() -> None:
    views = Views()
    known = views.number(1, b"kept", 7, 5)
    views.given(known)
    for version in range(10_000):
        views.number(1, b"other", version, 5)
    assert len(views) < 2000
    assert views.find(known)[1] == 5


def test_an_inode_of_too_high_a_number_has_none_here() -> None:
    with pytest.raises(StaleHandle):
        Views().number(1, b"kept", 7, 1 << 41)
