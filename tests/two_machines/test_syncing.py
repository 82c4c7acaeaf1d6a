"""A drive and its cloud peer over a line that delays, loses and is cut: everything arrives, and comes back.

Quick: some files and cuts. HYPERFS_ALL=1: 20,000 files, a file of 5 GiB, 100 cuts. HYPERFS_SENT_FILES, HYPERFS_SENT_MIB
and HYPERFS_CUTS set the numbers, HYPERFS_NETWORK_SEED the moments.
"""

import hashlib
import os
import random
import threading
from pathlib import Path

import pytest

from tests import tally
from tests.cli.machine import Machine

from .conftest import SEED, Pair
from .network import LEFT

ALL = os.environ.get("HYPERFS_ALL") == "1"
FILES = int(os.environ.get("HYPERFS_SENT_FILES", "20000" if ALL else "60"))
LARGE_MIB = int(os.environ.get("HYPERFS_SENT_MIB", "5120" if ALL else "6"))
CUTS = int(os.environ.get("HYPERFS_CUTS", "100" if ALL else "2"))
MIB = 1 << 20

pytestmark = [pytest.mark.mount, pytest.mark.timeout(7200 if ALL else 300)]


def fill(point: Path, seed: int) -> None:
    rng = random.Random(seed)
    for number in range(FILES):
        folder = point / f"d{number // 100:03}"
        if number % 100 == 0:
            folder.mkdir()
        (folder / f"f{number}").write_bytes(rng.randbytes(rng.randrange(4000)))


def write_large(path: Path, seed: int) -> None:
    with open(path, "wb") as file:
        for number in range(LARGE_MIB):
            file.write(random.Random(f"{seed} {number}").randbytes(MIB))


def digests(point: Path) -> dict[str, str]:
    found = {}
    for path in sorted(point.rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                found[str(path.relative_to(point))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def paired(pair: Pair) -> str:
    """The laptop's drive is mounted and has the cloud as its peer; the cloud's address."""
    pair.laptop.mount()
    invite = pair.cloud.invite()
    pair.laptop.run("peer", "add", invite["code"], pair.laptop.point, "--i-have-the-key")
    return invite["address"]


def come_back(pair: Pair, address: str, folder: Path) -> Machine:
    """A new machine in the laptop's place, with the drive cloned and mounted."""
    key = pair.laptop.facts("key", "show", pair.laptop.point)["recovery_key"]
    pair.laptop.unmount()
    folder.mkdir()
    new = Machine(folder)
    new.prefix = pair.left.prefix
    new.run("clone", address, new.store, "--recovery-key", key, "--former-device-lost")
    new.mount()
    return new


def synced(laptop: Machine) -> None:
    laptop.patience_seconds = 3600
    laptop.run("sync", laptop.point, "--wait")


def test_everything_arrives_over_a_slow_line_that_loses_packets_and_comes_back(pair: Pair, tmp_path: Path) -> None:
    address = paired(pair)
    pair.wire.line.delay_seconds = 0.025
    pair.wire.line.loss = 0.01
    fill(pair.laptop.point, SEED)
    wanted = digests(pair.laptop.point)
    synced(pair.laptop)
    new = come_back(pair, address, tmp_path / "new")
    try:
        assert digests(new.point) == wanted
    finally:
        new.end()
    tally.add("files sent over a line with 1% loss and 50 ms, and back", FILES, SEED)


def test_cut_at_any_moment_it_goes_on_where_it_was(pair: Pair, tmp_path: Path) -> None:
    address = paired(pair)
    rng = random.Random(SEED)
    write_large(pair.laptop.point / "large", SEED)
    wanted = digests(pair.laptop.point)
    pair.laptop.run("sync", pair.laptop.point)
    whole = LARGE_MIB * MIB
    done = threading.Event()
    cuts: list[float] = []

    def cut() -> None:
        """Each after a random part of what there is to send."""
        for _ in range(CUTS):
            until = pair.wire.bytes + rng.random() * 2 * whole / CUTS
            while pair.wire.bytes < until:
                if done.wait(0.001):
                    return
            pair.wire.cut()
            cuts.append(until)

    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        synced(pair.laptop)
    finally:
        done.set()
        cutting.join()
    assert pair.wire.bytes < 1.5 * whole + CUTS * 4 * MIB, "what had arrived is not sent again"
    new = come_back(pair, address, tmp_path / "new")
    try:
        assert digests(new.point) == wanted
    finally:
        new.end()
    tally.add("cuts of a connection while a file was sent", len(cuts), SEED)


def test_the_peer_may_be_killed_and_the_laptop_may_move(pair: Pair, tmp_path: Path) -> None:
    address = paired(pair)
    fill(pair.laptop.point, SEED)
    pair.cloud.kill()
    (pair.laptop.point / "while it was gone").write_text("x")
    pair.cloud.start()
    synced(pair.laptop)
    pair.left.run("ip", "address", "del", f"{LEFT}/24", "dev", "wire")
    pair.left.run("ip", "address", "add", "10.77.0.9/24", "dev", "wire")
    (pair.laptop.point / "from elsewhere").write_text("y")
    synced(pair.laptop)
    wanted = digests(pair.laptop.point)
    new = come_back(pair, address, tmp_path / "new")
    try:
        assert digests(new.point) == wanted
    finally:
        new.end()
