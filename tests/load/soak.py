"""The soak: many processes do everything at once on one mounted drive for a bounded time.

    python -m tests.load.soak --minutes 120 --seed 1 [--out FOLDER]

Samples of the drive's process go to FOLDER/soak.csv. It ends with figures and, where an operation failed, a file was
not what it should be, the process died or `verify` found damage, with exit code 1.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from hyperfs.daemon.exit_codes import REFUSED
from tests.cli.machine import COMMAND, Machine
from tests.load.watching import MIB, Watch
from tests.load.workers import KINDS

PACE = 150_000.0
"""Bytes that one worker writes in a second: two hours of it are some 10 GB."""
VERIFIES = 12
"""The whole drive is read so often, from the beginning on: what that leaves in memory must not grow either."""
PRUNES = 8
KEPT = 300
"""Versions that a prune leaves."""
END_SECONDS = 300.0


@dataclass
class Figures:
    """What a soak found. `slope` is that of the resident memory after the first quarter, in MiB an hour."""

    seconds: float = 0
    operations: int = 0
    faults: list[str] = field(default_factory=list)
    slope: float = 0
    most: dict[str, int] = field(default_factory=dict)
    first_rss: int = 0
    last_rss: int = 0
    versions: int = 0
    store_bytes: int = 0
    checked: dict[str, int] = field(default_factory=dict)
    verifies: int = 0
    let_go: int = 0


def soak(machine: Machine, seconds: float, seed: str, out: Path, workers_a_kind: int = 1) -> Figures:
    """Mounts, lets the workers loose, watches, unmounts, mounts again, and reads everything."""
    machine.mount()
    watch = Watch(machine.drive_pid(), machine.store, out / "soak.csv")
    figures = Figures()
    workers = [
        _start(machine.point, kind, number, seed, seconds)
        for kind in KINDS
        for number in range(workers_a_kind if kind != "finder" else 1)
    ]
    readers = [_Repeated(machine, seconds / VERIFIES, "verify"), _Repeated(machine, seconds / PRUNES, *PRUNE)]
    every = max(0.5, min(5.0, seconds / 60))
    try:
        while any(worker.poll() is None for worker in workers):
            watch.look()
            if watch.seconds[-1] < seconds:
                _next(readers, watch.seconds[-1], figures)
            if watch.seconds[-1] > seconds + END_SECONDS:
                figures.faults.append("workers did not end")
                break
            time.sleep(every)
    finally:
        for worker in workers:
            _end(worker, figures)
        watch.close()
    figures.seconds = watch.seconds[-1]
    figures.slope, figures.most = watch.slope(), watch.most
    figures.first_rss, figures.last_rss = watch.rss[0], watch.rss[-1]
    for reader in readers:
        reader.finish(figures)
    _look_again(machine, watch.pid, figures)
    return figures


PRUNE = ("prune", "--keep-last", str(KEPT))


class _Repeated:
    """A command that reads the whole drive, once in so many seconds."""

    def __init__(self, machine: Machine, every: float, *command: str) -> None:
        self._machine = machine
        self._command = command
        self._every = every
        self._next = every / 2
        self._running: subprocess.Popen[str] | None = None

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def start_when_due(self, now: float, figures: Figures) -> bool:
        if now < self._next:
            return False
        self.finish(figures)
        self._next = now + self._every
        self._running = self._asked()
        return True

    def _asked(self) -> subprocess.Popen[str]:
        if self._command == PRUNE:
            # The workers delete what they wrote, which looks like an attack: somebody looks, and says that it is none.
            self._machine.run("brake", "release", self._machine.store)
        return _ask(self._machine, *self._command)

    def finish(self, figures: Figures) -> None:
        """Waits for its end, if it was begun, and reads what it said."""
        running, self._running = self._running, None
        if running is None:
            return
        said = running.communicate()[0]
        if self._command == PRUNE and running.returncode == REFUSED:
            running = self._asked()  # it looked itself, and put the brake on
            said = running.communicate()[0]
        if self._command[0] == "verify":
            _report(said, figures)
            figures.verifies += 1
        elif running.returncode:
            figures.faults.append(f"{self._command} ended with {running.returncode}")
        else:
            figures.let_go += json.loads(said)["versions"]


def _next(readers: list[_Repeated], now: float, figures: Figures) -> None:
    """One at a time: they refuse to run beside one another."""
    if any(reader.is_running for reader in readers):
        return
    for reader in readers:
        if reader.start_when_due(now, figures):
            return


def _start(point: Path, kind: str, number: int, seed: str, seconds: float) -> subprocess.Popen[str]:
    name = f"{kind}-{number}"
    arguments = [kind, str(point / name), f"{seed}-{name}", str(seconds), str(PACE)]
    return subprocess.Popen([sys.executable, "-m", "tests.load.workers", *arguments], stdout=subprocess.PIPE, text=True)


def _end(worker: subprocess.Popen[str], figures: Figures) -> None:
    if worker.poll() is None:
        worker.kill()
    said = worker.communicate()[0]
    if worker.returncode:
        figures.faults.append(f"{worker.args} ended with {worker.returncode}")
        return
    found = json.loads(said)
    figures.operations += found["operations"]
    figures.faults += found["faults"]


def _ask(machine: Machine, *command: str) -> subprocess.Popen[str]:
    """A command on the drive, beside whatever else goes on; it may take long."""
    whole = [*COMMAND, command[0], "--json", str(machine.store), *command[1:]]
    return subprocess.Popen(whole, env=machine.environment, stdout=subprocess.PIPE, text=True)


def _report(said: str, figures: Figures) -> None:
    report = json.loads(said)
    figures.checked = report["checked"]
    figures.faults += [f"verify: {found}" for found in report["damage"]]


def _look_again(machine: Machine, pid: int, figures: Figures) -> None:
    """The same process to the end; then everything is read from a drive that was mounted anew."""
    if machine.drive_pid() != pid:
        figures.faults.append("the drive's process had died and was started again")
    machine.unmount()
    machine.mount()
    status = machine.facts("status", machine.point)
    figures.versions, figures.store_bytes = status["version"], status["store_bytes"]
    _report(_ask(machine, "verify").communicate()[0], figures)
    machine.unmount()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--out", type=Path, default=Path("."), help="where soak.csv goes")
    parser.add_argument("--workers", type=int, default=1, help="workers of each kind")
    chosen = parser.parse_args()
    machine = Machine(Path(tempfile.mkdtemp(prefix="hyperfs-soak-")))
    try:
        figures = soak(machine, chosen.minutes * 60, chosen.seed, chosen.out, chosen.workers)
    finally:
        machine.end()
    shown = {name: f"{value / MIB:.1f} MiB" if name.endswith("rss") else value for name, value in vars(figures).items()}
    print(json.dumps(shown, indent=1))
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
