"""What is wrong gets a sentence that says what to do, the documented exit code, and changes nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .machine import COMMAND, Machine

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a mount namespace")


def test_a_store_that_is_none(machine: Machine) -> None:
    (machine.folder / "plain").mkdir()
    (machine.folder / "plain/file").touch()
    said = machine.run("mount", machine.folder / "plain", machine.point, code=1).stderr
    assert "no hyperfs store" in said


@pytest.mark.parametrize("missing", ["control", "logs", "hyperfs", "keys"])
def test_half_a_store(machine: Machine, missing: str) -> None:
    machine.init()
    gone = machine.store / missing
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    said = machine.mount(code=5 if missing == "keys" else 1).stderr
    assert missing in said


def test_a_store_of_a_later_format(machine: Machine) -> None:
    machine.init()
    format_file = machine.store / "hyperfs"
    format_file.write_bytes(format_file.read_bytes().replace(b"format 1", b"format 7"))
    assert "update hyperfs" in machine.mount(code=5).stderr


@pytest.mark.parametrize("name", ["keys", "control", "hyperfs"])
def test_a_damaged_small_file_is_named(machine: Machine, name: str) -> None:
    machine.init()
    data = bytearray((machine.store / name).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (machine.store / name).write_bytes(data)
    assert "damaged" in machine.mount(code=3).stderr


def test_a_wrong_or_missing_passphrase(machine: Machine) -> None:
    right, wrong = machine.folder / "right", machine.folder / "wrong"
    right.write_text("correct horse\n")
    wrong.write_text("battery staple\n")
    machine.init("--passphrase-file", right)
    assert "does not open" in machine.mount("--passphrase-file", wrong, code=5).stderr
    assert "passphrase" in machine.mount(code=5).stderr
    machine.run("status", machine.store, code=5)
    assert machine.facts("status", machine.store, "--passphrase-file", right)["version"] == 1
    machine.run("status", machine.store, HYPERFS_PASSPHRASE="correct horse")


def test_a_passphrase_file_that_is_not_there_or_empty(machine: Machine) -> None:
    machine.run("init", machine.store, "--passphrase-file", machine.folder / "none", code=1)
    (machine.folder / "empty").touch()
    machine.run("init", machine.store, "--passphrase-file", machine.folder / "empty", code=2)
    assert not machine.store.exists()


@pytest.mark.usefixtures("fuse")
def test_mount_points_that_will_not_do(machine: Machine) -> None:
    machine.init()
    (machine.folder / "file").touch()
    (machine.folder / "full").mkdir()
    (machine.folder / "full/of").touch()
    cases = {"missing": (1, "mkdir"), "file": (2, "no folder"), "full": (5, "not empty")}
    for name, (code, words) in cases.items():
        assert words in machine.run("mount", machine.store, machine.folder / name, code=code).stderr
    inside = machine.store / "inside"
    inside.mkdir()
    assert "one in the other" in machine.run("mount", machine.store, inside, code=5).stderr


def test_a_mount_point_that_is_not_permitted(anybody: Machine) -> None:
    if not anybody.prefix and os.geteuid() == 0:
        pytest.skip("root may mount anywhere")
    anybody.init()
    said = anybody.run("mount", anybody.store, "/usr/local", code=5).stderr
    assert "not yours" in said


@pytest.mark.usefixtures("fuse")
def test_two_daemons_for_one_store_at_once(machine: Machine) -> None:
    machine.init()
    other = machine.folder / "other"
    other.mkdir()
    started = [
        subprocess.Popen([*COMMAND, "mount", machine.store, point], env=machine.environment, stderr=subprocess.PIPE)
        for point in (machine.point, other)
    ]
    words = [process.communicate()[1].decode() for process in started]
    assert sorted(process.returncode for process in started) == [0, 5], words
    assert any("in use" in said or "mounted already" in said for said in words)
    assert sum(os.path.ismount(point) for point in (machine.point, other)) == 1


@pytest.mark.usefixtures("fuse")
def test_two_who_mount_the_same_at_once_both_have_it(machine: Machine) -> None:
    machine.init()
    command = [*COMMAND, "mount", machine.store, machine.point]
    started = [subprocess.Popen(command, env=machine.environment, stderr=subprocess.PIPE) for _ in range(3)]
    words = [process.communicate()[1].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], words
    assert os.path.ismount(machine.point)
    machine.unmount()
    assert not os.path.ismount(machine.point)


@NEEDS_ROOT
@pytest.mark.usefixtures("fuse")
def test_a_mount_point_that_is_busy(machine: Machine) -> None:
    machine.init()
    in_namespace = f"mount -t tmpfs none {machine.point} && exec "
    done = run_in_namespace(machine, in_namespace, "mount", machine.store, machine.point)
    assert done.returncode == 5
    assert "busy" in done.stderr
    assert "tmpfs" in done.stderr


@NEEDS_ROOT
@pytest.mark.usefixtures("fuse")
def test_without_fuse(machine: Machine) -> None:
    machine.init()
    hidden = "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec "
    done = run_in_namespace(machine, hidden, "mount", machine.store, machine.point)
    assert done.returncode == 1
    assert "FUSE is missing" in done.stderr
    assert "modprobe" in done.stderr
    done = run_in_namespace(machine, hidden, "doctor")
    assert done.returncode == 1
    assert "BAD   FUSE" in done.stdout


@NEEDS_ROOT
@pytest.mark.usefixtures("fuse")
def test_a_store_on_a_read_only_disk(machine: Machine) -> None:
    machine.init()
    read_only = f"mount --bind {machine.store} {machine.store} && mount -o remount,bind,ro {machine.store} && exec "
    done = run_in_namespace(machine, read_only, "mount", machine.store, machine.point)
    assert done.returncode == 5, done.stderr
    assert "read-only" in done.stderr.lower()
    done = run_in_namespace(machine, read_only, "status", machine.store, "--json")
    assert done.returncode == 0, done.stderr


@NEEDS_ROOT
def test_a_full_disk_leaves_nothing_behind(machine: Machine) -> None:
    disk = machine.folder / "disk"
    disk.mkdir()
    full = f"mount -t tmpfs -o size=64k none {disk} && "
    done = run_in_namespace(machine, full, "init", disk / "store", after=f"; code=$?; ls -A {disk}; exit $code")
    assert done.returncode == 1, done.stderr
    assert "No space left" in done.stderr
    assert done.stdout == ""
    assert not list((machine.folder / "config").rglob("*.key"))


def run_in_namespace(
    machine: Machine, before: str, *arguments: str | Path, after: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command in a mount namespace of its own, where the shell text `before` has changed something."""
    command = f"{before} {sys.executable} -c 'from hyperfs.cli.main import main; main()' "
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", command + " ".join(map(str, arguments)) + after],
        env=machine.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_init_where_something_is_leaves_it_alone(machine: Machine) -> None:
    machine.store.mkdir()
    (machine.store / "mine").write_text("precious")
    assert "not empty" in machine.run("init", machine.store, code=5).stderr
    assert os.listdir(machine.store) == ["mine"]
    machine.run("init", machine.store / "mine", code=5)


