"""What a service manager hears of a mounted drive, a follow and a cloud peer."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service.listening import Ear

from .machine import COMMAND, Machine

WATCHDOG = {"WATCHDOG_USEC": "100000"}


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    with Ear(tmp_path / "notify", seconds=120) as ear:
        yield ear


@contextmanager
def service(machine: Machine, ear: Ear, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command as systemd starts it."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=machine.environment | {"NOTIFY_SOCKET": ear.address} | WATCHDOG,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_mount_is_ready_when_it_answers_and_tells_that_it_ends(machine: Machine, fuse: None, ear: Ear) -> None:
    with service(machine, ear, "mount", "--foreground", machine.store, machine.point) as process:
        pid, said = ear.hear_of("READY")
        assert machine.has_mounted(machine.point)
        assert (pid, said["STATUS"]) == (process.pid, f"Mounted at {machine.point}")
        for _ in range(3):
            assert ear.hear_of("WATCHDOG") == (process.pid, {"WATCHDOG": "1"})
        (machine.point / "file").write_text("so that there is work for its children")
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{child}/environ").read_bytes(), "it could speak for the mount"
        process.send_signal(signal.SIGTERM)
        assert ear.hear_of("STOPPING")[0] == process.pid
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert not machine.has_mounted(machine.point)


def test_a_mount_in_the_background_speaks_for_nobody(machine: Machine, fuse: None, ear: Ear) -> None:
    """Whoever calls the command may be a service itself, which is not ready because a drive is."""
    machine.run("mount", machine.store, machine.point, NOTIFY_SOCKET=ear.address, **WATCHDOG)
    assert b"NOTIFY_SOCKET" not in Path(f"/proc/{machine.drive_pid()}/environ").read_bytes()
    machine.unmount()
    assert ear.is_silent(0.1)


def test_a_refused_mount_is_never_ready(machine: Machine, ear: Ear) -> None:
    machine.point.joinpath("in the way").write_text("")
    with service(machine, ear, "mount", "--foreground", machine.store, machine.point) as process:
        assert process.wait(timeout=120) == 5
    assert ear.is_silent(0.1)


def test_a_cloud_peer_is_ready_when_it_listens_and_tells_that_it_drains(machine: Machine, ear: Ear) -> None:
    words = ("peer", "serve", "--store", machine.folder / "peer", "--listen", "127.0.0.1:0")
    with service(machine, ear, *words) as process:
        pid, said = ear.hear_of("READY")
        assert pid == process.pid
        socket.create_connection(("127.0.0.1", int(said["STATUS"].rpartition(":")[2]))).close()
        assert ear.hear_of("WATCHDOG") == (process.pid, {"WATCHDOG": "1"})
        process.send_signal(signal.SIGTERM)
        assert ear.hear_of("STOPPING")[0] == process.pid
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def test_a_follow_tells_what_it_does_and_waits_for(mounted: Machine, ear: Ear) -> None:
    source = mounted.folder / "plain"
    source.mkdir()
    (source / "big").write_bytes(os.urandom(8 << 20))
    with service(mounted, ear, "follow", source, mounted.point / "copy") as process:
        pid, said = ear.hear_of("READY")
        assert (pid, said["STATUS"]) == (process.pid, f"Following {source} into {mounted.point / 'copy'}")
        beats = 0
        while not (mounted.point / "copy/big").exists():
            said = ear.hear()[1]
            beats += said == {"WATCHDOG": "1"}
        while not ear.hear_of("STATUS")[1]["STATUS"].endswith("is the last one"):
            pass
        assert beats >= 8, "each MiB is a sign of life"
        source.rename(mounted.folder / "elsewhere")
        while not (said := ear.hear_of("STATUS")[1])["STATUS"].startswith("Waiting: "):
            pass
        process.send_signal(signal.SIGTERM)
        assert ear.hear_of("STOPPING")[0] == process.pid
        process.communicate(timeout=120)
        assert process.returncode == 0
