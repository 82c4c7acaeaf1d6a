"""`.versions` on a mount: what it shows, what it refuses, and how old states come back."""

import datetime
import errno
import mmap
import os
import re
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .drive import LONG, Drive, sync_filesystem, until
from .kernel_calls import RENAME_EXCHANGE, renameat2
from .test_names import failing

TIME_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")


# What is shown


def test_versions_is_found_by_name_and_listed_nowhere(drive: Drive) -> None:
    root = drive.point
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "f").write_bytes(b"x")
    for folder in (root, root / "d", root / "d" / "e"):
        assert ".versions" not in os.listdir(folder)
        assert (folder / ".versions").is_dir()
        assert ".versions" not in os.listdir(folder)  # not either once the kernel knows it
    found = subprocess.run(["find", root, "-name", ".versions"], capture_output=True, check=True, timeout=30)
    assert found.stdout == b""
    found = subprocess.run(["find", root], capture_output=True, check=True, timeout=30)
    assert len(found.stdout.splitlines()) == 4
    shutil.copytree(root / "d", drive.folder / "copy")
    assert sorted(os.listdir(drive.folder / "copy")) == ["e", "f"]


def test_show_versions_lists_it(drive: Drive) -> None:
    (drive.point / "d").mkdir()
    drive.remount("show-versions")
    assert sorted(os.listdir(drive.point)) == [".versions", "d"]
    assert os.listdir(drive.point / "d") == [".versions"]
    by_name = {entry.name: entry for entry in os.scandir(drive.point)}
    assert by_name[".versions"].is_dir()
    assert by_name[".versions"].inode() == os.stat(drive.point / ".versions").st_ino


def test_entries_are_times_and_snapshots(drive: Drive) -> None:
    (drive.point / "f").write_bytes(b"1")
    drive.snapshot("mine")
    names = os.listdir(drive.versions())
    assert "mine" in names
    times = [name for name in names if name != "mine"]
    assert times
    assert all(TIME_NAME.fullmatch(name) for name in times)
    assert len(names) == len(set(names))
    for name in times:
        told = datetime.datetime.strptime(name, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=datetime.UTC)
        assert told.strftime("%Y-%m-%dT%H-%M-%SZ") == name
        assert abs(told.timestamp() - time.time()) < 60


def test_a_version_holds_what_was(drive: Drive) -> None:
    root = drive.point
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"first" * 40_000)
    (root / "d" / "gone").write_bytes(b"tiny")
    os.symlink("f", root / "d" / "soft")
    os.setxattr(root / "d" / "f", "user.k", b"old" * 1000)
    os.chmod(root / "d" / "f", 0o640)
    os.utime(root / "d" / "f", ns=(11, 12))
    drive.snapshot("one")
    (root / "d" / "f").write_bytes(b"second")
    os.setxattr(root / "d" / "f", "user.k", b"new")
    os.chmod(root / "d" / "f", 0o600)
    (root / "d" / "gone").unlink()
    (root / "d" / "soft").unlink()
    drive.snapshot("two")
    for _ in range(2):
        one, two = root / ".versions" / "one" / "d", root / ".versions" / "two" / "d"
        assert sorted(os.listdir(one)) == ["f", "gone", "soft"]
        assert os.listdir(two) == ["f"]
        assert (one / "f").read_bytes() == b"first" * 40_000
        assert (one / "gone").read_bytes() == b"tiny"
        assert os.readlink(one / "soft") == "f"
        assert (one / "soft").read_bytes() == b"first" * 40_000
        assert os.getxattr(one / "f", "user.k") == b"old" * 1000
        facts = (one / "f").stat()
        assert (stat.S_IMODE(facts.st_mode), facts.st_mtime_ns, facts.st_size) == (0o640, 12, 200_000)
        assert (two / "f").read_bytes() == b"second"
        assert os.getxattr(two / "f", "user.k") == b"new"
        drive.remount()


