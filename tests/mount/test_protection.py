"""nodelete, lock and archive on a mount: what programs are refused, and what they do without noticing."""

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .drive import Drive, until
from .test_user import NOBODY, User, user_and_drive  # noqa: F401  # a fixture

CLASS, PROTECT = "user.hyperfs.class", "user.hyperfs.protect"
EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> None:
    if _libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


def refused(deed: Callable[[], object]) -> bool:
    """Whether it is refused with EPERM; any other error is one of the test."""
    try:
        deed()
    except OSError as error:
        assert error.errno == errno.EPERM, error  # noqa: PT017  # not all deeds are refused
        return True
    return False


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def protected(drive: Drive, name: str, attribute: str, value: str, *files: str) -> Path:
    """A folder with files that a version has."""
    folder = drive.point / name
    folder.mkdir()
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(file)
    drive.snapshot(f"s-{name}")
    os.setxattr(folder, attribute, value.encode())
    return folder


def test_nodelete_refuses_to_delete_and_to_move_away(drive: Drive) -> None:
    folder = protected(drive, "d", PROTECT, "nodelete", "a", "b", "sub/c")
    elsewhere = drive.point / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "new").write_text("new")
    assert refused((folder / "a").unlink)
    assert refused(lambda: (folder / "a").rename(elsewhere / "a"))
    assert refused(lambda: (folder / "a").rename(folder / "z"))
    assert refused(lambda: (folder / "a").rename(folder / "b"))
    assert refused(lambda: folder.rename(drive.point / "e"))
    assert refused(lambda: exchange(folder / "a", elsewhere / "new"))
    assert refused(lambda: exchange(folder / "sub", elsewhere))
    subprocess.run(["rm", "-rf", folder], check=False, stderr=subprocess.DEVNULL, timeout=60)
    assert sorted(p.name for p in folder.rglob("*")) == ["a", "b", "c", "sub"]
    exchange(folder / "a", folder / "b")  # an edit of both
    assert (folder / "a").read_text() == "b"
    (elsewhere / "new").rename(folder / "a")  # and so is this
    assert (folder / "a").read_text() == "new"
    os.truncate(folder / "b", 0)
    os.removexattr(folder, PROTECT)
    shutil.rmtree(folder)


def test_people_work_in_a_nodelete_folder_without_noticing(drive: Drive) -> None:
    folder = protected(drive, "d", PROTECT, "nodelete", "text")
    text, lock = folder / "text", folder / ".~lock.text#"
    lock.write_text("me")
    drive.snapshot("lock-files-get-into-versions")
    for number in range(3):
        (folder / "4913").touch()
        (folder / "4913").unlink()
        text.rename(folder / "text~")  # vim's way
        text.write_text(f"vim {number}")
        (folder / "text~").unlink()
        fresh = folder / f"tmp{number}x"  # everybody else's
        fresh.write_text(f"saved {number}")
        fresh.rename(text)
        drive.snapshot(f"s{number}")
    lock.unlink()
    source = drive.point / "source"
    source.mkdir()
    for number in range(3):
        (source / "text").write_text(f"rsync {number}")
        if shutil.which("rsync"):
            subprocess.run(["rsync", "-a", f"{source}/", folder], check=True, timeout=60)
    assert sorted(os.listdir(folder)) == ["text"]
    assert refused(text.unlink)


def test_a_backup_is_no_way_to_delete(drive: Drive) -> None:
    folder = protected(drive, "d", PROTECT, "nodelete", "text")
    for backup in (folder / "text~", folder / "text.bak"):
        (folder / "text").rename(backup)
        assert refused(backup.unlink)
        drive.snapshot(f"s-{backup.name}")
        assert refused(backup.unlink)
        (folder / "text").write_text("again")
        drive.snapshot(f"t-{backup.name}")
    (folder / "text~").unlink()
    assert refused((folder / "text.bak").unlink)  # an editor leaves it, people keep it


