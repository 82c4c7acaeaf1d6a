"""What is put back, undone and set by forms, on a mounted drive."""

import os
import re
import stat
from html import unescape
from urllib.parse import unquote

import pytest

from hyperfs.web.addresses import to_field
from tests.cli.machine import Machine

from .conftest import ODD, Answer, Page, commit, fields, versions


def deleted_version(page: Page, drive: Machine, path: str) -> str:
    found = drive.facts("find", "--deleted", drive.point / path)
    return str(found[0]["version"])


def undo_fields(page: Page, answer: Answer) -> dict[str, str]:
    form = re.search(r'<form method="post" action="undo">(.*?)</form>', answer.text, re.S)
    assert form is not None, answer.text
    return {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form[1])}


def test_what_was_deleted_is_put_back_and_that_is_undone_and_done_again(page: Page, drive: Machine) -> None:
    gone = drive.point / "notes" / "gone.txt"
    assert "notes/gone.txt" in page.get("deleted", p="").text
    form = fields(page, path="notes/gone.txt", at=deleted_version(page, drive, "notes/gone.txt"), back="deleted?p=")
    done = page.follow(page.post("put-back", form))
    assert "Put back notes/gone.txt" in done.text
    assert gone.read_text() == "it was here\n"
    assert stat.S_IMODE(gone.stat().st_mode) == 0o640
    assert "gone.txt</bdi>" not in done.text.partition('id="view"')[2]
    (drive.point / "notes" / "other.txt").write_text("somebody else's\n")
    undone = page.follow(page.post("undo", undo_fields(page, done)))
    assert not gone.exists()
    assert (drive.point / "notes" / "other.txt").exists()
    again = page.follow(page.post("redo", fields(page, path="notes/gone.txt")))
    assert "Did it again" in again.text
    assert gone.exists()
    gone.unlink()
    assert "Took back" in undone.text


def test_a_folder_that_was_deleted_file_by_file_comes_back_whole(page: Page, drive: Machine) -> None:
    form = fields(page, path="old", at=deleted_version(page, drive, "old"))
    page.follow(page.post("put-back", form))
    assert (drive.point / "old" / "deep.txt").read_text() == "deep\n"


def test_an_undo_of_what_was_changed_since_stops_and_lists_it(page: Page, drive: Machine) -> None:
    file = drive.point / "notes" / "contested.txt"
    for text in ("first\n", "second\n"):
        (file.parent / ".new").write_text(text)
        (file.parent / ".new").rename(file)
        commit(drive)
    first = str(versions(drive, "notes/contested.txt")[-1])
    done = page.follow(page.post("put-back", fields(page, path="notes/contested.txt", at=first)))
    assert file.read_text() == "first\n"
    file.write_text("third\n")
    stopped = page.follow(page.post("undo", undo_fields(page, done)))
    assert "Nothing was done" in stopped.text
    assert "was changed since" in stopped.text
    assert file.read_text() == "third\n"
    page.follow(page.post("undo", undo_fields(page, stopped)))  # all the same
    assert file.read_text() == "second\n"


def test_odd_names_are_put_back_too(page: Page, drive: Machine) -> None:
    name = os.path.join(os.fsencode(drive.point), b"odd", ODD[3])
    at = str(versions(drive, "odd")[0])
    os.unlink(name)
    done = page.follow(page.post("put-back", fields(page, path=to_field("odd/" + os.fsdecode(ODD[3])), at=at)))
    assert "bytes\\xff" in done.text
    assert os.path.exists(name)


def test_what_can_not_be_done_is_told_where_the_button_stood(page: Page) -> None:
    answer = page.follow(page.post("put-back", fields(page, path="notes/never", at="2", back="deleted?p=")))
    assert "Nothing was done" in answer.text
    assert page.post("put-back", fields(page, path="", at="2")).status == 400
    assert page.post("put-back", fields(page, path="notes", at="yesterday")).status == 400
    assert page.post("undo", fields(page, path="notes")).status == 400


@pytest.mark.parametrize(
    "back", ["//evil.example/", "http://evil.example", "javascript:alert(1)", "../x", "files?p=\r\nSet-Cookie: x=1"]
)
def test_a_deed_leads_back_to_pages_of_ours_only(page: Page, back: str) -> None:
    answer = page.post("redo", fields(page, path="odd", back=back))
    assert answer.status == 303
    assert re.match(r"files(\?|$)", unquote(str(answer.headers["location"])))
    assert "set-cookie" not in answer.headers


def test_a_policy_is_set_and_taken_away(page: Page, drive: Machine) -> None:
    page.follow(page.post("policy", fields(page, path="odd", name="keep", value="30d", back="drive?p=odd")))
    assert os.getxattr(drive.point / "odd", "user.hyperfs.keep") == b"30d"
    form = fields(page, path="odd", name="keep", value="for ever", back="drive?p=odd")
    wrong = page.follow(page.post("policy", form))
    assert "Nothing was done" in wrong.text
    page.follow(page.post("policy", fields(page, path="odd", name="keep", value="", back="drive?p=odd")))
    with pytest.raises(OSError, match="No data"):
        os.getxattr(drive.point / "odd", "user.hyperfs.keep")
