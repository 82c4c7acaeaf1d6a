"""Names on a mount: what POSIX promises, and the same on a plain disk beside it."""

import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from .drive import Drive
from .kernel_calls import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2


def failing(number: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: error.errno == number)


def test_files_folders_and_links_are_made_and_found(place: Path) -> None:
    (place / "folder").mkdir()
    (place / "folder" / "file").write_bytes(b"abc")
    os.link(place / "folder" / "file", place / "second")
    os.symlink("folder/file", place / "soft")
    assert sorted(os.listdir(place)) == ["folder", "second", "soft"]
    assert (place / "soft").read_bytes() == b"abc"
    assert os.readlink(place / "soft") == "folder/file"
    assert os.lstat(place / "soft").st_size == len("folder/file")
    first, second = os.stat(place / "folder" / "file"), os.stat(place / "second")
    assert (first.st_ino, first.st_nlink, second.st_nlink) == (second.st_ino, 2, 2)
    assert os.stat(place).st_nlink == 3


def test_making_what_is_there_fails_and_changes_nothing(place: Path) -> None:
    (place / "f").write_bytes(b"kept")
    (place / "d").mkdir()
    with failing(errno.EEXIST):
        (place / "f").mkdir()
    with failing(errno.EEXIST):
        os.symlink("x", place / "d")
    with failing(errno.EEXIST):
        os.link(place / "f", place / "d")
    with failing(errno.EEXIST):
        os.mkfifo(place / "f")
    with failing(errno.EEXIST):
        os.open(place / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert (place / "f").read_bytes() == b"kept"


def test_removing_the_wrong_kind_fails(place: Path) -> None:
    (place / "f").touch()
    (place / "d" / "e").mkdir(parents=True)
    with failing(errno.ENOTDIR):
        os.rmdir(place / "f")
    with failing(errno.EISDIR):
        os.unlink(place / "d")
    with failing(errno.ENOTEMPTY):
        os.rmdir(place / "d")
    with failing(errno.ENOENT):
        os.unlink(place / "nothing")
    with failing(errno.ENOTDIR):
        os.stat(place / "f" / "below")
    with failing(errno.EPERM):
        os.link(place / "d", place / "hard")


@pytest.mark.parametrize("kind", ["fifo", "socket", "character", "block"])
def test_special_files(place: Path, kind: str) -> None:
    path = place / kind
    if kind in ("character", "block") and os.getuid():
        pytest.skip("only root makes devices")
    match kind:
        case "fifo":
            os.mkfifo(path, 0o640)
            assert stat.S_ISFIFO(path.stat().st_mode)
        case "socket":
            here = os.open(place, os.O_RDONLY)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(f"/proc/self/fd/{here}/socket")  # the path itself may be too long for a socket
            os.close(here)
            assert stat.S_ISSOCK(path.stat().st_mode)
        case "character":
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
            assert stat.S_ISCHR(path.stat().st_mode)
            assert path.stat().st_rdev == os.makedev(1, 3)
        case "block":
            os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(259, 1_000))
            assert path.stat().st_rdev == os.makedev(259, 1_000)
    assert path.stat().st_nlink == 1
    os.unlink(path)
    assert os.listdir(place) == []


def test_a_fifo_carries_bytes_between_processes(place: Path) -> None:
    path = place / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"through"))
    writer.start()
    assert path.read_bytes() == b"through"
    writer.join()


STRANGE = [
    b"\xff\xfe not utf-8",
    b"line\nbreak",
    b" ",
    b"-rf",
    b"...",
    b"\x01\x7f",
    "\u00e9".encode(),
    "e\u0301".encode(),
    b"x" * 255,
]


@pytest.mark.parametrize("name", STRANGE)
def test_names_of_any_bytes(place: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(place), name)
    with open(path, "wb") as file:
        file.write(name)
    assert os.listdir(os.fsencode(place)) == [name]
    with open(path, "rb") as file:
        assert file.read() == name
    os.rename(path, path[:-1] + b"#")
    assert os.listdir(os.fsencode(place)) == [name[:-1] + b"#"]
    os.unlink(path[:-1] + b"#")


def test_a_name_of_256_bytes_is_too_long(place: Path) -> None:
    path = place / ("x" * 256)
    (place / "f").touch()
    with failing(errno.ENAMETOOLONG):
        path.touch()
    with failing(errno.ENAMETOOLONG):
        path.mkdir()
    with failing(errno.ENAMETOOLONG):
        path.stat()
    with failing(errno.ENAMETOOLONG):
        os.rename(place / "f", path)
    with failing(errno.ENAMETOOLONG):
        os.link(place / "f", path)
    assert os.listdir(place) == ["f"]


def test_symlinks_of_every_length(place: Path) -> None:
    for length in (1, 100, 512, 513, 4095):
        target = "t" * length
        os.symlink(target, place / str(length))
        assert os.readlink(place / str(length)) == target
    with failing(errno.ENAMETOOLONG):
        os.symlink("t" * 4096, place / "too long")
    with failing(errno.ENOENT):
        os.symlink("", place / "empty")


