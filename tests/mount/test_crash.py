"""SIGKILL at any moment: the drive mounts again by itself, and what was promised is there."""

import contextlib
import errno
import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .drive import LONG, Drive, until

WORKER = Path(__file__).with_name("crash_worker.py")
KILLS = int(os.environ.get("HYPERFS_KILLS", "200" if LONG else "15"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
WORKERS = 2
Fact = tuple[int, str]
"""Length and SHA-256 of a file's bytes."""
GONE: Fact = (-1, "")


class Promises:
    """What one worker was promised, from its output: for each name what it must be, or may be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.allowed: dict[str, list[Fact]] = {}
        self.growing: set[str] = set()
        self.snapshots: list[str] = []

    def read(self, output: bytes) -> None:
        lines = output.split(b"\n")[:-1]  # the last one may be half
        for line in lines:
            verb, name, *rest = line.decode().split(" ")
            fact = (int(rest[0]), rest[1]) if rest else GONE
            match verb:
                case "is" | "gone":
                    self.allowed[name] = [fact]
                    self.growing.discard(name)
                case "try" | "try-gone":
                    self.allowed.setdefault(name, [GONE]).append(fact)
                    self.growing.discard(name)
                case "grows":
                    self.allowed.setdefault(name, [GONE]).append(fact)
                    self.growing.add(name)
                case "snapshot":
                    self.snapshots.append(name)

    def check(self) -> None:
        """Every promise holds; and then only what is found is what the next run builds on."""
        for name, allowed in self.allowed.items():
            path = self.folder / name
            found = fact_of(path)
            if found not in allowed and name in self.growing:
                # An append without its fsync: what was before it must be there, and then a beginning of it.
                before = path.read_bytes()[: allowed[-2][0]]
                assert (len(before), hashlib.sha256(before).hexdigest()) == allowed[-2], (name, found, allowed)
                assert found[0] < allowed[-1][0]
            else:
                assert found in allowed, (str(path), found, allowed)
            if name in self.growing and found[0] >= 0:
                assert bytes(64) not in path.read_bytes(), f"{name} has zeros in the place of bytes"
        for name in self.snapshots:
            assert (self.folder / ".versions" / name).is_dir(), name
        names = set(os.listdir(self.folder))
        assert {name for name, allowed in self.allowed.items() if GONE not in allowed} <= names


def fact_of(path: Path) -> Fact:
    if not path.exists():
        return GONE
    try:
        data = path.read_bytes()
    except OSError as error:
        # Whoever closes a file that a killed program had open for writing hears once that bytes of it were not written:
        # with the writeback cache the kernel then has no handle to write by. So it is on any filesystem of FUSE: six of
        # 1,300 files on one that keeps a dict.
        if error.errno != errno.EIO:
            raise
        data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


def tree_of(folder: Path) -> dict[str, Fact]:
    return {str(path.relative_to(folder)): fact_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def tree_in(drive: Drive, number: int, folders: list[Path]) -> dict[str, Fact]:
    """What the folders held in a version."""
    found = {}
    for folder in folders:
        found.update(tree_of(drive.versions() / f"@{number}" / folder.name))
    return found


@pytest.mark.timeout(7200 if LONG else 300)
def test_nothing_that_was_promised_is_lost_by_kills_at_any_moment(drive: Drive) -> None:
    rng = random.Random(SEED)
    known: dict[int, tuple[list[Path], dict[str, Fact]]] = {}
    for kill in range(KILLS):
        folders = [drive.point / f"run{kill}-{worker}" for worker in range(WORKERS)]
        outputs = run_and_kill(drive, folders, kill, rng.uniform(0.05, 1.6))
        drive.mount()
        for folder, output in zip(folders, outputs, strict=True):
            promises = Promises(folder)
            promises.read(output)
            promises.check()
        number = len(known) + 1
        while (drive.versions() / f"@{number}").exists():
            known[number] = folders, tree_in(drive, number, folders)
            number += 1
        for number in rng.sample(sorted(known), min(5, len(known))):
            assert tree_in(drive, number, known[number][0]) == known[number][1], f"version {number} has changed"
        if kill % 5 == 4:
            drive.remount()
    for number, (folders, tree) in known.items():
        assert tree_in(drive, number, folders) == tree, f"version {number} has changed"
    assert len(known) > KILLS


def run_and_kill(drive: Drive, folders: list[Path], kill: int, seconds: float) -> list[bytes]:
    """The outputs of workers in the folders, under which the daemon was killed after so long."""
    workers = []
    for number, folder in enumerate(folders):
        folder.mkdir()
        fd = os.open(folder.parent, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        command = [sys.executable, str(WORKER), str(folder), str(SEED * 10_000 + kill * 10 + number)]
        workers.append(subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/"))
    time.sleep(seconds)  # the moment of the kill: the only thing here that is not awaited
    drive.kill()
    return [worker.communicate(timeout=30)[0] for worker in workers]


@pytest.mark.parametrize("size", [100, 5_000, 200_000])
def test_a_save_by_rename_without_any_sync_is_never_an_empty_file(drive: Drive, size: int) -> None:
    """Somebody else's fsync makes the rename durable: the bytes must come with it."""
    path = drive.point / "document"
    path.write_bytes(b"o" * size)
    until("the old state is a version", lambda: fact_of(drive.versions() / "now" / "document") == fact_of(path))
    (drive.point / "tmp").write_bytes(b"n" * size)
    os.rename(drive.point / "tmp", path)
    with (drive.point / "other").open("wb") as other:
        other.write(b"x")
        other.flush()
        os.fsync(other.fileno())
    drive.kill()
    drive.mount()
    assert path.read_bytes() in (b"o" * size, b"n" * size)
    assert (drive.point / "other").read_bytes() == b"x"


@pytest.mark.parametrize("size", [100, 5_000, 200_000])
def test_a_file_written_anew_without_any_sync_is_never_an_empty_file(drive: Drive, size: int) -> None:
    path = drive.point / "document"
    path.write_bytes(b"o" * size)
    until("the old state is a version", lambda: fact_of(drive.versions() / "now" / "document") == fact_of(path))
    path.write_bytes(b"n" * size)
    with (drive.point / "other").open("wb") as other:
        other.write(b"x")
        other.flush()
        os.fsync(other.fileno())
    drive.kill()
    drive.mount()
    assert path.read_bytes() in (b"o" * size, b"n" * size)


def test_unlinked_open_files_are_gone_after_a_kill(drive: Drive) -> None:
    path = drive.point / "f"
    path.write_bytes(b"x" * 100_000)
    held = os.open(path, os.O_RDWR)
    os.fsync(held)
    path.unlink()
    os.write(held, b"y" * 100_000)
    os.fsync(held)
    drive.kill()
    with contextlib.suppress(OSError):
        os.close(held)
    drive.mount()
    assert os.listdir(drive.point) == []
    path.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_kills_while_mounting(drive: Drive) -> None:
    """Recovery may be killed too, and begins again."""
    (drive.point / "f").write_bytes(b"x" * 200_000)
    with (drive.point / "f").open("rb") as file:
        os.fsync(file.fileno())
    rng = random.Random(SEED)
    for _ in range(60 if LONG else 6):
        drive.kill()
        drive.start()
        time.sleep(rng.uniform(0.2, 1.0))
        drive.kill()
        drive.mount()
        assert (drive.point / "f").read_bytes() == b"x" * 200_000
        with (drive.point / "g").open("ab") as file:
            file.write(b"g")
            file.flush()
            os.fsync(file.fileno())
    assert (drive.point / "g").read_bytes() == b"g" * (60 if LONG else 6)
