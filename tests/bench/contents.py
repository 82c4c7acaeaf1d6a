"""What the content path of a mount costs, in processor time. By hand: python tests/bench/contents.py [--mib 64]

Mounts a new drive in a temporary folder, by `hyperfs mount`, and does the content rows of a file benchmark on it, one
by one. Beside the wall time it tells the processor time (user and system) that the drive's process took, and this one
as its client, for each operation or MiB: these stay nearly the same on a busy machine. `--also NAME=DIR:PID` does the
same on another mounted folder that process PID serves.

"Cold" means that neither the kernel nor the drive holds the bytes: the drive is mounted anew, where that is ours to do,
and the kernel is asked to drop the file's pages.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
PAGE = 4096
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


class Place(NamedTuple):
    """A folder under test. `pid` serves it; `remount` empties what that process has in memory."""

    name: str
    folder: Path
    pid: Callable[[], int]
    remount: Callable[[], None]


class Row(NamedTuple):
    place: str
    work: str
    unit: str
    count: float
    wall: float
    served: float
    client: float


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_SECONDS


class Bench:
    def __init__(self, place: Place, mib: int, operations: int) -> None:
        self.place = place
        self.mib = mib
        self.operations = operations
        self.rows: list[Row] = []
        rng = random.Random(7)
        words = [b"%x " % rng.getrandbits(n % 40 + 4) for n in range(2000)]
        # Half compressible: by turns 64 KiB of random bytes and of words.
        self.pieces = [
            b"".join([rng.randbytes(65536) + b"".join(rng.choices(words, k=16000))[:65536] for _ in range(8)])
            for _ in range(mib)
        ]
        self.file = place.folder / "contents-bench"

    @contextmanager
    def timed(self, work: str, unit: str, count: float) -> Iterator[None]:
        pid = self.place.pid()
        before, mine, start = cpu_seconds(pid), sum(os.times()[:2]), time.perf_counter()
        yield
        wall = time.perf_counter() - start
        took, own = cpu_seconds(pid) - before, sum(os.times()[:2]) - mine
        self.rows.append(Row(self.place.name, work, unit, count, wall, took, own))

    def cool(self) -> None:
        os.sync()
        self.place.remount()
        fd = os.open(self.file, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)

    def sequential_write(self) -> None:
        with self.timed("sequential write + fsync", "MiB", self.mib):
            fd = os.open(self.file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            for piece in self.pieces:
                os.write(fd, piece)
            os.fsync(fd)
            os.close(fd)

    def sequential_read(self) -> None:
        for work in ("sequential read cold", "sequential read warm"):
            if work.endswith("cold"):
                self.cool()
            with self.timed(work, "MiB", self.mib):
                fd = os.open(self.file, os.O_RDONLY)
                while os.read(fd, MIB):
                    pass
                os.close(fd)

    def random_read(self) -> None:
        self.cool()
        pages = random.Random(11).sample(range(self.mib * MIB // PAGE), min(self.operations, self.mib * MIB // PAGE))
        fd = os.open(self.file, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        with self.timed("random read 4 KiB cold", "op", len(pages)):
            for page in pages:
                if len(os.pread(fd, PAGE, page * PAGE)) != PAGE:
                    raise SystemExit("a short read")
        os.close(fd)

    def random_write(self) -> None:
        pages = random.Random(13).sample(range(self.mib * MIB // PAGE), min(self.operations, self.mib * MIB // PAGE))
        data = os.urandom(PAGE)
        fd = os.open(self.file, os.O_RDWR)
        with self.timed("random write 4 KiB + fsync", "op", len(pages)):
            for page in pages:
                os.pwrite(fd, data, page * PAGE)
            os.fsync(fd)
        os.close(fd)

    def append(self) -> None:
        count = max(50, self.operations // 16)
        data = os.urandom(PAGE)
        path = self.place.folder / "contents-wal"
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        with self.timed("append 4 KiB + fsync", "op", count):
            for _ in range(count):
                os.write(fd, data)
                os.fsync(fd)
        os.close(fd)
        path.unlink()

    def small_files(self) -> None:
        folder = self.place.folder / "contents-small"
        folder.mkdir()
        count = max(200, self.operations // 8)
        for number in range(count):
            (folder / f"f{number}").write_bytes(os.urandom(PAGE))
        self.cool()
        with self.timed("read 4 KiB files cold", "op", count):
            for number in range(count):
                fd = os.open(folder / f"f{number}", os.O_RDONLY)
                os.read(fd, 2 * PAGE)
                os.close(fd)
        for number in range(count):
            (folder / f"f{number}").unlink()
        folder.rmdir()


WORK = {
    "write": Bench.sequential_write,
    "read": Bench.sequential_read,
    "random-read": Bench.random_read,
    "random-write": Bench.random_write,
    "append": Bench.append,
    "small": Bench.small_files,
}


class OwnDrive:
    """A drive of the installed (or checked-out) hyperfs."""

    def __init__(self, folder: Path) -> None:
        self.store, self.point = folder / "store", folder / "mnt"
        self.point.mkdir()
        self._environment = os.environ | {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_DATA_HOME": str(folder)}

    def _run(self, *words: str) -> None:
        program = [sys.executable, "-c", "from hyperfs.cli.main import main; main()"]
        subprocess.run([*program, *words], env=self._environment, check=True, stdout=subprocess.DEVNULL)

    def mount(self) -> None:
        self._run("mount", str(self.store), str(self.point))

    def unmount(self) -> None:
        self._run("unmount", "--wait", str(self.point))

    def remount(self) -> None:
        self.unmount()
        self.mount()

    def pid(self) -> int:
        """Of the worker: the child of the process that has our folder among its arguments."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has just ended
            if b"hyperfs.daemon" in words and os.fsencode(self.point) in words:
                return int((folder / "task" / folder.name / "children").read_text().split()[0])
        raise SystemExit("the drive's process is not there")


def show(rows: list[Row]) -> None:
    print(f"{'work':28}{'place':12}{'wall':>12}{'per s':>10}{'served us':>12}{'client us':>12}   per")
    for row in sorted(rows, key=lambda row: [r.work for r in rows].index(row.work)):
        each = 1e6 / row.count
        print(
            f"{row.work:28}{row.place:12}{row.wall:11.3f}s{row.count / row.wall:10.0f}"
            f"{row.served * each:12.1f}{row.client * each:12.1f}   {row.unit}"
        )


def other_place(text: str) -> Place:
    name, _, rest = text.partition("=")
    folder, _, pid = rest.rpartition(":")
    return Place(name, Path(folder), lambda: int(pid), lambda: None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--operations", type=int, default=8192)
    parser.add_argument("--only", default=",".join(WORK))
    parser.add_argument("--also", action="append", default=[], metavar="NAME=DIR:PID")
    parser.add_argument("--inside", type=Path, help="where the temporary folder is made")
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=arguments.inside) as folder:
        drive = OwnDrive(Path(folder))
        drive.mount()
        try:
            places = [Place("hyperfs", drive.point, drive.pid, drive.remount), *map(other_place, arguments.also)]
            for place in places:
                bench = Bench(place, arguments.mib, arguments.operations)
                if "write" not in arguments.only.split(","):
                    bench.sequential_write()
                    bench.rows.clear()
                for name in arguments.only.split(","):
                    WORK[name](bench)
                rows += bench.rows
                bench.file.unlink()
        finally:
            drive.unmount()
    show(rows)


if __name__ == "__main__":
    main()