def test_numbers_words_and_dates(drive: Drive) -> None:
    (drive.point / "f").write_bytes(b"1")
    until("a version of the file", (drive.versions() / "@2" / "f").exists)
    versions = drive.versions()
    assert (versions / "@2" / "f").read_bytes() == b"1"
    assert not os.path.islink(versions / "@2")
    newest = drive.entries()[-1]
    assert not os.path.islink(versions / newest)
    today = datetime.datetime.now().strftime("%Y-%m-%d")
    for word in ("now", "today", today, "0s ago"):
        assert os.path.islink(versions / word), word
        assert TIME_NAME.fullmatch(os.readlink(versions / word))
        assert (versions / word / "f").read_bytes() == b"1", word
    for nothing in ("@0", "@999999", "2026-13-45", "10 years ago", "yesterdayy", "no snapshot", "@x", "1999-01-01"):
        with failing(errno.ENOENT):
            os.lstat(versions / nothing)
    assert not {"@2", "now", "today", today} & set(os.listdir(versions))


def test_a_word_goes_on_to_newer_versions(drive: Drive) -> None:
    path = drive.point / "f"
    for text in ("1", "2", "3"):
        path.write_text(text)
        until_text(drive, text)


def until_text(drive: Drive, text: str) -> None:
    """Returns when the newest version's file `f` has the text: ten seconds are the longest that it may take."""
    until(f"a version with {text[:20]!r}", lambda: text_of(drive.versions() / "now" / "f") == text, 10)


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_new_folder_lists_only_versions_in_which_it_existed(drive: Drive) -> None:
    (drive.point / "f").write_bytes(b"1")
    until("a version", (drive.versions() / "@2").exists)
    (drive.point / "d").mkdir()
    (drive.point / "d" / "x").write_bytes(b"1")
    for _ in range(200):
        for name in os.listdir(drive.point / "d" / ".versions"):
            assert os.listdir(drive.point / "d" / ".versions" / name) in ([], ["x"])
        if drive.entries(drive.point / "d"):
            break
        time.sleep(0.02)
    assert drive.entries(drive.point / "d")
    assert len(drive.entries(drive.point / "d")) < len(drive.entries())


def test_numbers_of_inodes_are_no_others(drive: Drive) -> None:
    live = drive.point / "d"
    live.mkdir()
    (live / "f").write_bytes(b"1")
    drive.snapshot("a")
    drive.snapshot("b")
    (live / "f").write_bytes(b"2")
    drive.snapshot("c")
    seen: dict[tuple[int, int], str] = {}
    paths = [drive.point, live, live / "f"]
    for above, inside in ((drive.point, ("", "d", "d/f")), (live, ("", "f"))):
        paths.append(above / ".versions")
        for name in {*os.listdir(above / ".versions"), "@1", "@2", "@3"}:
            paths += [above / ".versions" / name / path for path in inside]
    for path in filter(os.path.exists, paths):
        facts = path.stat()
        assert seen.setdefault((facts.st_dev, facts.st_ino), str(path)) == str(path)
    assert len(seen) > 20


def test_one_file_of_many_versions_is_read_at_the_same_time(drive: Drive) -> None:
    path = drive.point / "f"
    for number in range(12):
        path.write_bytes(b"%02d" % number * 50_000)
        drive.snapshot(f"s{number}")
    held = [(drive.versions() / f"s{number}" / "f").open("rb") for number in range(12)]
    for number in reversed(range(12)):
        assert held[number].read() == b"%02d" % number * 50_000
    for file in held:
        file.close()


def test_a_mapped_and_an_executed_file_of_a_version(drive: Drive) -> None:
    shutil.copy("/bin/true", drive.point / "true")
    drive.snapshot("s")
    (drive.point / "true").write_bytes(b"no program")
    subprocess.run([drive.versions() / "s" / "true"], check=True, timeout=20)
    with (drive.versions() / "s" / "true").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    assert mapped[1:4] == b"ELF"
    mapped.close()


