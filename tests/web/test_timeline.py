"""Versions as bars: with 100,000 of them, and with none."""

from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.web import timeline
from hyperfs.web.timeline import CELLS, SCALES, SECOND_NS, bar_of, bars, place_in, place_of, stops, window

MANY = array("q", (1_700_000_000 * SECOND_NS + number * 300 * SECOND_NS + number % 7 for number in range(100_000)))
TIMES = st.lists(st.integers(0, 2**62), min_size=1, max_size=50, unique=True).map(sorted)


def test_each_of_100_000_versions_is_in_one_bar() -> None:
    found = bars(MANY, window(MANY, "all", 0))
    assert len(found) == timeline.BARS
    assert sum(bar.versions for bar in found) == len(MANY)
    assert all(a.end == b.start for a, b in pairwise(found))
    assert all(bar.start <= MANY[bar.place] < bar.end for bar in found)


def test_a_window_of_a_scale_holds_the_moment_and_what_lies_near() -> None:
    for scale, width in timeline.SCALES.items():
        for at in (0, 5, 50_000, 99_999):
            found = window(MANY, scale, at)
            assert found.start <= MANY[at] < found.end, scale
            assert found.first <= at < found.last
            assert found.end - found.start == min(width, MANY[-1] + 1 - MANY[0])
            assert sum(bar.versions for bar in bars(MANY, found)) == found.last - found.first


def test_who_scrubs_by_one_version_stays_in_the_window() -> None:
    found = window(MANY, "day", 50_000)
    assert all(window(MANY, "day", at) == found for at in range(found.first, found.last))


def test_one_version_among_thousands_is_seen() -> None:
    times = [0, *range(10**12, 10**12 + 5000)]
    found = bars(times, window(times, "all", 0))
    assert found[0].versions == 1
    assert found[0].height >= 6
    assert found[-1].height == 100


@given(TIMES, st.sampled_from(["all", "nothing", *timeline.SCALES]), st.data())
def test_any_moment_lies_in_the_bar_that_is_marked(times: list[int], scale: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(times) - 1))
    found = window(times, scale, at)
    bar = bars(times, found)[bar_of(times, found, at)]
    assert bar.start <= times[at] < bar.end
    assert bar.versions


def test_without_a_version_there_is_nothing() -> None:
    found = window([], "all", 0)
    assert not any(bar.versions for bar in bars([], found))


def test_the_place_of_a_version_that_is_not_kept_is_that_of_the_one_before() -> None:
    versions = [3, 7, 9]
    assert [place_of(versions, version) for version in (1, 3, 6, 7, 8, 100)] == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("scale", ["all", *SCALES])
def test_the_slider_stops_where_there_are_versions_and_nowhere_else(scale: str) -> None:
    found = window(MANY, scale, 77_777)
    there = stops(MANY, found)
    assert 1 < len(there) <= min(CELLS, found.last - found.first)
    assert [bar_of(MANY, found, place, CELLS) for _, place in there] == [cell for cell, _ in there]
    assert there[-1][1] == found.last - 1
    assert [place_in(MANY, found, cell) for cell, _ in there] == [place for _, place in there]


def test_between_two_stops_the_slider_shows_the_earlier_one() -> None:
    times = [0, 10**9, 10**12]
    found = window(times, "all", 0)
    assert stops(times, found) == [(0, 1), (CELLS - 1, 2)]
    assert [place_in(times, found, cell) for cell in (0, 1, CELLS - 2, CELLS - 1, 10**9)] == [1, 1, 1, 2, 2]


def test_before_the_first_version_of_a_window_the_slider_shows_that() -> None:
    times = [0, 5 * SCALES["day"], 5 * SCALES["day"] + 7200 * SECOND_NS]
    found = window(times, "day", 2)
    assert found.first == 1
    assert place_in(times, found, 0) == 1
