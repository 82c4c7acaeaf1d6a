from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.policy.brake import FILES, SHARE, WINDOW_NS, Loss, Sample, Stretch, Touched, Window, alarm

SECOND = 10**9


def touched(ino: int, at: int = 0, before: int = 1, name: bytes = b"") -> Touched:
    return Touched(ino, 1, name, before, at, at)


# The window


def test_a_window_is_suspicious_from_the_501st_file_on() -> None:
    window = Window()
    window.add(Stretch(1, 1, 0, FILES))
    assert not window.is_suspicious
    window.add(Stretch(2, 2, SECOND, 1))
    assert window.is_suspicious


@given(st.lists(st.tuples(st.integers(0, 300 * SECOND), st.integers(0, 400)), max_size=30))
def test_a_window_has_ten_minutes_and_no_more(steps: list[tuple[int, int]]) -> None:
    window, now, all_ = Window(), 0, []
    for number, (pause, files) in enumerate(steps):
        now += pause
        all_.append((now, files))
        window.add(Stretch(number, number, now, files))
        inside = sum(files for at, files in all_ if at >= now - WINDOW_NS)
        assert window.is_suspicious == (inside > FILES)


def test_what_is_older_than_ten_minutes_counts_no_more() -> None:
    window = Window()
    window.add(Stretch(1, 1, 0, 400))
    window.add(Stretch(2, 2, WINDOW_NS + 1, 400))
    assert not window.is_suspicious
    window.add(Stretch(3, 3, WINDOW_NS + 2, 101))
    assert window.is_suspicious


def test_what_was_found_out_takes_the_place_of_what_was_feared() -> None:
    window = Window()
    window.add(Stretch(1, 5, SECOND, float("inf")))
    window.add(Stretch(6, 6, 2 * SECOND, 3))
    (first, _) = window.unknown
    window.learn(first, [Stretch(2, 2, SECOND, 4), Stretch(5, 5, SECOND, 0)])
    assert [(s.first, s.files, s.known) for s in window.stretches] == [(2, 4, True), (5, 0, True), (6, 3, False)]
    assert not window.is_suspicious


# The sample


@given(st.sets(st.integers(1, 1 << 62), max_size=500))
def test_a_sample_that_takes_all_has_all(inos: set[int]) -> None:
    sample = Sample(500)
    for ino in inos:
        sample.add(touched(ino))
    assert {found.ino for found in sample} == inos
    assert sample.scale == 1


@given(st.integers(0, 1 << 40), st.integers(200, 3000))
def test_a_part_stands_for_all(first: int, count: int) -> None:
    """Files that came together have numbers in a row: of those a part is taken evenly."""
    sample = Sample(100)
    for ino in range(first, first + count):
        sample.add(touched(ino))
    assert len(sample) <= 100
    assert abs(len(sample) * sample.scale - count) <= count * 0.25


def test_a_file_that_is_touched_again_is_one_and_was_there_before_the_first_time() -> None:
    sample = Sample()
    sample.add(touched(7, at=0, before=3))
    sample.add(touched(7, at=SECOND, before=4, name=b"gone"))
    sample.add(touched(7, at=2 * SECOND, before=5))
    (found,) = sample
    assert found == Touched(7, 1, b"gone", 3, 0, 2 * SECOND)
    sample.add(touched(7, at=WINDOW_NS + SECOND, before=9))
    assert next(iter(sample)).before == 9
    sample.forget(2 * WINDOW_NS)
    assert not len(sample)


# The alarm

ROOT, DOCUMENTS, LETTERS, PHOTOS = 1, 2, 3, 4
ABOVE = {ROOT: (ROOT,), DOCUMENTS: (DOCUMENTS, ROOT), LETTERS: (LETTERS, DOCUMENTS, ROOT), PHOTOS: (PHOTOS, ROOT)}
Lost = dict[int, int]


def losses(lost: Lost, deleted: bool = False, before: int = 5) -> list[Loss]:
    return [Loss(ABOVE[folder], deleted, before) for folder, count in lost.items() for _ in range(count)]


def below(files: Lost, folder: int, most: int) -> int:
    return min(most, sum(count for own, count in files.items() if folder in ABOVE[own]))


counts = st.dictionaries(st.sampled_from(sorted(ABOVE)), st.integers(0, 1200))


@given(counts, counts)
def test_an_alarm_is_more_than_500_files_and_a_fifth_of_a_folder(lost: Lost, others: Lost) -> None:
    files = Counter(lost) + Counter(others)
    found = alarm(losses(lost), 1, lambda folder, most: below(files, folder, most))
    gone = {folder: below(lost, folder, 1 << 30) for folder in ABOVE}
    whole = {folder: below(files, folder, 1 << 30) for folder in ABOVE}
    bad = [folder for folder in ABOVE if gone[folder] > FILES and gone[folder] * SHARE >= whole[folder]]
    assert (found is not None) == bool(bad)
    if found is not None:
        assert found.folder in bad
        assert (found.lost, found.of) == (gone[found.folder], whole[found.folder])
        assert found.lost == max(gone[folder] for folder in bad)
        deeper = [folder for folder in bad if found.folder in ABOVE[folder][1:]]
        assert all(gone[folder] < found.lost for folder in deeper)


def test_an_alarm_tells_the_version_that_had_them_all() -> None:
    lost = [*losses({LETTERS: 400}, before=9), *losses({LETTERS: 300}, deleted=True, before=7)]
    found = alarm(lost, 1, lambda folder, most: 700)
    assert found is not None
    assert (found.folder, found.lost, found.deleted, found.before) == (LETTERS, 700, 300, 7)


def test_each_file_of_a_part_stands_for_as_many() -> None:
    assert alarm(losses({PHOTOS: 130}), 4, lambda folder, most: min(most, 2000)) is not None
    assert alarm(losses({PHOTOS: 130}), 4, lambda folder, most: min(most, 3000)) is None
    assert alarm(losses({PHOTOS: 125}), 4, lambda folder, most: min(most, 500)) is None


def test_files_are_counted_no_further_than_it_matters() -> None:
    asked = []

    def count(folder: int, most: int) -> int:
        asked.append(most)
        return most

    assert alarm(losses({LETTERS: 600}), 1, count) is None
    assert set(asked) == {3001}
