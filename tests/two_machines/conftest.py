"""A laptop and a cloud peer, each in a network namespace of its own."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.machine import COMMAND, Machine

from .network import RIGHT, Namespace, Wire

PORT = 4717
SEED = int(os.environ.get("HYPERFS_NETWORK_SEED", "1"))


@dataclass
class Cloud:
    """`hyperfs peer serve` as a user starts it."""

    folder: Path
    namespace: Namespace
    machine: Machine
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        listen = f"{RIGHT}:{PORT}"
        with open(self.folder / "log", "ab") as log:
            command = [*COMMAND, "peer", "serve", "--store", str(self.folder / "peer"), "--listen", listen, "--json"]
            self.process = subprocess.Popen(
                [*self.namespace.prefix, *command],
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.machine.environment,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert b"serving" in line, (self.folder / "log").read_text()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def invite(self) -> dict[str, str]:
        found = self.machine.run("peer", "invite", "--store", self.folder / "peer", "--json").stdout
        invite = json.loads(found)
        assert isinstance(invite, dict)
        return invite


@dataclass
class Pair:
    """`laptop` is on the left, the cloud on the right."""

    laptop: Machine
    cloud: Cloud
    wire: Wire
    left: Namespace
    right: Namespace


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    if os.geteuid() != 0:
        pytest.skip("namespaces need root")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("there is no /dev/net/tun here")
    left, right = Namespace(), Namespace()
    (tmp_path / "laptop").mkdir()
    (tmp_path / "cloud").mkdir()
    laptop = Machine(tmp_path / "laptop")
    laptop.prefix = left.prefix
    cloud = Cloud(tmp_path / "cloud", right, laptop)
    try:
        with Wire(left, right, SEED) as wire:
            try:
                cloud.start()
                yield Pair(laptop, cloud, wire, left, right)
            finally:
                if cloud.process is not None:
                    cloud.kill()
                laptop.end()
    finally:
        left.end()
        right.end()
