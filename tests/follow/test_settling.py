"""What is at rest when, by a clock of the test's own."""

from hyperfs.follow.settling import REST_SECONDS, RESTLESS_SECONDS, Settling

A, B = (b"a",), (b"b",)


def test_a_path_is_due_when_nothing_was_heard_of_it_for_a_while() -> None:
    settling = Settling()
    settling.touch(A, 0.0)
    settling.touch(B, 0.3)
    settling.touch(A, 0.4)
    assert settling.next_due() == 0.3 + REST_SECONDS
    assert settling.due(0.7) == {}
    assert set(settling.due(0.8)) == {B}
    assert settling.due(0.95) == {A: (False, 0.0)}
    assert settling.next_due() is None


def test_that_all_of_a_folder_is_meant_is_not_forgotten() -> None:
    settling = Settling()
    settling.touch(A, 0.0, whole=True)
    settling.touch(A, 0.1)
    assert settling.due(9.0) == {A: (True, 0.0)}


def test_one_that_never_rests_is_told_of_once() -> None:
    settling = Settling()
    settling.touch(A, 0.0)
    first = settling.due(1.0)[A][1]
    settling.restless(A, first, 1.0)
    assert list(settling.never_at_rest(RESTLESS_SECONDS)) == []
    assert list(settling.never_at_rest(RESTLESS_SECONDS + 0.1)) == [A]
    assert list(settling.never_at_rest(RESTLESS_SECONDS + 9)) == []
    assert set(settling.due(RESTLESS_SECONDS + 9)) == {A}


def test_too_many_paths_are_not_kept_but_everything_is_due() -> None:
    settling = Settling(most=3)
    for number in range(10):
        settling.touch((b"%d" % number,), 0.0)
    assert settling.overflowed
    assert len(settling) == 0
    settling.forget_all()
    settling.touch(A, 1.0)
    assert not settling.overflowed
    assert len(settling) == 1
