"""The line of steps against the two stacks of an editor, and where one step ends and the next begins."""

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.volume.undo_line import Line, Span
from hyperfs.volume.undo_record import REDO, UNDO, UndoRecord

SECOND = 10**9


@given(st.lists(st.sampled_from(["change", "change", "undo", "undo", "redo"]), max_size=40))
def test_it_takes_back_and_does_again_what_an_editor_would(actions: list[str]) -> None:
    spans: list[Span] = []
    records: list[UndoRecord] = []
    done: list[int] = []
    undone: list[int] = []
    for version, action in enumerate(actions, 2):
        line = Line(records)
        newest_first = spans[::-1]
        step = next((step for step in line.steps(newest_first) if not step.taken_back), None)
        again = line.next_redo(newest_first)
        assert (step.after if step else None) == (done[-1] if done else None)
        assert (again.after if again else None) == (undone[-1] if undone else None)
        if action == "change":
            done.append(version)
            undone.clear()
        elif action == "undo" and step is not None:
            undone.append(done.pop())
            records.append(UndoRecord(version, UNDO, step.before, step.after, b""))
        elif action == "redo" and again is not None:
            done.append(undone.pop())
            records.append(UndoRecord(version, REDO, again.before, again.after, b""))
        else:
            continue
        moment = version * 10 * SECOND
        spans.append(Span(version, version - 1, moment, moment))


def bursts(*spans: Span) -> list[int]:
    return [step.versions for step in Line([]).steps(reversed(spans))]


def test_a_pause_of_five_seconds_parts_steps() -> None:
    first = Span(2, 1, 10 * SECOND, 12 * SECOND)
    assert bursts(first, Span(3, 2, 17 * SECOND - 1, 17 * SECOND)) == [2]
    assert bursts(first, Span(3, 2, 17 * SECOND, 17 * SECOND)) == [1, 1]


def test_of_a_version_that_took_long_only_the_end_of_its_changes_is_known() -> None:
    """A directory that is emptied over ten seconds, and one that was empty for as long, while others wrote."""
    first = Span(2, 1, 10 * SECOND, 12 * SECOND)
    assert bursts(first, Span(3, 2, 22 * SECOND, 22 * SECOND, began=12 * SECOND)) == [2]
    assert bursts(first, Span(3, 2, 22 * SECOND, 22 * SECOND, began=21 * SECOND)) == [1, 1]


def test_versions_elsewhere_may_lie_between_those_of_a_step() -> None:
    (step,) = Line([]).steps([Span(9, 8, 13 * SECOND, 13 * SECOND), Span(3, 2, 10 * SECOND, 11 * SECOND)])
    assert (step.before, step.after, step.began_ns, step.ended_ns) == (2, 9, 10 * SECOND, 13 * SECOND)


def test_an_undo_that_a_folder_above_took_back_says_nothing_any_more() -> None:
    spans = [Span(5, 4, 40 * SECOND, 0), Span(4, 3, 30 * SECOND, 0), Span(3, 2, 20 * SECOND, 20 * SECOND)]
    line = Line([UndoRecord(4, UNDO, 2, 3, b"a"), UndoRecord(5, UNDO, 3, 4, b"")])
    assert [step.taken_back for step in line.steps(spans)] == [False]
    assert line.next_redo(spans) == UndoRecord(5, UNDO, 3, 4, b"")


def test_what_a_record_covers() -> None:
    record = UndoRecord(5, UNDO, 3, 4, b"a/b")
    assert record.covers(b"a/b")
    assert record.covers(b"a/b/c")
    assert not record.covers(b"a")
    assert not record.covers(b"a/bc")
    assert UndoRecord(5, UNDO, 3, 4, b"").covers(b"a")
