"""Every error of ours has its code, and words that say what happened."""

import errno
from collections.abc import Iterator

import pytest

from hyperfs import errors
from hyperfs.daemon.exit_codes import Reported, exit_code_of, words_of


def subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield below
            yield from subclasses(below)


@pytest.mark.parametrize("kind", sorted(subclasses(errors.HyperfsError), key=lambda kind: kind.__name__))
def test_every_domain_error_has_a_code_between_1_and_5(kind: type[BaseException]) -> None:
    assert exit_code_of(kind.__new__(kind)) in {1, 2, 3, 4, 5}


def test_a_more_special_error_has_the_code_of_the_general_one() -> None:
    assert exit_code_of(errors.IndexDamaged("x")) == exit_code_of(errors.Corrupt("x")) == 3


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, 1), (errno.EIO, 1), (errno.EACCES, 5), (errno.EROFS, 5), (errno.ENOENT, 1)]
)
def test_errors_of_the_system(number: int, code: int) -> None:
    error = OSError(number, "words", "/a/file")
    assert exit_code_of(error) == code
    assert words_of(error).startswith("/a/file: words")


def test_what_another_process_reported_keeps_its_code() -> None:
    assert exit_code_of(Reported("Corrupt", "words", 3)) == 3


def test_an_unknown_error_is_a_failure_with_its_name() -> None:
    assert exit_code_of(ZeroDivisionError("x")) == 1
    assert words_of(ZeroDivisionError("x")) == "ZeroDivisionError: x"


def test_groups_are_opened_and_domain_errors_come_first() -> None:
    ours = errors.NotFound("x")
    group = ExceptionGroup("g", [ValueError("y"), ExceptionGroup("h", [ours])])
    assert errors.innermost(group) is ours
    assert errors.innermost(ours) is ours
