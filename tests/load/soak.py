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

from tests.cli.machine import COMMAND, Machine
from tests.load.watching import MIB, Watch
from tests.load.workers import KINDS

PACE = 150_000.0
"""Bytes that one worker writes in a second: two hours of it are some 10 GB, of which history keeps all."""
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
    verify: subprocess.Popen[str] | None = None
    every = max(0.5, min(5.0, seconds / 60))
    try:
        while any(worker.poll() is None for worker in workers):
            watch.look()
            if verify is None and watch.seconds[-1] > seconds / 2:
                verify = _verify(machine)
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
    if verify is not None:
        _report(verify, figures)
    _look_again(machine, watch.pid, figures)
    return figures


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


def _verify(machine: Machine) -> subprocess.Popen[str]:
    """`hyperfs verify`, beside whatever else goes on; it may take long."""
    command = [*COMMAND, "verify", "--json", str(machine.store)]
    return subprocess.Popen(command, env=machine.environment, stdout=subprocess.PIPE, text=True)


def _report(verify: subprocess.Popen[str], figures: Figures) -> None:
    report = json.loads(verify.communicate()[0])
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
    _report(_verify(machine), figures)
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
