"""Files: whole writes, final sync failures, holes, atomic replacement, names that stay inside."""

import errno
import os
from pathlib import Path

import pytest

from hyperfs.errors import SyncFailed
from hyperfs.store.files import Disk, DiskFile


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_what_was_written_is_read_at_its_offset(disk: Disk) -> None:
    file = disk.open("f", create=True)
    file.pwrite(b"hello", 10)
    file.pwrite(memoryview(b"HE"), 10)
    file.pwrite(bytearray(b"!"), 15)
    assert file.pread(100, 10) == b"HEllo!"
    assert file.pread(3, 0) == b"\0\0\0"
    assert file.pread(5, 16) == b""
    assert file.size() == 16


def test_short_writes_and_reads_are_continued(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.open("f", create=True)
    write, read = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: write(fd, memoryview(data)[:3], offset))
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: read(fd, min(size, 3), offset))
    file.pwrite(b"0123456789", 5)
    assert file.pread(20, 5) == b"0123456789"


def test_a_write_that_makes_no_progress_is_an_error(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.open("f", create=True)
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: 0)
    with pytest.raises(OSError, match="no progress"):
        file.pwrite(b"abc", 0)


def test_a_failed_sync_is_final(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.open("f", create=True)
    file.pwrite(b"before", 0)

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(SyncFailed) as first:
        file.fdatasync()
    monkeypatch.undo()

    assert first.value.errno == errno.EIO
    assert first.value.filename == file.path
    for forbidden in (
        file.fdatasync,
        lambda: file.pwrite(b"x", 0),
        lambda: file.truncate(0),
        lambda: file.punch(0, 1),
        lambda: file.preallocate(100),
    ):
        with pytest.raises(SyncFailed) as again:
            forbidden()
        assert again.value.errno == errno.EIO
    assert file.pread(6, 0) == b"before"  # reading goes on


def test_a_failed_write_leaves_the_file_usable(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.open("f", create=True)

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        file.pwrite(b"x", 0)
    monkeypatch.undo()
    file.pwrite(b"y", 0)
    file.fdatasync()
    assert file.pread(1, 0) == b"y"


def test_a_punched_range_reads_as_zeros_and_gives_its_space_back(disk: Disk) -> None:
    file = disk.open("f", create=True)
    file.pwrite(b"x" * (1 << 20), 0)
    file.fdatasync()
    before = file.allocated()
    file.punch(100, (1 << 20) - 200)
    assert file.size() == 1 << 20
    assert file.pread(1 << 20, 0) == b"x" * 100 + bytes((1 << 20) - 200) + b"x" * 100
    assert file.allocated() < before / 4
    file.punch(0, 0)


def test_where_holes_are_not_possible_zeros_are_written(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.open("f", create=True)
    file.pwrite(b"x" * 5000, 0)

    class NoHoles:
        def fallocate64(self, *_: int) -> int:
            return -1

    monkeypatch.setattr("hyperfs.store.files._libc", NoHoles())
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EOPNOTSUPP)
    file.punch(10, 10_000)
    assert file.pread(6000, 0) == b"x" * 10 + bytes(4990)
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        file.punch(0, 1)


def test_preallocated_space_is_taken_and_zero(disk: Disk) -> None:
    file = disk.open("f", create=True)
    file.preallocate(100_000)
    assert file.size() == 100_000
    assert file.allocated() >= 100_000
    assert file.pread(100_000, 0) == bytes(100_000)
    file.preallocate(0)


def test_closing_twice_is_harmless(disk: Disk) -> None:
    file = disk.open("f", create=True)
    file.close()
    file.close()


def test_files_and_folders_are_the_owners_alone(disk: Disk) -> None:
    disk.makedirs("a/b")
    disk.makedirs("a/b")
    disk.open("a/b/f", create=True).close()
    disk.replace("a/b/g", b"data", mode=0o644)
    assert (disk.root / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert (disk.root / "a" / "b" / "f").stat().st_mode & 0o777 == 0o600
    assert (disk.root / "a" / "b" / "g").stat().st_mode & 0o777 == 0o644


def test_a_missing_file_is_only_made_on_demand(disk: Disk) -> None:
    with pytest.raises(FileNotFoundError):
        disk.open("f")
    with pytest.raises(FileNotFoundError):
        disk.read_all("f")
    assert not disk.exists("f")


def test_replace_puts_the_whole_file_in_place(disk: Disk) -> None:
    disk.replace("f", b"one")
    disk.replace("f", b"two longer")
    disk.replace("f", b"3")
    assert disk.read_all("f") == b"3"
    assert disk.listdir() == ["f"]


def test_a_replacement_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    class Failing(DiskFile):
        def fdatasync(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    class FailingDisk(Disk):
        file_type = Failing

    Disk(tmp_path).replace("f", b"old")
    with pytest.raises(OSError, match="No space left"):
        FailingDisk(tmp_path).replace("f", b"new")
    assert Disk(tmp_path).read_all("f") == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_names_are_listed_renamed_and_removed(disk: Disk) -> None:
    for name in ("b", "a", "c"):
        disk.replace(name, name.encode())
    disk.rename("a", "b")
    disk.remove("c")
    disk.sync_folder()
    assert disk.listdir() == ["b"]
    assert disk.read_all("b") == b"a"
    with pytest.raises(FileNotFoundError):
        disk.remove("c")


@pytest.mark.parametrize("name", ["/etc/passwd", "../f", "a/../../f", "a/..", "f\0g"])
def test_no_name_leads_out_of_the_folder(disk: Disk, name: str) -> None:
    with pytest.raises(ValueError, match="out of the store"):
        disk.open(name, create=True)


def test_attack_d05_a_symbolic_link_in_a_store_is_not_followed(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic links"):
        disk.open("link")


def test_a_file_opened_for_reading_takes_no_writes(disk: Disk) -> None:
    disk.replace("f", b"data")
    file = disk.open("f", writable=False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.pwrite(b"x", 0)
    assert file.pread(10, 0) == b"data"
