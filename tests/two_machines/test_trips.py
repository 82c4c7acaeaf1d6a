"""How often a clone has to wait for its peer over a real line: the commands of a user, a mount, a delay and 1% loss.

What is counted stands in `trips`. The clone is mounted read-only: then nothing is fetched but what somebody waits for,
and the count is that of whom it serves. Quick: 3,001 files. HYPERFS_ALL=1: 100,001. HYPERFS_TRIPS_FOLDERS sets how many
folders of 1,000.
"""

import os
import random
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tally
from tests.cli.machine import Machine

from .conftest import SEED, Pair
from .network import LEFT, RIGHT, Wire
from .trips import SYN, TCP, Trips

ALL = os.environ.get("HYPERFS_ALL") == "1"
FOLDERS = int(os.environ.get("HYPERFS_TRIPS_FOLDERS", "100" if ALL else "3"))
FILES = 1000
MOST_BYTES = 1 << 20
CONNECTING = 3
"""Trips of TCP and Noise, where the connection of the mount did not come about and all names came with the clone."""
QUIET_SECONDS = 1.0
"""Without a packet."""

pytestmark = [pytest.mark.mount, pytest.mark.timeout(3600 if ALL else 280)]


def packet(side: int, seq: int, data: bytes = b"", flags: int = 0) -> bytes:
    """A TCP segment from that side."""
    address = [bytes(map(int, text.split("."))) for text in (LEFT, RIGHT)]
    ports = (40_000, 4717)
    tcp = struct.pack(">HHIIBBHHH", ports[side], ports[1 - side], seq, 0, 5 << 4, flags, 0, 0, 0) + data
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, TCP, 0, address[side], address[1 - side])
    return ip + tcp


def test_a_trip_is_a_question_that_had_to_wait_for_the_answer_before() -> None:
    trips = Trips()
    big = 0xFFFFFFF0  # sequence numbers go round

    def passes(side: int, *packets: bytes) -> int:
        for step in [trips.sent(side, found) for found in packets]:
            trips.came(1 - side, step)
        return trips.count

    assert passes(0, packet(0, big, flags=SYN)) == 0
    assert passes(1, packet(1, 7, flags=SYN)) == 1
    assert passes(0, packet(0, big + 1)) == 1, "an acknowledgement is no question"
    assert passes(0, packet(0, big + 1, b"a" * 10), packet(0, big + 11, b"b" * 10)) == 1
    assert passes(1, packet(1, 8, b"x" * 9), packet(1, 17, b"y")) == 2, "two questions at the same time are one trip"
    assert passes(0, packet(0, (big + 11) % (1 << 32), b"b" * 10)) == 2
    assert passes(1, packet(1, 18, b"z")) == 2, "what was sent again asks nothing new"
    assert passes(0, packet(0, (big + 21) % (1 << 32), b"c")) == 2
    assert passes(1, packet(1, 19, b"z")) == 3


def fill(point: Path) -> None:
    (point / "elsewhere").mkdir()
    (point / "elsewhere" / "file").write_bytes(random.Random(SEED).randbytes(100_000))
    for folder in range(FOLDERS):
        (point / f"d{folder}").mkdir()
        for number in range(FILES):
            (point / f"d{folder}" / f"file{number}").write_bytes(b"%d in %d " % (number, folder) * 20)


class Counting:
    """Of what goes over the wire while something is done."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def of(self, what: str, deed: Callable[[], object]) -> tuple[int, int]:
        """(trips, bytes)"""
        self._until_quiet()
        trips, nbytes, began = self._wire.trips.count, self._wire.bytes, time.monotonic()
        deed()
        found = self._wire.trips.count - trips, self._wire.bytes - nbytes
        about = f"over a line with 50 ms and 1% loss, {FOLDERS * FILES + 1:,} files: {what}"
        tally.add(f"trips {about}", found[0], SEED)
        tally.add(f"bytes {about}", found[1], SEED)
        tally.add(f"ms {about}", round(1000 * (time.monotonic() - began)), SEED)
        return found

    def _until_quiet(self) -> None:
        """What was done before may have consequences: receipts and audits follow a connection."""
        passed = -1
        while self._wire.bytes != passed:
            passed = self._wire.bytes
            time.sleep(QUIET_SECONDS)  # for want of an event: of what does not happen there is none


def test_a_clone_is_mounted_listed_and_read_within_few_trips(pair: Pair, tmp_path: Path) -> None:
    laptop = pair.laptop
    laptop.patience_seconds = 1800
    laptop.mount()
    invite = pair.cloud.invite()
    laptop.run("peer", "add", invite["code"], laptop.point, "--i-have-the-key")
    fill(laptop.point)
    laptop.run("sync", laptop.point, "--wait")
    key = laptop.facts("key", "show", laptop.point)["recovery_key"]
    laptop.unmount()
    (tmp_path / "new").mkdir()
    new = Machine(tmp_path / "new")
    new.prefix = pair.left.prefix
    pair.wire.line.delay_seconds, pair.wire.line.loss = 0.025, 0.01
    counting = Counting(pair.wire)
    command = ("clone", invite["address"], new.store, "--recovery-key", key, "--former-device-lost")
    listed, read = new.point / f"d{FOLDERS // 3}", new.point / "elsewhere" / "file"
    try:
        cloned, _ = counting.of("hyperfs clone", lambda: new.run(*command))
        pair.wire.line.loss = 1.0  # it waits for nothing; what it connects beside is counted with no command
        new.mount("--read-only")
        pair.wire.line.loss = 0.01
        assert cloned <= 8
        lines: list[bytes] = []
        found = counting.of("ls -l of 1,000 names", lambda: lines.extend(ls(listed).splitlines()))
        assert len(set(lines)) == len(lines) == FILES + 1, "each name once, though some come later than others"
        assert found[0] <= 8
        assert found[1] < MOST_BYTES
        connecting = 0 if found[0] else CONNECTING
        found = counting.of("the first byte of a file", lambda: first_byte(read))
        assert found[0] <= 3 + connecting
        assert found[1] < MOST_BYTES
        new.unmount()
        new.mount()  # as usual: all names and versions come in the background
        assert len(ls(listed).splitlines()) == FILES + 1
    finally:
        new.end()


def ls(folder: Path) -> bytes:
    return subprocess.run(["ls", "-l", folder], check=True, capture_output=True).stdout


def first_byte(path: Path) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(1)
