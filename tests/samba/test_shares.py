"""What a Windows or Mac client gets of a drive that Samba shares, as far as smbclient speaks for them."""

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.machine import Machine

from .server import PASSWORD, SCRIPT, Server, why_not

pytestmark = [pytest.mark.mount, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

READ_ONLY = "NT_STATUS_MEDIA_WRITE_PROTECTED"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("machine"))
    try:
        made.mount("--allow-other")
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def server(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("samba"), machine.point, machine.environment) as running:
        yield running


def keep(machine: Machine, name: str) -> str:
    """Makes the present a version; its name as a client of SMB has it. Of several in a second only one is listed."""
    past = machine.point / ".versions"
    for number in range(100):
        (machine.point / "number").write_text(f"{name} {number}")
        machine.run("snapshot", machine.point, f"{name} {number}")
        entry = max(entry for entry in os.listdir(past) if entry[0] == "2" and entry.endswith("Z"))
        if (past / entry / "number").read_text() == f"{name} {number}":
            return f"{datetime.strptime(entry, '%Y-%m-%dT%H-%M-%SZ'):@GMT-%Y.%m.%d-%H.%M.%S}"
    raise AssertionError(f"{name} is not listed")


def test_previous_versions_are_listed_and_give_the_old_bytes(machine: Machine, server: Server) -> None:
    folder = machine.point / "papers"
    folder.mkdir()
    states = {}
    for number, text in enumerate(["one", "twofold", "and three"]):
        (folder / "file").write_text(text)
        states[keep(machine, f"state {number}")] = text
    assert set(states) <= set(server.versions("papers/file"))
    listed = server.versions("papers")
    assert listed == sorted(listed, reverse=True)
    for version, text in states.items():
        assert server.get(f"{version}/papers/file") == text.encode()
        assert server.get(f"papers/{version}/file") == text.encode()
        assert "file" in server.run(f'ls "{version}/papers/*"')
    entries = {datetime.strptime(v, "@GMT-%Y.%m.%d-%H.%M.%S").replace(tzinfo=UTC) for v in listed}
    assert {f"{entry:%Y-%m-%dT%H-%M-%SZ}" for entry in entries} == {
        name for name in os.listdir(folder / ".versions") if name.endswith("Z")
    }


def test_nothing_can_be_written_into_a_version(machine: Machine, server: Server) -> None:
    (machine.point / "kept").write_text("as it was")
    version = keep(machine, "kept")
    assert READ_ONLY in server.put(b"forged", f"{version}/kept")
    for command in (
        f'del "{version}/kept"',
        f'mkdir "{version}/new"',
        f'rename "{version}/kept" "{version}/other"',
        f'setmode "{version}/kept" +r',
    ):
        assert "NT_STATUS_" in server.run(command), command
    assert "NT_STATUS_" in server.put(b"new", f"{version}/new")
    assert server.get(f"{version}/kept") == b"as it was"
    assert server.get("kept") == b"as it was"


def test_what_a_client_deleted_is_copied_back_out_of_a_version(machine: Machine, server: Server) -> None:
    """What "Restore" does: the client reads the old and writes the new."""
    server.run("mkdir gone")
    server.put(b"dear", "gone/letter")
    version = keep(machine, "before")
    server.run("del gone/letter", "rmdir gone")
    assert not (machine.point / "gone").exists()
    server.run("mkdir gone")
    server.put(server.get(f"{version}/gone/letter"), "gone/letter")
    assert (machine.point / "gone" / "letter").read_bytes() == b"dear"


def test_the_past_is_not_walked_into_by_name(machine: Machine, server: Server) -> None:
    assert "NT_STATUS_OBJECT_NAME_NOT_FOUND" in server.run('ls ".versions/*"')
    assert ".versions" not in server.run("ls")
    assert "NT_STATUS_" in server.run("mkdir .versions/mine")
    assert "NT_STATUS_" in server.run("mkdir .versions")


