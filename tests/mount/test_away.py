"""Files of which the bytes are elsewhere, as programs see them."""

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import tally

from .drive import LONG, Drive, until

MIB = 1 << 20
WAIT = 90.0


class AwayDrive(Drive):
    daemon = Path(__file__).with_name("away_main.py")

    @property
    def place(self) -> Path:
        return self.folder / "place"

    def standing(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.place / "standing").read_text())
        return found

    def fetched(self) -> tuple[int, int]:
        """How many fetches there were, and their bytes."""
        if not (self.place / "fetches").exists():
            return 0, 0
        lines = (self.place / "fetches").read_text().splitlines()
        return len(lines), sum(int(line.split()[1]) for line in lines)

    def disk_bytes(self) -> int:
        return sum(path.stat().st_blocks * 512 for path in (self.store / "logs").rglob("*") if path.is_file())


@pytest.fixture
def away(tmp_path: Path) -> Iterator[AwayDrive]:
    made = AwayDrive(tmp_path)
    try:
        made.mount()
        yield made
    finally:
        made.end()


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def resident(path: Path) -> int:
    return int(os.getxattr(path, "user.hyperfs.resident"))


def make_cold(drive: AwayDrive, files: dict[str, bytes], kind: bytes = b"cold", patience: float = WAIT) -> Path:
    """A folder whose files have left; the kernel has forgotten them."""
    folder = drive.point / "cold"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    os.setxattr(folder, "user.hyperfs.class", kind)
    until("all has left", lambda: resident(folder) == 0, patience)
    drop_caches(drive)
    return folder


def drop_caches(drive: AwayDrive) -> None:
    """Neither the kernel nor the daemon has their bytes in memory."""
    drive.remount()
    until("the mover has begun", (drive.place / "standing").exists, WAIT)


def test_what_left_gives_its_space_back_lists_at_once_and_reads_right(away: AwayDrive) -> None:
    files = {f"f{number}": noise(number, MIB) for number in range(8)}
    folder = make_cold(away, files)
    assert away.disk_bytes() < 2 * MIB
    assert away.standing()["cold_bytes"] > 8 * MIB - 1
    assert sorted(os.listdir(folder)) == sorted(files)
    assert all((folder / name).stat().st_size == MIB for name in files)
    assert away.fetched() == (0, 0)
    for name, data in files.items():
        assert hashlib.sha256((folder / name).read_bytes()).digest() == hashlib.sha256(data).digest()
    assert away.disk_bytes() < 2 * MIB, "what is cold is streamed"
    assert os.getxattr(folder / "f1", "user.hyperfs.copies_now") == b"1"


def test_a_small_read_in_the_middle_of_a_large_file_moves_little_with_one_question(away: AwayDrive) -> None:
    data = noise(1, 24 * MIB)
    folder = make_cold(away, {"large": data})
    fd = os.open(folder / "large", os.O_RDONLY)
    try:
        assert os.pread(fd, 4096, 12 * MIB) == data[12 * MIB : 12 * MIB + 4096]
    finally:
        os.close(fd)
    fetches, nbytes = away.fetched()
    assert fetches == 1
    assert nbytes < MIB


def test_reading_in_sequence_asks_ahead_and_each_block_is_fetched_once(away: AwayDrive) -> None:
    data = noise(1, 24 * MIB)
    folder = make_cold(away, {"large": data})
    assert (folder / "large").read_bytes() == data
    fetches, nbytes = away.fetched()
    assert nbytes < len(data) * 1.05
    assert fetches < 60


def test_many_readers_of_one_file_see_the_same_bytes_and_it_is_fetched_once(away: AwayDrive) -> None:
    data = noise(1, 4 * MIB)
    folder = make_cold(away, {"large": data})
    with ThreadPoolExecutor(8) as pool:
        assert all(found == data for found in pool.map(lambda _: (folder / "large").read_bytes(), range(8)))
    assert away.fetched()[1] < len(data) * 1.2


def test_with_the_place_gone_what_is_here_works_what_is_not_is_eio_and_it_comes_back_by_itself(away: AwayDrive) -> None:
    folder = make_cold(away, {"f": noise(1, MIB)})
    (away.point / "here").write_bytes(noise(2, MIB))
    (away.place / "gone").touch()
    with pytest.raises(OSError, match="Input/output") as refused:
        (folder / "f").read_bytes()
    assert refused.value.errno == errno.EIO
    assert (away.point / "here").read_bytes() == noise(2, MIB)
    assert "nas does not answer" in away.log.read_text()
    until("status says why", lambda: any("nas does not answer" in said for said in away.standing()["warnings"]))
    (away.place / "gone").unlink()
    assert (folder / "f").read_bytes() == noise(1, MIB)
    until("nobody warns any more", lambda: not any("nas" in s for s in away.standing()["warnings"] if "only" not in s))


