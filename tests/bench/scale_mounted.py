"""The rows of `scale` that are seen through a real mount: times, and the memory of the drive's process."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.scale_below import Rows
from tests.bench.scale_corpus import PER_BATCH, PER_FOLDER
from tests.load.watching import forget_peak, memory
from tests.mount import drive as mounts
from tests.mount.drive import Drive

OPENS = 1000
FOUND_MOST = 1_000_000
"""Memory is at its bounds long before that."""
MIB = 1 << 20
Tell = Callable[[str], None]


def mounted(home: Path, files: int, seed: int, skip: set[str], tell: Tell) -> Rows:
    """Mounts the store of a corpus again and again, and looks at it as programs do."""
    rows = Rows(tell)
    mounts.END_SECONDS = 600.0
    forget_pages(home / "store")
    drive = Drive(home)
    try:
        began = time.perf_counter()
        drive.mount()
        pid = drive.process.pid
        rows["mount"] = (
            f"{time.perf_counter() - began:.2f} s, {_cpu(pid):.2f} s CPU, {memory(pid).rss / MIB:.0f} MiB resident"
        )
        for name, row in _ROWS.items():
            if name.split()[0] in skip:
                continue
            forget_peak(pid)
            cpu = _cpu(pid)
            words = row(drive.point, files, random.Random(seed))
            if words:
                rows[name] = f"{words}; {_cpu(pid) - cpu:.2f} s CPU, at most {memory(pid).peak / MIB:.0f} MiB resident"
        began = time.perf_counter()
        drive.unmount()
        rows["unmount"] = f"{time.perf_counter() - began:.2f} s"
    finally:
        drive.end()
    return rows


def forget_pages(store: Path) -> None:
    """The kernel's copies of the store's files go: what is read next comes from the disk."""
    os.sync()
    for folder, _, names in os.walk(store):
        for name in names:
            fd = os.open(os.path.join(folder, name), os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _timed(times: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    times.append(time.perf_counter() - began)


def _quantiles(times: list[float]) -> str:
    times = sorted(times)
    return ", ".join(
        f"{name} {times[int(len(times) * at)] * 1000:.2f} ms" for name, at in (("p50", 0.5), ("p99", 0.99))
    )


def _path(rng: random.Random, files: int) -> str:
    number = rng.randrange(files)
    top, rest = divmod(number, PER_BATCH)
    return f"d{top:05}/{rest // PER_FOLDER:03}/file-{rest % PER_FOLDER + 1:03}"


def _opens(point: Path, files: int, rng: random.Random) -> str:
    times: list[float] = []
    for _ in range(min(OPENS, files)):
        path = point / _path(rng, files)
        with _timed(times):
            path.read_bytes()
    return _quantiles(times)


def _small(point: Path, files: int, rng: random.Random) -> str:
    """With the daemon's disk writes."""
    times: list[float] = []
    for number in range(50):
        path = point / _path(rng, files)
        with _timed(times), path.open("r+b") as file:
            file.write(b"edit %d" % number)
            file.flush()
            os.fsync(file.fileno())
    return _quantiles(times)


def _versions(point: Path, files: int, rng: random.Random) -> str:
    times: list[float] = []
    with _timed(times):
        found = os.listdir(point / ".versions")
    return f"{len(found):,} entries in {times[0]:.2f} s"


def _open_versions(point: Path, files: int, rng: random.Random) -> str:
    names = os.listdir(point / ".versions")
    times: list[float] = []
    for name in rng.sample(names, min(200, len(names))):
        with _timed(times):
            os.stat(point / ".versions" / name)
    return _quantiles(times)


def _crowd(point: Path) -> str:
    began = before = time.perf_counter()
    count, longest = 0, 0.0
    for _ in os.scandir(point):
        now = time.perf_counter()
        before, longest, count = now, max(longest, now - before), count + 1
    return f"{count:,} entries in {before - began:.2f} s; longest wait for one of them {longest * 1000:.1f} ms"


def _crowd_live(point: Path, files: int, rng: random.Random) -> str:
    return _crowd(point / "crowd") if (point / "crowd").exists() else ""


def _newest(point: Path) -> Path:
    return point / ".versions" / max(name for name in os.listdir(point / ".versions") if name.startswith("20"))


def _crowd_past(point: Path, files: int, rng: random.Random) -> str:
    return _crowd(_newest(point) / "crowd") if (point / "crowd").exists() else ""


def _find(point: Path) -> str:
    began, found = time.perf_counter(), 0
    for _, folders, names in os.walk(point):
        found += len(folders) + len(names)
        if found >= FOUND_MOST:
            break
    return f"{found:,} in {time.perf_counter() - began:.1f} s"


def _find_live(point: Path, files: int, rng: random.Random) -> str:
    return _find(point)


def _find_past(point: Path, files: int, rng: random.Random) -> str:
    return _find(_newest(point))


_ROWS: dict[str, Callable[[Path, int, random.Random], str]] = {
    "open and read a file at random, cold": _opens,
    "edit a small file and fsync it": _small,
    "list `.versions`": _versions,
    "stat in a version at random": _open_versions,
    "list the large folder": _crowd_live,
    "list the large folder in a version": _crowd_past,
    "find all, a million at most": _find_live,
    "find all in a version, a million at most": _find_past,
}