# Rename


def test_rename_replaces_a_file_and_keeps_its_inode(place: Path) -> None:
    (place / "new").write_bytes(b"new")
    (place / "old").write_bytes(b"old")
    number = os.stat(place / "new").st_ino
    os.rename(place / "new", place / "old")
    assert os.listdir(place) == ["old"]
    assert (os.stat(place / "old").st_ino, (place / "old").read_bytes()) == (number, b"new")


def test_rename_of_folders(place: Path) -> None:
    (place / "a" / "inner").mkdir(parents=True)
    (place / "b").mkdir()
    (place / "full" / "x").mkdir(parents=True)
    os.rename(place / "a", place / "b")  # over an empty one
    assert sorted(os.listdir(place)) == ["b", "full"]
    assert os.listdir(place / "b") == ["inner"]
    with failing(errno.ENOTEMPTY):
        os.rename(place / "b", place / "full")
    with failing(errno.EINVAL):
        os.rename(place / "b", place / "b" / "inner" / "below itself")
    os.rename(place / "b", place / "full" / "b")
    assert (os.stat(place).st_nlink, os.stat(place / "full").st_nlink) == (3, 4)
    assert os.stat(place / "full" / "b" / "..").st_ino == os.stat(place / "full").st_ino
    (place / "file").touch()
    with failing(errno.ENOTDIR):
        os.rename(place / "full", place / "file")
    with failing(errno.EISDIR):
        os.rename(place / "file", place / "full")


def test_rename_of_two_names_of_one_file_does_nothing(place: Path) -> None:
    (place / "a").touch()
    os.link(place / "a", place / "b")
    os.rename(place / "a", place / "b")
    assert sorted(os.listdir(place)) == ["a", "b"]


def test_rename_noreplace(place: Path) -> None:
    (place / "a").write_bytes(b"a")
    (place / "b").write_bytes(b"b")
    with failing(errno.EEXIST):
        renameat2(place / "a", place / "b", RENAME_NOREPLACE)
    assert (place / "b").read_bytes() == b"b"
    renameat2(place / "a", place / "c", RENAME_NOREPLACE)
    assert sorted(os.listdir(place)) == ["b", "c"]


def test_rename_exchange(place: Path) -> None:
    (place / "one" / "folder").mkdir(parents=True)
    (place / "two").mkdir()
    (place / "two" / "file").write_bytes(b"f")
    renameat2(place / "one" / "folder", place / "two" / "file", RENAME_EXCHANGE)
    assert (place / "one" / "folder").read_bytes() == b"f"
    assert (place / "two" / "file").is_dir()
    assert (os.stat(place / "one").st_nlink, os.stat(place / "two").st_nlink) == (2, 3)
    with failing(errno.ENOENT):
        renameat2(place / "one", place / "missing", RENAME_EXCHANGE)
    assert sorted(os.listdir(place)) == ["one", "two"]


def test_a_replaced_open_file_keeps_its_bytes(place: Path) -> None:
    (place / "f").write_bytes(b"before" * 50_000)
    (place / "g").write_bytes(b"after")
    with (place / "f").open("rb") as held:
        os.rename(place / "g", place / "f")
        assert held.read() == b"before" * 50_000
        assert os.fstat(held.fileno()).st_nlink == 0
    assert (place / "f").read_bytes() == b"after"


# Unlinked and open


def test_an_unlinked_open_file_is_read_and_written_on(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"0123456789" * 10_000)
    with path.open("r+b") as held:
        path.unlink()
        assert os.listdir(place) == []
        held.seek(50_000)
        held.write(b"X" * 100_000)
        held.flush()
        os.fsync(held.fileno())
        held.seek(0)
        assert held.read() == b"0123456789" * 5_000 + b"X" * 100_000
        held.truncate(3)
        held.seek(0)
        assert held.read() == b"012"
        path.write_bytes(b"another file")
        assert os.fstat(held.fileno()).st_size == 3
    assert path.read_bytes() == b"another file"


def test_an_unlinked_file_is_opened_again_through_its_descriptor(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"z" * 100_000)
    held = os.open(path, os.O_PATH)
    path.unlink()
    try:
        assert Path(f"/proc/self/fd/{held}").read_bytes() == b"z" * 100_000
    finally:
        os.close(held)


def test_a_removed_folder_that_is_somebodys_own_takes_nothing_new(place: Path) -> None:
    (place / "d").mkdir()
    held = os.open(place / "d", os.O_RDONLY)
    os.rmdir(place / "d")
    with failing(errno.ENOENT):
        os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=held)
    with failing(errno.ENOENT):
        os.mkdir("sub", dir_fd=held)
    assert os.listdir(held) == []
    os.close(held)


# Reading folders