# What is refused


def _changes() -> dict[str, Callable[[Path, Path], object]]:
    """Every kind of change: of the folder `d` of a version, given that and a live folder."""
    return {
        "open to write": lambda d, _: os.open(d / "f", os.O_WRONLY),
        "open to read and write": lambda d, _: os.open(d / "f", os.O_RDWR),
        "open to append": lambda d, _: os.open(d / "f", os.O_WRONLY | os.O_APPEND),
        "open and truncate": lambda d, _: os.open(d / "f", os.O_RDONLY | os.O_TRUNC),
        "create": lambda d, _: os.open(d / "new", os.O_CREAT | os.O_WRONLY),
        "truncate": lambda d, _: os.truncate(d / "f", 1),
        "chmod": lambda d, _: os.chmod(d / "f", 0o777),
        "chmod a folder": lambda d, _: os.chmod(d, 0o777),
        "chown": lambda d, _: os.chown(d / "f", os.getuid(), os.getgid()),
        "utime": lambda d, _: os.utime(d / "f"),
        "utime to a time": lambda d, _: os.utime(d / "f", ns=(1, 1)),
        "utime of a symlink": lambda d, _: os.utime(d / "soft", ns=(1, 1), follow_symlinks=False),
        "setxattr": lambda d, _: os.setxattr(d / "f", "user.a", b"1"),
        "removexattr": lambda d, _: os.removexattr(d / "f", "user.k"),
        "unlink": lambda d, _: os.unlink(d / "f"),
        "rmdir": lambda d, _: os.rmdir(d / "empty"),
        "rename inside": lambda d, _: os.rename(d / "f", d / "g"),
        "rename over": lambda d, _: os.rename(d / "f", d / "soft"),
        "rename a folder": lambda d, _: os.rename(d / "empty", d / "other"),
        "rename out": lambda d, live: os.rename(d / "f", live / "g"),
        "rename in": lambda d, live: os.rename(live / "f", d / "h"),
        "exchange": lambda d, live: renameat2(d / "f", live / "f", RENAME_EXCHANGE),
        "link inside": lambda d, _: os.link(d / "f", d / "hard"),
        "link out": lambda d, live: os.link(d / "f", live / "hard"),
        "link in": lambda d, live: os.link(live / "f", d / "hard"),
        "mkdir": lambda d, _: os.mkdir(d / "folder"),
        "mkfifo": lambda d, _: os.mkfifo(d / "fifo"),
        "mknod": lambda d, _: os.mknod(d / "node", stat.S_IFREG | 0o600),
        "symlink": lambda d, _: os.symlink("x", d / "s"),
    }


@pytest.fixture(scope="module")
def old_and_live(shared_drive: Drive) -> tuple[Path, Path]:
    """A folder in a version, and a live one."""
    live = shared_drive.point / "refusing"
    (live / "empty").mkdir(parents=True)
    (live / "f").write_bytes(b"content")
    os.setxattr(live / "f", "user.k", b"v")
    os.symlink("f", live / "soft")
    os.chmod(live / "f", 0o666)
    shared_drive.snapshot("kept")
    return shared_drive.versions() / "kept" / "refusing", live


@pytest.mark.parametrize("change", _changes())
def test_every_change_of_a_version_is_refused(old_and_live: tuple[Path, Path], change: str) -> None:
    old, live = old_and_live
    before = state_of(old), state_of(live)
    with failing(errno.EROFS):
        _changes()[change](old, live)
    assert (state_of(old), state_of(live)) == before


def test_a_shared_writable_mapping_of_a_version_is_refused(old_and_live: tuple[Path, Path]) -> None:
    with (old_and_live[0] / "f").open("rb") as file, pytest.raises(PermissionError):
        mmap.mmap(file.fileno(), 0)  # shared and writable, on a descriptor for reading


