"""The pages of a mounted drive, asked over HTTP as a browser does."""

import os
import re
from html import unescape

import pytest

from hyperfs.web.addresses import to_field
from tests.cli.machine import Machine

from .conftest import ODD, PNG, Page, versions


def test_the_folder_is_shown_as_it_was(page: Page, drive: Machine) -> None:
    now = page.get("files", p="notes").text
    assert "letter.txt" in now
    assert "gone.txt" not in now
    gone = drive.facts("find", "--deleted", drive.point / "notes")[0]
    then = page.get("files", p="notes", at=gone["version"]).text
    assert "gone.txt" in then
    assert "gone now" in then
    first = versions(drive, "notes/letter.txt")[-1]
    assert "changed since" in page.get("files", p="notes", at=first).text


def test_what_was_not_there_yet_is_told_with_a_way_on(page: Page, drive: Machine) -> None:
    answer = page.get("files", p="odd", at=1)
    assert answer.status == 200
    assert "not there at that moment" in answer.text
    assert "slider" in answer.text or 'type="range"' in answer.text
    assert page.get("files", p="never").status == 404


def test_words_name_a_moment(page: Page, drive: Machine) -> None:
    assert page.get("files", p="", at="1s ago").status in (200, 404)
    answer = page.get("files", p="", at="2001-01-01")
    assert answer.status == 404
    assert "before the beginning" in unescape(answer.text)


@pytest.mark.parametrize("name", ODD)
def test_hostile_names_are_text_and_lead_to_their_file(page: Page, name: bytes) -> None:
    listing = page.get("files", p="odd")
    assert "<script>alert" not in listing.text
    assert "\u202e" not in listing.text
    links = [unescape(link) for link in re.findall(r'class="name" href="([^"]+)"', listing.text)]
    link = next(link for link in links if f"odd/{to_field(os.fsdecode(name))}" in link.split("&")[0])
    shown = page.ask(f"{page.folder}/{link}")
    assert shown.status == 200
    assert "&lt;script&gt;document.title" in shown.text
    assert "<script>document" not in shown.text


def test_a_picture_is_sent_as_what_it_is_and_may_do_nothing(page: Page) -> None:
    answer = page.get("picture", p="odd/picture.png")
    assert answer.data == PNG
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("name", ["odd/picture.svg", "odd/zeros", "notes/letter.txt"])
def test_what_is_no_picture_is_not_sent_as_one(page: Page, name: str) -> None:
    answer = page.get("picture", p=name)
    assert answer.status == 415
    assert answer.headers["content-type"].startswith("text/plain")


def test_svg_is_shown_as_text(page: Page) -> None:
    answer = page.get("files", p="odd/picture.svg")
    assert "&lt;svg" in answer.text
    assert "<svg xmlns='http" not in answer.text


def test_a_download_is_the_bytes_and_opens_nowhere(page: Page, drive: Machine) -> None:
    oldest = versions(drive, "notes/letter.txt")[-1]
    answer = page.get("download", p="notes/letter.txt", at=oldest)
    assert answer.data == b"one\ntwo\nthree\n"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''letter.txt"
    odd = page.get("download", p="odd/new\nline")
    assert odd.headers["content-disposition"].endswith("new%0Aline")


def test_two_versions_stand_side_by_side(page: Page, drive: Machine) -> None:
    _, middle, first = versions(drive, "notes/letter.txt")
    text = page.get("compare", p="notes/letter.txt", a=middle, b=first).text
    assert re.search(r"<del>two</del>.*<ins>2</ins>", text, re.S)
    assert "<del>one</del>" not in text


def test_a_version_says_what_it_changed(page: Page, drive: Machine) -> None:
    middle = versions(drive, "notes/letter.txt")[1]
    text = page.get("changes", p="", at=middle).text
    assert "notes/letter.txt" in text
    assert "odd" not in text.partition('id="view"')[2]


def test_space_by_folder_and_by_version(page: Page) -> None:
    text = page.get("space", p="").text
    assert re.search(r"odd.*5\.\d KiB.*9 files", text, re.S)
    assert "By version" in text
    assert not re.search(r">-\d", text)


def test_the_status_page_tells_policies_and_that_there_are_no_peers(page: Page) -> None:
    text = page.get("drive", p="notes").text
    assert "all for an hour" in text
    assert "Everything is on this computer only" in text


def test_the_status_page_tells_what_is_where(page: Page, drive: Machine) -> None:
    nas = drive.folder / "nas"
    drive.run("cold", "add", nas.as_uri(), drive.point)
    try:
        text = page.get("drive", p="").text
        assert re.search(r"nas.*cold store.*0 B.*none yet.*answers", text, re.S)
        assert re.search(r"Only elsewhere.*0 B", text)
        nas.rename(drive.folder / "away")
        drive.run("cold", "list", drive.point, "--check")
        assert "answers" not in page.get("drive", p="").text
    finally:
        drive.run("cold", "remove", "nas", drive.point)


def test_only_what_changes_is_sent_to_one_who_scrubs(page: Page) -> None:
    whole, part = page.get("files", p="", cell=0), page.get("files", p="", cell=0, part=1)
    assert "<html" in whole.text
    assert "<html" not in part.text
    assert part.text.strip() in whole.text
