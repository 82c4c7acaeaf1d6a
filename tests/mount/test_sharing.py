"""Between processes: locks of all kinds, inotify, exclusive creation, what a stat says over forgetting and mounting."""

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.inotify import (
    IN_ATTRIB,
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE,
    IN_MODIFY,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    Watch,
)

from .drive import Drive, sync_filesystem, until
from .test_names import failing

F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38

LOCKER = """
import fcntl, struct, sys
kind, start, length = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
with open(sys.argv[1], "r+b") as file:
    fcntl.fcntl(file, int(sys.argv[5]), struct.pack("hhqqi4x", kind, 0, start, length, 0))
    print("held", flush=True)
    sys.stdin.read()
"""


def flock(kind: int, start: int, length: int) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


@contextmanager
def held(path: Path, kind: int, start: int, length: int, command: int) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-c", LOCKER, str(path), *map(str, (kind, start, length, command))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.communicate(timeout=30)


@pytest.mark.parametrize("theirs", [fcntl.F_SETLK, F_OFD_SETLK], ids=["posix", "ofd"])
@pytest.mark.parametrize("ours", [fcntl.F_SETLK, F_OFD_SETLK], ids=["posix", "ofd"])
def test_ranges_are_locked_between_processes(place: Path, ours: int, theirs: int) -> None:
    path = place / "f"
    path.write_bytes(b"x" * 100)
    with path.open("r+b") as file, held(path, fcntl.F_WRLCK, 10, 20, theirs):
        for start, length in ((10, 20), (0, 11), (29, 1), (5, 100), (0, 0)):
            with failing(errno.EAGAIN):
                fcntl.fcntl(file, ours, flock(fcntl.F_RDLCK, start, length))
        for start, length in ((0, 10), (30, 0)):
            fcntl.fcntl(file, ours, flock(fcntl.F_WRLCK, start, length))
        found = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, flock(fcntl.F_WRLCK, 12, 1)))
        assert found[0] == fcntl.F_WRLCK
        assert (found[2], found[3]) == (10, 20)


def test_open_file_description_locks_are_of_the_handle_not_of_the_process(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"x")
    with path.open("r+b") as one, path.open("r+b") as two:
        fcntl.fcntl(one, F_OFD_SETLK, flock(fcntl.F_WRLCK, 0, 0))
        with failing(errno.EAGAIN):
            fcntl.fcntl(two, F_OFD_SETLK, flock(fcntl.F_WRLCK, 0, 0))
        path.open("rb").close()  # takes a POSIX lock away, and not this one
        with failing(errno.EAGAIN):
            fcntl.fcntl(two, F_OFD_SETLK, flock(fcntl.F_RDLCK, 0, 0))
        one.close()
        fcntl.fcntl(two, F_OFD_SETLK, flock(fcntl.F_WRLCK, 0, 0))


@pytest.mark.parametrize("command", [fcntl.F_SETLKW, F_OFD_SETLKW], ids=["posix", "ofd"])
def test_who_waits_gets_the_lock_when_its_holder_dies(place: Path, command: int) -> None:
    path = place / "f"
    path.write_bytes(b"x")
    with path.open("r+b") as file, held(path, fcntl.F_WRLCK, 0, 0, fcntl.F_SETLK) as holder:
        holder.kill()
        fcntl.fcntl(file, command, flock(fcntl.F_WRLCK, 0, 0))