def test_versions_itself_is_not_changed(drive: Drive) -> None:
    root = drive.point
    (root / "d").mkdir()
    drive.snapshot("s")
    with failing(errno.EEXIST):
        (root / ".versions").mkdir()
    with failing(errno.EPERM):
        os.rmdir(root / ".versions")
    with pytest.raises(OSError, match=r"Is a directory|not permitted"):
        os.unlink(root / ".versions")
    with failing(errno.EPERM):
        os.rename(root / ".versions", root / "other")
    with pytest.raises(OSError, match=r"not permitted|not empty"):
        os.rename(root / "d", root / ".versions")
    with failing(errno.EPERM):
        renameat2(root / ".versions", root / "d", RENAME_EXCHANGE)
    with failing(errno.EROFS):
        os.open(root / ".versions" / "f", os.O_CREAT | os.O_WRONLY)
    with failing(errno.EROFS):
        os.symlink("x", root / ".versions" / "s2")
    with failing(errno.EROFS):
        os.rename(root / ".versions" / "s", root / ".versions" / "t")
    with failing(errno.EROFS):
        os.rename(root / "d", root / ".versions" / "t")
    with failing(errno.EROFS):
        os.chmod(root / ".versions", 0o777)
    with failing(errno.EROFS):
        os.utime(root / ".versions")
    with failing(errno.EROFS):
        os.setxattr(root / ".versions", "user.a", b"1")
    assert os.listdir(root) == ["d"]


def test_inside_a_version_there_is_no_versions(drive: Drive) -> None:
    (drive.point / "d").mkdir()
    drive.snapshot("s")
    for path in (drive.versions() / "s", drive.versions() / "s" / "d", drive.versions()):
        with failing(errno.ENOENT):
            os.stat(path / ".versions")


# Snapshots


def test_names_that_can_not_be_snapshots(drive: Drive) -> None:
    (drive.point / "f").touch()
    versions = drive.versions()
    for name in (".hidden", "2026-13-45", "@12345678", "12345678", "last week", "tomorrow", "5 minutes ago x ago"):
        with failing(errno.EINVAL):
            (versions / name).mkdir()
    with failing(errno.ENAMETOOLONG):
        (versions / ("x" * 256)).mkdir()
    (versions / "s").mkdir()
    with failing(errno.EEXIST):
        (versions / "s").mkdir()
    with failing(errno.EEXIST):
        (versions / "now").mkdir()
    for name in ("nothing", "@1"):
        with failing(errno.ENOENT):
            os.rmdir(versions / name)
    for name in drive.entries():
        with failing(errno.ENOENT):
            os.rmdir(versions / name)
    with failing(errno.ENOTDIR):
        os.rmdir(versions / "now")
    assert "s" in os.listdir(versions)
    os.rmdir(versions / "s")
    assert "s" not in os.listdir(versions)
    with failing(errno.ENOENT):
        os.stat(versions / "s")


def test_a_snapshot_is_seen_in_the_folders_below_and_nowhere_else(drive: Drive) -> None:
    root = drive.point
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / "z").mkdir()
    (root / "a" / "b" / "c" / "f").write_bytes(b"1")
    (root / "a" / ".versions" / "s").mkdir()
    for folder, inside in ((root / "a", "b"), (root / "a" / "b", "c"), (root / "a" / "b" / "c", "f")):
        assert "s" in os.listdir(folder / ".versions")
        assert os.listdir(folder / ".versions" / "s") == [inside]
    for folder in (root, root / "z"):
        assert "s" not in os.listdir(folder / ".versions")
        with failing(errno.ENOENT):
            os.stat(folder / ".versions" / "s")
    with failing(errno.ENOENT):
        os.rmdir(root / "a" / "b" / ".versions" / "s")  # it was made above
    os.rmdir(root / "a" / ".versions" / "s")
    assert "s" not in os.listdir(root / "a" / "b" / ".versions")


