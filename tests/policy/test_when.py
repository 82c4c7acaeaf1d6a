"""WHEN: each form of the grammar, what is refused, and what holds for all of them."""

from calendar import timegm
from datetime import UTC, date, datetime, timedelta, timezone
from time import strftime, strptime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import BadWhen, InvalidArgument, NameTooLong
from hyperfs.policy.local_time import last_moment_of_day, moment, moments_of, reading
from hyperfs.policy.when import (
    At,
    Name,
    Number,
    check_snapshot_name,
    display_name,
    display_second,
    parse_when,
)

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
BERLIN = ZoneInfo("Europe/Berlin")
# Saturday; 11:00 in Berlin.
NOW = moment(datetime(2026, 11, 21, 10, 0, tzinfo=UTC)) + 123
DISPLAY_SECONDS = st.integers(-62_135_596_800, 253_402_300_799)
MOMENTS = st.integers(0, 4_000_000_000 * SECOND)
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Havana",
        "Asia/Beirut",
        "America/Nuuk",
        "Asia/Kolkata",
        "Pacific/Apia",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "America/Sao_Paulo",
        "Antarctica/Troll",
    ]
).map(ZoneInfo)


def at(text: str, zone: object = BERLIN, now: int = NOW) -> At:
    found = parse_when(text, now, zone)  # type: ignore[arg-type]
    assert isinstance(found, At)
    return found


def utc(*fields: int) -> int:
    return moment(datetime(*fields, tzinfo=UTC))  # type: ignore[misc, arg-type]


@pytest.mark.parametrize("text", ["1", "1234", "@1234", str(2**64 - 1)])
def test_digits_are_a_version_number(text: str) -> None:
    assert parse_when(text, NOW, BERLIN) == Number(int(text.lstrip("@")))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T10-00-00Z",
        "2026-11-20T10:00:00Z",
        "2026-11-20 10:00:00Z",
        "2026-11-20T11:00:00+01:00",
        "2026-11-20T05:30:00-0430",
    ],
)
def test_a_full_time_is_the_whole_second_and_settled_by_the_text_alone(text: str) -> None:
    start = utc(2026, 11, 20, 10)
    assert at(text) == At(start + SECOND - 1, second=start // SECOND, absolute=True)


@pytest.mark.parametrize("text", ["2026-11-20T11:00:00", "2026-11-20 11:00:00", "2026-11-20T11-00-00"])
def test_a_time_without_zone_is_local(text: str) -> None:
    start = utc(2026, 11, 20, 10)
    assert at(text) == At(start + SECOND - 1, second=start // SECOND, absolute=False)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("10:00Z", 60 * SECOND - 1),
        ("10:00:00.5Z", 600_000_000 - 1),
        ("10:00:00.123456Z", 123_457_000 - 1),
        ("10:00:00.123456789Z", 123_456_789),
        ("10-00-00.25Z", 260_000_000 - 1),
    ],
)
def test_a_time_reaches_to_the_end_of_the_unit_it_is_written_in(text: str, nanoseconds: int) -> None:
    assert at(f"2026-11-20T{text}").time_ns == utc(2026, 11, 20, 10) + nanoseconds


def test_a_date_is_the_end_of_that_local_day() -> None:
    assert at("2026-11-20").time_ns == utc(2026, 11, 20, 23) - 1
    assert at("2026-11-20", UTC).time_ns == utc(2026, 11, 21) - 1


@pytest.mark.parametrize(
    ("text", "day"),
    [("today", 21), ("yesterday", 20), ("Yesterday", 20), ("friday", 20), ("Saturday", 14), ("sunday", 15)],
)
def test_words_for_days_are_the_ends_of_days_and_a_weekday_is_one_that_is_over(text: str, day: int) -> None:
    assert at(text).time_ns == utc(2026, 11, day, 23) - 1


@pytest.mark.parametrize(
    ("text", "earlier"),
    [
        ("now", 0),
        ("0 days ago", 0),
        ("90s ago", 90),
        ("1 second ago", 1),
        ("5 min ago", 300),
        ("2h ago", 7200),
        ("2 Hours ago", 7200),
        ("3 days ago", 3 * 86_400),
        ("1d ago", 86_400),
        ("2 weeks ago", 14 * 86_400),
    ],
)
def test_so_long_ago(text: str, earlier: int) -> None:
    assert at(text) == At(NOW - earlier * SECOND)


