"""hyperfs verify: finds nothing in a sound drive, and says what is damaged in another."""

import os
from pathlib import Path

import pytest

from .machine import Machine

pytestmark = pytest.mark.mount


def test_a_sound_drive_mounted_and_not(mounted: Machine) -> None:
    (mounted.point / "file").write_bytes(bytes(range(256)) * 1000)
    assert mounted.facts("status", mounted.point)["last_verify"] is None
    live = mounted.facts("verify", mounted.point)
    assert mounted.facts("status", mounted.point)["last_verify"]["damage"] == 0
    assert live["damage"] == []
    assert set(live["checked"]) == {"blocks", "nodes", "files", "bytes"}
    assert live["checked"]["files"] == 1
    mounted.unmount()
    before = contents(mounted.store)
    assert mounted.facts("verify", mounted.store)["checked"] == live["checked"]
    assert "No damage" in mounted.run("verify", mounted.store).stdout
    assert contents(mounted.store) == before


def contents(store: Path) -> dict[str, bytes]:
    """Every file but the one that says who has it open, and the space set aside."""
    names = {"lock", "reserve"}
    return {str(p): p.read_bytes() for p in store.rglob("*") if p.is_file() and p.name not in names}


def test_a_damaged_block_is_told_with_the_file_that_it_touches(mounted: Machine) -> None:
    (mounted.point / "victim").write_bytes(os.urandom(200_000))
    mounted.unmount()
    content = max(mounted.store.glob("logs/*/blocks"), key=lambda path: path.stat().st_size)
    data = bytearray(content.read_bytes())
    data[len(data) // 2] ^= 1
    content.write_bytes(data)
    report = mounted.facts("verify", mounted.store, code=3)
    assert any("victim" in damage["paths"] for damage in report["damage"])
    assert "victim" in mounted.run("verify", mounted.store, code=3).stdout


@pytest.mark.parametrize("name", ["control", "hyperfs", "keys"])
def test_what_can_not_even_be_opened_is_a_finding_too(machine: Machine, name: str) -> None:
    machine.init()
    damaged = machine.store / name
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    report = machine.facts("verify", machine.store, code=3)
    assert len(report["damage"]) == 1
    assert set(report["checked"]) == {"blocks", "nodes", "files", "bytes"}
