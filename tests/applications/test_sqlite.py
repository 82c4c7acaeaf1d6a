"""SQLite on a drive: every journal mode, several writers, writers and drives that are killed."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import LONG, Drive, sync_filesystem
from tests.waiting import readable

ROLLBACK = ["delete", "truncate", "persist"]
SAFE = [*ROLLBACK, "wal"]
MODES = [*SAFE, "memory", "off"]
"""`memory` and `off` keep no journal on the disk: SQLite promises nothing for them over a crash."""
ROWS = int(os.environ.get("HYPERFS_SQLITE_ROWS", "1000" if LONG else "15"))
KILLS = int(os.environ.get("HYPERFS_SQLITE_KILLS", "20" if LONG else "1"))

WRITER = """
import os, sqlite3, sys
path, name, rows, mode = sys.argv[1:]
base = sqlite3.connect(path, timeout=120, isolation_level=None)
assert base.execute("pragma journal_mode=%s" % mode).fetchone() == (mode,)
base.execute("pragma synchronous=extra")  # full, and the folder is synced when the journal is removed
base.execute("pragma cache_size=20")  # pages, so that a transaction spills and its journal is played back
for number in range(int(rows)):
    base.execute("begin immediate")
    total, = base.execute("select total from sums where id=1").fetchone()
    base.execute("insert into rows(writer, number, text) values(?,?,?)", (name, number, "x" * (number * 37 % 700)))
    base.execute("update sums set total=? where id=1", (total + 1,))
    base.execute("commit")
    # SQLite takes a folder that it can't open as synced: killed between the journal's removal and that, a drive is
    # told of no sync at all, and the row is acknowledged all the same.
    os.close(os.open(os.path.dirname(path), os.O_RDONLY))
    print(number, flush=True)
base.close()
"""
HALF_A_TRANSACTION = """
import sqlite3, sys, os, signal
base = sqlite3.connect(sys.argv[1], timeout=120, isolation_level=None)
base.execute("pragma journal_mode=%s" % sys.argv[2])
base.execute("pragma cache_size=10")
base.execute("begin immediate")
base.execute("update rows set text = text || 'never committed', number = number + 1000000")
base.execute("update sums set total = -1")
for number in range(3000):
    base.execute("insert into rows(writer, number, text) values('gone', ?, ?)", (number, "y" * 300))
os.kill(os.getpid(), signal.SIGKILL)
"""


def make_base(path: Path, mode: str = "wal") -> None:
    base = sqlite3.connect(path)
    assert base.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
    base.execute("create table rows(id integer primary key, writer text, number integer, text text)")
    base.execute("create index by_number on rows(number, writer)")
    base.execute("create table sums(id integer primary key, total integer)")
    base.execute("insert into sums values(1, 0)")
    base.commit()
    base.close()


def check_base(path: Path) -> dict[str, int]:
    """How many rows each writer has; the base is whole and has no gaps."""
    base = sqlite3.connect(path, timeout=60)
    try:
        assert base.execute("pragma integrity_check").fetchone() == ("ok",)
        (total,) = base.execute("select total from sums").fetchone()
        found = base.execute("select writer, count(*), max(number) from rows group by writer").fetchall()
    finally:
        base.close()
    assert total == sum(count for _, count, _ in found)
    assert all(last == count - 1 for _, count, last in found)
    return {writer: count for writer, count, _ in found}


def start_writers(path: Path, rows: int, mode: str = "wal") -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, str(rows), mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        for name in "abc"
    ]


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("mode", MODES)
def test_three_writers_at_once(drive: Drive, mode: str) -> None:
    path = drive.point / "base.db"
    make_base(path, mode)
    writers = start_writers(path, ROWS, mode)
    for writer in writers:
        _, errors = writer.communicate(timeout=3000)
        assert writer.returncode == 0, errors
    assert check_base(path) == dict.fromkeys("abc", ROWS)
    drive.remount()
    assert check_base(path) == dict.fromkeys("abc", ROWS)
    tally.add(f"SQLite transactions of three writers, journal_mode={mode}", 3 * ROWS)


@pytest.mark.parametrize("mode", SAFE)
def test_a_transaction_whose_writer_is_killed_never_was(drive: Drive, mode: str) -> None:
    path = drive.point / "base.db"
    make_base(path, mode)
    for writer in start_writers(path, 20, mode):
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    before = path.stat().st_size
    killed = subprocess.run([sys.executable, "-c", HALF_A_TRANSACTION, path, mode], check=False, timeout=120)
    assert killed.returncode == -9
    if mode == "wal":
        assert Path(f"{path}-wal").stat().st_size > before, "nothing was spilled"
    else:
        assert path.stat().st_size > before, "nothing was spilled"
        assert Path(f"{path}-journal").stat().st_size > 0, "there is no journal to be played back"
    drive.snapshot("half")  # the journal and the half-written base outlive the drive's process too
    drive.kill()
    drive.mount()
    assert check_base(path) == dict.fromkeys("abc", 20)


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("mode", SAFE)
def test_every_acknowledged_row_outlives_a_kill_of_the_drive(drive: Drive, mode: str) -> None:
    path = drive.point / "base.db"
    make_base(path, mode)
    drive.snapshot("made")
    rng = random.Random(5)
    for _ in range(KILLS):
        writers = start_writers(path, 1_000_000, mode)
        said_first = readable([writer.stdout for writer in writers if writer.stdout], 60)
        assert said_first, "no writer has committed anything"
        time.sleep(rng.uniform(0.1, 3.0 if LONG else 1.0))  # the moment of the kill: not to be awaited
        drive.kill()
        said = [len(writer.communicate(timeout=120)[0].splitlines()) for writer in writers]
        drive.mount()
        found = check_base(path)
        assert all(found.get(name, 0) >= count for name, count in zip("abc", said, strict=True)), (found, said)
        tally.add(f"SQLite rows acknowledged and there after a kill, journal_mode={mode}", sum(said), seed=5)
        tally.add("kills of the drive under SQLite's writers", 1, seed=5)
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
            base = sqlite3.connect(copy / "base.db")
            tables = base.execute("select count(*) from sqlite_master").fetchone()
            base.close()
            if tables == (3,):
                check_base(copy / "base.db")
                checked += 1
    assert checked