def test_a_place_that_never_answers_is_eio_within_the_deadline_and_nobody_else_waits(away: AwayDrive) -> None:
    folder = make_cold(away, {f"f{number}": noise(number, MIB) for number in range(20)})
    (away.point / "here").write_bytes(noise(99, MIB))
    away.remount()
    (away.place / "hangs").touch()

    def read(number: int) -> int | None:
        try:
            (folder / f"f{number}").read_bytes()
        except OSError as error:
            return error.errno
        return None

    with ThreadPoolExecutor(21) as pool:
        cold = [pool.submit(read, number) for number in range(20)]
        until("most of them wait", lambda: len(list(away.place.glob("asked-*"))) > 12)
        assert (away.point / "here").read_bytes() == noise(99, MIB)
        assert not any(done.done() for done in cold), "what is here does not wait for what is not"
        assert [done.result(60) for done in cold] == [errno.EIO] * 20


def test_hot_comes_back_and_auto_that_is_read_stays(away: AwayDrive) -> None:
    data = noise(1, 2 * MIB)
    folder = make_cold(away, {"f": data})
    os.setxattr(folder, "user.hyperfs.class", b"auto")
    assert (folder / "f").read_bytes() == data
    until("what was read is here", lambda: resident(folder) == 100, WAIT)
    os.setxattr(folder, "user.hyperfs.class", b"cold")
    until("it left again", lambda: resident(folder) == 0, WAIT)
    os.setxattr(folder, "user.hyperfs.class", b"hot")
    until("it is back", lambda: resident(folder) == 100, WAIT)
    (away.place / "gone").touch()
    drop_caches(away)
    assert (folder / "f").read_bytes() == data


def test_an_old_version_whose_bytes_left_is_read_from_elsewhere(away: AwayDrive) -> None:
    (away.point / "f").write_bytes(noise(1, MIB))
    (away.point / ".versions" / "before").mkdir()
    (away.point / "f").write_bytes(noise(99, MIB))
    until("what only the snapshot has left", lambda: away.standing()["cold_bytes"] > MIB // 2, WAIT)
    drop_caches(away)
    assert (away.point / ".versions" / "before" / "f").read_bytes() == noise(1, MIB)
    assert (away.point / "f").read_bytes() == noise(99, MIB)
    assert away.fetched()[1] < 1.2 * MIB


@pytest.mark.timeout(1800 if LONG else 280)
@pytest.mark.parametrize("kind", [b"auto", b"cold"] if LONG else [b"auto"])
def test_photos_that_are_looked_at_by_as_many_processes_do_not_come_home(away: AwayDrive, kind: bytes) -> None:
    """Past 200 files they are a scan: what had come home before leaves again. `cold` never comes home."""
    count, size = (500, MIB) if LONG else (205, 160_000)  # larger than what shares a pack
    patience = 900.0 if LONG else WAIT
    files = {f"p{number:03}.jpg": noise(number, size) for number in range(count)}
    folder = make_cold(away, files, patience=patience)
    os.setxattr(folder, "user.hyperfs.class", kind)
    before = away.disk_bytes()
    script = f"for f in {folder}/*.jpg; do {shutil.which('cat')} \"$f\" || exit 1; done"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for name, data in files.items():
            assert process.stdout.read(size) == data, name
        assert not process.stdout.read()
    assert process.returncode == 0
    until("status names the program", lambda: any("cat has read" in s for s in away.standing()["warnings"]), patience)
    most = 60 * size  # of 500 that is less than 100 MiB
    until("what it had brought back left again", lambda: away.disk_bytes() - before < most, patience)
    assert resident(folder) < 13
    tally.add("photos that were elsewhere, each read by a process of its own", count)


def test_killed_while_files_leave_and_come_back_all_can_be_read(away: AwayDrive) -> None:
    rng = random.Random(3)
    folder = away.point / "d"
    folder.mkdir()
    files = {f"f{number}": noise(number, MIB) for number in range(6)}
    for name, data in files.items():
        with (folder / name).open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    for kind in (b"cold", b"hot", b"cold", b"hot"):
        os.setxattr(folder, "user.hyperfs.class", kind)
        time.sleep(rng.random() * 0.5)
        away.kill()
        away.mount()
        for name, data in files.items():
            assert (folder / name).read_bytes() == data, f"{name} after {kind!r}"