def test_months_and_years_ago_keep_the_day_or_take_the_month_s_last() -> None:
    assert at("1 month ago", UTC, utc(2026, 3, 31, 9)).time_ns == utc(2026, 2, 28, 9)
    assert at("13 months ago", UTC, utc(2026, 1, 15, 9)).time_ns == utc(2024, 12, 15, 9)
    assert at("2y ago", UTC, utc(2026, 2, 28, 9)).time_ns == utc(2024, 2, 28, 9)


def test_days_ago_keep_the_clock_reading_across_a_change_of_clocks_and_hours_do_not() -> None:
    monday_after = utc(2026, 3, 30, 8)  # 10:00 in Berlin; clocks went forward on the 29th
    assert at("2 days ago", BERLIN, monday_after).time_ns == utc(2026, 3, 28, 9)
    assert at("48h ago", BERLIN, monday_after).time_ns == utc(2026, 3, 28, 8)


def test_a_local_time_that_comes_twice_is_the_second() -> None:
    assert at("2026-10-25T02:30:00").second == utc(2026, 10, 25, 1, 30) // SECOND
    assert at("2026-10-25T02:30:00+02:00").second == utc(2026, 10, 25, 0, 30) // SECOND


def test_a_local_time_that_never_was_is_refused_and_says_so() -> None:
    with pytest.raises(BadWhen, match="clocks went forward"):
        parse_when("2026-03-29T02:30:00", NOW, BERLIN)
    # So long ago is no reading that somebody typed: it is taken as if the clocks had not jumped yet.
    assert at("1 day ago", BERLIN, utc(2026, 3, 30, 0, 30)).time_ns == utc(2026, 3, 29, 1, 30)


def test_nothing_ago_lies_ahead_though_this_hour_comes_twice() -> None:
    first_half_past_two = utc(2026, 10, 25, 0, 30)
    assert at("0 days ago", BERLIN, first_half_past_two).time_ns == first_half_past_two


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "@",
        "@x",
        "@-1",
        "@1.5",
        "0",
        "@0",
        "007",
        str(2**64),
        "9" * 5000,
        "2026-13-45",
        "2026-02-30",
        "2026-1-1",
        "2026-11",
        "2026/11/21",
        "21.11.2026",
        "11/21/2026",
        "0000-01-01",
        "2026-11-21T",
        "2026-11-21T10",
        "2026-11-21T24:00:00",
        "2026-11-21T10:00:60Z",
        "2026-11-21t10:00:00z",
        "2026-11-21T10:00-00Z",
        "2026-11-21T10:00:00,5",
        "2026-11-21T10:00:00.1234567890Z",
        "2026-11-21  10:00",
        "2026-11-21T10-00-00+01:00",
        "2026-11-21T10:00:00+24:00",
        "2026-11-21T10:00:00+01:60",
        "20261121T100000Z",
        "10:00",
        "10:00:00",
        "9:30 pm",
        "2h  ago",
        "two days ago",
        "ago",
        "3 fortnights ago",
        "5m ago",
        "-2h ago",
        "last monday",
        "last week",
        "next year",
        "tomorrow",
        "in 2 hours",
        "9999 years ago",
        "999999999 d ago",
        " 2026-11-21",
        "2026-11-21\n",
        "today ",
        " @12",
        "9999-12-31",
    ],
)
def test_what_looks_like_a_time_and_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadWhen, match=r"names no version: .+\. Write, for example, @1234"):
        parse_when(text, NOW, BERLIN)


@pytest.mark.parametrize(
    "text",
    [
        "before",
        "v1.2.3",
        "1.2.3",
        "2026-release",
        "2026-11-21-before-upgrade",
        "2026-11-21 before",
        "todays",
        "x@1",
        "3rd draft",
        "last good",
        "in 2026",
        "Montag",
        "²",
        "١٢",
        "na\nme",
        "\udcff",
        "Chicago",
        "x2h",
    ],
)
def test_anything_else_is_a_name_and_may_be_given_to_a_snapshot(text: str) -> None:
    assert parse_when(text, NOW, BERLIN) == Name(text)
    check_snapshot_name(text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    "text", ["12", "@12", "today", "MONDAY", "2h ago", "2026-11-21", "2026-13-45", "10:00", " now"]
)
def test_a_snapshot_can_t_take_a_name_that_means_something_else(text: str) -> None:
    with pytest.raises(InvalidArgument, match="can't be a snapshot's name"):
        check_snapshot_name(text.encode())


@pytest.mark.parametrize("name", [b"", b".", b"..", b".files", b".deleted", b".x", b"a/b", b"a\0b"])
def test_a_snapshot_s_name_is_a_file_name_without_leading_dot(name: bytes) -> None:
    with pytest.raises(InvalidArgument):
        check_snapshot_name(name)


