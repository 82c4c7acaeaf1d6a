"""Retention: what each rule keeps, against an oracle that says it another way, and what holds for all of them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import InvalidArgument
from hyperfs.policy.retention import (
    DAY_NS,
    HOUR_NS,
    STEPS,
    All,
    Last,
    Rule,
    Stamp,
    Thin,
    Within,
    kept,
    parse_keep,
    words_of,
)

SECOND_NS = 10**9
NOW = int(datetime(2026, 11, 21, 10, 30, tzinfo=UTC).timestamp()) * SECOND_NS
RULES = st.one_of(
    st.just(Thin()),
    st.just(All()),
    st.builds(Within, st.integers(1, 400).map(lambda hours: hours * HOUR_NS)),
    st.builds(Last, st.integers(1, 30)),
)
STEP = st.integers(0, len(STEPS) - 1)


@st.composite
def histories(draw: st.DrawFn) -> list[Stamp]:
    """Versions up to now: close together, hours apart and weeks apart; a few without a name."""
    gaps = st.one_of(
        st.integers(1, 120 * SECOND_NS), st.integers(1, 30 * HOUR_NS), st.integers(1, 20 * DAY_NS)
    )
    times, at = [], NOW
    for gap in draw(st.lists(gaps, max_size=60)):
        times.append(at)
        at -= gap
    listed = draw(st.lists(st.integers(0, 4).map(bool), min_size=len(times), max_size=len(times)))
    return [Stamp(v, t, name) for v, (t, name) in enumerate(zip(reversed(times), listed, strict=True), 1)]


def keep(rule: Rule, stamps: list[Stamp], now: int = NOW, step: int = 0) -> list[Stamp]:
    return [stamp for stamp, stays in zip(stamps, kept(rule, stamps, now, step), strict=True) if stays]


def moment(time_ns: int) -> datetime:
    """To the microsecond: buckets are far coarser."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)


def naive(stamps: list[Stamp], now: int) -> set[int]:
    """The default, told by calendars and with no thought of speed: versions by number."""
    named = [s for s in stamps if s.listed]
    last_of_hour = {moment(s.time_ns).strftime("%Y-%m-%d %H"): s.version for s in named}
    last_of_day = {moment(s.time_ns).strftime("%Y-%m-%d"): s.version for s in named}
    last_of_week = {moment(s.time_ns).isocalendar()[:2]: s.version for s in named}
    stays = {stamps[-1].version, *(s.version for s in named[-1:])} if stamps else set()
    for stamp in stamps:
        age = now - stamp.time_ns
        if age < HOUR_NS:
            stays.add(stamp.version)
        elif age < DAY_NS:
            stays |= {stamp.version} & set(last_of_hour.values())
        elif age < 30 * DAY_NS:
            stays |= {stamp.version} & set(last_of_day.values())
        else:
            stays |= {stamp.version} & set(last_of_week.values())
    return stays


@given(histories(), st.integers(0, 100 * DAY_NS))
def test_the_default_keeps_what_the_calendar_says(stamps: list[Stamp], later: int) -> None:
    assert {s.version for s in keep(Thin(), stamps, NOW + later)} == naive(stamps, NOW + later)


@given(RULES, histories(), STEP)
def test_thinning_twice_is_thinning_once(rule: Rule, stamps: list[Stamp], step: int) -> None:
    once = keep(rule, stamps, step=step)
    assert keep(rule, once, step=step) == once


@given(RULES, histories(), STEP, st.integers(0, 100 * DAY_NS), st.integers(0, 100 * DAY_NS))
def test_thinning_on_the_way_changes_nothing_in_the_end(
    rule: Rule, stamps: list[Stamp], step: int, first: int, then: int
) -> None:
    early, late = NOW + first, NOW + first + then
    assert keep(rule, keep(rule, stamps, early, step), late, step) == keep(rule, stamps, late, step)


@given(RULES, histories(), STEP, st.integers(0, 100 * DAY_NS), st.integers(0, 100 * DAY_NS))
def test_what_has_gone_never_comes_back(rule: Rule, stamps: list[Stamp], step: int, first: int, then: int) -> None:
    early, late = NOW + first, NOW + first + then
    assert set(keep(rule, stamps, late, step)) <= set(keep(rule, stamps, early, step))


@given(RULES, histories(), st.integers(1, 60))
def test_new_versions_bring_nothing_back(rule: Rule, stamps: list[Stamp], cut: int) -> None:
    before = stamps[:-cut]
    now = before[-1].time_ns if before else NOW
    later = {s for s in keep(rule, stamps) if s in before}
    # A version without a name stays only for being the newest, or among what its rule counts.
    assert {s for s in later if s.listed} <= set(keep(rule, before, now))


