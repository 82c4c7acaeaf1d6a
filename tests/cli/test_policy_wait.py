"""`hyperfs policy set PATH class=...`: what it moves can be watched, left alone and killed, and goes on."""

import json
import os
import random
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.mount.drive import LONG, until

from .machine import COMMAND, Machine

MIB = 1 << 20
COUNT = 6
WAIT = 250.0


def resident(folder: Path) -> int:
    """-1 while nobody serves it."""
    with suppress(OSError):
        return int(os.getxattr(folder, "user.hyperfs.resident"))
    return -1


def moving(machine: Machine) -> Any:
    return machine.facts("status", machine.point)["moving"]


class Halted:
    """Objects of a cold store that take as long as nobody lets them go on: each is a pipe that nobody writes to."""

    def __init__(self, place: Path) -> None:
        self._objects = [path for path in place.rglob("*") if path.is_file() and path.name != "hyperfs-cold"]
        assert self._objects
        for path in self._objects:
            path.rename(self._aside(path))
            os.mkfifo(path)

    def go_on(self) -> None:
        for path in self._objects:
            pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # who waits gets to its end
            self._aside(path).rename(path)
            os.close(pipe)

    def _aside(self, path: Path) -> Path:
        return path.with_name(path.name + ".new")  # what is being written is listed by nobody


@pytest.mark.skipif(not LONG, reason="waits for what moves in the background: HYPERFS_ALL=1")
@pytest.mark.timeout(900)
def test_what_is_watched_goes_on_when_nobody_watches_or_it_is_killed(machine: Machine) -> None:
    machine.patience_seconds = WAIT
    machine.mount()
    machine.run("cold", "add", f"file://{machine.folder}/nas", machine.point)
    folder = machine.point / "photos"
    folder.mkdir()
    files = {folder / f"{number}": random.Random(number).randbytes(MIB) for number in range(COUNT)}
    for path, data in files.items():
        path.write_bytes(data)
    machine.run("policy", "set", folder, "class=cold")
    machine.run("snapshot", machine.point, "set")
    # Killed before, or while, it leaves: who serves it next goes on.
    os.kill(machine.drive_pid(), signal.SIGKILL)
    until("all has left", lambda: resident(folder) == 0, WAIT)

    halted = Halted(machine.folder / "nas")
    command = [*machine.prefix, *COMMAND, "policy", "set", str(folder), "class=hot", "--wait"]
    with subprocess.Popen(command, env=machine.environment, stderr=subprocess.PIPE, text=True) as watching:
        until("it is coming back", lambda: moving(machine)["to_return_bytes"], WAIT)
        assert watching.poll() is None
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert "in the background" in said
    assert resident(folder) == 0
    halted.go_on()
    until("all is back", lambda: resident(folder) == 100, WAIT)
    told = machine.run("policy", "set", folder, "class=hot", "--wait", "--json").stdout
    assert json.loads(told)["policies"]["class"]["value"] == "hot"
    assert {path: path.read_bytes() for path in files} == files