def test_lock_holds_for_root_too(drive: Drive) -> None:
    folder = protected(drive, "d", PROTECT, "lock", "a", "sub/b")
    outside = drive.point / "outside"
    outside.write_text("other")
    assert refused((folder / "a").unlink)
    assert refused(lambda: (folder / "a").rename(folder / "c"))
    assert refused(lambda: outside.rename(folder / "a"))
    assert refused(lambda: exchange(outside, folder / "a"))
    assert refused(lambda: exchange(folder / "a", folder / "sub"))
    (folder / "new").write_text("never in a version")
    assert refused((folder / "new").unlink)
    assert refused(lambda: folder.rename(drive.point / "e"))
    appended(folder / "a")  # nothing goes: an edit stays in the history
    subprocess.run(["rm", "-rf", drive.point / "d"], check=False, stderr=subprocess.DEVNULL, timeout=60)
    assert sorted(p.name for p in folder.rglob("*")) == ["a", "b", "new", "sub"]


def test_rm_rf_takes_only_what_is_not_locked(drive: Drive) -> None:
    folder = drive.point / "d"
    folder.mkdir()
    for name in ("one", "two", "three"):
        (folder / name).write_text(name)
    os.setxattr(folder / "two", PROTECT, b"lock")
    subprocess.run(["rm", "-rf", folder], check=False, stderr=subprocess.DEVNULL, timeout=60)
    assert os.listdir(folder) == ["two"]
    drive.remount()
    assert refused((folder / "two").unlink)


def test_a_folder_above_moves_with_what_is_locked_in_it(drive: Drive) -> None:
    (drive.point / "top").mkdir()
    folder = drive.point / "top" / "d"
    folder.mkdir()
    (folder / "a").touch()
    os.setxattr(folder, PROTECT, b"lock")
    (drive.point / "top").rename(drive.point / "moved")
    assert refused((drive.point / "moved" / "d" / "a").unlink)
    os.setxattr(drive.point / "moved" / "d" / "a", PROTECT, b"none")  # nearer
    (drive.point / "moved" / "d" / "a").unlink()


def test_of_several_names_the_one_in_the_locked_folder_stays(drive: Drive) -> None:
    folder = protected(drive, "d", PROTECT, "lock", "a")
    other = drive.point / "other"
    os.link(folder / "a", other)
    other.unlink()
    assert refused((folder / "a").unlink)
    os.link(folder / "a", other)
    os.removexattr(folder, PROTECT)
    os.setxattr(other, PROTECT, b"lock")
    assert refused((folder / "a").unlink)
    assert refused(other.unlink)


def test_an_archive_stays_what_it_is(drive: Drive) -> None:
    folder = protected(drive, "d", CLASS, "archive", "a", "b")
    a, outside = folder / "a", drive.point / "outside"
    outside.write_text("other")
    for deed in (
        lambda: appended(a),
        lambda: a.write_text(""),
        lambda: os.truncate(a, 0),
        lambda: os.close(os.open(a, os.O_RDONLY | os.O_TRUNC)),
        lambda: os.close(os.open(a, os.O_RDWR)),
        a.unlink,
        lambda: outside.rename(a),
        lambda: (folder / "b").rename(a),
        lambda: exchange(outside, a),
        lambda: a.rename(drive.point / "out"),
    ):
        assert refused(deed)
    assert a.read_text() == "a"
    a.rename(folder / "renamed")
    os.chmod(folder / "renamed", 0o600)
    os.setxattr(folder, CLASS, b"auto")
    appended(folder / "renamed")


def test_no_further_name_opens_an_archive(drive: Drive) -> None:
    folder = protected(drive, "d", CLASS, "archive", "a")
    os.link(folder / "a", drive.point / "link")
    assert refused(lambda: appended(drive.point / "link"))
    (drive.point / "link").rename(drive.point / "moved")
    assert refused(lambda: appended(drive.point / "moved"))
    (drive.point / "moved").unlink()
    assert refused((folder / "a").unlink)


def test_an_archive_closes_with_the_last_writable_handle(drive: Drive) -> None:
    folder = drive.point / "d"
    folder.mkdir()
    os.setxattr(folder, CLASS, b"archive")
    path = folder / "new"
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(file, b"x" * 8192)
    os.ftruncate(file, 4096)
    mapped = mmap.mmap(file, 4096)
    os.close(file)
    mapped[:5] = b"late!"
    mapped.flush()
    mapped[5:9] = b"more"  # written back when it is unmapped
    mapped.close()
    until("the handle is released", lambda: refused(lambda: os.close(os.open(path, os.O_RDWR))))
    drive.remount()
    assert path.read_bytes() == b"late!more" + b"x" * 4087
    assert refused(lambda: appended(path))


