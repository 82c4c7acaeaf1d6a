"""A folder's copy becomes equal to it, whatever was done to the folder; and at what cost."""

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hyperfs.follow.deeds import Deeds
from hyperfs.follow.facts import Facts, Parts
from hyperfs.follow.tree import Folder
from hyperfs.follow.walking import Emptied
from tests import tally

from .two_trees import TwoTrees, assert_equal, described


@pytest.fixture
def trees(tmp_path: Path) -> TwoTrees:
    return TwoTrees(tmp_path)


def test_everything_that_a_folder_can_hold_is_copied(trees: TwoTrees) -> None:
    source = trees.source
    (source / "folder" / "deep" / "er").mkdir(parents=True)
    (source / "folder" / "file").write_bytes(os.urandom(3_000_000))
    (source / "empty").touch()
    (source / "link").symlink_to("nowhere at all")
    os.link(source / "folder" / "file", source / "folder" / "deep" / "same")
    os.mkfifo(source / "fifo", 0o640)
    (source / os.fsdecode(b"\xff\n\\*")).write_text("strange")
    (source / "script").write_text("#!")
    os.chmod(source / "script", 0o4751)
    os.setxattr(source / "script", "user.kind", b"s\0")
    os.utime(source / "script", ns=(5, 1_234_567_890_123_456_789))
    os.utime(source / "link", ns=(7, 9), follow_symlinks=False)
    os.chmod(source / "folder", 0o2555)
    if os.geteuid() == 0:
        os.chown(source / "link", 5, 6, follow_symlinks=False)
        os.mknod(source / "null", 0o020600, os.makedev(1, 3))
    report = trees.compare()
    assert_equal(source, trees.copy)
    assert not report.notes
    assert report.counts.bytes == 3_000_009
    assert not trees.compare().counts.any()


def test_holes_stay_holes(trees: TwoTrees) -> None:
    with open(trees.source / "sparse", "wb") as file:
        file.seek(40 << 20)
        file.write(b"x")
        file.truncate(100 << 20)
    report = trees.compare()
    assert_equal(trees.source, trees.copy)
    assert report.counts.bytes < 1 << 20
    assert os.stat(trees.copy / "sparse").st_blocks < 4096


def test_a_renamed_file_keeps_its_inode_and_is_not_read(trees: TwoTrees) -> None:
    (trees.source / "a").mkdir()
    (trees.source / "z").mkdir()
    (trees.source / "a" / "early").write_text("1")
    (trees.source / "z" / "late").write_text("22")
    trees.compare()
    inodes = trees.inode("a/early"), trees.inode("z/late")
    os.rename(trees.source / "a" / "early", trees.source / "z" / "moved")
    os.rename(trees.source / "z" / "late", trees.source / "a" / "moved")
    report = trees.compare()
    assert_equal(trees.source, trees.copy)
    assert (trees.inode("z/moved"), trees.inode("a/moved")) == inodes
    assert (report.counts.moved, report.counts.bytes) == (2, 0)


def test_a_renamed_folder_is_one_rename(trees: TwoTrees) -> None:
    shutil.copytree(Path(__file__).parent, trees.source / "zoo" / "tests")
    trees.compare()
    inode = trees.inode("zoo/tests/test_walking.py")
    os.rename(trees.source / "zoo", trees.source / "ark")
    report = trees.compare()
    assert_equal(trees.source, trees.copy)
    assert trees.inode("ark/tests/test_walking.py") == inode
    assert (report.counts.moved, report.counts.taken, report.counts.bytes) == (1, 0, 0)


def test_rotated_logs_and_exchanged_folders_cost_no_bytes(trees: TwoTrees) -> None:
    for number in range(3):
        (trees.source / f"log.{number}").write_text(f"log {number}" * (number + 1))
    for name in ("one", "two"):
        (trees.source / name).mkdir()
        (trees.source / name / f"in {name}").write_text(name)
    trees.compare()
    for number in (2, 1, 0):
        os.rename(trees.source / f"log.{number}", trees.source / f"log.{number + 1}")
    ctypes.CDLL(None).renameat2(
        -100, os.fsencode(trees.source / "one"), -100, os.fsencode(trees.source / "two"), 2
    )
    report = trees.compare()
    assert_equal(trees.source, trees.copy)
    assert (report.counts.taken, report.counts.bytes) == (0, 0)


