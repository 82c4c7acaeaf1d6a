"""Memory stays bounded whatever the drive holds: a process that serves twice as many files is no larger for it.

Small by default; HYPERFS_ALL=1: a million files, an hour or so on a slow machine. HYPERFS_LOAD_FILES sets the number.
"""

import os
import random
import resource
import subprocess
from pathlib import Path

import pytest
import trio

from hyperfs.fuse.past import CROWD_VIEWS
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from tests import tally
from tests.cli.machine import Machine
from tests.mount.daemon_main import DEVICE_KEYS
from tests.mount.drive import Drive, until

from .watching import MIB, memory, queues

pytestmark = pytest.mark.mount

ALL = bool(os.environ.get("HYPERFS_ALL"))
FILES = int(os.environ.get("HYPERFS_LOAD_FILES", "1000000" if ALL else "4000"))
A_FOLDER = 1000
RSS_MOST = 250 * MIB
A_FILE = 60
"""Bytes of memory that a file more may cost: less than its name and number would take."""


async def make_files(store: Path, first: int, end: int) -> None:
    """Small files through the volume: a mount makes some hundreds to thousands a second."""
    async with open_volume(store, DEVICE_KEYS, Options()).running() as volume:
        for number in range(first, end):
            if number % A_FOLDER == 0:
                folder = volume.names.make(1, b"folder%d" % (number // A_FOLDER), 0o040755, 0, 0)
            inode = volume.names.make(folder.ino, b"file%d" % number, 0o100644, 0, 0)
            await volume.files.write(inode, 0, b"%d" % number)
            volume.settled()
            await volume.room_for_change()
            if number % 100 == 0:
                await trio.lowlevel.checkpoint()


def pid_of(drive: Drive) -> int:
    assert drive.process is not None
    return drive.process.pid


def found_below(folder: Path) -> int:
    """How many files `find` finds, having looked at each; not from the kernel's cache."""
    done = subprocess.run(["find", folder, "-type", "f", "-size", "-9"], stdout=subprocess.PIPE, check=True)
    return done.stdout.count(b"\n")


def forget_caches() -> None:
    if os.getuid() == 0:
        Path("/proc/sys/vm/drop_caches").write_text("2")


@pytest.mark.timeout(FILES / 100 + 300)
def test_twice_the_files_take_no_more_memory_to_find(drive: Drive) -> None:
    peaks: list[int] = []
    drive.mount().unmount()
    for half in (1, 2):
        trio.run(make_files, drive.store, FILES // 2 * (half - 1), FILES // 2 * half)
        drive.mount()
        forget_caches()
        assert found_below(drive.point) == FILES // 2 * half
        peaks.append(memory(pid_of(drive)).peak)
        drive.unmount()
    tally.add("files found by one find", FILES)
    tally.add("MiB at most while half and all files were found", sum(peaks) // MIB)
    assert peaks[1] < RSS_MOST, peaks
    if FILES >= 400_000:  # fewer do not fill the caches
        assert peaks[1] - peaks[0] < A_FILE * FILES // 2, peaks


def test_what_the_kernel_knows_of_old_versions_takes_no_memory(machine: Machine) -> None:
    """A search through old versions: one view each, whatever the number of files."""
    files, versions = 2000, 4
    machine.mount()
    for file in range(files):
        (machine.point / f"{file}").touch()
    for number in range(versions):
        (machine.point / ".versions" / f"kept{number}").mkdir()
    for number in range(versions):
        assert found_below(machine.point / ".versions" / f"kept{number}") == files
    assert versions <= views_known(machine) <= 2 * versions + 2  # the listed times too
    machine.unmount()


def test_views_that_nobody_uses_are_let_go(machine: Machine) -> None:
    machine.mount()
    (machine.point / "f").touch()
    for number in range(3):
        (machine.point / ".versions" / f"kept{number}").mkdir()
        (machine.point / "f").write_text(str(number))
    folders = CROWD_VIEWS // 3 + 1
    for folder in range(folders):
        (machine.point / f"d{folder}").mkdir()
    (machine.point / ".versions" / "all").mkdir()
    version = os.readlink(machine.point / ".versions" / "now")
    stays = os.open(machine.point / ".versions" / version, os.O_RDONLY)
    for folder in range(folders):
        for name in ("now", "today", "all"):
            assert os.listdir(machine.point / f"d{folder}" / ".versions" / name) == []
    until("few views are left", lambda: views_known(machine) < CROWD_VIEWS)
    assert "f" in os.listdir(stays)
    os.close(stays)
    machine.unmount()


def views_known(machine: Machine) -> int:
    return queues(machine.store)["views of versions"]


def test_many_open_files_take_no_descriptor_each(machine: Machine) -> None:
    """Descriptors of the drive's process do not grow with what programs have open."""
    count = 10_000 if ALL else 1000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        pytest.skip(f"NOT RUN: this machine allows {hard} open files, and {count} are to be opened: raise ulimit -n")
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
    machine.mount()
    pid = machine.drive_pid()
    before = memory(pid).rss
    opened: list[int] = []
    try:
        for number in range(count):
            opened.append(os.open(machine.point / f"{number}", os.O_RDWR | os.O_CREAT, 0o600))
        assert queues(machine.store)["open files"] == count
        for fd in opened:
            os.write(fd, b"%d" % fd)
        assert all(os.pread(fd, 20, 0) == b"%d" % fd for fd in opened)
        assert memory(pid).rss - before < 40 * MIB + 5000 * count
        assert len(os.listdir(f"/proc/{pid}/fd")) < 100 or os.getuid()
    finally:
        for fd in opened:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    until("all are closed", lambda: queues(machine.store)["open files"] == 0)
    tally.add("files open at once", count)
    machine.unmount()


def test_a_file_of_a_hundred_gigabytes_takes_what_was_written(machine: Machine) -> None:
    size, pieces = 100 << 30, 3000 if ALL else 100
    rng = random.Random(5)
    machine.mount()
    path = machine.point / "sparse"
    written: dict[int, bytes] = {}
    with path.open("xb", buffering=0) as file:
        file.truncate(size)
        for _ in range(pieces):
            offset = rng.randrange(size >> 16) << 16
            written[offset] = rng.randbytes(4096)
            os.pwrite(file.fileno(), written[offset], offset)
        os.fsync(file.fileno())
    assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 < 3 * 4096 * pieces
    machine.unmount()
    machine.mount()
    with path.open("rb", buffering=0) as file:
        for offset, data in written.items():
            assert os.pread(file.fileno(), 4096, offset) == data
            if offset + 65536 not in written:
                assert os.pread(file.fileno(), 4096, offset + 65536) == bytes(4096 if offset + 65536 < size else 0)
    assert memory(machine.drive_pid()).peak < RSS_MOST
    tally.add("GiB in one sparse file", size >> 30)
    machine.unmount()


@pytest.mark.timeout(600)
def test_a_folder_of_many_files_is_listed_whole(drive: Drive) -> None:
    count = 100_000 if ALL else 3000
    drive.mount().unmount()

    async def fill() -> None:
        async with open_volume(drive.store, DEVICE_KEYS, Options()).running() as volume:
            folder = volume.names.make(1, b"many", 0o040755, 0, 0)
            for number in range(count):
                volume.names.make(folder.ino, b"file%06d" % number, 0o100644, 0, 0)
                volume.settled()
                await volume.room_for_change()

    trio.run(fill)
    drive.mount()
    assert sorted(os.listdir(drive.point / "many")) == [f"file{number:06}" for number in range(count)]
    assert memory(pid_of(drive)).peak < RSS_MOST
    drive.unmount()
