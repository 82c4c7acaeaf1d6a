"""hyperfs verify --repair: what it prints, its exit codes, and that the drive mounts afterwards."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .machine import Machine

CLASS = "user.hyperfs.class"
RESIDENT = "user.hyperfs.resident"

pytestmark = pytest.mark.mount


def damage(path: Path, length: int = 64) -> None:
    """In the middle of a file."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(length))


def until(true: Callable[[], bool]) -> None:
    """The test's timeout is the bound."""
    while not true():
        time.sleep(0.1)


def content_blocks(machine: Machine) -> Path:
    return max(machine.store.glob("logs/*/blocks"), key=lambda path: path.stat().st_size)


def test_what_is_lost_is_told_and_the_rest_is_there(mounted: Machine) -> None:
    data = os.urandom(200_000)
    (mounted.point / "victim").write_bytes(data)
    (mounted.point / "other").write_bytes(b"other")
    assert "unmount" in mounted.run("verify", mounted.point, "--repair", code=5).stderr
    mounted.unmount()
    damage(content_blocks(mounted))
    report = mounted.facts("verify", mounted.store, "--repair", code=3)
    assert any("victim" in found["paths"] for found in report["damage"])
    assert report["repaired"] == []
    mounted.mount()
    assert (mounted.point / "other").read_bytes() == b"other"
    with pytest.raises(OSError, match="Input/output error"):
        (mounted.point / "victim").read_bytes()
    (mounted.point / "new").write_bytes(data)
    assert (mounted.point / "new").read_bytes() == data
    mounted.unmount()
    assert mounted.facts("verify", mounted.store, "--repair")["damage"] == []
    mounted.mount()
    assert (mounted.point / "victim").read_bytes() == data


def test_lost_bytes_come_from_a_cold_store(mounted: Machine) -> None:
    data = os.urandom(200_000)
    nas = mounted.folder / "nas"
    mounted.run("cold", "add", nas.as_uri(), mounted.point)
    victim = mounted.point / "victim"
    victim.write_bytes(data)
    os.setxattr(victim, CLASS, b"cold")
    until(lambda: os.getxattr(victim, RESIDENT) == b"0")
    os.setxattr(victim, CLASS, b"hot")
    until(lambda: os.getxattr(victim, RESIDENT) == b"100")
    mounted.unmount()
    damage(content_blocks(mounted))
    report = mounted.facts("verify", mounted.store, "--repair")
    assert report["damage"] == []
    assert [found["what"] for found in report["repaired"]] == ["its bytes came from another place"]
    mounted.mount()
    assert victim.read_bytes() == data


def test_lost_bytes_come_from_a_backup(mounted: Machine) -> None:
    data = os.urandom(200_000)
    (mounted.point / "victim").write_bytes(data)
    mounted.unmount()
    damage(content_blocks(mounted))
    backup = mounted.folder / "backup"
    backup.mkdir()
    (backup / "copy").write_bytes(data)
    mounted.run("verify", mounted.store, "--from", backup, code=2)
    done = mounted.run("verify", mounted.store, "--repair", "--from", backup)
    assert "repaired log" in done.stdout
    assert "No damage" in done.stdout
    assert "No damage" in mounted.run("verify", mounted.store).stdout


def test_a_format_file_and_an_index_are_made_anew(machine: Machine) -> None:
    machine.init()
    damage(machine.store / "hyperfs", 1)
    for path in (machine.store / "index").glob("MANIFEST-*"):
        path.write_bytes(b"nonsense")
    report = machine.facts("verify", machine.store, "--repair")
    assert {repaired["where"] for repaired in report["repaired"]} == {"file hyperfs", "index"}
    assert report["damage"] == []


def test_what_is_beyond_repair_is_a_finding_and_left_alone(machine: Machine) -> None:
    machine.init()
    damage(machine.store / "control", 1)
    before = (machine.store / "control").read_bytes()
    report = machine.facts("verify", machine.store, "--repair", code=3)
    assert report["damage"]
    assert (machine.store / "control").read_bytes() == before
