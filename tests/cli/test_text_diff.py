"""Two states of a file as lines to print."""

import difflib

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.cli.text_diff import CAME, HEAD, LINES_MOST, SAME, WENT, Side, text_diff


def side(data: bytes | None, label: str | None = "name") -> Side:
    return Side(label, len(data or b""), data)


def texts(old: Side, new: Side) -> list[str]:
    return [line.text for line in text_diff(old, new)]


def test_text_is_told_line_by_line() -> None:
    found = list(text_diff(side(b"one\ntwo\nthree\n", "f @1"), side(b"one\n2\nthree\n", "f @2")))
    assert [line.text for line in found] == ["--- f @1", "+++ f @2", "@@ -1,3 +1,3 @@", " one", "-two", "+2", " three"]
    assert [line.kind for line in found if line.kind in (CAME, WENT)] == [WENT, CAME]


def test_what_came_and_what_went_is_told_beside_nothing() -> None:
    nothing = Side(None, 0, b"")
    assert texts(nothing, side(b"new\n"))[:2] == ["--- /dev/null", "+++ name"]
    assert texts(side(b"old\n"), nothing)[-1] == "-old"


def test_the_rest_is_told_in_sizes() -> None:
    assert texts(side(b"text"), side(b"a\0b" * 1000)) == ["name: 4 B -> 2.9 KiB"]
    assert texts(Side("name", 5 << 20, None), side(b"short")) == ["name: 5.0 MiB -> 5 B"]
    assert texts(Side(None, 0, b""), side(b"\0")) == ["name: nothing -> 1 B"]
    assert texts(side(b"\n" * (LINES_MOST + 1)), side(b"x\n")) == [f"name: {LINES_MOST + 1} lines -> 1 lines"]


def test_nothing_in_a_file_or_name_moves_the_cursor() -> None:
    found = texts(side(b"\tplain\n", "\x1b[2J"), side(b"\tplain\n\x1b[31mred\r\n\xff\n", "b\nc"))
    assert all(c.isprintable() or c == "\t" for text in found for c in text)
    assert found[:2] == ["--- \\x1b[2J", "+++ b\\nc"]
    assert " \tplain" in found


def test_a_last_line_without_an_end_is_said() -> None:
    assert texts(side(b"one"), side(b"one\n"))[3:] == ["-one", "\\ No newline at end of file", "+one"]


lines = st.lists(st.sampled_from(["a", "b", "", "-x", "+y", "@@"]), max_size=12)


@given(lines, lines, st.booleans())
def test_what_it_says_makes_the_new_out_of_the_old(old: list[str], new: list[str], ended: bool) -> None:
    before, after = ("\n".join(found) + "\n" * ended for found in (old, new))
    found = list(text_diff(side(before.encode()), side(after.encode())))
    if before == after:
        assert [line.kind for line in found] == [HEAD, HEAD]
        return
    came = [line.text[1:] for line in found if line.kind == CAME]
    went = [line.text[1:] for line in found if line.kind == WENT]
    same = [line for line in found if line.kind == SAME and not line.text.startswith("\\")]
    expected = list(difflib.ndiff(before.split("\n"), after.split("\n")))
    assert len(came) - len(went) == len(after.splitlines()) - len(before.splitlines())
    assert all(line.text[0] == " " for line in same)
    assert expected
