"""The rows: pieces of work on a folder, each with what it gave.

A row's value is a rate (MB/s or a second, more is better) or a time in seconds (less is better), by its unit. "Cold"
means that the kernel has dropped its caches: that needs root, and such rows are left out without it.
"""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.side_by_side.inputs import MIB, Inputs, git

PIECE: Final = 4096
DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")


class Row(NamedTuple):
    name: str
    unit: str
    value: float

    @property
    def more_is_better(self) -> bool:
        return self.unit != "s"


Work = Callable[[Path, Inputs], Iterator[Row]]


def drop_caches() -> None:
    """Pages, names and attributes; nothing where the user is not root."""
    os.sync()
    if os.geteuid() == 0:
        DROP_CACHES.write_text("3")


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def piped(*commands: str) -> None:
    """Output goes through a pipe, for some programs do less when it goes to the null device."""
    subprocess.run(" | ".join(commands), shell=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def sequential(folder: Path, inputs: Inputs) -> Iterator[Row]:
    """A large file in writes of a MiB."""
    target = folder / "large"
    megabytes = inputs.blob_mib * MIB / 1e6
    for name, options in (("sequential write", ()), ("sequential write + fsync", ("conv=fsync",))):
        target.unlink(missing_ok=True)
        inputs.warm(inputs.blob)
        os.sync()
        took = seconds(lambda options=options: run("dd", f"if={inputs.blob}", f"of={target}", "bs=1M", *options))
        yield Row(name, "MB/s", megabytes / took)
    drop_caches()
    for name in ("sequential read cold", "sequential read warm"):
        yield Row(name, "MB/s", megabytes / seconds(lambda: run("dd", f"if={target}", "of=/dev/null", "bs=1M")))


def scattered(folder: Path, inputs: Inputs) -> Iterator[Row]:
    """4 KiB pieces of a large file, in an order without sense."""
    target = folder / "pieces"
    shutil.copyfile(inputs.blob, target)
    rng = random.Random(5)
    places = [rng.randrange(inputs.blob_mib * MIB // PIECE) * PIECE for _ in range(inputs.random_pieces)]
    drop_caches()
    for name in ("random read 4 KiB cold", "random read 4 KiB warm"):
        with target.open("rb", buffering=0) as file:
            took = seconds(lambda file=file: [os.pread(file.fileno(), PIECE, place) for place in places])
        yield Row(name, "/s", len(places) / took)
    data = rng.randbytes(PIECE)

    def write() -> None:
        with target.open("r+b", buffering=0) as file:
            for place in places:
                os.pwrite(file.fileno(), data, place)
            os.fsync(file.fileno())

    yield Row("random write 4 KiB, fsync at the end", "/s", len(places) / seconds(write))


def commits(folder: Path, inputs: Inputs) -> Iterator[Row]:
    """What a database does at each commit."""
    data = os.urandom(PIECE)
    with (folder / "log").open("ab", buffering=0) as file:

        def append() -> None:
            for _ in range(inputs.syncs):
                file.write(data)
                os.fsync(file.fileno())

        yield Row("append 4 KiB + fsync", "/s", inputs.syncs / seconds(append))


def small_files(folder: Path, inputs: Inputs) -> Iterator[Row]:
    names = [f"f{number}" for number in range(inputs.small_files)]
    count = len(names)
    for name, data in (("create empty", b""), ("create 4 KiB", os.urandom(PIECE))):
        (folder / name).mkdir()
        os.sync()
        yield Row(name, "/s", count / seconds(lambda where=folder / name, data=data: _create(where, names, data)))
    full = folder / "create 4 KiB"
    drop_caches()
    for name in ("stat cold", "stat warm"):
        yield Row(name, "/s", count / seconds(lambda: [os.stat(f"{full}/{found}") for found in names]))
    drop_caches()
    yield Row("read 4 KiB files cold", "/s", count / seconds(lambda: [_read(f"{full}/{found}") for found in names]))
    yield Row("unlink", "/s", count / seconds(lambda: [os.unlink(f"{full}/{found}") for found in names]))


def _create(folder: Path, names: list[str], data: bytes) -> None:
    for name in names:
        fd = os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o644)
        if data:
            os.write(fd, data)
        os.close(fd)


def _read(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, 2 * PIECE)
    os.close(fd)


def trees(folder: Path, inputs: Inputs) -> Iterator[Row]:
    inputs.warm(inputs.tar)
    one, two, three = folder / "one", folder / "two", folder / "three"
    one.mkdir()
    os.sync()
    yield Row("tar xf", "s", seconds(lambda: run("tar", "xf", inputs.tar, "-C", one)))
    drop_caches()
    for name in ("find and stat cold", "find and stat warm"):
        yield Row(name, "s", seconds(lambda: piped(f"find {one} -type f -print0", "xargs -0 stat", "cat")))
    drop_caches()
    yield Row("read a tree cold", "s", seconds(lambda: piped(f"tar c -C {one} .", "cat")))
    yield Row("cp -a", "s", seconds(lambda: run("cp", "-a", one, two)))
    inputs.warm(inputs.tree)
    for name in ("rsync -a", "rsync -a again"):
        yield Row(name, "s", seconds(lambda: run("rsync", "-a", f"{inputs.tree}/", f"{three}/")))
    os.sync()
    yield Row("rm -rf", "s", seconds(lambda: run("rm", "-rf", two)))


def repository(folder: Path, inputs: Inputs) -> Iterator[Row]:
    clone = folder / "clone"
    inputs.warm(inputs.repository)
    os.sync()
    source = str(inputs.repository)
    yield Row("git clone", "s", seconds(lambda: git(folder, "clone", "--no-hardlinks", source, "clone")))
    git(clone, "status")
    yield Row("git status warm", "s", seconds(lambda: git(clone, "status")))
    drop_caches()
    yield Row("git status cold", "s", seconds(lambda: git(clone, "status")))


def large_folder(folder: Path, inputs: Inputs) -> Iterator[Row]:
    large = folder / "large"
    large.mkdir()
    names = [f"file{number:06d}" for number in range(inputs.entries)]
    yield Row("create in one folder", "s", seconds(lambda: _create(large, names, b"")))
    drop_caches()
    for name in ("ls -l of it cold", "ls -l of it warm"):
        yield Row(name, "s", seconds(lambda: piped(f"ls -l {large}", "cat")))
    yield Row("rm -rf of it", "s", seconds(lambda: run("rm", "-rf", large)))


WORKS: Final[dict[str, Work]] = {
    "sequential": sequential,
    "scattered": scattered,
    "commits": commits,
    "small": small_files,
    "trees": trees,
    "git": repository,
    "folder": large_folder,
}