@given(RULES, histories(), STEP, st.integers(-400 * DAY_NS, 400 * DAY_NS))
def test_the_newest_stays_whatever_the_clock_says(rule: Rule, stamps: list[Stamp], step: int, wrong: int) -> None:
    stays = keep(rule, stamps, NOW + wrong, step)
    assert stays[-1:] == stamps[-1:]
    assert [s for s in stays if s.listed][-1:] == [s for s in stamps if s.listed][-1:]


@given(RULES, histories(), st.integers(0, 400 * DAY_NS))
def test_a_clock_behind_lets_nothing_go_that_a_right_one_would_not(
    rule: Rule, stamps: list[Stamp], behind: int
) -> None:
    assert set(keep(rule, stamps, NOW - behind)) >= set(keep(rule, stamps, NOW))


@given(RULES, histories())
def test_a_harder_step_keeps_no_more(rule: Rule, stamps: list[Stamp]) -> None:
    by_step = [set(keep(rule, stamps, step=step)) for step in range(len(STEPS))]
    for easier, harder in pairwise(by_step):
        assert harder <= easier


@given(histories(), STEP)
def test_all_means_all(stamps: list[Stamp], step: int) -> None:
    assert keep(All(), stamps, step=step) == stamps


@given(histories(), st.integers(1, 70))
def test_so_many_versions_are_so_many_that_are_listed(stamps: list[Stamp], count: int) -> None:
    stays = [s for s in keep(Last(count), stamps) if s.listed]
    assert stays == [s for s in stamps if s.listed][-count:]


def days_ago(*days: float) -> list[Stamp]:
    return [Stamp(v, NOW - int(d * DAY_NS)) for v, d in enumerate(days, 1)]


def test_an_age_keeps_the_state_with_which_it_began() -> None:
    stamps = days_ago(90, 60, 29, 28, 1)
    assert [s.version for s in keep(Within(30 * DAY_NS), stamps)] == [2, 3, 4, 5]
    assert [s.version for s in keep(Within(30 * DAY_NS), days_ago(90, 60))] == [2]


def test_borders_belong_to_the_older_side() -> None:
    hour = NOW // HOUR_NS * HOUR_NS
    stamps = [Stamp(1, hour - 2), Stamp(2, hour - 1), Stamp(3, hour), Stamp(4, hour + 1)]
    assert [s.version for s in keep(Thin(), stamps, hour + HOUR_NS - 3)] == [1, 2, 3, 4]
    assert [s.version for s in keep(Thin(), stamps, hour + HOUR_NS - 2)] == [2, 3, 4]
    assert [s.version for s in keep(Thin(), stamps, hour + HOUR_NS)] == [2, 4]


def test_weeks_begin_on_mondays() -> None:
    sunday = int(datetime(2026, 8, 9, 23, 59, tzinfo=UTC).timestamp()) * SECOND_NS
    stamps = [Stamp(1, sunday - HOUR_NS), Stamp(2, sunday), Stamp(3, sunday + 120 * SECOND_NS), Stamp(4, NOW)]
    assert [s.version for s in keep(Thin(), stamps)] == [2, 3, 4]


def test_nothing_of_nothing() -> None:
    assert kept(Thin(), [], NOW) == []


def test_a_hundred_thousand_versions_thin_to_a_few_hundred() -> None:
    stamps = [Stamp(v, NOW - (100_000 - v) * 600 * SECOND_NS) for v in range(1, 100_001)]
    stays = keep(Thin(), stamps)
    assert {s.version for s in stays} == naive(stamps, NOW)
    assert 150 < len(stays) < 200


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("all", All()),
        ("12h", Within(12 * HOUR_NS)),
        ("30d", Within(30 * DAY_NS)),
        ("8w", Within(56 * DAY_NS)),
        ("1y", Within(365 * DAY_NS)),
        ("10 versions", Last(10)),
        ("1 version", Last(1)),
    ],
)
def test_what_can_be_said(text: str, rule: Rule) -> None:
    assert parse_keep(text) == rule
    assert words_of(rule)


@pytest.mark.parametrize(
    "text",
    ["", "30", "30D", " 30d", "30d ", "30 d", "0d", "-1d", "030d", "1.5y", "ever", "ALL", "d", "30d\n", "３d", "30m"],
)
def test_what_can_not_be_said(text: str) -> None:
    with pytest.raises(InvalidArgument, match="says nothing that can be kept to"):
        parse_keep(text)


@pytest.mark.parametrize(
    "text", ["0 versions", "1 versions", "2 version", "10  versions", "10versions", "1000000d", "1000000 versions"]
)
def test_numbers_are_not_said_otherwise(text: str) -> None:
    with pytest.raises(InvalidArgument, match="says nothing that can be kept to"):
        parse_keep(text)
