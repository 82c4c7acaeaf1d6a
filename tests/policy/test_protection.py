"""What protection refuses of names."""

import itertools

import pytest

from hyperfs.policy.protection import (
    Standing,
    backed_up,
    is_temporary,
    may_save,
    received,
    why_not_exchange,
    why_not_go,
    why_not_move,
    why_not_replace,
)

EVERY = [
    Standing(protect, *flags)
    for protect in (b"none", b"trash", b"nodelete", b"lock")
    for flags in itertools.product((False, True), repeat=4)
]


@pytest.mark.parametrize(
    "name",
    [b".~lock.a.odt#", b"~$report.docx", b".#notes", b"#notes#", b".notes.txt.swp", b".swp", b".a.swo",
     b".goutputstream-AB12CD", b"lu123abc.tmp", b"film.mkv.part", b"film.crdownload", b".a.kate-swp"],
)  # fmt: skip
def test_editors_lock_and_temporary_files_are_known(name: bytes) -> None:
    assert is_temporary(name)


@pytest.mark.parametrize(
    "name", [b"a", b"a.txt", b".bashrc", b".eslint.config", b"part", b".part", b"#", b"##", b"swp", b"a~", b"tmp", b"~"]
)
def test_what_people_name_their_own_files_is_not(name: bytes) -> None:
    assert not is_temporary(name)


def test_backups_and_received_files_are_known_by_what_they_are_of() -> None:
    assert backed_up(b"a.txt~") == b"a.txt"
    assert backed_up(b"a.txt.~12~") == b"a.txt"
    assert backed_up(b"~") is None
    assert backed_up(b"a") is None
    assert received(b".a.txt.Xy12zZ") == b"a.txt"
    assert backed_up(b"a.txt.orig") == b"a.txt"
    assert may_save(b"a", b"a~")
    assert may_save(b"a", b"a.orig")
    assert may_save(b".a.Xy12zZ", b"a")
    assert not may_save(b"a~", b"a~~~x")
    assert not may_save(b"a", b"b~")


@pytest.mark.parametrize("it", EVERY)
def test_the_rules_are_those_of_the_page(it: Standing) -> None:
    locked, saved = it.protect == b"lock", it.protect == b"nodelete" and not it.passing
    closed = it.archived and not it.folder
    assert bool(why_not_go(it)) == (locked or closed or saved)
    assert bool(why_not_replace(it)) == (locked or closed)
    leaves = it.archived and not it.own_class
    assert bool(why_not_move(it, into_archive=True)) == (locked or saved)
    assert bool(why_not_move(it, into_archive=False)) == (locked or saved or leaves)
    for same in (False, True):
        nodelete = it.protect == b"nodelete" and (it.folder or not same)
        assert bool(why_not_exchange(it, same)) == (locked or closed or nodelete or (leaves and not same))