def test_the_nearest_snapshot_of_a_name_wins(drive: Drive) -> None:
    root = drive.point
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "f").write_bytes(b"near")
    drive.snapshot("s", root / "a" / "b")
    (root / "a" / "b" / "f").write_bytes(b"far")
    drive.snapshot("s", root / "a")
    assert (root / "a" / "b" / ".versions" / "s" / "f").read_bytes() == b"near"
    assert (root / "a" / ".versions" / "s" / "b" / "f").read_bytes() == b"far"
    os.rmdir(root / "a" / "b" / ".versions" / "s")
    assert (root / "a" / "b" / ".versions" / "s" / "f").read_bytes() == b"far"


def test_a_snapshot_from_before_a_folder_was_made_is_not_shown_in_it(drive: Drive) -> None:
    (drive.point / "a").mkdir()
    drive.snapshot("early", drive.point / "a")
    (drive.point / "a" / "new").mkdir()
    drive.snapshot("late", drive.point / "a")
    names = [name for name in os.listdir(drive.point / "a" / "new" / ".versions") if not TIME_NAME.fullmatch(name)]
    assert names == ["late"]
    with failing(errno.ENOENT):
        os.stat(drive.point / "a" / "new" / ".versions" / "early")


def test_the_same_name_in_two_branches_is_two_snapshots(drive: Drive) -> None:
    root = drive.point
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "f").write_bytes(name.encode())
        drive.snapshot("s", root / name)
        (root / name / "f").write_bytes(b"later")
    assert (root / "a" / ".versions" / "s" / "f").read_bytes() == b"a"
    assert (root / "b" / ".versions" / "s" / "f").read_bytes() == b"b"


def test_a_name_given_again_means_the_new_version_even_to_who_holds_the_old_open(drive: Drive) -> None:
    path = drive.point / "f"
    path.write_bytes(b"first" * 1000)
    drive.snapshot("s")
    old = (drive.versions() / "s" / "f").open("rb")
    assert old.read(5) == b"first"
    os.rmdir(drive.versions() / "s")
    path.write_bytes(b"the second one" * 1000)
    drive.snapshot("s")
    new = (drive.versions() / "s" / "f").open("rb")
    assert new.read() == b"the second one" * 1000
    assert (drive.versions() / "s" / "f").stat().st_size == 14_000
    assert old.read() == (b"first" * 1000)[5:]
    old.close()
    new.close()


def test_a_renamed_folder_keeps_its_versions(drive: Drive) -> None:
    root = drive.point
    (root / "old name").mkdir()
    (root / "old name" / "f").write_bytes(b"1")
    drive.snapshot("s", root / "old name")
    entries = drive.entries(root / "old name")
    (root / "elsewhere").mkdir()
    os.rename(root / "old name", root / "elsewhere" / "new name")
    moved = root / "elsewhere" / "new name"
    (moved / "f").write_bytes(b"2")
    drive.snapshot("t", moved)
    assert set(entries) <= set(drive.entries(moved))
    assert (moved / ".versions" / "s" / "f").read_bytes() == b"1"
    assert (moved / ".versions" / "t" / "f").read_bytes() == b"2"
    drive.remount()
    assert (moved / ".versions" / "s" / "f").read_bytes() == b"1"


def test_snapshots_survive_a_kill_right_behind_them(drive: Drive) -> None:
    (drive.point / "f").write_bytes(b"1" * 100_000)
    drive.snapshot("s")
    drive.kill()
    drive.mount()
    assert (drive.versions() / "s" / "f").read_bytes() == b"1" * 100_000
    os.rmdir(drive.versions() / "s")
    drive.kill()
    drive.mount()
    assert "s" not in os.listdir(drive.versions())


