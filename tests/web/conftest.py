"""A mounted drive with a past, and `hyperfs web` on it as a user starts it."""

import json
import os
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from hyperfs.daemon import client
from hyperfs.web.addresses import address
from tests.cli.conftest import fuse, machine, why_no_mount
from tests.cli.machine import COMMAND, Machine

__all__ = ["drive", "fuse", "machine", "page"]  # fixtures

ODD = (b"<script>alert(1)<script>.html", b"new\nline", "bi\u202edi".encode(), b"bytes\xff", b"'\"&amp;%41+ .txt")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = b"".join(
    (
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes([200, 90, 30]) * 8 for _ in range(8)))),
        _chunk(b"IEND", b""),
    )
)


@dataclass
class Answer:
    status: int
    headers: HTTPMessage
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode()


class Page:
    """A running `hyperfs web`, and one who has entered."""

    def __init__(self, process: "subprocess.Popen[str]", enter: bool = True) -> None:
        assert process.stdout is not None
        self.process = process
        self.url = json.loads(process.stdout.readline())["url"]
        parts = urlsplit(self.url)
        self.port = parts.port or 0
        self.host = parts.netloc
        self.folder = self.cookie = ""
        if enter:
            answer = self.ask(f"{parts.path}?{parts.query}")
            self.folder = str(answer.headers["location"]).rpartition("/")[0]
            self.cookie = str(answer.headers["set-cookie"]).partition(";")[0]

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Any request, as it is."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"cookie": self.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {name: value for name, value in sent.items() if value})
        found = connection.getresponse()
        answer = Answer(found.status, found.headers, found.read())
        connection.close()
        return answer

    def get(self, page: str, **values: object) -> Answer:
        return self.ask(f"{self.folder}/{address(page, values)}")

    def post(self, deed: str, fields: dict[str, str], **headers: str) -> Answer:
        sent = {"origin": f"http://{self.host}", "content_type": "application/x-www-form-urlencoded"} | headers
        return self.ask(f"{self.folder}/{deed}", "POST", urlencode(fields).encode(), **sent)

    def follow(self, answer: Answer) -> Answer:
        """To where a deed leads."""
        assert answer.status == 303, answer.text
        return self.ask(f"{self.folder}/{answer.headers['location']}")

    def end(self) -> int:
        self.process.terminate()
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def start(machine: Machine, *arguments: str | Path, enter: bool = True) -> Page:
    command = [*COMMAND, "web", *map(str, arguments), "--json"]
    process = subprocess.Popen(
        command,
        env=machine.environment,
        cwd=machine.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        return Page(process, enter)
    except BaseException:
        process.kill()
        raise


def commit(machine: Machine) -> None:
    """Makes a version of what is there, as a command would."""
    with client.connect(machine.store) as connection:
        connection.check_version().begin().request("commit")


def fill(machine: Machine) -> None:
    """A past in which something was changed, moved and deleted, with names of all kinds."""

    def version() -> None:
        commit(machine)

    notes, odd = machine.point / "notes", machine.point / "odd"
    notes.mkdir()
    odd.mkdir()
    for text in ("one\ntwo\nthree\n", "one\n2\nthree\n", "one\n2\nthree\nfour\n"):
        (notes / ".new").write_text(text)
        (notes / ".new").rename(notes / "letter.txt")  # so that no version has half of it
        version()
    for name in ODD:
        Path(os.fsdecode(os.path.join(os.fsencode(odd), name))).write_bytes(b"<script>document.title='ran'</script>\n")
    (odd / "picture.png").write_bytes(PNG)
    (odd / "picture.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>")
    (odd / "zeros").write_bytes(bytes(5000))
    (odd / "out").symlink_to("/etc/passwd")
    version()
    (notes / "gone.txt").write_text("it was here\n")
    (notes / "gone.txt").chmod(0o640)
    (machine.point / "old").mkdir()
    (machine.point / "old" / "deep.txt").write_text("deep\n")
    version()
    (notes / "gone.txt").unlink()
    (machine.point / "old" / "deep.txt").unlink()
    (machine.point / "old").rmdir()
    version()


def versions(drive: Machine, path: str) -> list[int]:
    return [found["version"] for found in drive.facts("versions", drive.point / path)]


def fields(page: Page, **values: str) -> dict[str, str]:
    """Of a form, with the secret that each page carries."""
    secret = re.search(r'name="form" value="([^"]+)"', page.get("drive").text)
    assert secret is not None
    return {"form": secret[1], "back": "files?p="} | values


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    reason = why_no_mount()
    if reason:
        pytest.skip(f"no mount: {reason}")
    made = Machine(tmp_path_factory.mktemp("web"))
    try:
        made.mount()
        fill(made)
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def page(drive: Machine) -> Iterator[Page]:
    made = start(drive, drive.point)
    try:
        yield made
    finally:
        made.end()
