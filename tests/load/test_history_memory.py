"""The history grows and memory does not: what stays in memory for a version, or for a file that is gone, shows here."""

import gc
import os
import random
import tracemalloc
from pathlib import Path

import pytest
import trio

from hyperfs.crypto.keys import DeviceKeys, EpochKeys, RootSeed
from hyperfs.policy import brake
from hyperfs.volume import nodes, opening, overlay, versions
from hyperfs.volume.creating import NewDrive, create_store
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume
from tests import tally

KEYS = DeviceKeys(*(bytes([number]) * 32 for number in (1, 2, 3, 4)))
ROUNDS = 300 if os.environ.get("HYPERFS_ALL") else 30
A_VERSION = 150
"""Bytes that a version may leave in memory; an object of ours is larger. The long run tells it from what comes once."""
ONCE = 60_000
"""What fills up first, whatever the number of versions: measured, 36,000 to 44,000."""


def made(folder: Path) -> Path:
    epoch = EpochKeys(1, bytes([6]) * 32, bytes([7]) * 32)
    drive = NewDrive(RootSeed(bytes([5]) * 32), KEYS, epoch, "test", "here", 0, 0)
    create_store(folder / "store", drive, b"no key file is read here", Options(reserve_bytes=1 << 20))
    return folder / "store"


async def change(volume: Volume, rng: random.Random) -> None:
    """A little of everything: afterwards the tree has as much in it as before."""
    names, live = volume.names, volume.overlay
    kept = names.lookup(1, b"kept")
    await volume.files.write(kept, rng.randrange(200_000), rng.randbytes(3000))
    made = names.make(1, b"new", 0o100644, 0, 0)
    volume.opened(made, writing=True)
    await volume.files.write(made, 0, rng.randbytes(rng.choice([100, 5000, 80_000])))
    await volume.fsync(made)
    await volume.files.write(made, 50, rng.randbytes(2000))
    volume.xattrs.set(made, b"user.a", rng.randbytes(2000))
    await volume.files.flushing.flush([made])
    volume.released(made, writing=True)
    volume.renamed(made, names.rename(1, b"new", 1, b"old"))
    folder = names.make(1, b"folder", 0o040755, 0, 0)
    names.make(folder.ino, b"child", 0o100644, 0, 0)
    await volume.commit()
    for parent, name in ((folder.ino, b"child"), (1, b"old")):
        gone = names.unlink(parent, name)
        volume.unlinked(gone)
        volume.forgotten(gone.ino)
    gone = names.rmdir(1, b"folder")
    volume.unlinked(gone)
    volume.forgotten(gone.ino)
    newest = await volume.commit()
    older = volume.versions.tree(max(1, newest.version - rng.randrange(50)))
    assert older.dentry(1, b"kept") is not None or newest.version < 100
    snapshot = await volume.make_snapshot(1, b"s")
    assert snapshot.version
    await volume.delete_snapshot(1, b"s")
    assert not live.orphans


async def grown(store: Path) -> tuple[int, int, str]:
    """How many bytes more are in memory after twice the versions, how many versions that are, where they were made."""
    rng = random.Random(1)
    async with open_volume(store, KEYS, Options(reserve_bytes=1 << 20)).running() as volume:
        kept = volume.names.make(1, b"kept", 0o100644, 0, 0)
        await volume.files.write(kept, 0, rng.randbytes(300_000))
        for _ in range(ROUNDS):
            await change(volume, rng)
        gc.collect()
        before, first = tracemalloc.take_snapshot(), volume.versions.newest.version
        for _ in range(ROUNDS):
            await change(volume, rng)
        gc.collect()
        after = tracemalloc.take_snapshot()
        compared = after.compare_to(before, "lineno")
        largest = "\n".join(f"{s.size_diff} bytes, {s.count_diff}: {s.traceback.format()}" for s in compared[:8])
        return sum(s.size_diff for s in compared), volume.versions.newest.version - first, largest


def test_versions_leave_nothing_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "GENERATION_NODES", 4)  # the caches are to be full from the start
    monkeypatch.setattr(nodes, "PACKS_BYTES", 1 << 10)
    monkeypatch.setattr(opening, "CACHE_BYTES", 1 << 10)
    monkeypatch.setattr(overlay, "TABLE_LIMIT", 50)
    monkeypatch.setattr(versions, "TREES_KEPT", 5)
    monkeypatch.setattr(brake, "WINDOW_NS", 1)  # else the versions of the last ten minutes are in memory
    tracemalloc.start()
    try:
        bytes_more, made_versions, largest = trio.run(grown, made(tmp_path))
    finally:
        tracemalloc.stop()
    tally.add("versions made while memory was watched", made_versions)
    assert made_versions > ROUNDS
    assert bytes_more < ONCE + A_VERSION * made_versions, f"{bytes_more} bytes, {made_versions} versions\n{largest}"
