"""`.versions/.files` and `.versions/.deleted` on a mount."""

import errno
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from .drive import Drive, sync_filesystem, until

STATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(\.[a-z]+)?")


@pytest.fixture
def settle(drive: Drive) -> "Settle":
    return Settle(drive)


class Settle:
    """Makes what is there a version that is listed."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._count = 0

    def __call__(self) -> None:
        before = len(self._drive.entries())
        sync_filesystem(self._drive.point)
        until("a version is listed", lambda: len(self._drive.entries()) > before)


def error_of(call: Callable[[], object]) -> int | None:
    """The errno that a call fails with."""
    with pytest.raises(OSError) as caught:  # noqa: PT011  # whoever asks compares the errno
        call()
    return caught.value.errno


# .files


def test_a_file_has_an_entry_for_each_state(drive: Drive, settle: Settle) -> None:
    file = drive.point / "letter.txt"
    for number, data in enumerate((b"one", b"and two", b"and three" * 1000)):
        file.write_bytes(data)
        os.utime(file, ns=(5, number))
        settle()
    states = drive.versions() / ".files" / "letter.txt"
    names = os.listdir(states)
    assert names == sorted(names)
    assert len(names) == 3
    assert all(STATE.fullmatch(name) and name.endswith(".txt") for name in names)
    assert [(states / name).read_bytes() for name in names] == [b"one", b"and two", b"and three" * 1000]
    assert [(states / name).stat().st_size for name in names] == [3, 7, 9000]
    assert [(states / name).stat().st_mtime_ns for name in names] == [0, 1, 2]
    for name in names:
        as_it_was = drive.versions() / name.removesuffix(".txt") / "letter.txt"
        assert as_it_was.read_bytes() == (states / name).read_bytes()


def test_attributes_of_a_state(drive: Drive, settle: Settle) -> None:
    file = drive.point / "f"
    file.write_bytes(b"1")
    os.setxattr(file, "user.k", b"old")
    file.chmod(0o640)
    settle()
    os.setxattr(file, "user.k", b"new")
    file.chmod(0o600)
    settle()
    old, new = (drive.versions() / ".files" / "f" / name for name in os.listdir(drive.versions() / ".files" / "f"))
    assert [(os.getxattr(path, "user.k"), path.stat().st_mode) for path in (old, new)] == [
        (b"old", stat.S_IFREG | 0o640),
        (b"new", stat.S_IFREG | 0o600),
    ]
    assert os.listxattr(old) == ["user.k"]


def test_a_history_goes_on_across_renames_and_saving_by_rename(drive: Drive, settle: Settle) -> None:
    root = drive.point
    (root / "d").mkdir()
    (root / "draft.txt").write_bytes(b"1")
    settle()
    (root / "draft.txt").rename(root / "d" / "letter.md")
    settle()
    for data in (b"2", b"3"):
        (root / "d" / "letter.md~").write_bytes(data)
        (root / "d" / "letter.md~").rename(root / "d" / "letter.md")
        settle()
    states = root / "d" / ".versions" / ".files" / "letter.md"
    names = os.listdir(states)
    assert [(states / name).read_bytes() for name in names] == [b"1", b"2", b"3"]
    assert all(name.endswith(".md") for name in names)
    assert (root / ".versions" / ".files" / "draft.txt").is_dir()  # what had that name until it was renamed


def test_the_files_of_a_folder_are_listed_and_lost_ones_found(drive: Drive, settle: Settle) -> None:
    root = drive.point
    (root / "folder").mkdir()
    (root / "here").write_bytes(b"1")
    (root / "gone").write_bytes(b"2")
    settle()
    (root / "gone").unlink()
    settle()
    files = drive.versions() / ".files"
    assert os.listdir(files) == ["here"]
    assert [path.read_bytes() for path in (files / "gone").iterdir()] == [b"2"]
    assert error_of(lambda: os.stat(files / "never")) == errno.ENOENT
    assert error_of(lambda: os.stat(files / "folder")) == errno.ENOENT


def test_words_lead_to_the_state_of_then(drive: Drive, settle: Settle) -> None:
    file = drive.point / "f.txt"
    file.write_bytes(b"1")
    settle()
    (drive.point / "other").write_bytes(b"")
    drive.snapshot("between")
    file.write_bytes(b"2")
    settle()
    states = drive.versions() / ".files" / "f.txt"
    old, new = os.listdir(states)
    for name, wanted in (("now", new), ("0s ago", new), ("now.txt", new), ("between", old), ("between.txt", old)):
        assert os.readlink(states / name) == wanted
    assert (states / "between").read_bytes() == b"1"
    for name in ("1y ago", "yesterday", "nothing", "@9999"):
        assert error_of(partial(os.stat, states / name)) == errno.ENOENT


def test_nothing_in_the_folders_of_the_past_can_be_changed(drive: Drive, settle: Settle) -> None:
    root = drive.point
    (root / "f").write_bytes(b"1")
    (root / "d").mkdir()
    (root / "d" / "in").write_bytes(b"1")
    settle()
    shutil.rmtree(root / "d")
    states = drive.versions() / ".files" / "f"
    deleted = drive.versions() / ".deleted"
    (state,) = os.listdir(states)
    for change in (
        lambda: (states / state).write_bytes(b"2"),
        lambda: os.truncate(states / state, 0),
        (states / state).unlink,
        lambda: (states / "new").write_bytes(b""),
        (states / "new").mkdir,
        lambda: (states / state).rename(states / "x"),
        lambda: (states / state).rename(root / "x"),
        lambda: (root / "f").rename(states / "x"),
        lambda: os.chmod(states / state, 0o777),
        lambda: os.setxattr(states / state, "user.a", b""),
        (deleted / "d" / "in").unlink,
        lambda: (deleted / "d" / "new").write_bytes(b""),
        (deleted / "d").rmdir,
        (deleted / "new").mkdir,
        (drive.versions() / ".files" / "new").mkdir,
        lambda: os.utime(deleted / "d" / "in"),
    ):
        assert error_of(change) == errno.EROFS
    for name in (".files", ".deleted"):
        assert error_of((drive.versions() / name).mkdir) in (errno.EEXIST, errno.EINVAL)
        assert error_of((drive.versions() / name).rmdir) in (errno.ENOENT, errno.EROFS, errno.EBUSY)


def test_the_folders_of_the_past_are_not_listed(drive: Drive, settle: Settle) -> None:
    (drive.point / "f").write_bytes(b"1")
    settle()
    assert (drive.versions() / ".files" / "f").is_dir()
    assert all(STATE.fullmatch(name) for name in os.listdir(drive.versions()))
    (version,) = os.listdir(drive.versions())[-1:]
    assert error_of(lambda: os.stat(drive.versions() / version / ".files")) == errno.ENOENT


def test_numbers_of_inodes_are_all_different(drive: Drive, settle: Settle) -> None:
    root = drive.point
    (root / "f").write_bytes(b"1")
    (root / "g").write_bytes(b"1")
    settle()
    (root / "g").unlink()
    found = [root / "f", drive.versions(), drive.versions() / ".files", drive.versions() / ".files" / "f"]
    found += [*(drive.versions() / ".files" / "f").iterdir(), drive.versions() / ".deleted"]
    found += [drive.versions() / ".deleted" / "g", drive.versions() / drive.entries()[-1] / "f"]
    found += [*(drive.versions() / ".files" / "g").iterdir()]
    numbers = [path.stat().st_ino for path in found]
    assert len(set(numbers)) == len(found)
    assert numbers == [path.stat().st_ino for path in found]


def test_the_way_up_from_the_folders_of_the_past(drive: Drive, settle: Settle) -> None:
    root = drive.point
    (root / "f").write_bytes(b"1")
    (root / "d" / "e").mkdir(parents=True)
    settle()
    shutil.rmtree(root / "d")
    for path, up in ((".files", "."), (".files/f", ".files"), (".deleted", "."), (".deleted/d", ".deleted")):
        here = os.open(drive.versions() / path, os.O_RDONLY)
        try:
            above = os.stat("..", dir_fd=here)
        finally:
            os.close(here)
        assert above.st_ino == (drive.versions() / up).stat().st_ino
    there = drive.versions() / ".deleted" / "d" / "e"
    assert os.path.samestat(os.stat(there / ".."), os.stat(drive.versions() / ".deleted" / "d"))


# .deleted


def test_what_was_deleted_a_moment_ago_is_there(drive: Drive, settle: Settle) -> None:
    root = drive.point
    (root / "f").write_bytes(b"bytes")
    settle()
    (root / "f").unlink()
    assert os.listdir(drive.versions() / ".deleted") == ["f"]
    assert (drive.versions() / ".deleted" / "f").read_bytes() == b"bytes"


def test_a_name_is_found_without_a_listing(drive: Drive, settle: Settle) -> None:
    root = drive.point
    (root / "f").write_bytes(b"bytes")
    settle()
    (root / "f").unlink()
    assert (drive.versions() / ".deleted" / "f").read_bytes() == b"bytes"


def test_copying_out_brings_back_times_modes_and_attributes(drive: Drive, settle: Settle) -> None:
    root = drive.point
    (root / "d" / "sub").mkdir(parents=True)
    (root / "d" / "sub" / "big").write_bytes(os.urandom(300_000))
    (root / "d" / "small").write_bytes(b"small")
    (root / "d" / "small").chmod(0o751)
    os.setxattr(root / "d" / "small", "user.k", b"v")
    os.setxattr(root / "d" / "sub", "user.of", b"a folder")
    os.symlink("small", root / "d" / "soft")
    os.utime(root / "d" / "small", ns=(111, 222))
    os.utime(root / "d" / "sub", ns=(333, 444))
    (root / "d" / "sub").chmod(0o700)
    before = shape(root / "d")
    settle()
    shutil.rmtree(root / "d")
    subprocess.run(["cp", "-a", drive.versions() / ".deleted" / "d", root / "back"], check=True, timeout=60)
    assert shape(root / "back") == before
    plain = drive.folder / "plain"
    subprocess.run(["cp", "-a", drive.versions() / ".deleted" / "d", plain], check=True, timeout=60)
    assert (plain / "small").read_bytes() == b"small"


def shape(folder: Path) -> dict[str, object]:
    """All that one tells of a tree, but for times of access and change."""
    found: dict[str, object] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in listed_attributes(path)}
        data = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        times = None if path == folder else status.st_mtime_ns
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_uid, times, attributes, data)
    return found


def listed_attributes(path: Path) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)


def test_a_name_that_was_deleted_several_times(drive: Drive, settle: Settle) -> None:
    file = drive.point / "report.txt"
    for data in (b"1", b"2", b"3"):
        file.write_bytes(data)
        settle()
        file.unlink()
        settle()
    deleted = drive.versions() / ".deleted"
    names = os.listdir(deleted)
    assert len(names) == 3
    assert "report.txt" in names
    assert all(re.fullmatch(r"report(\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)?\.txt", name) for name in names)
    others = sorted(name for name in names if name != "report.txt")
    assert [(deleted / name).read_bytes() for name in (*others, "report.txt")] == [b"1", b"2", b"3"]


def test_what_came_back_is_not_listed(drive: Drive, settle: Settle) -> None:
    root = drive.point
    trash = root / ".Trash-0" / "files"
    trash.mkdir(parents=True)
    (root / "moved").write_bytes(b"1")
    (root / "trashed").write_bytes(b"2")
    settle()
    (root / "moved").rename(root / "elsewhere")
    (root / "trashed").rename(trash / "trashed")
    assert os.listdir(drive.versions() / ".deleted") == ["trashed"]
    assert (drive.versions() / ".deleted" / "trashed").read_bytes() == b"2"
    (trash / "trashed").rename(root / "trashed")
    assert os.listdir(drive.versions() / ".deleted") == []


def test_what_left_the_trash_for_good_is_listed_where_it_was_thrown_away(drive: Drive, settle: Settle) -> None:
    root = drive.point
    trash = root / ".Trash-0" / "files"
    trash.mkdir(parents=True)
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"2")
    settle()
    (root / "d" / "f").rename(trash / "f")
    settle()
    (trash / "f").unlink()
    settle()
    for folder in (root / "d", trash):
        assert [path.read_bytes() for path in (folder / ".versions" / ".deleted").iterdir()] == [b"2"]


def test_deleted_things_stay_over_a_remount_and_the_loss_of_the_index(drive: Drive, settle: Settle) -> None:
    root = drive.point
    (root / "f").write_bytes(b"1")
    settle()
    (root / "f").unlink()
    settle()
    drive.unmount()
    shutil.rmtree(drive.store / "index")
    drive.mount()
    assert [path.read_bytes() for path in (drive.versions() / ".deleted").iterdir()] == [b"1"]
    drive.remount("read-only")
    assert [path.read_bytes() for path in (drive.versions() / ".deleted").iterdir()] == [b"1"]


def test_odd_names(drive: Drive, settle: Settle) -> None:
    root = os.fsencode(drive.point)
    names = [b"x" * 255, b"\xff\xfe.\xfd", "naïve ✓.txt".encode(), b".hidden", b"...", b"two\nlines"]
    for _ in range(2):
        for name in names:
            Path(os.fsdecode(root + b"/" + name)).write_bytes(name)
        settle()
        for name in names:
            os.unlink(root + b"/" + name)
        settle()
    deleted = root + b"/.versions/.deleted"
    found = os.listdir(deleted)
    assert len(found) == len(set(found)) == 2 * len(names)
    assert set(names) <= set(found)
    assert sorted(Path(os.fsdecode(deleted + b"/" + name)).read_bytes() for name in found) == sorted(names * 2)
    for name in names:
        (state, *_) = os.listdir(root + b"/.versions/.files/" + name)
        path = root + b"/.versions/.files/" + name + b"/" + state
        assert Path(os.fsdecode(path)).read_bytes() == name


def test_a_name_that_comes_to_mean_something_else_is_looked_up_anew(drive: Drive, settle: Settle) -> None:
    root = drive.point
    seen, states = [], []
    for data in (b"1", b"22"):
        (root / "f").write_bytes(data)
        settle()
        (root / "f").unlink()
        settle()
        entry = drive.versions() / ".deleted" / "f"
        seen.append((entry.read_bytes(), entry.stat().st_size))
        states.append(len(os.listdir(drive.versions() / ".files" / "f")))
    assert seen == [(b"1", 1), (b"22", 2)]
    assert states == [1, 2]
    (root / "other").write_bytes(b"333")
    (root / "other").rename(root / "g")
    settle()
    (root / "g").rename(root / "f")
    settle()
    newest = os.listdir(drive.versions() / ".files" / "f")[-1]
    assert (drive.versions() / ".files" / "f" / newest).read_bytes() == b"333"


def test_what_is_read_from_the_folders_of_the_past_stays_while_it_is_open(drive: Drive, settle: Settle) -> None:
    data = os.urandom(1 << 20)
    (drive.point / "f").write_bytes(data)
    settle()
    (drive.point / "f").unlink()
    settle()
    with (drive.versions() / ".deleted" / "f").open("rb") as file:
        (drive.point / "f").write_bytes(b"new")
        settle()
        assert file.read() == data


def test_many_deleted_things_are_listed_once_each(drive: Drive, settle: Settle) -> None:
    root = drive.point
    for number in range(1200):
        (root / f"f{number}").write_bytes(b"")
    (root / "keep").write_bytes(b"")
    settle()
    for number in range(1200):
        (root / f"f{number}").unlink()
    names = os.listdir(drive.versions() / ".deleted")
    assert sorted(names) == sorted(f"f{number}" for number in range(1200))