def test_a_file_that_got_an_old_inode_number_is_not_taken_for_the_old_one(trees: TwoTrees) -> None:
    for number in range(30):
        (trees.source / f"{number}").write_text(f"this was {number}")
    trees.compare()
    for number in range(30):
        (trees.source / f"{number}").unlink()
    for number in range(30):
        (trees.source / f"new {number}").write_text(f"that is {number}")
    trees.compare()
    assert_equal(trees.source, trees.copy)


def test_bytes_changed_under_an_old_mtime_are_found_by_the_ctime(trees: TwoTrees) -> None:
    path = trees.source / "file"
    path.write_text("before")
    stamp = path.stat().st_mtime_ns
    trees.compare()
    path.write_text("behind")
    os.utime(path, ns=(stamp, stamp))
    trees.compare()
    assert (trees.copy / "file").read_text() == "behind"


def test_a_symlink_is_what_it_leads_to(trees: TwoTrees) -> None:
    (trees.source / "link").symlink_to("a")
    os.utime(trees.source / "link", ns=(1, 1), follow_symlinks=False)
    (trees.copy / "link").symlink_to("b")
    os.utime(trees.copy / "link", ns=(1, 1), follow_symlinks=False)
    trees.compare()
    assert_equal(trees.source, trees.copy)
    inode = trees.inode("link")
    trees.lose_records()
    trees.compare()
    assert trees.inode("link") == inode


def test_new_modes_and_attributes_cost_no_bytes(trees: TwoTrees) -> None:
    for name in ("mode", "attribute", "link"):
        (trees.source / name).write_text(name)
    trees.compare()
    inodes = [trees.inode(name) for name in ("mode", "attribute", "link")]
    os.chmod(trees.source / "mode", 0o600)
    os.setxattr(trees.source / "attribute", "user.x", b"1")
    os.link(trees.source / "link", trees.source / "another")
    report = trees.compare()
    assert_equal(trees.source, trees.copy)
    assert [trees.inode(name) for name in ("mode", "attribute", "link")] == inodes
    assert report.counts.bytes == 0


def test_hard_links_stay_together_when_only_one_name_is_told_of(trees: TwoTrees) -> None:
    (trees.source / "one").write_text("first")
    os.link(trees.source / "one", trees.source / "two")
    trees.compare()
    (trees.source / "two").write_text("second state")
    trees.compare([(b"two",)])
    assert_equal(trees.source, trees.copy)


def test_without_records_what_is_there_is_taken_over(trees: TwoTrees) -> None:
    (trees.source / "folder").mkdir()
    (trees.source / "folder" / "file").write_text("bytes")
    trees.compare()
    inode = trees.inode("folder/file")
    trees.lose_records()
    ctime = os.stat(trees.copy / "folder" / "file").st_ctime_ns
    report = trees.compare()
    assert_equal(trees.source, trees.copy)
    assert (trees.inode("folder/file"), os.stat(trees.copy / "folder" / "file").st_ctime_ns) == (inode, ctime)
    assert report.counts.bytes == 0
    trees.state.write_bytes(b"no database at all" * 1000)
    assert not trees.compare().counts.any()


def test_ignored_names_are_left_out_and_taken_out(trees: TwoTrees) -> None:
    for name in ("keep/a.o", "keep/a.c", "build/x", "sub/build/x", "sub/deep/b.o", "sub/deep/c.o"):
        (trees.source / name).parent.mkdir(parents=True, exist_ok=True)
        (trees.source / name).write_text(name)
    trees.ignore = b"build/\n"
    trees.compare()
    assert not (trees.copy / "build").exists()
    assert (trees.copy / "keep" / "a.o").exists()
    (trees.source / ".hyperfsignore").write_text("*.o\n!\n")
    (trees.source / "sub" / ".hyperfsignore").write_text("!b.o\n")
    report = trees.compare([(b".hyperfsignore",), (b"sub", b".hyperfsignore")])
    left = {path for path in described(trees.copy) if not (trees.copy / path).is_dir()}
    assert left == {".hyperfsignore", "keep/a.c", "sub/.hyperfsignore", "sub/deep/b.o"}
    assert any("no pattern" in why for _, why in report.hints)
    (trees.source / "sub" / "deep" / "c.o").write_text("changed")
    (trees.source / "sub" / "deep" / "d.c").write_text("new")
    trees.compare([(b"sub", b"deep", b"c.o"), (b"sub", b"deep", b"d.c")])
    assert sorted(os.listdir(trees.copy / "sub" / "deep")) == ["b.o", "d.c"]