def test_folder_reading_lists_each_entry_once_while_others_come_and_go(place: Path) -> None:
    stable = {f"stable-{number:04}" for number in range(1500)}
    for name in stable:
        (place / name).touch()
    stop = threading.Event()

    def stir() -> None:
        number = 0
        while not stop.is_set():
            path = place / f"moving-{number % 50}"
            path.touch()
            os.rename(path, place / f"moved-{number % 70}")
            (place / f"moved-{number % 70}").unlink()
            number += 1

    stirrer = threading.Thread(target=stir)
    stirrer.start()
    try:
        for _ in range(8):
            found = [entry.name for entry in os.scandir(place)]
            assert len(found) == len(set(found))
            assert stable <= set(found)
    finally:
        stop.set()
        stirrer.join()
    assert set(os.listdir(place)) == stable


def test_folder_reading_never_brings_back_a_name_that_went_meanwhile(place: Path) -> None:
    """The kernel remembers for an hour what a listing told it: a name that is no more must not be in it."""
    names = [f"{number:05}" for number in range(3000)]
    for name in names:
        (place / name).touch()
    with os.scandir(place) as entries:
        next(entries)
        for name in names:
            if name.endswith("7"):
                (place / name).unlink()
            elif name.endswith("8"):
                os.rename(place / name, place / f"renamed-{name}")
            elif name.endswith("9"):
                os.rename(place / f"{int(name) - 3:05}", place / name)
        for _ in entries:
            pass
    expected = {n for n in names if n[-1] not in "678"} | {f"renamed-{n}" for n in names if n[-1] == "8"}
    for name in names:
        assert os.path.exists(place / name) == (name in expected), name
    assert {entry.name for entry in os.scandir(place)} == expected
    by_name = {entry.name: entry.inode() for entry in os.scandir(place)}
    assert {name: os.lstat(place / name).st_ino for name in expected} == by_name


def test_a_folder_is_read_again_after_rewinding(place: Path) -> None:
    (place / "a").touch()
    with_fd = os.open(place, os.O_RDONLY)
    try:
        assert os.listdir(with_fd) == ["a"]
        (place / "b").touch()
        assert sorted(os.listdir(with_fd)) == ["a", "b"]
    finally:
        os.close(with_fd)


def test_twenty_thousand_entries(mounted: Path) -> None:
    for number in range(20_000):
        os.close(os.open(mounted / f"{number:06}", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    assert sorted(os.listdir(mounted)) == [f"{number:06}" for number in range(20_000)]
    assert sum(1 for entry in os.scandir(mounted) if entry.stat().st_size == 0) == 20_000
    for number in range(0, 20_000, 2):
        os.unlink(mounted / f"{number:06}")
    assert sorted(os.listdir(mounted)) == [f"{number:06}" for number in range(1, 20_000, 2)]


# Rights


def test_a_setgid_folder_passes_on_its_group(place: Path) -> None:
    if os.getuid():
        pytest.skip("only root gives a folder to another group")
    (place / "shared").mkdir()
    os.chown(place / "shared", -1, 1234)
    os.chmod(place / "shared", 0o2775)
    (place / "shared" / "file").touch()
    (place / "shared" / "sub").mkdir()
    assert (place / "shared" / "file").stat().st_gid == 1234
    assert (place / "shared" / "sub").stat().st_gid == 1234
    assert (place / "shared" / "sub").stat().st_mode & stat.S_ISGID


def test_modes_obey_the_umask(place: Path) -> None:
    former = os.umask(0o027)
    try:
        os.close(os.open(place / "f", os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(place / "d", 0o777)
        os.mkfifo(place / "p", 0o666)
    finally:
        os.umask(former)
    modes = [stat.S_IMODE(os.stat(place / name).st_mode) for name in "fdp"]
    assert modes == [0o640, 0o750, 0o640]


def test_chown_takes_the_setuid_bit(place: Path) -> None:
    if os.getuid():
        pytest.skip("only root gives files away")
    (place / "f").touch()
    os.chmod(place / "f", 0o6755)
    os.chown(place / "f", 1, 1)
    assert stat.S_IMODE(os.stat(place / "f").st_mode) == 0o755


def test_a_drive_is_mounted_again_with_all_its_names(drive: Drive) -> None:
    root = drive.point
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "f").write_bytes(b"x" * 100_000)
    os.link(root / "a" / "b" / "f", root / "hard")
    os.symlink("a/b", root / "soft")
    os.mkfifo(root / "fifo")
    for name in STRANGE:
        os.close(os.open(os.path.join(os.fsencode(root), name), os.O_CREAT | os.O_WRONLY))
    before = listing(root)
    drive.remount()
    assert listing(root) == before
    assert before[b"hard"][1] == 2


def listing(root: Path) -> dict[bytes, tuple[int, int, int, int]]:
    """(mode, links, size, inode) of everything below a folder."""
    found = {}
    top = os.fsencode(root)
    for path, folders, files in os.walk(top):
        for name in folders + files:
            facts = os.lstat(os.path.join(path, name))
            size = 0 if stat.S_ISDIR(facts.st_mode) else facts.st_size
            found[os.path.relpath(os.path.join(path, name), top)] = (
                facts.st_mode,
                facts.st_nlink,
                size,
                facts.st_ino,
            )
    return found