def test_a_snapshot_s_name_may_have_255_bytes_and_no_more() -> None:
    check_snapshot_name(b"x" * 255)
    with pytest.raises(NameTooLong):
        check_snapshot_name(b"x" * 256)


@given(DISPLAY_SECONDS)
def test_display_names_come_back_and_parse_to_their_second(second: int) -> None:
    name = display_name(second)
    assert display_second(name) == second
    assert at(name) == At(second * SECOND + SECOND - 1, second=second, absolute=True)


@given(st.integers(0, 253_402_300_799))
def test_display_names_are_those_of_strftime_and_strptime(second: int) -> None:
    fields = strptime(display_name(second), "%Y-%m-%dT%H-%M-%SZ")
    assert timegm(fields) == second
    assert strftime("%Y-%m-%dT%H-%M-%SZ", fields) == display_name(second)


@given(DISPLAY_SECONDS, DISPLAY_SECONDS)
def test_display_names_sort_as_their_seconds(one: int, other: int) -> None:
    assert (display_name(one) < display_name(other)) == (one < other)


@pytest.mark.parametrize(
    "name", ["2026-11-21T10:00:00Z", "2026-11-21T10-00-00", "2026-13-21T10-00-00Z", "", "x"]
)
def test_only_display_names_have_a_display_second(name: str) -> None:
    with pytest.raises(BadWhen):
        display_second(name)


@pytest.mark.parametrize("second", [-62_135_596_801, 253_402_300_800])
def test_a_second_outside_the_calendar_has_no_display_name(second: int) -> None:
    with pytest.raises(OverflowError):
        display_name(second)


@given(MOMENTS, ZONES)
def test_a_moment_written_down_in_any_zone_is_found_again(time_ns: int, zone: ZoneInfo) -> None:
    written = datetime.fromtimestamp(time_ns // SECOND, zone).replace(tzinfo=None)
    found = at(written.isoformat(), zone)
    assert reading(found.time_ns, zone).replace(microsecond=0) == written
    assert found.time_ns >= time_ns  # equal up to the second, or the second time that the clocks showed it


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_the_offset_of_a_time_counts(time_ns: int, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    text = datetime.fromtimestamp(time_ns // SECOND, zone).isoformat()
    assert at(text).second == time_ns // SECOND


@given(MOMENTS, ZONES)
def test_a_day_ends_when_the_calendar_turns_for_good(time_ns: int, zone: ZoneInfo) -> None:
    day = reading(time_ns, zone).date()
    end = last_moment_of_day(day, zone)
    assert time_ns <= end
    assert reading(end, zone).date() == day
    assert reading(end + 1, zone).date() > day


@given(st.dates(date(1971, 1, 1), date(2090, 1, 1)), ZONES)
def test_days_follow_one_another(day: date, zone: ZoneInfo) -> None:
    assert last_moment_of_day(day, zone) <= last_moment_of_day(day + timedelta(days=1), zone)


@given(MOMENTS, ZONES, st.integers(1, 400))
def test_days_ago_has_the_same_clock_reading_or_lies_past_a_gap(now: int, zone: ZoneInfo, days: int) -> None:
    then = at(f"{days} days ago", zone, now).time_ns
    wanted = reading(now, zone) - timedelta(days=days)
    if moments_of(wanted, zone):
        assert reading(then, zone) == wanted
        assert then % 1000 == now % 1000
    else:
        assert timedelta(0) < reading(then, zone) - wanted <= timedelta(days=1)
    assert then < now


@given(st.text(max_size=40) | st.from_regex(r"[0-9@T: .Zago-]{1,24}", fullmatch=True), MOMENTS, ZONES)
def test_the_kind_depends_on_the_text_alone(text: str, now: int, zone: ZoneInfo) -> None:
    def kind(now_ns: int, where: object) -> type:
        try:
            return type(parse_when(text, now_ns, where))  # type: ignore[arg-type]
        except BadWhen:
            return BadWhen

    assert (kind(now, zone) is Name) == (kind(NOW, UTC) is Name)


@given(st.binary(max_size=300))
def test_a_name_that_a_snapshot_may_have_is_found_as_a_name(name: bytes) -> None:
    try:
        check_snapshot_name(name)
    except (InvalidArgument, NameTooLong):
        return
    text = name.decode("utf-8", "surrogateescape")
    assert parse_when(text, NOW, BERLIN) == Name(text)
