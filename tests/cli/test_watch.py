"""hyperfs watch: over kills of the drive and of the watcher, nothing is missed and nothing is told twice."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests import tally

from .machine import COMMAND, Machine

pytestmark = pytest.mark.mount

LONG = os.environ.get("HYPERFS_ALL") == "1"
ROUNDS = 4 if LONG else 2
"""Kills of the drive's process: its supervisor starts it again five times a minute at most."""
WITHIN_SECONDS = 60.0

Line = dict[str, Any]


class Watcher:
    """A running `hyperfs watch`, and what it has said."""

    def __init__(self, machine: Machine, *arguments: str) -> None:
        self.lines: list[Line] = []
        self._process = subprocess.Popen(
            # What a shell begins with & ignores the signal, and so would all that it begins.
            ["env", "--default-signal=INT", *COMMAND, "watch", machine.point, *arguments],
            env=machine.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # killed in the middle of one, it was not said
                self.lines.append(json.loads(line))

    def until(self, said: Callable[[list[Line]], bool]) -> None:
        deadline = time.monotonic() + WITHIN_SECONDS
        while not said(self.lines):
            assert time.monotonic() < deadline, self.lines[-3:]
            time.sleep(0.05)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Ends it; returns its exit code."""
        self._process.send_signal(number)
        code = self._process.wait(WITHIN_SECONDS)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


def write(machine: Machine, name: str, durable: bool = False) -> None:
    """Again and again while the drive's process is away."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        try:
            with (machine.point / name).open("w") as file:
                file.write("x")
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


def paths(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line["kind"], line["path"]) for line in lines]


def test_each_change_is_a_line_with_all_that_is_known_of_it(mounted: Machine) -> None:
    version = mounted.facts("status", mounted.point)["version"]
    watcher = Watcher(mounted, "--from", str(version))
    (mounted.point / "a").write_text("one")
    watcher.until(lambda lines: len(lines) == 1)
    (mounted.point / "a").rename(mounted.point / "b")
    (mounted.point / "b").write_text("three")
    watcher.until(lambda lines: len(lines) >= 3)
    (mounted.point / "b").unlink()
    watcher.until(lambda lines: lines[-1]["kind"] == "removed")
    assert watcher.end(signal.SIGINT) == 0
    first, last = watcher.lines[0], watcher.lines[-1]
    assert set(first) == {
        "version", "time", "device", "kind", "path", "old_path", "old_size", "new_size", "resume",
    }  # fmt: skip
    assert (first["kind"], first["path"], first["old_size"], first["new_size"]) == ("added", "a", None, 3)
    assert ("moved", "b", "a") in {(line["kind"], line["path"], line["old_path"]) for line in watcher.lines}
    assert (last["path"], last["old_size"], last["new_size"]) == ("b", 5, None)
    again = mounted.run("watch", mounted.point, "--from", first["resume"], "--once").stdout
    assert [json.loads(line) for line in again.splitlines()] == watcher.lines[1:]
    mounted.run("watch", mounted.point, "--from", "999999", "--once", code=2)


def test_after_kills_of_drive_and_watcher_it_misses_nothing_and_repeats_nothing(mounted: Machine) -> None:
    rng = random.Random(5)
    begin = str(mounted.facts("status", mounted.point)["version"])
    resume, told, written = begin, list[Line](), 0
    watcher = Watcher(mounted, "--from", resume)
    for _ in range(ROUNDS):
        for kill_watcher in (False, True):
            for _ in range(rng.randint(10, 25)):
                write(mounted, f"f{written}", durable=rng.random() < 0.3)
                written += 1
                time.sleep(rng.random() / 5)
            if kill_watcher:
                watcher.end()
                told += watcher.lines
                resume = told[-1]["resume"] if told else begin
                watcher = Watcher(mounted, "--from", resume)
            else:
                os.kill(mounted.drive_pid(), signal.SIGKILL)
    write(mounted, "last")
    watcher.until(lambda lines: ("added", "last") in paths(lines))
    watcher.end()
    told += watcher.lines
    again = mounted.run("watch", mounted.point, "--from", begin, "--once").stdout
    assert told == [json.loads(line) for line in again.splitlines()]
    assert len({(line["version"], line["path"], line["kind"]) for line in told}) == len(told)
    # What a kill took away that was never synced is no change; what is there now was told.
    state: set[str] = set()
    for kind, path in paths(told):
        state.add(path) if kind == "added" else state.discard(path) if kind == "removed" else None
    assert state == set(os.listdir(mounted.point))
    tally.add("lines of watch over kills", len(told), seed=5)


def test_it_goes_on_over_an_unmount(mounted: Machine) -> None:
    watcher = Watcher(mounted, "--from", "1")
    (mounted.point / "before").touch()
    watcher.until(lambda lines: len(lines) == 1)
    mounted.unmount()
    mounted.mount()
    (mounted.point / "after").touch()
    watcher.until(lambda lines: len(lines) == 2)
    watcher.end()
    assert paths(watcher.lines) == [("added", "before"), ("added", "after")]
    mounted.unmount()
    stored = mounted.run("watch", mounted.store, "--from", "1").stdout.splitlines()
    assert [json.loads(line) for line in stored] == watcher.lines
