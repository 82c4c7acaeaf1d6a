"""hyperfs clone: a laptop is lost, its drive comes back on a bare machine, goes on there, and comes back again."""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperfs.crypto import recovery
from hyperfs.crypto.keys import RootSeed
from tests.peer_server.process import Process, invite

from .machine import Machine

SIZES = {"notes.txt": 300, "photos/one": 700_000, "photos/two": 1_200_000, "empty": 0}


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Process]:
    with Process(tmp_path / "peer") as process:
        yield process


@pytest.fixture
def machines(tmp_path: Path, fuse: None) -> Iterator[list[Machine]]:
    made = []
    for name in ("laptop", "second", "third"):
        (tmp_path / name).mkdir()
        made.append(Machine(tmp_path / name))
    yield made
    for machine in made:
        machine.end()


def write(machine: Machine, seed: str) -> None:
    for name, size in SIZES.items():
        path = machine.point / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(hashlib.shake_128(f"{name}{seed}".encode()).digest(size))


def sums(folder: Path) -> dict[str, str]:
    """Of every file below."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def until_whole(machine: Machine) -> None:
    """All names and versions have come."""
    until = time.monotonic() + 60
    while any("being fetched" in words for words in machine.facts("status", machine.point)["warnings"]):
        assert time.monotonic() < until
        time.sleep(0.1)


def until_followed(machine: Machine, version: int) -> dict[str, Any]:
    """What its status says of whom it follows, when it shows that version or a later one."""
    until = time.monotonic() + 60
    while True:
        found = machine.facts("status", machine.point)["following"]
        if found["version"] >= version:
            assert isinstance(found, dict)
            return found
        assert time.monotonic() < until, found
        time.sleep(0.1)


def test_a_lost_laptops_drive_comes_back_with_the_key_alone(
    machines: list[Machine], peer: Process, tmp_path: Path
) -> None:
    laptop, second, third = machines
    laptop.mount()
    states: dict[str, dict[str, str]] = {}
    for name in ("one", "two", "three"):
        write(laptop, name)
        laptop.run("snapshot", laptop.point, name)
        states[name] = sums(laptop.point)
    key = laptop.facts("key", "show", laptop.point)["recovery_key"]
    address = str(peer.address)
    laptop.run("peer", "add", invite(tmp_path / "peer")["code"], laptop.point, "--i-have-the-key")
    laptop.run("sync", laptop.point, "--wait")
    laptop.unmount()
    shutil.rmtree(laptop.folder / "store")
    shutil.rmtree(laptop.folder / "config")

    lost = ("--former-device-lost", "--name", "second")
    made = second.facts("clone", address, second.store, "--recovery-key", key, *lost)
    assert (made["read_only"], made["device"], len(made["given_up"])) == (False, 2, 1)
    second.mount()
    assert sums(second.point) == states["three"]
    until_whole(second)
    assert {name: sums(second.point / ".versions" / name) for name in states} == states
    (second.point / "new").write_bytes(os.urandom(400_000))
    written = sums(second.point)
    second.run("sync", second.point, "--wait")

    made = third.facts("clone", address, third.store, "--name", "third", stdin=key)
    assert "device 'second' writes to this drive" in made["read_only_because"]
    said = third.mount().stdout
    assert "It can only be read: device 'second' writes" in said
    assert sums(third.point) == written
    with pytest.raises(OSError, match="Read-only"):
        (third.point / "x").touch()
    until_whole(third)
    assert {name: sums(third.point / ".versions" / name) for name in states} == states
    listed = third.facts("device", "list", third.point)["devices"]
    assert [(found["number"], found["writes"], found["revoked"]) for found in listed] == [
        (1, False, True),
        (2, True, False),
        (3, False, False),
    ]
    assert third.facts("status", third.point)["read_only_because"] == made["read_only_because"]

    (second.point / "photos" / "one").write_bytes(os.urandom(500_000))
    (second.point / "notes.txt").unlink()
    (second.point / "later").write_bytes(b"seen while it is mounted")
    version = second.facts("snapshot", second.point, "four")["version"]
    follows = until_followed(third, version)
    assert sums(third.point) == sums(second.point)
    assert (follows["writer"], follows["at"] is not None, follows["trouble"]) == ("device 'second'", True, None)
    assert second.facts("status", second.point)["following"] is None
    assert f"follows     device 'second' by {follows['at']}: version" in third.run("status", third.point).stdout
    third.unmount()
    assert "a clone already, and whole" in third.run(
        "clone", address, third.store, "--recovery-key", key, code=5
    ).stderr

    former = ("--former-devices", "--recovery-key", key)
    assert "given to no process that goes on" in second.run("prune", second.point, *former, code=5).stderr
    for name in (*states, "four"):
        second.run("snapshot", "--delete", second.point, name)
    now = sums(second.point)
    second.unmount()
    assert second.facts("prune", second.store, "--keep-last", "1")["versions"] > 0
    # Their contents were never all on this device: what is given back here may be little.
    assert second.facts("prune", second.store, "--keep-last", "1", *former)["blocks"] > 10
    second.mount()
    assert sums(second.point) == now
    second.run("sync", second.point, "--wait")


def test_what_is_typed_wrong_is_said(machine: Machine) -> None:
    address = "hyperfs://" + "0a" * 32 + "@127.0.0.1:9"
    assert "group 1" in machine.run("clone", address, machine.store, "--recovery-key", "12345-" * 14, code=5).stderr
    key = recovery.to_text(RootSeed(bytes(range(32))))
    assert "can't be reached" in machine.run("clone", address, machine.store, "--recovery-key", key, code=4).stderr
    assert "is no address" in machine.run("clone", "there", machine.store, "--recovery-key", key, code=2).stderr
    assert "no drive's id" in machine.run(
        "clone", address, machine.store, "--recovery-key", key, "--drive", "12", code=2
    ).stderr
    assert not machine.store.exists()
