"""Real programs on real input: git, SQLite, rsync, tar, cp. What they leave is compared byte by byte."""

import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .drive import LONG, Drive, sync_filesystem
from .test_versions import state_of

LIBRARY = Path(os.__file__).parent
SLICES = ["asyncio", "email", "json", "unittest", "ctypes", "importlib", "logging", "urllib", "xml", "concurrent"]
STATES = 10 if LONG else 5


def run(
    *command: object, cwd: Path | None = None, seconds: float = 120, environment: dict[str, str] | None = None
) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | (environment or {}),
        capture_output=True,
        timeout=seconds,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slice of the standard library: some hundred real files."""
    folder = tmp_path_factory.mktemp("library") / "slice"
    for name in SLICES:
        shutil.copytree(LIBRARY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "test*"))
    return folder


def edited(folder: Path, rng: random.Random) -> None:
    """The next state of a project: some files edited, some new, some gone, some moved."""
    files = sorted(path for path in folder.rglob("*.py") if path.is_file())
    for path in rng.sample(files, 12):
        lines = path.read_bytes().splitlines(keepends=True)
        place = rng.randrange(len(lines) + 1)
        lines[place:place] = [b"# edited %d\n" % rng.randrange(10**6)]
        path.write_bytes(b"".join(lines))
    for path in rng.sample(files, 3):
        if path.exists():
            path.rename(path.with_name(f"moved_{rng.randrange(10**6)}.py"))
    for path in rng.sample(files, 2):
        path.unlink(missing_ok=True)
    new = folder / f"new{rng.randrange(10**6)}"
    new.mkdir()
    (new / "data.bin").write_bytes(rng.randbytes(rng.randrange(300_000)))


def test_states_laid_over_one_another_by_rsync_are_all_there(drive: Drive, library: Path, tmp_path: Path) -> None:
    need("rsync")
    rng = random.Random(3)
    source = tmp_path / "project"
    shutil.copytree(library, source)
    states: list[dict[str, tuple[object, ...]]] = []
    for number in range(STATES):
        run("rsync", "-aHAX", "--delete", "--modify-window=-1", f"{source}/", f"{drive.point}/project/")
        drive.snapshot(f"state{number}")
        states.append(state_of(source))
        assert state_of(drive.point / "project") == states[-1]
        edited(source, rng)

    def check() -> None:
        for number, state in enumerate(states):
            assert state_of(drive.versions() / f"state{number}" / "project") == state, f"state {number}"
        assert state_of(drive.point / "project") == states[-1]

    check()
    drive.remount()
    check()
    drive.kill()
    drive.mount()
    check()


def test_tar_and_cp_give_back_what_they_got(drive: Drive, library: Path, tmp_path: Path) -> None:
    run("tar", "--format=posix", "-cf", tmp_path / "a.tar", "-C", library, ".")
    (drive.point / "t").mkdir()
    run("tar", "-xf", tmp_path / "a.tar", "-C", drive.point / "t")
    run("cp", "-a", library, drive.point / "c")
    expected = state_of(library)
    assert state_of(drive.point / "t") == expected
    assert state_of(drive.point / "c") == expected
    drive.remount()
    assert state_of(drive.point / "t") == expected
    run("tar", "--format=posix", "-cf", tmp_path / "b.tar", "-C", drive.point / "c", ".")
    (tmp_path / "back").mkdir()
    run("tar", "-xf", tmp_path / "b.tar", "-C", tmp_path / "back")
    assert state_of(tmp_path / "back") == expected
    assert run("tar", "-df", tmp_path / "a.tar", "-C", drive.point / "t") == ""


# git


IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"))
} | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}


def git(folder: Path, *words: str) -> str:
    return run("git", *words, cwd=folder, environment=IDENTITY)


def test_git_clones_commits_collects_and_finds_nothing_wrong(drive: Drive, library: Path, tmp_path: Path) -> None:
    need("git")
    rng = random.Random(4)
    origin = tmp_path / "origin"
    shutil.copytree(library, origin)
    git(origin, "init", "-q", "-b", "main")
    for number in range(3):
        git(origin, "add", "-A")
        git(origin, "commit", "-q", "-m", f"state {number}")
        edited(origin, rng)
    git(origin, "checkout", "-q", "-f", "main")
    git(origin, "clean", "-fdq")
    work = drive.point / "work"
    run("git", "clone", "-q", origin, work, environment=IDENTITY)
    drive.snapshot("cloned")
    cloned = hashes(work)
    git(work, "checkout", "-q", "-b", "topic")
    for number in range(4):
        edited(work, rng)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", f"on the mount {number}")
    git(work, "checkout", "-q", "main")
    assert git(work, "status", "--porcelain") == ""
    git(work, "merge", "-q", "--no-edit", "topic")
    git(work, "gc", "-q", "--aggressive", "--prune=now")
    git(work, "fsck", "--strict")
    head, listing = git(work, "rev-parse", "HEAD"), hashes(work)
    drive.snapshot("done")  # git itself syncs only its objects
    drive.kill()
    drive.mount()
    git(work, "fsck", "--strict")
    assert git(work, "rev-parse", "HEAD") == head
    assert hashes(work) == listing
    assert git(work, "status", "--porcelain") == ""
    assert hashes(drive.versions() / "cloned" / "work") == cloned
    shutil.copytree(drive.versions() / "cloned" / "work", tmp_path / "old", symlinks=True)
    git(tmp_path / "old", "fsck", "--strict")


# SQLite


WRITER = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
base.execute("pragma synchronous=full")
for number in range(int(sys.argv[3])):
    base.execute("begin immediate")
    total, = base.execute("select total from sums where id=1").fetchone()
    base.execute("insert into rows(writer, number, text) values(?,?,?)", (sys.argv[2], number, "x" * (number % 700)))
    base.execute("update sums set total=? where id=1", (total + 1,))
    base.execute("commit")
    print(number, flush=True)
base.close()
"""


