"""A drive that is mounted read-only: everything is read, nothing is changed."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .drive import Drive
from .test_names import failing
from .test_versions import state_of


@pytest.fixture
def unwritable(drive: Drive) -> Path:
    (drive.point / "d").mkdir()
    (drive.point / "d" / "f").write_bytes(b"x" * 100_000)
    (drive.point / "tiny").write_bytes(b"tiny")
    drive.snapshot("s")
    drive.remount("read-only")
    return drive.point


CHANGES: dict[str, Callable[[Path], object]] = {
    "open to write": lambda root: os.open(root / "tiny", os.O_WRONLY),
    "create": lambda root: os.open(root / "new", os.O_CREAT | os.O_WRONLY),
    "truncate": lambda root: os.truncate(root / "tiny", 0),
    "unlink": lambda root: os.unlink(root / "tiny"),
    "rename": lambda root: os.rename(root / "tiny", root / "other"),
    "mkdir": lambda root: os.mkdir(root / "new"),
    "chmod": lambda root: os.chmod(root / "tiny", 0o600),
    "setxattr": lambda root: os.setxattr(root / "tiny", "user.a", b"1"),
    "keep a snapshot": lambda root: os.mkdir(root / ".versions" / "t"),
    "forget a snapshot": lambda root: os.rmdir(root / ".versions" / "s"),
}


def test_all_is_read_and_nothing_is_changed(unwritable: Path) -> None:
    before = state_of(unwritable)
    assert (unwritable / "d" / "f").read_bytes() == b"x" * 100_000
    assert (unwritable / ".versions" / "s" / "tiny").read_bytes() == b"tiny"
    for name, change in CHANGES.items():
        with failing(errno.EROFS):
            pytest.fail(f"{name} gave {change(unwritable)}")
    assert state_of(unwritable) == before


def test_a_sync_of_what_can_only_be_read_succeeds(unwritable: Path) -> None:
    for path in (unwritable / "tiny", unwritable):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def test_a_killed_drive_shows_what_was_fsynced_without_writing_to_its_store(drive: Drive) -> None:
    fd = os.open(drive.point / "f", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"y" * 50_000)
    os.fsync(fd)
    os.close(fd)
    drive.kill()
    before = {path: path.read_bytes() for path in drive.store.rglob("*") if path.is_file() and path.name != "lock"}
    drive.mount("read-only")
    assert (drive.point / "f").read_bytes() == b"y" * 50_000
    drive.unmount()
    assert {path: path.read_bytes() for path in before} == before
