"""A server that is asked by those who may not: the whole of it, over HTTP. And the command that starts it."""

import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.machine import Machine

from .conftest import Page, fields, start, versions


def test_it_listens_on_this_computer_only(page: Page) -> None:
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    places = [place for _, place, _, state, *_ in listening if state == "0A" and place.endswith(f":{page.port:04X}")]
    assert places == [f"0100007F:{page.port:04X}"]
    six = [line.split()[1] for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    assert not [place for place in six if place.endswith(f":{page.port:04X}")]


def test_the_address_is_good_for_one_visit(page: Page) -> None:
    path = page.url.partition(page.host)[2]
    assert page.ask(path, cookie="").status == 403


def test_without_the_cookie_or_from_elsewhere_there_is_nothing(page: Page) -> None:
    asked = f"{page.folder}/files?p=notes"
    assert page.ask(asked).status == 200
    for refused in (
        page.ask(asked, cookie=""),
        page.ask(asked, host="evil.example"),
        page.ask(asked, origin="http://evil.example"),
        page.ask(asked, sec_fetch_site="same-site"),
        page.ask("/files?p=notes"),
    ):
        assert refused.status in (403, 404, 421)
        assert "letter" not in refused.text


def test_attack_l02_a_form_needs_origin_secret_and_type(page: Page, drive: Machine) -> None:
    form = fields(page, path="notes/letter.txt", at=str(versions(drive, "notes/letter.txt")[-1]))
    before = (drive.point / "notes" / "letter.txt").read_bytes()
    assert page.post("put-back", form, origin="http://evil.example").status == 403
    assert page.post("put-back", form, origin="").status == 403
    assert page.post("put-back", form | {"form": "wrong"}).status == 403
    assert page.post("put-back", {name: value for name, value in form.items() if name != "form"}).status == 403
    assert page.post("put-back", form, content_type="text/plain").status == 400
    assert page.post("put-back", form | {"path": "a" * 100_000}).status == 400
    assert (drive.point / "notes" / "letter.txt").read_bytes() == before


def test_reading_changes_nothing_and_deeds_are_posted(page: Page) -> None:
    for deed in ("put-back", "undo", "redo", "policy"):
        assert page.get(deed, p="notes").status == 405
    assert page.post("files", fields(page)).status == 405
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert page.ask(f"{page.folder}/files", method).status == 405


@pytest.mark.parametrize(
    "path",
    [
        "../etc/passwd",
        "..",
        "notes/../../etc",
        "/etc/passwd",
        "odd/out/../x",
        "odd/out",
        "notes/letter.txt/x",
        "\0",
        "x\0y",
    ],
)
def test_no_path_leads_outside(page: Page, path: str) -> None:
    for name in ("files", "picture", "download", "space", "deleted", "compare", "changes", "drive"):
        answer = page.ask(f"{page.folder}/{name}?p={quote(path)}&a=1&b=2")
        assert answer.status in (200, 400, 404, 415), answer.text
        assert b"root:" not in answer.data


@pytest.mark.parametrize(
    "path", ["/static/../../../etc/passwd", "/page.css/../../pyproject.toml", "/%2e%2e/app.py", "//etc"]
)
def test_nor_does_an_address(page: Page, path: str) -> None:
    assert page.ask(page.folder + path).status == 404


def test_rubbish_in_addresses_is_refused_in_words(page: Page) -> None:
    for asked in (
        "at=-1",
        "at=2026-13-45",
        "at=999999",
        "cell=999999999999",
        "cell=5&around=999999999999999999999",
        "cell=0&around=x&scale=day",
        "limit=x",
        "scale=%ff",
        "after=%00",
        "q=[",
        "at=%F0",
    ):
        answer = page.ask(f"{page.folder}/files?p=notes&{asked}")
        assert answer.status in (200, 400, 404), (asked, answer.text)
        assert "Traceback" not in answer.text


def test_a_store_that_is_not_mounted_is_shown_too(machine: Machine) -> None:
    machine.init()
    page = start(machine, machine.store)
    assert "The folder is empty" in page.get("files", p="").text
    assert page.end() == 0
    machine.run("status", machine.store)  # it let go of the store


def test_it_goes_on_when_the_drive_is_mounted_again(machine: Machine, fuse: None) -> None:
    machine.mount()
    (machine.point / "file").write_text("x")
    page = start(machine, machine.point)
    assert page.get("files", p="").status == 200
    machine.unmount()
    gone = page.get("files", p="")
    assert gone.status == 503
    machine.mount()
    assert "file" in page.get("files", p="").text
    assert page.end() == 0


def test_a_port_that_is_taken_is_told(machine: Machine) -> None:
    machine.init()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = machine.run("web", machine.store, "--port", str(taken.getsockname()[1]), code=1)
    assert "in use" in done.stderr
