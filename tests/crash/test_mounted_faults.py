"""A disk that fails below a mount, at any operation: the program hears of it, and what was safe stays safe.

HYPERFS_MOUNTED_FAULTS says at how many of the disk's operations, "all" for each of them.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import Drive, why_no_mount

LONG = os.environ.get("HYPERFS_ALL") == "1"
FAULTS = os.environ.get("HYPERFS_MOUNTED_FAULTS", "all" if LONG else "1")
FOR_EVER = 10**9
TOLD = {errno.EIO, errno.ENOSPC, errno.EROFS}

pytestmark = pytest.mark.timeout(7200 if LONG else 300)


class Program:
    """A short life on the mount. `safe` is what fsync has promised of each name, `tried` what else may be there."""

    def __init__(self, point: Path) -> None:
        self.point = point
        self.safe: dict[str, bytes | None] = {}
        self.tried: dict[str, list[bytes | None]] = {}
        self.errors: list[int] = []

    def run(self) -> None:
        for number in range(3):
            self.save("small", b"%d " % number * 200)
            self.save("large", os.urandom(300_000))
            self.append("log", b"line %d\n" % number)
            self.keep(f"kept{number}")

    def step(self, name: str, data: bytes | None, work: Callable[[], object]) -> None:
        self.tried.setdefault(name, []).append(data)
        try:
            work()
        except OSError as error:
            if error.errno not in TOLD:
                raise
            self.errors.append(error.errno)
        else:
            self.safe[name] = data
            self.tried[name] = [data]

    def save(self, name: str, data: bytes) -> None:
        def work() -> None:
            temporary = self.point / f"{name}.new"
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, self.point / name)
            sync_folder(self.point)

        self.step(name, data, work)

    def keep(self, name: str) -> None:
        def work() -> None:
            (self.point / ".versions" / name).mkdir()

        self.step(name, b"", work)

    def append(self, name: str, line: bytes) -> None:
        def work() -> None:
            with (self.point / name).open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())

        self.step(name, ((self.tried.get(name) or [b""])[-1] or b"") + line, work)

    def check(self) -> list[str]:
        wrong = [
            f"{name} is not there"
            for name in self.safe
            if name.startswith("kept") and not (self.point / ".versions" / name).is_dir()
        ]
        for name in ("small", "large", "log"):
            path = self.point / name
            found = path.read_bytes() if path.exists() else None
            if name not in self.safe and found is None:
                continue
            if found not in self.tried[name] and not (name == "log" and self.whole_lines(found)):
                wrong.append(f"{name} has {None if found is None else len(found)} bytes")
        return wrong

    def whole_lines(self, found: bytes | None) -> bool:
        """What was promised, and behind it any lines whose fsync failed: the program was told."""
        safe = self.safe.get("log") or b""
        return found is not None and found.startswith(safe) and bool(self.errors)


def sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    if reason := why_no_mount():
        pytest.skip(f"no mount: {reason}")
    made = Drive(tmp_path)
    try:
        yield made
    finally:
        made.end()


def operations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many operations of the disk the program's life takes."""
    folder.mkdir()
    drive = Drive(folder)
    monkeypatch.setenv("HYPERFS_TEST_FAULT", f"{FOR_EVER} 0 0")
    try:
        drive.mount()
        Program(drive.point).run()
        drive.unmount()
    finally:
        drive.end()
    return int(re.findall(r"disk operations: (\d+)", drive.log.read_text())[-1])


ALL = [(errno.EIO, 1), (errno.EIO, FOR_EVER), (errno.ENOSPC, 1), (errno.ENOSPC, FOR_EVER)]


@pytest.mark.parametrize(("error", "times"), ALL if LONG else ALL[1:3])
def test_the_program_hears_of_it_and_nothing_safe_is_lost(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, times: int
) -> None:
    count = operations(tmp_path / "counted", monkeypatch)
    wanted = count if FAULTS == "all" else min(count, int(FAULTS))
    for number in sorted({(n * count + count // 2) // wanted for n in range(wanted)}):
        monkeypatch.setenv("HYPERFS_TEST_FAULT", f"{FOR_EVER} 0 0")
        drive.mount()
        for path in drive.point.iterdir():
            path.unlink()
        drive.unmount()
        monkeypatch.setenv("HYPERFS_TEST_FAULT", f"{number} {error} {times}")
        try:
            drive.mount()
        except AssertionError:
            # The disk failed while the drive was opened: it says so, and a well disk opens.
            assert os.strerror(error) in drive.log.read_text()
            continue
        program = Program(drive.point)
        program.run()
        if times == FOR_EVER and number < count // 2:
            assert program.errors, f"nobody was told that the disk failed from operation {number} on"
        drive.kill()
        monkeypatch.delenv("HYPERFS_TEST_FAULT")
        drive.mount()
        wrong = program.check()
        assert not wrong, f"operation {number}: {wrong}"
        (drive.point / "after").write_bytes(b"it goes on")
        for path in drive.point.glob(".versions/kept*"):
            path.rmdir()
        drive.remount()
        assert (drive.point / "after").read_bytes() == b"it goes on"
        drive.unmount()
        tally.add("disk operations that failed below a mount", 1)