def test_a_deadlock_is_found(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"xy")
    crossing = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 1)
    print("held", flush=True)
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
"""
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 0)
        with subprocess.Popen([sys.executable, "-c", crossing, str(path)], stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            until("it waits", lambda: f" {other.pid} " in waiting_locks())
            with failing(errno.EDEADLK):
                fcntl.lockf(file, fcntl.LOCK_EX, 1, 1)
            fcntl.lockf(file, fcntl.LOCK_UN, 1, 0)
            assert other.wait(30) == 0


def waiting_locks() -> str:
    return "".join(line for line in Path("/proc/locks").read_text().splitlines(keepends=True) if "->" in line)


# inotify


def test_inotify_tells_of_every_change(place: Path) -> None:
    with Watch(place) as watch:
        path = place / "f"
        path.write_bytes(b"1")
        os.chmod(path, 0o600)
        os.rename(path, place / "g")
        (place / "g").unlink()
        (place / "d").mkdir()
        events = [(what, name) for _, what, name in watch.heard()]
    wanted = [
        (IN_CREATE, b"f"), (IN_MODIFY, b"f"), (IN_CLOSE_WRITE, b"f"), (IN_ATTRIB, b"f"),
        (IN_MOVED_FROM, b"f"), (IN_MOVED_TO, b"g"), (IN_DELETE, b"g"), (IN_CREATE, b"d"),
    ]  # fmt: skip
    assert [event for event in events if event in wanted] == wanted


# What a stat says


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes the kernel forget")
def test_numbers_stay_when_the_kernel_forgets_and_when_it_mounts_again(drive: Drive) -> None:
    root = drive.point
    (root / "d").mkdir()
    for number in range(50):
        (root / "d" / str(number)).write_bytes(b"x" * number)
    os.link(root / "d" / "7", root / "hard")

    def facts() -> dict[str, tuple[int, ...]]:
        found = {}
        for path in [root, root / "hard", root / "d", *(root / "d").iterdir()]:
            about = path.stat()
            found[str(path)] = (about.st_ino, about.st_nlink, about.st_mode, about.st_mtime_ns, about.st_ctime_ns)
        return found

    before = facts()
    assert before[str(root / "hard")] == before[str(root / "d" / "7")]
    sync_filesystem(root)
    Path("/proc/sys/vm/drop_caches").write_text("2")
    assert facts() == before
    drive.remount()
    assert facts() == before
    (root / "d" / "3").unlink()
    (root / "d" / "new").touch()
    assert (root / "d" / "new").stat().st_ino not in {about[0] for about in before.values()}


def test_reading_changes_no_atime_and_setting_it_does(mounted: Path) -> None:
    """As docs/posix.md has it, and other than relatime would."""
    path = mounted / "f"
    path.write_bytes(b"x" * 5000)
    os.utime(path, ns=(1_000_000_007, 2_000_000_009))
    with path.open("rb") as file:
        assert file.read() == b"x" * 5000
    os.listdir(mounted)
    facts = path.stat()
    assert (facts.st_atime_ns, facts.st_mtime_ns) == (1_000_000_007, 2_000_000_009)
    before = time.time_ns()
    os.utime(path)
    assert before - 10**9 < path.stat().st_atime_ns < time.time_ns() + 10**9


def test_statfs_is_the_stores_disk_without_the_reserve(drive: Drive) -> None:
    """Other programs write on that disk too, so not to the byte."""
    disk, ours = os.statvfs(drive.store), os.statvfs(drive.point)
    assert (ours.f_namemax, ours.f_flag & os.ST_RDONLY) == (255, 0)
    assert abs(ours.f_blocks * ours.f_frsize - disk.f_blocks * disk.f_frsize) < 64 << 20
    assert ours.f_bavail * ours.f_frsize < disk.f_bavail * disk.f_frsize + (64 << 20)
    assert ours.f_bavail * ours.f_frsize > disk.f_bavail * disk.f_frsize // 2
    used = drive.folder / "used"
    with used.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 30)
        less = os.statvfs(drive.point)
    assert (ours.f_bavail - less.f_bavail) * ours.f_frsize > 512 << 20


def test_the_largest_file(drive: Drive) -> None:
    """Sparse up to the last byte that an offset can name."""
    path, last = drive.point / "f", (1 << 63) - 2
    with path.open("wb") as file:
        for offset, data in ((0, b"first"), ((4 << 30) - 3, b"border"), (1 << 45, b"far"), (last, b"L")):
            assert os.pwrite(file.fileno(), data, offset) == len(data)
        os.fsync(file.fileno())
    for _ in range(2):
        assert path.stat().st_size == last + 1
        with path.open("rb") as file:
            assert os.pread(file.fileno(), 12, 0) == b"first" + bytes(7)
            assert os.pread(file.fileno(), 12, (4 << 30) - 6) == bytes(3) + b"border" + bytes(3)
            assert os.pread(file.fileno(), 5, (1 << 45) - 1) == b"\0far\0"
            assert os.pread(file.fileno(), 2, last - 1) == b"\0L"
        drive.remount()
    os.truncate(path, (4 << 30) + 1)
    assert path.stat().st_size == (4 << 30) + 1
    with path.open("rb") as file:
        assert os.pread(file.fileno(), 100, (4 << 30) - 3) == b"bord"


@pytest.mark.parametrize("flag", [os.O_SYNC, os.O_DSYNC], ids=["sync", "dsync"])
def test_what_is_written_with_o_sync_is_there_after_a_kill(drive: Drive, flag: int) -> None:
    path = drive.point / "f"
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | flag)
    written = b""
    for number in range(20):
        written += f"line {number}\n".encode()
        os.write(fd, f"line {number}\n".encode())
    drive.kill()
    with pytest.raises(OSError, match="not connected"):
        os.write(fd, b"x")
    with contextlib.suppress(OSError):
        os.close(fd)
    drive.mount()
    assert path.read_bytes() == written
