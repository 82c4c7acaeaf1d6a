"""Two texts side by side."""

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.web.side_by_side import LINES_MOST, Row, rows

TEXT = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30).map("\n".join)


def test_a_changed_line_stands_beside_the_old_one() -> None:
    assert rows("one\ntwo\n", "one\n2\nthree\n") == [
        Row("same", 1, "one", 1, "one"),
        Row("changed", 2, "two", 2, "2"),
        Row("added", None, "", 3, "three"),
    ]


def test_what_is_the_same_far_from_a_change_is_counted() -> None:
    lines = [str(number) for number in range(100)]
    found = rows("\n".join(lines), "\n".join([*lines[:50], "new", *lines[50:]]))
    assert found is not None
    assert [row.kind for row in found] == ["skipped", *["same"] * 3, "added", *["same"] * 3, "skipped"]
    assert (found[0].old_number, found[-1].old_number) == (47, 47)


@given(TEXT, TEXT)
def test_both_texts_are_there_in_order(old: str, new: str) -> None:
    found = rows(old, new) or []
    for side, text in ((1, old), (3, new)):
        numbered = [(row[side], row[side + 1]) for row in found if row[side] is not None and row.kind != "skipped"]
        lines = text.splitlines()
        assert [number for number, _ in numbered] == sorted({number for number, _ in numbered})
        assert all(lines[number - 1] == line for number, line in numbered)
    skipped = sum(row.old_number or 0 for row in found if row.kind == "skipped")
    assert sum(row.old_number is not None for row in found if row.kind != "skipped") + skipped == len(old.splitlines())


def test_texts_that_are_too_long_are_not_compared() -> None:
    assert rows("a\n" * (LINES_MOST + 1), "") is None
