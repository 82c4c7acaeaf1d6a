"""LMDB on a drive: a database that programs write and read through shared mappings."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import pytest

from tests import tally
from tests.mount.drive import LONG, Drive

MAP_BYTES = (1 << 30) if LONG else (64 << 20)
KEYS = int(os.environ.get("HYPERFS_LMDB_KEYS", "2000" if LONG else "60"))
KILLS = int(os.environ.get("HYPERFS_LMDB_KILLS", "5" if LONG else "1"))

# One transaction a step: a row, the writer's count and, every few steps, the removal of an old row, so that LMDB
# uses freed pages again.
WRITER = """
import hashlib, lmdb, sys
folder, name, steps, writemap, map_bytes = sys.argv[1:]
env = lmdb.open(folder, map_size=int(map_bytes), writemap=writemap == "True", max_dbs=2)
rows = env.open_db(b"rows")
for number in range(int(steps)):
    with env.begin(write=True) as change:
        start = int(change.get(b"count " + name.encode()) or 0)
        key = b"%s %010d" % (name.encode(), start)
        change.put(key, hashlib.sha256(key).digest() * (1 + start % 50), db=rows)
        change.put(b"count " + name.encode(), b"%d" % (start + 1))
        if start % 3 == 2:
            change.delete(b"%s %010d" % (name.encode(), start - 2), db=rows)
    print(start + 1, flush=True)
env.close()
"""
CHECK = """
import hashlib, json, lmdb, sys
env = lmdb.open(sys.argv[1], map_size=int(sys.argv[2]), max_dbs=2)
rows = env.open_db(b"rows")
with env.begin() as look:
    counts = {bytes(key)[6:].decode(): int(value) for key, value in look.cursor() if key.startswith(b"count ")}
    expected = {
        b"%s %010d" % (name.encode(), number)
        for name, count in counts.items() for number in range(count)
        if number % 3 or number + 2 >= count
    }
    found = {}
    for key, value in look.cursor(db=rows):
        number = int(key.split()[1])
        assert value == hashlib.sha256(key).digest() * (1 + number % 50), key
        found[bytes(key)] = True
    assert set(found) == expected, (sorted(set(found) ^ expected)[:10])
    assert look.stat(rows)["entries"] == len(expected)
env.copy(sys.argv[3], compact=True)
print(json.dumps(counts))
"""


def start(folder: Path, steps: int, writemap: bool) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), name, str(steps), str(writemap), str(MAP_BYTES)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        for name in "ab"
    ]


def counts(folder: Path, copy: Path) -> dict[str, int]:
    """Each writer's count, read by a process of its own; every row is there and right, and the copy of it all too."""
    copy.mkdir()
    command = [sys.executable, "-c", CHECK, str(folder), str(MAP_BYTES), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("writemap", [False, True], ids=["written", "writemap"])
def test_two_writers_share_a_database(drive: Drive, tmp_path: Path, writemap: bool) -> None:
    folder = drive.point / "base"
    writers = start(folder, KEYS, writemap)
    for writer in writers:
        _, errors = writer.communicate(timeout=3000)
        assert writer.returncode == 0, errors
    assert counts(folder, drive.point / "copy") == {"a": KEYS, "b": KEYS}
    drive.remount()
    assert counts(folder, tmp_path / "copy") == {"a": KEYS, "b": KEYS}
    assert counts(drive.point / "copy", tmp_path / "copy of the copy") == {"a": KEYS, "b": KEYS}
    tally.add(f"LMDB transactions of two writers, {'mapped' if writemap else 'written'}", 2 * KEYS)


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("writemap", [False, True], ids=["written", "writemap"])
def test_every_acknowledged_transaction_outlives_a_kill(drive: Drive, tmp_path: Path, writemap: bool) -> None:
    folder = drive.point / "base"
    folder.mkdir()
    rng = random.Random(6)
    for kill in range(KILLS):
        writers = start(folder, 1_000_000, writemap)
        first = [int(writer.stdout.readline()) for writer in writers if writer.stdout]
        time.sleep(rng.uniform(0.1, 3.0 if LONG else 1.0))  # the moment of the kill: not to be awaited
        drive.kill()
        said = [writer.communicate(timeout=120)[0].split() for writer in writers]
        last = [int(words[-1]) if words else begun for begun, words in zip(first, said, strict=True)]
        drive.mount()
        found = counts(folder, tmp_path / f"copy{kill}")
        assert found["a"] >= last[0], (found, last)
        assert found["b"] >= last[1], (found, last)
        tally.add("LMDB transactions acknowledged and there after a kill", sum(map(len, said)), seed=6)
        tally.add("kills of the drive under LMDB's writers", 1, seed=6)


def test_an_lmdb_environment_is_read_from_a_version(drive: Drive, tmp_path: Path) -> None:
    for writer in start(drive.point / "base", 30, False):
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    kept = drive.snapshot("kept")
    for writer in start(drive.point / "base", 30, True):
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    old = lmdb.open(str(kept / "base"), readonly=True, lock=False, map_size=MAP_BYTES, max_dbs=2)
    with old.begin() as look:
        assert look.get(b"count a") == look.get(b"count b") == b"30"
    old.close()
    assert counts(drive.point / "base", tmp_path / "copy") == {"a": 60, "b": 60}
