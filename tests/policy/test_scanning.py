"""Programs that look at everything are told by what they read, however many processes they take."""

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.policy.scanning import MOST_BYTES, MOST_FILES, WINDOW_SECONDS, Program, Scans, Sightings

THUMBS = Program("/usr/bin/thumbs", "/user.slice")
OTHER = Program("/usr/bin/vim", "/user.slice")


def test_a_program_is_a_scan_past_its_files_and_another_is_not() -> None:
    scans = Scans()
    for file in range(MOST_FILES):
        scans.note(THUMBS, file, 10, 1.0)
    assert not scans.is_scan(THUMBS, 1.0)
    scans.note(THUMBS, 5, 10, 2.0)
    assert not scans.is_scan(THUMBS, 2.0)
    scans.note(THUMBS, MOST_FILES, 10, 2.0)
    assert scans.is_scan(THUMBS, 2.0)
    assert not scans.is_scan(OTHER, 2.0)
    assert not scans.is_scan(Program(THUMBS.executable, "/another"), 2.0)
    assert scans.scanning(2.0) == [(THUMBS, (MOST_FILES + 2) * 10, MOST_FILES + 1)]


def test_a_program_is_a_scan_past_its_bytes_of_one_file() -> None:
    scans = Scans()
    scans.note(THUMBS, 1, MOST_BYTES, 1.0)
    assert not scans.is_scan(THUMBS, 1.0)
    scans.note(THUMBS, 1, 1, 1.0)
    assert scans.is_scan(THUMBS, 1.0)


def test_it_is_one_no_more_when_it_was_quiet_for_a_while() -> None:
    scans = Scans()
    scans.note(THUMBS, 1, MOST_BYTES + 1, 50.0)
    assert scans.is_scan(THUMBS, 50.0 + WINDOW_SECONDS * 0.9)
    assert not scans.is_scan(THUMBS, 50.0 + WINDOW_SECONDS * 1.1)


def test_what_is_allowed_by_path_or_name_is_never_one() -> None:
    scans = Scans()
    scans.note(THUMBS, 1, MOST_BYTES + 1, 1.0)
    for name in ("thumbs", "/usr/bin/thumbs"):
        scans.allowed = {name}
        assert not scans.is_scan(THUMBS, 1.0)
    scans.allowed = {"vim", ""}
    assert scans.is_scan(THUMBS, 1.0)


def test_processes_that_ended_before_they_could_be_asked_count_as_one_program_that_nothing_allows() -> None:
    scans = Scans()
    ended = Program("", "")
    scans.allowed = {"", "a program that has ended"}
    scans.note(ended, 1, MOST_BYTES + 1, 1.0)
    assert scans.is_scan(ended, 1.0)


@given(st.lists(st.tuples(st.floats(0, 2000), st.integers(0, 500), st.integers(0, MOST_BYTES // 40)), max_size=60))
def test_what_it_read_within_the_window_counts_and_nothing_older_than_it_and_a_slice(
    reads: list[tuple[float, int, int]],
) -> None:
    scans = Scans()
    reads.sort()
    for at, file, nbytes in reads:
        scans.note(THUMBS, file, nbytes, at)
    now = reads[-1][0] if reads else 0.0
    surely = sum(nbytes for at, _, nbytes in reads if at > now - WINDOW_SECONDS * 0.9)
    at_most = sum(nbytes for at, _, nbytes in reads if at >= now - WINDOW_SECONDS * 1.1)
    if scans.is_scan(THUMBS, now):
        assert at_most > MOST_BYTES
    else:
        assert surely <= MOST_BYTES


def test_what_a_program_opens_counts_as_use_once_its_while_is_over() -> None:
    sightings = Sightings()
    sightings.note(OTHER, 1, 100, 5.0)
    sightings.note(OTHER, 2, 100, 5.0)
    sightings.note(THUMBS, 1, 101, 9.0)
    assert sightings.settled(WINDOW_SECONDS - 1) == {}
    assert sightings.settled(WINDOW_SECONDS + 1) == {1: 101, 2: 100}
    assert sightings.settled(WINDOW_SECONDS * 9) == {}
    sightings.note(OTHER, 3, 100, 5.0)
    assert sightings.settled(6.0, whole=True) == {3: 100}


def test_of_a_program_that_opens_too_much_nothing_counts_and_of_others_it_does() -> None:
    sightings = Sightings()
    for file in range(MOST_FILES + 1):
        sightings.note(THUMBS, file, 100, 5.0)
    sightings.note(OTHER, 7, 99, 5.0)
    assert sightings.settled(WINDOW_SECONDS * 2) == {7: 99}
