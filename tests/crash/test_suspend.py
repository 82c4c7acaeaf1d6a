"""Suspended: daemon and programs stop for a while in mid-read and mid-fsync, the clock jumps: no error, nothing lost.

HYPERFS_FREEZE_SECONDS says for how long they stop each time.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import Drive, until, why_no_mount
from tests.mount.test_crash import WORKER, Promises

LONG = os.environ.get("HYPERFS_ALL") == "1"
SECONDS = float(os.environ.get("HYPERFS_FREEZE_SECONDS", "60" if LONG else "1.5"))
ROUNDS = int(os.environ.get("HYPERFS_FREEZES", "1"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
HOUR_NS = 3600 * 10**9
FREEZER = Path("/sys/fs/cgroup/freezer")
WORKERS = 2

pytestmark = pytest.mark.timeout(7200 if LONG else 300)
Way = Callable[[list[int]], AbstractContextManager[None]]


class Clock:
    """The drive's wall clock: the machine's, put forward or back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.jump(0)

    def jump(self, by_ns: int) -> None:
        self._path.write_text(f"{by_ns}")


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("HYPERFS_TEST_CLOCK", str(tmp_path / "clock"))
    return Clock(tmp_path / "clock")


@pytest.fixture
def drive(clock: Clock, tmp_path: Path) -> Iterator[Drive]:
    if reason := why_no_mount():
        pytest.skip(f"no mount: {reason}")
    made = Drive(tmp_path)
    try:
        made.mount()
        yield made
    finally:
        made.end()


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """By SIGSTOP."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """By a control group, as a container or a laptop that sleeps is."""
    group = FREEZER / f"hyperfs-test-{os.getpid()}"
    group.mkdir()
    try:
        for pid in pids:
            (group / "cgroup.procs").write_text(f"{pid}")
        (group / "freezer.state").write_text("FROZEN")
        # A program that waits for a daemon that is frozen already stays FREEZING: it does nothing either.
        until("they freeze", lambda: (group / "freezer.state").read_text() != "THAWED\n")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        for pid in pids:
            (FREEZER / "cgroup.procs").write_text(f"{pid}")
        until("the group is empty", lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def way_of(name: str) -> Way:
    if name == "SIGSTOP":
        return stopped
    if not os.access(FREEZER / "cgroup.procs", os.W_OK):
        pytest.skip("there is no freezer of control groups (version 1) here that one may use")
    return frozen


class Worker:
    """A program that saves, appends and removes for ever, and says what it was promised."""

    def __init__(self, folder: Path, output: Path, seed: int) -> None:
        folder.mkdir()
        fd = os.open(folder.parent, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        self.folder = folder
        self.output = output
        with output.open("wb") as out:
            command = [sys.executable, str(WORKER), str(folder), str(seed)]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd="/")

    def said(self) -> int:
        return self.output.read_bytes().count(b"\n")

    def goes_on(self) -> None:
        """Returns when it has done several things more."""
        before = self.said()
        until("the program goes on", lambda: self.said() > before + 6 or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.output.read_text()[-2000:]

    def end(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def check(self) -> None:
        promises = Promises(self.folder)
        promises.read(self.output.read_bytes())
        promises.check()


ALL = [
    (how, who, hours) for how in ("SIGSTOP", "freezer") for who in ("daemon", "programs", "all") for hours in (5, -5)
]
FEW = [("SIGSTOP", "all", 5), ("freezer", "daemon", -5)]


@pytest.mark.parametrize(("how", "who", "hours"), ALL if LONG else FEW)
def test_nothing_fails_or_is_lost_when_they_stop_and_the_clock_jumps(
    drive: Drive, clock: Clock, tmp_path: Path, how: str, who: str, hours: int
) -> None:
    way = way_of(how)
    rng = random.Random(SEED)
    workers = [Worker(drive.point / f"w{n}", tmp_path / f"said{n}", SEED * 10 + n) for n in range(WORKERS)]
    try:
        for worker in workers:
            worker.goes_on()
        assert drive.process is not None
        programs = [worker.process.pid for worker in workers]
        pids = {"daemon": [drive.process.pid], "programs": programs, "all": [drive.process.pid, *programs]}[who]
        for number in range(ROUNDS):
            time.sleep(rng.uniform(0, 0.5))  # the moment of the stop: anything may be under way
            with way(pids):
                clock.jump(hours * HOUR_NS if number % 2 == 0 else 0)
                time.sleep(SECONDS)
            for worker in workers:
                worker.goes_on()
    finally:
        for worker in workers:
            worker.end()
    tally.add(f"stops of {SECONDS:g} s with a jump of the clock", ROUNDS, seed=SEED)
    for worker in workers:
        worker.check()
    numbers = drive.entries()
    assert numbers == sorted(set(numbers))
    drive.remount()
    for worker in workers:
        worker.check()
    assert drive.entries()[: len(numbers)] == numbers


def test_a_read_and_an_fsync_that_began_while_the_daemon_stood_still_end_well(drive: Drive, clock: Clock) -> None:
    path, cold = drive.point / "file", drive.point / "cold"
    data = random.Random(SEED).randbytes(1 << 20)
    cold.write_bytes(data)
    drive.remount()  # the kernel has none of it now
    done: dict[str, bytes] = {}

    def read() -> None:
        done["read"] = cold.read_bytes()

    def save() -> None:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        done["fsync"] = data

    assert drive.process is not None
    os.listdir(drive.point)
    threads = [threading.Thread(target=work) for work in (read, save)]
    with stopped([drive.process.pid]):
        for thread in threads:
            thread.start()
        clock.jump(5 * HOUR_NS)
        time.sleep(SECONDS)
        assert done == {}, "it can't have been answered"
    for thread in threads:
        thread.join(60)
    assert done == {"read": data, "fsync": data}
    drive.kill()
    drive.mount()
    assert path.read_bytes() == cold.read_bytes() == data