@pytest.mark.parametrize(
    ("one", "other"), [("Name", "name"), ("\u00e9t\u00e9", "e\u0301te\u0301"), ("STRA\u00dfE", "stra\u00dfe")]
)
def test_names_that_differ_in_case_or_unicode_form_are_both_reachable(
    machine: Machine, server: Server, one: str, other: str
) -> None:
    (machine.point / one).write_text("one")
    (machine.point / other).write_text("other")
    version = keep(machine, one)
    listed = server.run("ls")
    assert one in listed
    assert other in listed
    for where in ("", f"{version}/"):
        assert server.get(f"{where}{one}") == b"one"
        assert server.get(f"{where}{other}") == b"other"
    server.put(b"changed", other)
    assert (machine.point / one).read_text() == "one"
    assert (machine.point / other).read_text() == "changed"
    server.run(f'del "{one}"')
    assert (machine.point / other).read_text() == "changed"


def test_names_that_windows_can_not_have_are_shown_translated(machine: Machine, server: Server) -> None:
    (machine.point / "ask why?").write_text("because")
    (machine.point / "trail ").write_text("also")
    assert "ask why\uf025" in server.run("ls")
    assert server.get("ask why\uf025") == b"because"
    version = keep(machine, "translated")
    assert server.get(f"{version}/ask why\uf025") == b"because"
    server.put(b"new", "what\uf025")
    assert (machine.point / "what?").read_bytes() == b"new"
    os.unlink(machine.point / "trail ")


def test_a_symlink_leads_nowhere_outside_of_the_share(machine: Machine, server: Server, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    (machine.point / "inside").write_text("fine")
    (machine.point / "out").symlink_to(tmp_path / "outside")
    (machine.point / "in").symlink_to("inside")
    assert server.get("in") == b"fine"
    assert "NT_STATUS_" in server.run("get out got")


def test_a_folder_of_a_drive_can_be_a_share_of_its_own(machine: Machine, tmp_path: Path) -> None:
    folder = machine.point / "shared & only" / "part"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("before")
    version = keep(machine, "part")
    with Server(tmp_path, folder, machine.environment) as server:
        assert version in server.versions("deep/file")
        server.put(b"after", "deep/file")
        assert server.get(f"{version}/deep/file") == b"before"
    assert (folder / "deep" / "file").read_text() == "after"


def test_streams_lie_in_attributes_and_are_in_versions(machine: Machine, server: Server) -> None:
    """Where Finder keeps its own, and Windows where a download came from."""
    server.put(b"body", "streamed")
    server.put(b"[ZoneTransfer]\r\nZoneId=3\r\n", "streamed:Zone.Identifier")
    version = keep(machine, "streamed")
    server.put(b"changed", "streamed:Zone.Identifier")
    assert server.get("streamed:Zone.Identifier") == b"changed"
    assert server.get(f"{version}/streamed:Zone.Identifier") == b"[ZoneTransfer]\r\nZoneId=3\r\n"
    assert (machine.point / "streamed").read_text() == "body"
    assert not [name for name in os.listdir(machine.point) if name.startswith("._")]


def test_the_script_says_what_will_not_work(machine: Machine, tmp_path: Path) -> None:
    def run(name: str, folder: Path, code: int) -> str:
        done = subprocess.run([SCRIPT, name, folder], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    assert f"path = {machine.point}\n" in run("My drive & more", machine.point, 0)
    assert "[My drive & more]" in run("My drive & more", machine.point, 0)
    assert PASSWORD not in run("x", machine.point, 0)
    for name, folder, why in [
        ("global", machine.point, "meaning"),
        ("a/b", machine.point, "called"),
        ("", machine.point, "called"),
        ("x", tmp_path, "no mounted drive"),
        ("x", tmp_path / "missing", "no folder"),
        ("x", machine.point / ".versions", "past"),
    ]:
        assert why in run(name, folder, 1)
    odd = machine.point / "50% [off] & $HOME"
    odd.mkdir()
    assert "can't hold" in run("x", odd, 1)