def make_base(path: Path) -> None:
    base = sqlite3.connect(path)
    assert base.execute("pragma journal_mode=wal").fetchone() == ("wal",)
    base.execute("create table rows(id integer primary key, writer text, number integer, text text)")
    base.execute("create table sums(id integer primary key, total integer)")
    base.execute("insert into sums values(1, 0)")
    base.commit()
    base.close()


def check_base(path: Path) -> dict[str, int]:
    """How many rows each writer has; the base is whole and has no gaps."""
    base = sqlite3.connect(path)
    try:
        assert base.execute("pragma integrity_check").fetchone() == ("ok",)
        (total,) = base.execute("select total from sums").fetchone()
        found = base.execute("select writer, count(*), max(number) from rows group by writer").fetchall()
    finally:
        base.close()
    assert total == sum(count for _, count, _ in found)
    assert all(last == count - 1 for _, count, last in found)
    return {writer: count for writer, count, _ in found}


def start_writers(path: Path, rows: int) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, str(rows)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        for name in "abc"
    ]


def test_sqlite_in_wal_mode_under_three_writers(drive: Drive) -> None:
    path = drive.point / "base.db"
    rows = 1000 if LONG else 60
    make_base(path)
    writers = start_writers(path, rows)
    for writer in writers:
        _, errors = writer.communicate(timeout=300)
        assert writer.returncode == 0, errors
    assert check_base(path) == dict.fromkeys("abc", rows)
    drive.remount()
    assert check_base(path) == dict.fromkeys("abc", rows)


def test_sqlite_keeps_every_acknowledged_row_over_a_kill(drive: Drive) -> None:
    path = drive.point / "base.db"
    make_base(path)
    rng = random.Random(5)
    for _ in range(20 if LONG else 2):
        writers = start_writers(path, 1_000_000)
        time.sleep(rng.uniform(0.7, 1.5))  # the moment of the kill: not to be awaited
        drive.kill()
        said = [len(writer.communicate(timeout=60)[0].splitlines()) for writer in writers]
        drive.mount()
        found = check_base(path)
        assert sum(said) > 0
        assert all(found.get(name, 0) >= count for name, count in zip("abc", said, strict=True)), (found, said)
        base = sqlite3.connect(path)
        base.execute("delete from rows")
        base.execute("update sums set total=0")
        base.commit()
        base.close()


def test_a_base_of_any_version_is_whole(drive: Drive, tmp_path: Path) -> None:
    """A version is one instant: a database copied out of it opens, whenever it was made."""
    path = drive.point / "base.db"
    make_base(path)
    writers = start_writers(path, 2000)
    while any(writer.poll() is None for writer in writers) and len(drive.entries()) < 5:
        sync_filesystem(drive.point)
    for writer in writers:
        writer.kill()
        writer.communicate(timeout=60)
    (drive.versions() / "last").mkdir()  # on a quick machine the writers may be done before the first version
    checked = 0
    for name in drive.entries():
        old = drive.versions() / name
        if (old / "base.db").exists() and (old / "base.db").stat().st_size:
            copy = tmp_path / name
            shutil.copytree(old, copy)
            (copy / "base.db-shm").unlink(missing_ok=True)  # never written for others to read: made anew
            if sqlite3.connect(copy / "base.db").execute("select count(*) from sqlite_master").fetchone() == (2,):
                check_base(copy / "base.db")
                checked += 1
    assert checked


@pytest.mark.timeout(1800 if LONG else 300)
def test_a_tree_of_the_library_is_the_same_live_remounted_and_after_a_kill(drive: Drive) -> None:
    source = LIBRARY if LONG else LIBRARY / "encodings"
    run("cp", "-a", source, drive.point / "copy", seconds=300)
    expected = hashes(source)
    assert hashes(drive.point / "copy") == expected
    drive.remount()
    assert hashes(drive.point / "copy") == expected
    drive.kill()
    drive.mount()
    assert hashes(drive.point / "copy") == expected
    assert hashes(drive.versions() / "now" / "copy") == expected
