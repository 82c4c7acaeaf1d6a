"""What a request on a mount costs: `python -m tests.bench.requests [--rounds 10] [--only open,unlink]`. Not a test.

Each operation is done in bursts on the mounts in turn: a drive, a filesystem in a dict that does nothing (`memory`, on
plain trio, and on the drive's event loop). Told are microseconds of the serving process's CPU for one operation, the
least of all rounds (on a busy machine the only figure that says anything), and of the clock. Versions wait until a
burst is over; `version` tells what they cost for each change.

`--count` tells which requests some commands cause instead.
"""

import argparse
import ctypes
import json
import mmap
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hyperfs.daemon.hardening import ALLOCATOR
from tests.mount.drive import Drive, sync_filesystem, until

ROOT = Path(__file__).parents[2]
BENCH = Path(__file__).parent
BURST = 250
AT_FDCWD, FORCE_SYNC = -100, 0x2000
_libc = ctypes.CDLL(None)


class Cost(NamedTuple):
    """Microseconds for one operation."""

    cpu: float
    clock: float


class Mounted(Drive):
    """A drive, or the filesystem in a dict behind the same face."""

    def __init__(self, folder: Path, program: str, *flags: str) -> None:
        folder.mkdir()
        super().__init__(folder)
        self.daemon = BENCH / program
        self.mount(*flags)

    def cpu_ns(self) -> int:
        """What the process and its threads have run; ended threads' too, by the process's own clock."""
        assert self.process is not None
        clock = (~self.process.pid << 3) | 2  # as clock_getcpuclockid(3) reckons it
        return time.clock_gettime_ns(clock)

    def measure(self, work: Callable[[], None], count: int) -> Cost:
        """What is answered behind the program's back, closes above all, is a part of the cost."""
        clock, cpu = time.perf_counter_ns(), self.cpu_ns()
        work()
        took = time.perf_counter_ns() - clock
        time.sleep(0.02)
        return Cost((self.cpu_ns() - cpu) / 1000 / count, took / 1000 / count)


def force_getattr(path: bytes, buffer: ctypes.Array[ctypes.c_char]) -> None:
    if _libc.statx(AT_FDCWD, path, FORCE_SYNC, 0x7FF, buffer):
        raise OSError(ctypes.get_errno())