def test_a_folder_that_becomes_an_archive_closes_what_is_open_at_its_end(drive: Drive) -> None:
    folder = drive.point / "d"
    folder.mkdir()
    with (folder / "a").open("wb", buffering=0) as file:
        file.write(b"one")
        os.setxattr(folder, CLASS, b"archive")
        file.write(b"two")
    until("it is closed", lambda: refused(lambda: os.close(os.open(folder / "a", os.O_WRONLY))))
    assert (folder / "a").read_bytes() == b"onetwo"


def test_computed_attributes_are_read_and_neither_listed_nor_set(drive: Drive) -> None:
    folder = protected(drive, "d", CLASS, "archive", "a")
    path = folder / "a"
    assert os.getxattr(path, "user.hyperfs.resident") == b"100"
    assert os.getxattr(path, "user.hyperfs.copies_now") == b"0"
    assert int(os.getxattr(path, "user.hyperfs.version")) > 1
    assert b'"class": {"value": "archive", "from": "d"}' in os.getxattr(path, "user.hyperfs.policy")
    assert os.getxattr(path, "user.hyperfs.link").startswith(b"hyper://")
    assert os.listxattr(path) == []
    assert os.listxattr(folder) == [CLASS]
    for name in ("policy", "version", "resident", "copies_now", "link", "other"):
        with pytest.raises(OSError, match="not supported"):
            os.setxattr(folder, f"user.hyperfs.{name}", b"1")
        with pytest.raises(OSError, match="not supported"):
            os.removexattr(folder, f"user.hyperfs.{name}")
    for name, value in (("class", b"warm"), ("protect", b""), ("copies", b"10"), ("places", b"a,,b")):
        with pytest.raises(OSError, match="Invalid"):
            os.setxattr(folder, f"user.hyperfs.{name}", value)
    in_past = drive.versions() / "s-d" / "d" / "a"
    assert int(os.getxattr(in_past, "user.hyperfs.version")) > 1


def test_a_user_is_refused_as_root_is(user_and_drive: tuple[User, Drive]) -> None:  # noqa: F811  # the fixture
    user, drive = user_and_drive
    script = """
    cd "$1"; mkdir d; echo a > d/a; setfattr -n user.hyperfs.protect -v lock d
    rm -f d/a; echo rm $?; mv d/a d/b; echo mv $?
    setfattr -x user.hyperfs.protect d; rm d/a; echo rm $?
    """
    if shutil.which("setfattr") is None:
        pytest.skip("setfattr is not installed")
    done = user.run("sh", "-c", script, "sh", drive.point)
    assert done.stdout.split() == ["rm", "1", "mv", "1", "rm", "0"], done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs two users")
def test_lock_and_archive_are_for_the_owner() -> None:
    with tempfile.TemporaryDirectory(prefix="hyperfs-owner-") as name:  # pytest's own lets nobody else in
        _check_owner(Path(name))


def _check_owner(place: Path) -> None:
    drive = Drive(place)
    try:
        drive.mount("allow-other")
        folder = drive.point / "d"
        folder.mkdir()
        for path in (place, drive.point, folder):
            os.chmod(path, 0o777)

        def as_nobody(*command: object) -> int:
            return subprocess.run(
                list(map(str, command)), user=NOBODY, group=NOBODY, extra_groups=[], check=False, timeout=60, cwd="/",
                stderr=subprocess.DEVNULL,
            ).returncode  # fmt: skip

        assert as_nobody("setfattr", "-n", PROTECT, "-v", "nodelete", folder) == 0
        assert as_nobody("setfattr", "-n", PROTECT, "-v", "lock", folder) == 1
        assert as_nobody("setfattr", "-n", CLASS, "-v", "archive", folder) == 1
        os.setxattr(folder, PROTECT, b"lock")
        assert as_nobody("setfattr", "-n", PROTECT, "-v", "none", folder) == 1
        assert as_nobody("setfattr", "-x", PROTECT, folder) == 1
        assert as_nobody("touch", folder / "own") == 0
        assert as_nobody("setfattr", "-n", PROTECT, "-v", "none", folder / "own") == 1  # it would overrule the folder's
        assert as_nobody("rm", "-f", folder / "own") == 1
    finally:
        drive.end()