def test_programs_stand_in_several_versions_at_once(drive: Drive) -> None:
    """The kernel allows a folder one name: were two entries one inode, looking at one would move the other."""
    root = drive.point
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"1")
    drive.snapshot("a")
    number = max(n for n in range(1, 50) if (drive.versions() / f"@{n}").exists())
    places = [drive.versions() / name / "d" for name in ("a", f"@{number}", drive.entries()[-1])]
    held = [os.open(place, os.O_RDONLY) for place in places]
    for place in places:
        os.listdir(place)
    for fd, place in zip(held, places, strict=True):
        assert os.readlink(f"/proc/self/fd/{fd}") == str(place)
        os.close(fd)


# When versions are made


def test_a_state_that_stood_closed_for_a_second_is_a_version(drive: Drive) -> None:
    """What is written a second after each other is all there, the last as well as the first."""
    path = drive.point / "f"
    texts = [f"state {number}" * 100 for number in range(4)]
    for text in texts:
        path.write_text(text)
        time.sleep(1.15)  # the promise is about time: nothing to wait for but its passing
    drive.snapshot("end")
    assert set(texts) <= contents_over_time(drive, "f")


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def save_by_rename(path: Path, text: str) -> None:
    path.with_name("tmp").write_text(text)
    os.rename(path.with_name("tmp"), path)


def remove_and_write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("save", [rewrite, save_by_rename, remove_and_write])
def test_a_busy_neighbour_does_not_cost_a_state(drive: Drive, save: Callable[[Path, str], None]) -> None:
    """A version that is due takes its time, and the next change is at the door: what stood closed goes first."""
    path = drive.point / "f"
    texts = [f"state {number}" * 100 for number in range(4)]
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            (drive.point / f"n{number % 50}").write_bytes(os.urandom(200_000 if number % 20 else 16_000_000))
            number += 1

    neighbour = threading.Thread(target=write)
    neighbour.start()
    try:
        for text in texts:
            save(path, text)
            time.sleep(1.02)  # the promise is about time: nothing to wait for but its passing
    finally:
        stop.set()
        neighbour.join()
    drive.snapshot("end")
    assert set(texts) <= contents_over_time(drive, "f")


def test_a_file_that_is_kept_open_gets_versions_too(drive: Drive) -> None:
    path = drive.point / "f"
    with path.open("wb", buffering=0) as file:
        for number in range(2):
            file.write(b"%d" % number * 100)
            until_text(drive, "0" * 100 + "1" * 100 * number)


def test_a_mapping_that_is_written_gets_versions_too(drive: Drive) -> None:
    path = drive.point / "f"
    path.write_bytes(bytes(8192))
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    mapped[0:4] = b"page"
    until(
        "a version of the mapped file within ten seconds",
        lambda: text_of(drive.versions() / "now" / "f").startswith("page"),
        10,
    )
    mapped.close()


def contents_over_time(drive: Drive, name: str) -> set[str]:
    """What a file of the root held in all versions, by number."""
    found, number = set(), 1
    while (drive.versions() / f"@{number}").exists():
        path = drive.versions() / f"@{number}" / name
        if path.exists():
            found.add(path.read_text())
        number += 1
    return found


# Back again


def test_a_removed_folder_comes_back_whole_and_costs_next_to_nothing(drive: Drive) -> None:
    root = drive.point
    folder = root / "folder"
    shutil.copytree(Path(os.__file__).parent / "asyncio", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "big").write_bytes(os.urandom(3_000_000))
    os.link(folder / "deep" / "big", folder / "hard")
    os.symlink("deep/big", folder / "soft")
    os.mkfifo(folder / "fifo")
    os.setxattr(folder / "deep", "user.k", b"v" * 3000)
    os.chmod(folder / "deep" / "big", 0o4711)
    for number, name in enumerate(("deep/big", "deep/er", "deep", ".")):
        os.utime(folder / name, ns=(10**18 + number, 10**17 + number))
    drive.snapshot("before")
    before = state_of(folder)
    shutil.rmtree(folder)
    drive.snapshot("without")
    used = store_bytes(drive)
    subprocess.run(["cp", "-a", root / ".versions" / "before" / "folder", root], check=True, timeout=60)
    assert state_of(folder) == before
    drive.snapshot("after")
    assert store_bytes(drive) - used < 300_000
    drive.remount()
    assert state_of(folder) == before


