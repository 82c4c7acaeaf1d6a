"""SIGKILL of a cloud peer's process, again and again in one folder: what it had acknowledged is there."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer.peer import Peer
from tests import tally

from .conftest import CONTENT, METADATA, PEER_KEY, Owner, upload

LONG = os.environ.get("HYPERFS_ALL") == "1"
KILLS = int(os.environ.get("HYPERFS_PEER_KILLS", "100" if LONG else "4"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
WORKER = Path(__file__).with_name("kill_worker.py")

pytestmark = pytest.mark.timeout(3600 if LONG else 300)


def killed(owner: Path, folder: Path, seed: str, lines: int) -> list[str]:
    """What the process has acknowledged when it was killed: at once after so many lines."""
    command = [sys.executable, str(WORKER), str(owner), str(folder), seed]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        found = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        found += process.stdout.readlines()
    return [line for line in found if line.endswith("\n")]


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path, owner: Owner) -> None:
    owner.append(CONTENT, 300)
    (tmp_path / "owner" / "control").write_bytes(owner.chain.encode())
    (tmp_path / "owner" / "id").write_text(owner.id.hex())
    rng = random.Random(SEED)
    had: dict[int, set[int]] = {METADATA: set(), CONTENT: set()}
    for number in range(KILLS):
        for line in killed(tmp_path / "owner", tmp_path / "peer", f"{SEED}-{number}", rng.randrange(1, 40)):
            words = line.split()
            assert words[0] in ("had", "chain")
            if words[0] == "had":
                had[int(words[1])] |= set(map(int, words[2:]))
        peer = Peer(FolderStore(tmp_path / "peer"), PEER_KEY, floor_bytes=0)
        drive = peer.drives[owner.id]
        assert drive.chain == owner.chain
        for log, blocks in had.items():
            lent = drive.lend(owner.discovery_key(log))
            found = {block for start, end in lent.ranges() for block in range(start, end)}
            assert blocks <= found
            assert lent.scrub(0, 1000) == []
            had[log] = found
        peer.close()
    tally.add("kills of a cloud peer's process", KILLS, seed=SEED)
    peer = Peer(FolderStore(tmp_path / "peer"), PEER_KEY, floor_bytes=0)
    upload(owner, peer.drives[owner.id], CONTENT)
    assert list(peer.drives[owner.id].lend(owner.discovery_key(CONTENT)).ranges()) == [(0, 350)]
    peer.close()
