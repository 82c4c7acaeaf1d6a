"""hyperfs mount, unmount and status on real mounts."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hyperfs.daemon.mounts import is_dead
from hyperfs.store.folder import StoreLock
from tests.waiting import readable

from .machine import COMMAND, Machine

pytestmark = pytest.mark.mount


def answers(path: Path, seconds: float = 20) -> bool:
    """Whether a mount comes to answer within that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.listdir(path)
        except OSError:
            continue
        if os.path.ismount(path):
            return True
    return False


def dies(path: Path, seconds: float = 20) -> bool:
    """Whether a mount comes to be dead within that time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_dead(path):
            return True
    return False


def test_the_first_mount_makes_a_drive_in_the_default_place_and_shows_its_recovery_key(anybody: Machine) -> None:
    said = anybody.run("mount", anybody.point).stdout
    assert "recovery key" in said
    assert f"Mounted at {anybody.point}" in said
    assert anybody.has_mounted(anybody.point)
    assert (anybody.folder / "data/hyperfs/store/hyperfs").exists()
    roots = list((anybody.folder / "config/hyperfs/roots").iterdir())
    assert len(roots) == 1
    assert roots[0].stat().st_mode & 0o777 == 0o600
    assert "recovery key" not in anybody.run("mount", anybody.point).stdout


def test_what_was_written_is_there_after_unmount_and_mount(anybody: Machine) -> None:
    anybody.mount()
    anybody.program("cp", "/etc/passwd", anybody.point / "a")
    anybody.program("touch", anybody.point / "b")
    assert "Unmounted" in anybody.unmount().stdout
    assert not anybody.has_mounted(anybody.point)
    assert anybody.program("ls", anybody.point) == ""
    anybody.mount()
    assert anybody.program("ls", anybody.point).split() == ["a", "b"]
    assert anybody.program("cat", anybody.point / "a") == Path("/etc/passwd").read_text()
    assert anybody.facts("status", anybody.point)["files"] == 2


def test_status_has_what_programs_rely_on(mounted: Machine) -> None:
    (mounted.point / "file").write_bytes(b"x" * 1000)
    mounted.run("snapshot", mounted.point, "now-kept")
    facts = mounted.facts("status", mounted.point)
    assert len(bytes.fromhex(facts["drive"])) == 32
    assert facts["name"] == "store"
    assert facts["files"] == 1
    assert facts["bytes"] == 1000
    assert facts["version"] >= 2
    assert facts["dirty_bytes"] == 0
    assert facts["store_bytes"] >= facts["resident_bytes"] > 0
    assert facts["peers"] == facts["cold_stores"] == []
    assert [log["kind"] for log in facts["logs"]] == ["metadata", "content"]
    for log in facts["logs"]:
        assert {len(log[key]) for key in ("key", "discovery_key", "tree_hash")} == {64}
        assert log["fork"] == 0
        assert log["device"] == socket.gethostname()
    assert any("never confirmed" in warning for warning in facts["warnings"])
    assert facts["mounted_at"] == str(mounted.point)


def test_status_of_the_current_folder_and_of_a_store_that_is_not_mounted(mounted: Machine) -> None:
    folder = mounted.point / "below"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "from hyperfs.cli.main import main; main()", "status", "--json"],
        env=mounted.environment,
        cwd=folder,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["mounted_at"] == str(mounted.point)
    mounted.unmount()
    facts = mounted.facts("status", mounted.store)
    assert facts["mounted_at"] is None
    assert facts["directories"] == 2


def test_a_busy_drive_stays_and_names_program_and_file(mounted: Machine) -> None:
    (mounted.point / "open file").touch()
    with (mounted.point / "open file").open():
        said = mounted.run("unmount", mounted.point, code=5).stderr
        assert f"({os.getpid()}): {mounted.point}/open file" in said
        assert os.path.ismount(mounted.point)
    mounted.unmount()


def test_wait_unmounts_as_soon_as_the_last_program_has_let_go(mounted: Machine) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=mounted.point) as cat:
        unmount = subprocess.Popen(
            [sys.executable, "-c", "from hyperfs.cli.main import main; main()", "unmount", "--wait", mounted.point],
            env=mounted.environment,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            unmount.wait(2)
        cat.communicate()
    assert unmount.wait(30) == 0
    assert not os.path.ismount(mounted.point)


def test_lazy_takes_it_away_and_keeps_what_is_written_afterwards(mounted: Machine) -> None:
    with (mounted.point / "late").open("w") as file:
        mounted.unmount("--lazy")
        assert not os.path.ismount(mounted.point)
        file.write("still written")
        pid = mounted.drive_pid()
    waiter = os.pidfd_open(pid)
    try:
        assert wait_for(waiter, 30)
    finally:
        os.close(waiter)
    mounted.mount()
    assert (mounted.point / "late").read_text() == "still written"


def wait_for(pidfd: int, seconds: float) -> bool:
    return bool(readable([pidfd], seconds))


def test_a_killed_drive_mounts_again_by_itself_with_all_that_was_synced(mounted: Machine) -> None:
    file = os.open(mounted.point / "synced", os.O_CREAT | os.O_WRONLY)
    os.write(file, b"safe")
    os.fsync(file)
    for name in ("synced", "."):
        mounted.run("policy", "set", mounted.point / name, "class=hot")
    os.kill(mounted.drive_pid(), signal.SIGKILL)
    with pytest.raises(OSError, match="connect"):
        os.fsync(file)
    with suppress(OSError):
        os.close(file)
    assert answers(mounted.point)
    assert (mounted.point / "synced").read_text() == "safe"
    for name in ("synced", "."):
        assert os.getxattr(mounted.point / name, "user.hyperfs.class") == b"hot"


def test_mount_detaches_a_dead_mount_and_mounts_again(mounted: Machine) -> None:
    worker = mounted.drive_pid()
    parent = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    assert dies(mounted.point)
    said = mounted.run("status", mounted.point, code=4).stderr
    assert "hyperfs mount" in said
    mounted.mount()
    assert os.listdir(mounted.point) == []


def test_mounting_what_is_mounted_there_already_is_no_error(mounted: Machine) -> None:
    assert "already" in mounted.mount().stdout
    assert mounted.facts("mount", mounted.store, mounted.point)["mounted_at"] == str(mounted.point)


def test_mount_waits_for_the_process_of_a_drive_that_was_just_taken_away(mounted: Machine) -> None:
    """The kernel lets a drive go before its process has committed all: here that takes until the lock is let go."""
    mounted.unmount()
    log = mounted.store.with_name("store.log")
    said = log.stat().st_size
    with StoreLock(mounted.store):
        mount = subprocess.Popen(
            [*COMMAND, "mount", str(mounted.store), str(mounted.point)], env=mounted.environment, stdout=subprocess.PIPE
        )
        while b"StoreLocked" not in log.read_bytes()[said:]:
            assert mount.poll() is None
            time.sleep(0.05)
    assert b"Mounted" in mount.communicate(timeout=60)[0]
    assert mount.returncode == 0
    assert mounted.has_mounted(mounted.point)


def test_a_second_mount_of_a_store_is_refused_and_says_where_the_first_is(mounted: Machine) -> None:
    other = mounted.folder / "other"
    other.mkdir()
    said = mounted.run("mount", mounted.store, other, code=5).stderr
    assert str(mounted.point) in said


def test_in_the_foreground_it_serves_until_it_is_told_to_end(machine: Machine, fuse: None) -> None:
    machine.init()
    command = [sys.executable, "-c", "from hyperfs.cli.main import main; main()", "mount", "--foreground"]
    with subprocess.Popen(
        [*command, machine.store, machine.point], env=machine.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Mounted at {machine.point}\n"
        (machine.point / "a").write_text("kept")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not os.path.ismount(machine.point)
    machine.mount()
    assert (machine.point / "a").read_text() == "kept"


def test_read_only_changes_nothing_in_the_drive(mounted: Machine) -> None:
    (mounted.point / "a").write_text("x")
    mounted.unmount()
    mounted.mount("--read-only")
    assert (mounted.point / "a").read_text() == "x"
    with pytest.raises(OSError, match="Read-only"):
        (mounted.point / "b").touch()
    assert mounted.facts("status", mounted.point)["read_only"]
    mounted.run("snapshot", mounted.point, "name", code=5)
    mounted.unmount()


def test_an_old_version_can_be_mounted(mounted: Machine) -> None:
    (mounted.point / "a").write_text("old")
    version = mounted.facts("snapshot", mounted.point, "first")["version"]
    (mounted.point / "a").write_text("new")
    (mounted.point / "b").touch()
    mounted.unmount()
    for when in (str(version), "first"):
        mounted.mount("--at", when)
        assert os.listdir(mounted.point) == ["a"]
        assert (mounted.point / "a").read_text() == "old"
        with pytest.raises(OSError, match="Read-only"):
            (mounted.point / "a").write_text("changed")
        mounted.unmount()
    mounted.mount("--at", "no-such-name", code=1)
    mounted.mount("--at", "2026-13-45", code=2)


def test_versions_are_listed_when_asked_for(mounted: Machine) -> None:
    assert ".versions" not in os.listdir(mounted.point)
    mounted.unmount()
    mounted.mount("--show-versions")
    assert ".versions" in os.listdir(mounted.point)


def test_nothing_secret_is_in_arguments_environment_or_core_files(machine: Machine, fuse: None) -> None:
    machine.run("mount", machine.store, machine.point, HYPERFS_PASSPHRASE="a long secret")
    for pid in (machine.drive_pid(), os.stat(machine.store).st_uid or machine.drive_pid()):
        assert b"a long secret" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert "Max core file size        0                    0" in Path(f"/proc/{pid}/limits").read_text()
    assert "MALLOC_TOP_PAD_" in Path(f"/proc/{machine.drive_pid()}/environ").read_text()


def test_stores_and_folders_of_strange_names(machine: Machine, fuse: None) -> None:
    machine.store = machine.folder / "a, b\\c=d\ne"
    machine.point = machine.folder / "x y,z\nä"
    machine.point.mkdir()
    machine.mount()
    (machine.point / "file").touch()
    facts = machine.facts("status", machine.point)
    assert (facts["store"], facts["mounted_at"]) == (str(machine.store), str(machine.point))
    machine.unmount()
    assert machine.facts("status", machine.store)["files"] == 1


def test_a_symlink_to_the_mount_point_will_do(mounted: Machine) -> None:
    link = mounted.folder / "link"
    link.symlink_to(mounted.point)
    assert "already" in mounted.run("mount", mounted.store, link).stdout
    mounted.run("unmount", link)
    assert not os.path.ismount(mounted.point)


def test_a_second_signal_does_not_cut_the_end_short(mounted: Machine) -> None:
    (mounted.point / "file").write_bytes(os.urandom(20_000_000))
    worker = mounted.drive_pid()
    waiter = os.pidfd_open(worker)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
        os.kill(worker, number)
    assert wait_for(waiter, 60)
    os.close(waiter)
    assert not os.path.ismount(mounted.point)
    mounted.mount()
    assert (mounted.point / "file").stat().st_size == 20_000_000
    assert mounted.facts("verify", mounted.point)["damage"] == []


ASK = """
import ctypes, os, sys
statx, buffer, path = ctypes.CDLL(None).statx, ctypes.create_string_buffer(256), os.fsencode(sys.argv[1])
while not statx(-100, path, 0x2000, 0x7FF, buffer):  # past the kernel's cache
    if sys.stdout:
        sys.stdout = print("asking", flush=True)
"""


def test_commands_and_signals_are_heard_while_requests_never_end(mounted: Machine) -> None:
    (mounted.point / "folder").mkdir()
    command = [sys.executable, "-c", ASK, str(mounted.point / "folder")]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    try:
        for program in programs:
            assert program.stdout is not None
            assert program.stdout.readline()
        assert mounted.facts("status", mounted.point)["files"] == 0
        assert all(program.poll() is None for program in programs)
        worker = mounted.drive_pid()
        waiter = os.pidfd_open(worker)
        os.kill(worker, signal.SIGTERM)
        assert wait_for(waiter, 60)
        os.close(waiter)
    finally:
        for program in programs:
            program.kill()
            program.communicate()
    mounted.mount()
    assert (mounted.point / "folder").is_dir()
