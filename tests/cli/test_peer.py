"""hyperfs peer and sync, as a user runs them, with 'hyperfs peer serve' beside."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from .machine import COMMAND, Machine


class CloudPeer:
    """`hyperfs peer serve` in a process of its own, on a machine's loopback."""

    def __init__(self, machine: Machine, port: int = 0) -> None:
        self.machine = machine
        self.folder = machine.folder / "peer"
        self._process = subprocess.Popen(
            [*COMMAND, "peer", "serve", "--store", str(self.folder), "--listen", f"127.0.0.1:{port}", "--json"],
            env=machine.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if said["event"] == "serving":
                self.address, self.port = said["address"], said["port"]
                return
        raise AssertionError("the peer does not serve")

    def code(self) -> str:
        return str(self.machine.facts("peer", "invite", "--store", self.folder)["code"])

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=60)


@pytest.fixture
def peer(machine: Machine) -> Iterator[CloudPeer]:
    found = CloudPeer(machine)
    yield found
    found.end()


def test_a_drive_is_paired_syncs_and_forgets(machine: Machine, fuse: None, peer: CloudPeer) -> None:
    machine.mount()
    code = peer.code()
    assert "never confirmed" in machine.run("peer", "add", code, machine.point, code=5).stderr
    assert "kept on cloud" in machine.run("peer", "add", code, machine.point, "--i-have-the-key").stdout
    (machine.point / "file").write_bytes(os.urandom(300_000))
    assert "are on cloud" in machine.run("sync", machine.point, "--wait").stdout
    [found] = machine.facts("peer", "list", machine.point)["peers"]
    assert (found["name"], found["address"], found["lag_bytes"], found["trouble"]) == ("cloud", peer.address, 0, None)
    assert found["used_bytes"] > 300_000
    assert machine.facts("status", machine.point)["peers"][0]["name"] == "cloud"
    assert "cloud, connected, has everything" in machine.run("status", machine.point).stdout
    assert "yes" in machine.run("peer", "list", machine.point).stdout
    assert "500.0 KiB a second" in machine.run("peer", "limit", machine.point, "--up", "500K").stdout
    assert "cold store" not in machine.run("cold", "list", machine.point).stderr
    refused = machine.run("cold", "add", f"file://{machine.folder}/nas", machine.point, "--name", "cloud", code=5)
    assert "is a peer" in refused.stderr
    assert "still there" in machine.run("peer", "remove", "cloud", machine.point).stdout
    assert "There is no peer" in machine.run("peer", "list", machine.point).stdout
    assert "There is no peer" in machine.run("sync", machine.point).stdout


def test_a_store_that_is_not_mounted_syncs_and_a_peer_that_is_gone_is_said_so(
    machine: Machine, peer: CloudPeer
) -> None:
    machine.init()
    facts = machine.facts("peer", "add", peer.code(), machine.store, "--name", "attic", "--i-have-the-key")
    assert (facts["name"], facts["quota_bytes"]) == ("attic", None)
    assert machine.facts("sync", machine.store, "--wait")["peers"][0]["lag_blocks"] == 0
    assert machine.facts("peer", "add", peer.address, machine.store, "--i-have-the-key")["name"] == "attic"
    said = machine.run("peer", "add", "00000-00000", machine.store, "--i-have-the-key", code=2).stderr
    assert "code has a mistake" in said
    peer.end()
    assert "attic can't be reached" in machine.run("sync", machine.store, "--wait", code=4).stderr
    said = machine.run("peer", "add", peer.address, machine.store, "--i-have-the-key", code=4).stderr
    assert "can't be reached" in said


def test_whoever_runs_a_peer_lists_its_drives_and_drops_one(machine: Machine, fuse: None, peer: CloudPeer) -> None:
    """While it is served; tests/peer_server/test_own_drives.py does without."""
    machine.mount()
    machine.run("peer", "add", peer.code(), machine.point, "--name", "cloud", "--i-have-the-key")
    (machine.point / "file").write_bytes(os.urandom(300_000))
    machine.run("sync", machine.point, "--wait")
    [held] = machine.facts("peer", "drives", "--store", peer.folder)["drives"]
    drive = machine.facts("status", machine.point)["drive"]
    assert (held["drive"], held["logs"], held["part_of"], held["trouble"]) == (drive, 2, None, None)
    assert held["used_bytes"] > 300_000
    refused = machine.run("peer", "drop", drive[:8], "--store", peer.folder, code=5).stderr
    assert "--yes" in refused
    dropped = machine.facts("peer", "drop", drive[:8], "--store", peer.folder, "--yes")
    assert dropped == {"drive": drive, "bytes": held["used_bytes"]}
    assert "does not hold this drive" in machine.run("sync", machine.point, "--wait", code=5).stderr
    assert any("does not hold this drive" in words for words in machine.facts("status", machine.point)["warnings"])
    assert "no drive is held here" in machine.run("peer", "drives", "--store", peer.folder).stdout
