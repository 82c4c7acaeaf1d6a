"""SIGKILL at thousands of instants, of a process without a mount: opening, working, recovering.

The moments are even in time over opening and work; that at any disk operation is tried by `volume/test_concurrency`.
HYPERFS_PROCESS_KILLS says how many.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hyperfs.volume.check import verify
from hyperfs.volume.creating import NewDrive, create_store
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from tests import tally
from tests.mount.daemon_main import DEVICE_KEYS, RESERVE_BYTES
from tests.mount.drive import until
from tests.volume.conftest import DRIVE, read_file

LONG = os.environ.get("HYPERFS_ALL") == "1"
KILLS = int(os.environ.get("HYPERFS_PROCESS_KILLS", "2000" if LONG else "6"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
WORKER = Path(__file__).with_name("kill_worker.py")
SECONDS = 0.3
"""Work after opening lasts at most so long."""

Fact = tuple[int, str]


class Known:
    """What the killed processes were promised: for each file the contents that it may have; versions."""

    def __init__(self) -> None:
        self.allowed: dict[str, list[Fact]] = {}
        self.versions: dict[int, str] = {}

    def read(self, output: bytes) -> None:
        assert b"Traceback" not in output, output.decode()[-3000:]
        for line in output.split(b"\n")[:-1]:  # the last one may be half
            verb, *words = line.decode().split(" ")
            match verb:
                case "try":
                    self.allowed.setdefault(words[0], []).append((int(words[1]), words[2]))
                case "is":
                    self.allowed[words[0]] = [(int(words[1]), words[2])]
                case "version":
                    self.versions[int(words[0])] = words[1]

    def check(self, store: Path, thorough: bool) -> list[str]:
        """Opens the store as it was left; what is found is what the next process builds on."""
        volume = open_volume(store, DEVICE_KEYS, Options(read_only=True))
        try:
            wrong = [f"warns: {volume.warnings}"] if volume.warnings else []
            names = {name.decode() for name, _ in volume.overlay.live.dentries(1)}
            for name, allowed in self.allowed.items():
                if name not in names:
                    if len(allowed) == 1:
                        wrong.append(f"{name} is gone")
                    continue
                data = read_file(volume, name.encode())
                found = len(data), hashlib.sha256(data).hexdigest()
                if found not in allowed:
                    wrong.append(f"{name} has {found} and not one of {allowed}")
                self.allowed[name] = [found]
            for number, root in self.versions.items():
                node = volume.versions.commit(number).root
                if node is None or node.id.hex() != root:
                    wrong.append(f"version {number} has changed")
            if thorough:
                wrong += [
                    f"verify: {d.what} ({d.where})" for d in verify(volume.parts).damage if d.where != "file keys"
                ]
            return wrong
        finally:
            volume.parts.close()


@pytest.mark.timeout(7200 if LONG else 300)
def test_nothing_promised_is_lost_by_kills_even_in_time(tmp_path: Path) -> None:
    store = tmp_path / "store"
    drive = NewDrive(DRIVE.root, DEVICE_KEYS, DRIVE.epoch, "test", "here", 0, 0)
    create_store(store, drive, b"no key file is read here", Options(reserve_bytes=RESERVE_BYTES))
    rng = random.Random(SEED)
    known = Known()
    opening = 0.3
    output = tmp_path / "output"
    command = [sys.executable, str(WORKER), str(store)]
    workers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        for kill in range(KILLS):
            output.write_bytes(b"")
            opening = start_and_kill(workers, f"{SEED * 100_000 + kill} {output}", output, rng, opening)
            known.read(output.read_bytes())
            wrong = known.check(store, thorough=kill % 50 == 0 or kill == KILLS - 1)
            assert not wrong, f"kill {kill}: {wrong}"
            if len(known.versions) > 200:
                # Versions stay; only the list of those that are looked at each time is kept short.
                known.versions = dict(rng.sample(sorted(known.versions.items()), 100))
    finally:
        workers.communicate(timeout=60)
    tally.add("SIGKILLs of a process without a mount", KILLS, seed=SEED)


def start_and_kill(
    workers: "subprocess.Popen[str]", job: str, output: Path, rng: random.Random, opening: float
) -> float:
    """One kill in four hits the opening and its recovery; the others the work. How long an opening takes."""
    assert workers.stdin is not None
    assert workers.stdout is not None
    workers.stdin.write(f"{job}\n")
    workers.stdin.flush()
    pid = int(workers.stdout.readline())
    started = time.monotonic()
    try:
        if rng.random() < 0.25:
            time.sleep(rng.uniform(0, opening))
        else:
            until("it is open", output.read_bytes, 60)
            opening = time.monotonic() - started
            time.sleep(rng.uniform(0, SECONDS))
    finally:
        os.kill(pid, signal.SIGKILL)
    ended = int(workers.stdout.readline())
    assert ended == -signal.SIGKILL, f"it ended with {ended} by itself:\n{output.read_text()[-3000:]}"
    return opening
