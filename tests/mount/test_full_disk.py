"""A store on a full disk: ENOSPC and nothing else, nothing lost, and deleting goes on."""

import contextlib
import errno
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .drive import Drive, until

DISK_BYTES = 160 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Drive]:
    """A drive on a disk of its own: a file system in memory."""
    if os.getuid():
        pytest.skip("only root mounts a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk: {done.stderr.strip()}")
    drive = Drive(disk)
    drive.log = tmp_path / "daemon.log"
    try:
        drive.mount()
        yield drive
    finally:
        drive.end()
        subprocess.run(["umount", "-l", disk], check=True, timeout=30)


def no_room_for(path: Path, data: bytes, sync: bool) -> bool:
    """Writes a file; whether there was no room for it."""
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return True
    return False


def fill(folder: Path, rng: random.Random, size: int) -> dict[Path, bytes]:
    """Writes incompressible files until there is no more room; those that were fsynced."""
    kept: dict[Path, bytes] = {}
    for number in range(1000):
        path, data = folder / f"{size}-{number}", rng.randbytes(size)
        if no_room_for(path, data, sync=True):
            return kept
        kept[path] = data
    raise AssertionError("the disk was never full")


def test_a_full_disk_says_so_and_loses_nothing(small: Drive) -> None:
    rng = random.Random(6)
    kept = fill(small.point, rng, 3_000_000)
    kept |= fill(small.point, rng, 200_000)
    assert len(kept) > 10
    assert os.statvfs(small.point).f_bavail * 4096 < 40 << 20
    for _ in range(2):
        for path, data in kept.items():
            assert path.read_bytes() == data, path
        small.kill()
        small.mount()


def test_deleting_and_renaming_work_on_a_full_disk(small: Drive) -> None:
    rng = random.Random(7)
    kept = fill(small.point, rng, 2_000_000) | fill(small.point, rng, 50_000)
    paths = sorted(kept)
    for path in paths[: len(paths) // 2]:
        path.unlink()
    os.rename(paths[-1], small.point / "renamed")
    (small.point / "folder").mkdir()
    os.chmod(paths[-2], 0o600)
    fd = os.open(small.point, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    small.kill()
    small.mount()
    left = {*paths[len(paths) // 2 : -1], small.point / "renamed", small.point / "folder"}
    found = {path for path in small.point.iterdir() if path.name == "folder" or path in kept or path.name == "renamed"}
    assert found == left
    assert (small.point / "renamed").read_bytes() == kept[paths[-1]]
    small.remount()
    assert (small.point / "renamed").read_bytes() == kept[paths[-1]]


def test_buffered_writes_on_a_full_disk_fail_at_the_sync_and_the_drive_lives_on(small: Drive) -> None:
    rng = random.Random(8)
    failed = number = 0
    while failed < 4:  # without a sync the kernel tells of the error when it can
        failed += no_room_for(small.point / f"b{number}", rng.randbytes(2_000_000), sync=False)
        number += 1
        assert number < 200, "the disk was never full"
    assert small.process is not None
    assert small.process.poll() is None
    for path in small.point.glob("b*"):
        with contextlib.suppress(OSError):
            path.read_bytes()
        path.unlink()
    until("nothing but the deletions waits", lambda: os.listdir(small.point) == [])
    small.remount()
    assert os.listdir(small.point) == []


def test_a_disk_that_somebody_else_fills_stops_writes_and_nothing_more(small: Drive) -> None:
    (small.point / "before").write_bytes(b"kept" * 50_000)
    other = small.folder / "others"
    with contextlib.suppress(OSError), other.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    assert no_room_for(small.point / "f", random.Random(9).randbytes(1_000_000), sync=True)
    assert (small.point / "before").read_bytes() == b"kept" * 50_000
    assert small.process is not None
    assert small.process.poll() is None
    other.unlink()
    (small.point / "after").write_bytes(b"again" * 50_000)
    small.remount()
    assert (small.point / "before").read_bytes() == b"kept" * 50_000
    assert (small.point / "after").read_bytes() == b"again" * 50_000


def test_a_close_tells_that_there_was_no_room_for_what_was_written(small: Drive) -> None:
    """The kernel took the bytes and sends them at the close: no FLUSH is asked of the drive for that."""
    fill(small.point, random.Random(10), 1_000_000)
    told = []
    for number in range(20):
        fd = os.open(small.point / f"f{number}", os.O_CREAT | os.O_WRONLY)
        os.write(fd, random.Random(number).randbytes(500_000))
        try:
            os.close(fd)
        except OSError as error:
            told.append(error.errno)
    assert errno.ENOSPC in told
    assert set(told) == {errno.ENOSPC}