def store_bytes(drive: Drive) -> int:
    """Bytes in the store's logs."""
    logs = drive.store / "logs"
    return sum(path.stat().st_size for path in logs.rglob("*") if path.is_file())


def state_of(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that a copy should carry: type and mode, owner, size, mtime, bytes or target, attributes, links' groups."""
    found: dict[str, tuple[object, ...]] = {}
    groups: dict[int, str] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        facts = path.lstat()
        name = str(path.relative_to(folder))
        linked = not path.is_dir() and facts.st_nlink > 1
        content: bytes | str | None = None
        if stat.S_ISREG(facts.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(facts.st_mode):
            content = os.readlink(path)
        attributes = {k: os.getxattr(path, k, follow_symlinks=False) for k in os.listxattr(path, follow_symlinks=False)}
        found[name] = (
            facts.st_mode,
            facts.st_uid,
            facts.st_gid,
            content,
            None if path.is_symlink() else facts.st_mtime_ns,
            attributes,
            groups.setdefault(facts.st_ino, name) if linked else None,
        )
    return found


def test_sync_and_snapshots_hold_writes_of_files_still_open(drive: Drive) -> None:
    with (drive.point / "f").open("wb") as file:
        file.write(b"held open" * 10_000)
        file.flush()
        sync_filesystem(drive.point)
        drive.snapshot("s")
        assert (drive.versions() / "s" / "f").read_bytes() == b"held open" * 10_000


def test_versions_made_while_large_files_are_written_hold_a_beginning_of_them_without_holes(drive: Drive) -> None:
    """A commit comes while bytes are on their way into chunks: it waits for them, or it has neither them nor a size."""
    pattern = b"".join(number.to_bytes(4, "big") for number in range((24 << 20) // 4))
    stop = threading.Event()

    def write(path: Path) -> None:
        while not stop.is_set():
            with path.open("wb", buffering=0) as file:
                for number, start in enumerate(range(0, len(pattern), 600_000)):
                    file.write(pattern[start : start + 600_000])
                    if number % 3 == 0:
                        os.fdatasync(file.fileno())  # or the kernel would send it all at the end

    writers = [threading.Thread(target=write, args=(drive.point / name,)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    kept = [drive.versions() / f"s{number}" for number in range(40 if LONG else 12)]
    try:
        for path in kept:
            path.mkdir()
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    sizes: set[int] = set()
    for version in [*kept, *(drive.versions() / name for name in drive.entries())]:
        for name in ("a", "b"):
            if (version / name).exists():
                data = (version / name).read_bytes()
                assert data == pattern[: len(data)], (version, name)
                sizes.add(len(data))
    assert len(sizes) > 3


def test_a_version_is_one_instant_of_two_files_that_change_together(drive: Drive) -> None:
    """A program that writes one file and then the other: no version has the second newer than the first."""
    first, second = drive.point / "first", drive.point / "second"
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for path in (first, second):
                fd = os.open(path, os.O_CREAT | os.O_WRONLY)
                os.pwrite(fd, b"%08d" % number * 3000, 0)
                os.close(fd)

    writer = threading.Thread(target=write)
    writer.start()
    kept = [drive.versions() / f"s{number}" for number in range(60 if LONG else 20)]
    try:
        until("both are there", second.exists)
        for path in kept:
            path.mkdir()
    finally:
        stop.set()
        writer.join()
    for version in kept:
        one, other = (version / "first").read_bytes(), (version / "second").read_bytes()
        assert one == one[:8] * 3000
        assert other == other[:8] * 3000
        assert int(one[:8]) - int(other[:8]) in (0, 1)