def test_an_emptied_folder_deletes_nothing(trees: TwoTrees) -> None:
    (trees.source / "a").write_text("1")
    (trees.source / "b").mkdir()
    trees.compare()
    shutil.rmtree(trees.source / "b")
    (trees.source / "a").unlink()
    for paths in (None, [(b"a",), (b"b",)]):
        with pytest.raises(Emptied):
            trees.compare(paths)
        assert sorted(os.listdir(trees.copy)) == ["a", "b"]
    trees.compare(force=True)
    assert os.listdir(trees.copy) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_what_another_disk_held_stays_when_that_is_unmounted(trees: TwoTrees) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    disk = trees.source / "sub" / "disk"
    disk.mkdir(parents=True)
    assert libc.mount(b"none", os.fsencode(disk), b"tmpfs", 0, None) == 0
    (disk / "folder").mkdir()
    (disk / "folder" / "file").write_text("on another disk")
    (trees.source / "other").write_text("here")
    trees.compare()
    inode = trees.inode("sub/disk/folder/file")
    assert libc.umount2(os.fsencode(disk), 2) == 0
    for paths in (None, [(b"sub", b"disk", b"folder", b"file")], [(b"sub", b"disk")]):
        report = trees.compare(paths)
        assert trees.inode("sub/disk/folder/file") == inode
        assert any("another disk" in why for why in report.notes.values())
    disk.rmdir()
    trees.compare()
    assert trees.inode("sub/disk/folder/file") == inode
    trees.compare(force=True)
    assert_equal(trees.source, trees.copy)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_can_not_be_looked_at_is_not_gone(
    trees: TwoTrees, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (trees.source / "closed" / "deep").mkdir(parents=True)
    for name in ("closed/file", "closed/deep/file", "broken", "fine"):
        (trees.source / name).write_text(name)
    trees.compare()
    real_names, real_facts = Folder.names, Folder.facts

    def names(folder: Folder) -> list[bytes]:
        if folder.parts == (b"closed",) and _is_in(folder, trees.source):
            raise OSError(number, os.strerror(number))
        return real_names(folder)

    def facts(folder: Folder, name: bytes) -> Facts | None:
        if name == b"broken" and _is_in(folder, trees.source):
            raise OSError(number, os.strerror(number))
        return real_facts(folder, name)

    monkeypatch.setattr(Folder, "names", names)
    monkeypatch.setattr(Folder, "facts", facts)
    (trees.source / "fine").unlink()
    for paths in (None, [(b"broken",), (b"fine",), (b"closed",)]):
        report = trees.compare(paths, whole=[] if paths is None else [(b"closed",)])
        assert set(report.notes) == {(b"closed",), (b"broken",)}
        assert sorted(os.listdir(trees.copy)) == ["broken", "closed"]
        assert (trees.copy / "closed" / "deep" / "file").exists()
    monkeypatch.undo()
    trees.compare()
    assert_equal(trees.source, trees.copy)


def _is_in(folder: Folder, top: Path) -> bool:
    return Path(os.readlink(f"/proc/self/fd/{folder.fd}")).is_relative_to(top)


def test_a_file_that_changes_is_not_taken(trees: TwoTrees) -> None:
    (trees.source / "file").write_text("x")
    trees.clock = (trees.source / "file").stat().st_ctime + 0.4
    trees.compare()
    assert trees.restless == [(b"file",)]
    assert not (trees.copy / "file").exists()
    trees.clock += 0.2
    trees.compare()
    assert_equal(trees.source, trees.copy)


@pytest.mark.parametrize("how", ["written", "replaced"])
def test_a_file_that_changes_while_it_is_read_is_not_taken(
    trees: TwoTrees, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (trees.source / "file").write_bytes(bytes(5_000_000))
    trees.compare()
    (trees.source / "file").write_bytes(os.urandom(5_000_000))
    real, pieces = os.pwrite, []

    def disturbed(fd: int, data: bytes, at: int) -> int:
        pieces.append(at)
        if len(pieces) == 2 and how == "written":
            (trees.source / "file").write_bytes(b"short")
        elif len(pieces) == 2:
            (trees.source / "new").write_bytes(b"short")
            os.rename(trees.source / "new", trees.source / "file")
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", disturbed)
    trees.compare()
    assert trees.restless == [(b"file",)]
    assert os.listdir(trees.copy) == ["file"]
    assert (trees.copy / "file").stat().st_size == 5_000_000
    monkeypatch.undo()
    trees.compare()
    assert_equal(trees.source, trees.copy)


def test_what_is_foreign_in_the_copy_goes_but_trash_and_marked_folders_stay(trees: TwoTrees) -> None:
    (trees.source / "mine").write_text("x")
    (trees.copy / ".Trash-0").mkdir()
    (trees.copy / "foreign" / "deep").mkdir(parents=True)
    (trees.copy / "other follow").mkdir()
    os.setxattr(trees.copy / "other follow", "user.hyperfs-follow", b"{}")
    trees.into_is_root = True
    report = trees.compare()
    assert sorted(os.listdir(trees.copy)) == [".Trash-0", "mine", "other follow"]
    assert [path for path, _ in report.hints] == [(b"other follow",)]


def test_rules_of_the_drive_stay_on_the_copy(trees: TwoTrees) -> None:
    (trees.source / "file").write_text("x")
    trees.compare()
    os.setxattr(trees.copy / "file", "user.hyperfs.keep", b"all")
    (trees.source / "file").write_text("changed")
    trees.compare()
    assert os.getxattr(trees.copy / "file", "user.hyperfs.keep") == b"all"


def test_no_name_of_the_folder_is_in_the_state_file(trees: TwoTrees) -> None:
    (trees.source / "a very secret name").mkdir()
    (trees.source / "a very secret name" / "another").write_text("x")
    trees.compare()
    for path in trees.state.parent.glob("state.sqlite*"):
        assert b"secret" not in path.read_bytes()


# --- anything -----------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "A"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), PATHS, st.sampled_from(["", "x", "yy", "long" * 1000])),
    st.tuples(st.just("replace"), PATHS, st.sampled_from(["x", "zz"])),
    st.tuples(st.just("mkdir"), PATHS, st.just("")),
    st.tuples(st.just("remove"), PATHS, st.just("")),
    st.tuples(st.just("rename"), PATHS, PATHS),
    st.tuples(st.just("exchange"), PATHS, PATHS),
    st.tuples(st.just("link"), PATHS, PATHS),
    st.tuples(st.just("symlink"), PATHS, NAMES),
    st.tuples(st.just("chmod"), PATHS, st.sampled_from(["700", "755", "500"])),
    st.tuples(st.just("attribute"), PATHS, st.sampled_from(["1", "2"])),
)
BURSTS = st.lists(
    st.tuples(st.lists(OPERATIONS, max_size=8), st.sampled_from(["all", "told", "killed", "lost", "meddled"])),
    min_size=1,
    max_size=5,
)


def apply(top: Path, operation: tuple[str, str, str]) -> set[Parts]:
    """Does it, as far as it can be done; returns what a watcher would tell of."""
    what, where, value = operation
    told = _places(top, where) | (_places(top, value) if what in TELLS_OF_BOTH else set())
    with contextlib.suppress(OSError, shutil.Error):
        DOES[what](top / where, top / value, value)
    return told


def _places(top: Path, where: str) -> set[Parts]:
    """A name, what it leads to, and the folders of both, as paths in the followed folder."""
    path = top / where
    reached = {os.path.join(os.path.realpath(path.parent), path.name), os.path.realpath(path)}
    paths = {os.path.relpath(path, os.path.realpath(top)) for path in reached}
    paths |= {os.path.dirname(path) or "." for path in paths}
    return {() if path == "." else tuple(os.fsencode(path).split(b"/")) for path in paths if not path.startswith("..")}


def _replace(path: Path, other: Path, value: str) -> None:
    beside = path.with_name("new")
    beside.write_text(value)
    try:
        os.rename(beside, path)
    except OSError:
        beside.unlink()
        raise


def _remove(path: Path, other: Path, value: str) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _exchange(path: Path, other: Path, value: str) -> None:
    if ctypes.CDLL(None).renameat2(-100, os.fsencode(path), -100, os.fsencode(other), 2):
        raise OSError


TELLS_OF_BOTH = {"rename", "exchange", "link"}
DOES: dict[str, Callable[[Path, Path, str], object]] = {
    "write": lambda path, other, value: path.write_text(value),
    "replace": _replace,
    "mkdir": lambda path, other, value: path.mkdir(parents=True),
    "remove": _remove,
    "rename": lambda path, other, value: os.rename(path, other),
    "exchange": _exchange,
    "link": lambda path, other, value: os.link(path, other, follow_symlinks=False),
    "symlink": lambda path, other, value: path.symlink_to(value),
    "chmod": lambda path, other, value: os.chmod(path, int(value, 8), follow_symlinks=True),
    "attribute": lambda path, other, value: os.setxattr(path, "user.x", value.encode()),
}


def _old_files(top: Path, paths: set[Parts]) -> None:
    """Two files of one size, made in the same tick of the clock, would be taken for the same one: not by chance."""
    for path in paths:
        where = os.path.join(os.fsencode(top), *path)
        if os.path.isfile(where) and not os.path.islink(where):
            os.utime(where, ns=(1, 1))


class Killed(BaseException):
    """As SIGKILL: nothing more is done, and what the records had not committed is gone."""


def _killed_after(deeds: int) -> Iterator[None]:
    yield from [None] * deeds
    raise Killed


@example(  # found: of two names of one inode one was there and one was new, and no record of either
    bursts=[([("write", "a", ""), ("write", "b", "")], "all"), ([("write", "a", ""), ("link", "b", "A")], "lost")],
    kill_after=1,
)
@pytest.mark.timeout(3600)
@example(  # found: a folder that got the inode number of the file that had its name
    bursts=[([("write", "b", "")], "all"), ([("remove", "b", ""), ("mkdir", "b/a", "")], "told")], kill_after=1
)
@settings(
    max_examples=int(os.environ.get("HYPERFS_FOLLOWED", "1500" if os.environ.get("HYPERFS_ALL") == "1" else "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(bursts=BURSTS, kill_after=st.integers(1, 6))
def test_whatever_is_done_to_a_folder_its_copy_becomes_equal(
    bursts: list[tuple[list[tuple[str, str, str]], str]], kill_after: int
) -> None:
    with TemporaryDirectory() as folder:
        trees = TwoTrees(Path(folder))
        (trees.source / "always").touch()
        trees.compare()
        for operations, how in bursts:
            told: set[Parts] = set()
            new: set[Parts] = set()
            for operation in operations:
                told |= apply(trees.source, operation)
                new |= _places(trees.source, operation[1]) if operation[0] == "mkdir" else set()
            if how == "meddled":
                for operation in operations[::-1]:
                    _old_files(trees.copy, apply(trees.copy, operation))
            if how == "lost":
                trees.lose_records()
            if how == "killed":
                _compare_killed(trees, kill_after)
            trees.compare(told if how == "told" else None, whole=new - {()})
            assert_equal(trees.source, trees.copy)
            assert not trees.compare().counts.any()
            tally.add("states of a followed folder compared with its copy", 1)


def _compare_killed(trees: TwoTrees, deeds: int) -> None:
    real = Deeds.perform
    left = _killed_after(deeds)

    def perform(self: Deeds, at: object, step: object) -> None:
        next(left)
        real(self, at, step)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Deeds, "perform", perform)
        try:
            trees.compare()
        except (Killed, StopIteration):
            tally.add("follows killed in the middle of a batch", 1)