@pytest.mark.parametrize(
    ("when", "code", "words"),
    [
        ("2026-13-45", 2, "names no version"),
        ("last week", 2, "names no version"),
        ("1999-01-01", 1, "before the beginning"),
        ("@4711", 1, "no version 4711"),
        ("nobody", 1, "no snapshot"),
        ("", 2, "empty"),
    ],
)
def test_a_when_that_means_nothing(shared: Machine, when: str, code: int, words: str) -> None:
    (shared.point / "a").touch()
    assert words in shared.run("cat", shared.point / "a", "--at", when, code=code).stderr
    assert words in shared.run("restore", shared.point / "a", "--at", when, code=code).stderr


def test_names_that_snapshots_can_not_have(shared: Machine) -> None:
    for name in ("yesterday", "@3", ".hidden", "2026-11-21", "a/b", "x" * 256):
        shared.run("snapshot", shared.point, name, code=2)
    shared.run("snapshot", shared.point, "twice")
    assert "already" in shared.run("snapshot", shared.point, "twice", code=1).stderr
    shared.run("snapshot", shared.point, "never", "--delete", code=1)
    shared.run("snapshot", shared.point / "nowhere", "name", code=1)


def test_paths_in_no_drive_and_in_the_past(shared: Machine) -> None:
    shared.run("versions", "/etc/passwd", code=2)
    shared.run("status", "/", code=2)
    shared.run("versions", shared.point / "never-was", code=1)
    said = shared.run("versions", shared.point / ".versions/@1/a", code=2).stderr
    assert "--at" in said


def test_a_folder_has_no_bytes(shared: Machine) -> None:
    (shared.point / "folder").mkdir()
    shared.run("snapshot", shared.point, "with-folder")
    assert "folder" in shared.run("cat", shared.point / "folder", "--at", "now", code=1).stderr


def test_usage_errors_are_code_2(machine: Machine) -> None:
    machine.run("mount", code=2)
    machine.run("mount", "a", "b", "c", code=2)
    machine.run("nonsense", code=2)
    machine.run("unmount", machine.point, code=2)
    machine.run("unmount", "--wait", "--lazy", machine.point, code=2)


def test_every_command_has_help_with_an_example(machine: Machine) -> None:
    from hyperfs.cli.main import COMMANDS

    for name in COMMANDS:
        assert "Example:" in machine.run(name, "--help").stdout
    for name in ("show", "confirm", "passphrase"):
        assert "Example:" in machine.run("key", name, "--help").stdout
    assert all(name in machine.run("--help").stdout for name in COMMANDS)


def test_a_drive_s_name_is_text(machine: Machine) -> None:
    for name in ("\udcff\udcfe", "two\nlines", "\x1b[2J"):
        assert "can't name a drive" in machine.run("init", machine.store, "--name", name, code=2).stderr
    assert not machine.store.exists()


def test_a_store_where_no_index_can_be_is_refused(machine: Machine) -> None:
    odd = machine.folder / "\udcff of no encoding"
    assert "no path that is not UTF-8" in machine.run("init", odd, code=5).stderr
    assert not odd.exists()
