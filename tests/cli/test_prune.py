"""hyperfs prune, mounted and not, with room and without."""

import errno
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import Machine
from .test_past import write_states

pytestmark = pytest.mark.mount

DISK_BYTES = 160 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Machine]:
    """A machine whose folders are on a small disk of their own: a file system in memory."""
    if os.getuid():
        pytest.skip("only root mounts a small disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk: {done.stderr.strip()}")
    machine = Machine(tmp_path)
    try:
        yield machine
    finally:
        machine.end()
        subprocess.run(["umount", "-l", tmp_path], check=True, timeout=30)


def fill(folder: Path, rng: random.Random, size: int) -> list[Path]:
    """Writes incompressible files until there is no more room."""
    for number in range(1000):
        path = folder / f"{size}-{number}"
        try:
            with path.open("wb") as file:
                file.write(rng.randbytes(size))
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return [folder / f"{size}-{n}" for n in range(number + 1) if (folder / f"{size}-{n}").exists()]
    raise AssertionError("the disk was never full")


def test_prune_lets_old_versions_go_and_says_what(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    try:
        machine.run("mount", machine.store, machine.point)
        path = machine.point / "file"
        numbers = []
        for state in ("one", "two", "three"):
            time.sleep(1.1)  # a second of its own for each: of a third version within one, .versions lists none
            numbers += write_states(machine, path, state)
        old = machine.point / ".versions" / f"@{numbers[0]}" / "file"
        assert old.read_text() == "one"
        for name in os.listdir(machine.point / ".versions"):
            if name.startswith("s"):
                os.rmdir(machine.point / ".versions" / name)
        assert "would go" in machine.run("prune", machine.point, "--keep-last", "1", "--dry-run").stdout
        with old.open() as opened:
            done = machine.facts("prune", machine.point, "--keep-last", "1")
            assert done["in_use"] == [numbers[0]]
            assert opened.read() == "one"
        done = machine.facts("prune", machine.point, "--keep-last", "1")
        assert (done["versions"], done["in_use"]) == (1, [])
        assert not old.exists()
        assert path.read_text() == "three"
        assert f"version {numbers[0]} is not kept" in machine.run("cat", path, "--at", f"@{numbers[0]}", code=1).stderr
        assert "nothing to let go" in machine.run("prune", machine.point, "--keep-last", "1").stdout
        assert machine.facts("verify", machine.point)["damage"] == []
        assert machine.facts("prune", machine.point)["versions"] == 0  # all are of this hour
        machine.run("prune", machine.point, "--keep-last", "0", code=2)
        machine.run("prune", machine.point, "--free", "much", code=2)
        machine.run("prune", machine.point, "--free", "1G", "--keep-last", "1", code=2)
        path.write_text("four")
        done = machine.facts("prune", machine.point, "--free", "1.5G", "--dry-run")
        assert done["wanted"] == 3 << 29
        shown = machine.run("prune", machine.point, "--free", "1G")
        assert "This costs" in shown.stderr
        assert "less than was asked for" in shown.stdout
        machine.run("unmount", machine.point)
        assert machine.facts("prune", machine.store, "--keep-last", "1")["versions"] >= 0
        assert machine.facts("verify", machine.store)["damage"] == []
    finally:
        machine.end()


def test_letting_old_versions_go_makes_room_on_a_full_disk(small: Machine) -> None:
    small.run("mount", small.store, small.point)
    rng = random.Random(8)
    for path in fill(small.point, rng, 2_000_000) + fill(small.point, rng, 50_000):
        path.unlink()
    assert small.facts("status", small.point)["bytes"] == 0
    before = os.statvfs(small.point).f_bavail
    announced = small.facts("prune", small.point, "--keep-last", "1", "--dry-run")
    done = small.facts("prune", small.point, "--keep-last", "1")
    assert done["bytes"] == announced["bytes"] > 30 << 20
    assert (os.statvfs(small.point).f_bavail - before) * 4096 > 30 << 20
    data = rng.randbytes(20 << 20)
    (small.point / "room").write_bytes(data)
    small.run("unmount", small.point)
    small.run("mount", small.store, small.point)
    assert (small.point / "room").read_bytes() == data
    assert small.facts("verify", small.point)["damage"] == []