class Workload:
    """Bursts in one folder, in an order in which each finds what the ones before it have left."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.paths = [os.fsencode(folder / f"file{number:05d}") for number in range(BURST)]
        self.page = mmap.mmap(-1, 4096)  # aligned, as O_DIRECT wants it
        self.page.write(os.urandom(4096))

    def lookup_nothing(self) -> None:
        for path in self.paths:
            os.access(path + b"-absent", os.F_OK)

    def create(self) -> None:
        for path in self.paths:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o644))

    def getattr(self) -> None:
        buffer = ctypes.create_string_buffer(256)
        for path in self.paths:
            force_getattr(path, buffer)

    def open(self) -> None:
        for path in self.paths:
            os.close(os.open(path, os.O_RDONLY))

    def chmod(self) -> None:
        for path in self.paths:
            os.chmod(path, 0o600)

    def getxattr(self) -> None:
        for path in self.paths:
            try:
                os.getxattr(path, b"security.selinux")
            except OSError:
                continue

    def list_folder(self) -> None:
        for _ in range(10):
            os.listdir(self.folder)

    def write_cached(self) -> None:
        for path in self.paths:
            file = os.open(path, os.O_WRONLY)
            os.write(file, self.page)
            os.close(file)

    def _direct(self, flags: int, step: Callable[[int, int], object]) -> None:
        file = os.open(self.paths[0], flags | os.O_DIRECT)
        for number in range(BURST):
            step(file, number * 4096)
        os.close(file)

    def write_direct(self) -> None:
        self._direct(os.O_WRONLY, lambda file, at: os.pwrite(file, self.page, at))

    def read_direct(self) -> None:
        self._direct(os.O_RDONLY, lambda file, at: os.preadv(file, [self.page], at))

    def rename(self) -> None:
        for path in self.paths[: BURST // 2]:
            os.rename(path, path + b"-new")
            os.rename(path + b"-new", path)

    def unlink(self) -> None:
        for path in self.paths:
            os.unlink(path)

    def mkdir(self) -> None:
        for path in self.paths:
            os.mkdir(path)

    def rmdir(self) -> None:
        for path in self.paths:
            os.rmdir(path)

    def symlink(self) -> None:
        for path in self.paths:
            os.symlink(b"somewhere", path)


BURSTS: dict[str, Callable[[Workload], None]] = {
    "lookup of nothing": Workload.lookup_nothing,
    "create + close": Workload.create,
    "getattr": Workload.getattr,
    "open + close": Workload.open,
    "chmod": Workload.chmod,
    "getxattr of none": Workload.getxattr,
    "list 10 names": Workload.list_folder,
    "open, write 4 KiB, close": Workload.write_cached,
    "write 4 KiB direct": Workload.write_direct,
    "read 4 KiB direct": Workload.read_direct,
    "rename": Workload.rename,
    "unlink": Workload.unlink,
    "mkdir": Workload.mkdir,
    "rmdir": Workload.rmdir,
    "symlink": Workload.symlink,
    "remove symlink": Workload.unlink,
}
VERSION_AFTER = ("create + close", "open, write 4 KiB, close", "unlink")


def run(mounts: dict[str, Mounted], rounds: int) -> dict[str, dict[str, Cost]]:
    """By row, then by mount."""
    least: dict[str, dict[str, Cost]] = {}

    def put(row: str, name: str, cost: Cost) -> None:
        before = least.setdefault(row, {}).get(name, cost)
        least[row][name] = Cost(*map(min, before, cost))

    for number in range(rounds):
        workloads = {name: Workload(mounted.point / f"round{number}") for name, mounted in mounts.items()}
        for row, burst in BURSTS.items():
            for name, mounted in mounts.items():
                put(row, name, mounted.measure(partial(burst, workloads[name]), BURST))
                if name == "drive" and row in VERSION_AFTER:
                    sync_filesystem(mounted.point)
                    kept = mounted.versions() / f"{number} {row}"
                    put(f"  version after it ({row})", name, mounted.measure(kept.mkdir, BURST))
    return least


def show(least: dict[str, dict[str, Cost]], names: list[str]) -> None:
    print(f"{'us of CPU (of the clock)':42}" + "".join(f"{name:>22}" for name in names))
    for row, costs in least.items():
        line = f"{row:42}"
        for name in names:
            cost, first = costs.get(name), costs.get(names[0])
            told = "" if cost is None else f"{cost.cpu:.1f} ({cost.clock:.0f})"
            if cost is not None and first is not None and name != names[0]:
                told += f" {first.cpu / cost.cpu:5.2f}x"
            line += f"{told:>22}"
        print(line)


def count(mounted: Mounted) -> None:
    """The requests of some commands."""
    point, told = mounted.point, mounted.folder / "requests.json"
    tree = Path(sysconfig.get_paths()["stdlib"]) / "json"
    commands = {
        "touch a new file": f"touch {point}/new",
        "touch it again": f"touch {point}/new",
        "echo > new file": f"echo hello > {point}/written",
        "cat it": f"cat {point}/written",
        "cp -a a folder of 20": f"cp -a {tree} {point}/tree",
        "ls -l it": f"ls -l {point}/tree",
        "ls -l it again": f"ls -l {point}/tree",
        "cp -a within": f"cp -a {point}/tree {point}/copy",
        "rsync -a": f"rsync -a {tree}/ {point}/synced/",
        "rsync -a again": f"rsync -a {tree}/ {point}/synced/",
        "rm -rf": f"rm -rf {point}/tree",
        "git init": f"git init -q {point}/repository",
        "chmod": f"chmod 600 {point}/new",
        "mv": f"mv {point}/new {point}/newer",
    }
    for what, command in commands.items():
        if shutil.which(command.split()[0]) is None:
            continue
        subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)
        time.sleep(0.1)  # closes and what is forgotten
        told.unlink(missing_ok=True)
        assert mounted.process is not None
        mounted.process.send_signal(signal.SIGUSR1)
        until("requests are told", lambda: told.exists() and told.read_text())
        counts = json.loads(told.read_text())
        each = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items(), key=lambda item: -item[1]))
        print(f"{what:22} {sum(counts.values()):4}: {each}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", help="rows, by how they begin, with commas between them")
    parser.add_argument("--mounts", default="drive,memory,memory lite")
    parser.add_argument("--count", action="store_true")
    args = parser.parse_args()
    os.environ.update(ALLOCATOR, PYTHONPATH=str(ROOT))
    names = ["drive"] if args.count else args.mounts.split(",")
    if args.only:
        for row in [row for row in BURSTS if not any(row.startswith(part) for part in args.only.split(","))]:
            del BURSTS[row]
    with tempfile.TemporaryDirectory(prefix="hyperfs-requests-") as folder:
        mounts: dict[str, Mounted] = {}
        try:
            for name in names:
                kind, *flags = name.split()
                program = "requests_daemon.py" if kind == "drive" else "memory_filesystem.py"
                mounts[name] = Mounted(Path(folder) / name.replace(" ", "-"), program, *flags, *["count"][: args.count])
            if args.count:
                count(mounts["drive"])
            else:
                show(run(mounts, args.rounds), names)
        finally:
            for mounted in mounts.values():
                mounted.end()


if __name__ == "__main__":
    main()
