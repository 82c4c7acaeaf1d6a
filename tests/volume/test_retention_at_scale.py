"""A month of edits on many files: what stays is what the rules say, the space is what was announced, and it holds up.

Quick: 600 files. Long (`HYPERFS_ALL=1`): 50,000 files; `HYPERFS_FILES` and `HYPERFS_KILLS` set the numbers.
"""

import hashlib
import os
import random
import shutil
from collections.abc import Container, Iterable
from pathlib import Path

import pytest

from hyperfs.policy.retention import Stamp, Thin, kept
from hyperfs.values import ROOT_INO
from hyperfs.volume.changes import DIRECTORY
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.retaining import retain
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, damage, inode_of, kill, make_folder, unlink, write_file
from .faults import Faults, Killed

ALL = os.environ.get("HYPERFS_ALL") == "1"
FILES = int(os.environ.get("HYPERFS_FILES", "50000" if ALL else "600"))
KILLS = int(os.environ.get("HYPERFS_KILLS", "200" if ALL else "4"))
SEED = int(os.environ.get("HYPERFS_SEED", "5"))
SAMPLE = 25
"""Folders of a version that are read after each kill; after every twentieth it is all."""
DAYS = 31
DAY = 24 * 3600.0


def quiet(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def disk_bytes(path: Path) -> int:
    """What `du` says of the logs; the journal and the index are not history."""
    return sum(file.stat().st_blocks * 512 for file in (path / "logs").rglob("*") if file.is_file())


States = dict[tuple[int, int, int], bytes]
"""A file's inode, size and time of change, and the hash of its bytes: read once, in however many versions it is."""


def digests(volume: Volume, version: int, states: States, of: Container[bytes] | None = None) -> dict[bytes, bytes]:
    """Over all names and bytes of the folders of a version, or of some of them."""
    tree, found = volume.versions.tree(version), {}
    for folder, (place, kind) in tree.dentries(ROOT_INO):
        assert kind == DIRECTORY
        if of is None or folder in of:
            whole = hashlib.blake2b()
            for name, (ino, _) in tree.dentries(place):
                whole.update(b"%d %d " % (place, ino) + name + state(volume, tree, ino, states))
            found[folder] = whole.digest()
    return found


def state(volume: Volume, tree: Tree, ino: int, states: States) -> bytes:
    inode = tree.inode(ino)
    assert inode is not None
    key = (ino, inode.size, inode.ctime_ns)
    if (known := states.get(key)) is not None:
        return known
    data = inode.inline
    if data is None:
        data = volume.content.read(tree.extents(ino, 0, MAX_FILE_BYTES), 0, inode.size)
    return states.setdefault(key, hashlib.blake2b(data, digest_size=16).digest())


def all_digests(volume: Volume, versions: Iterable[int]) -> dict[int, dict[bytes, bytes]]:
    states: States = {}
    return {version: digests(volume, version, states) for version in versions}


async def month(store: Store, volume: Volume, rng: random.Random) -> list[Stamp]:
    """Files by the hundred in folders; then edits by day and night, some in bursts. The versions, as noted here."""
    names = [b"d%d/f%d" % (number // 100, number) for number in range(FILES)]
    for folder in range((FILES + 99) // 100):
        make_folder(volume, b"d%d" % folder)
    for name in names:
        await write_file(volume, name, rng.randbytes(rng.choice([200, 700, 3000])))
    made = [volume.versions.newest, await volume.commit()]
    for _ in range(DAYS):
        for _ in range(rng.randrange(4, 12)):
            store.clock.forward(rng.choice([3, 40, 900, 3600, 2 * 3600]))
            for _ in range(rng.choice([1, 2, 5, FILES // 100])):
                name = rng.choice(names[: max(10, FILES // 500)] if rng.random() < 0.7 else names)
                if rng.random() < 0.1 and inode_exists(volume, name):
                    inode = inode_of(volume, name)
                    unlink(volume, name)
                    volume.forgotten(inode.ino)
                else:
                    await write_file(volume, name, rng.randbytes(rng.choice([100, 2000, 90_000])))
            made.append(await volume.commit())
        store.clock.forward(rng.randrange(int(DAY / 2)))
    return [Stamp(commit.version, commit.time_ns) for commit in {c.version: c for c in made}.values()]


def inode_exists(volume: Volume, name: bytes) -> bool:
    folder, _, file = name.partition(b"/")
    return volume.overlay.live.dentry(inode_of(volume, folder).ino, file) is not None


@pytest.mark.timeout(0 if ALL else 300)
async def test_a_month_on_many_files(store: Store) -> None:
    rng = random.Random(SEED)
    async with store.opened(memory_index=False) as volume:
        made = await month(store, volume, rng)
        wanted = {s.version for s, stays in zip(made, kept(Thin(), made, store.clock.now_ns), strict=True) if stays}
        before = all_digests(volume, wanted)
    whole = store.path.parent / "whole"
    shutil.copytree(store.path, whole)
    async with store.opened(memory_index=False) as volume:
        announced = await retain(volume, True, quiet)
        space = disk_bytes(store.path)
        done = await retain(volume, False, quiet)
        freed = space - disk_bytes(store.path)
        assert {f.version for f in volume.versions.all() if f.version <= made[-1].version} == wanted
        assert all_digests(volume, wanted) == before
        assert abs(freed - announced.bytes) <= 0.05 * announced.bytes + (64 << 10)
        assert done.versions == len(made) - len(wanted)
        assert damage(volume) == []
        tally.add("bytes that a prune announced", announced.bytes, seed=SEED)
        tally.add("bytes that it gave back, by the disk", freed, seed=SEED)
    operations = await count_operations(Store(copied(whole), store.clock))
    for number in range(KILLS):
        at = rng.randrange(operations)
        copy = Store(copied(whole), store.clock)
        await killed_run(copy, at)
        async with copy.opened(memory_index=False) as volume:
            for version in rng.sample(sorted(wanted), min(2, len(wanted))):
                some = rng.sample(sorted(before[version]), min(SAMPLE, len(before[version])))
                assert digests(volume, version, {}, some) == {folder: before[version][folder] for folder in some}
            if number % 20 == 0:
                assert all_digests(volume, wanted) == before
                await retain(volume, False, quiet)
                assert all_digests(volume, wanted) == before
                assert damage(volume) == []
    tally.add("kills of a retention run on a month of edits", KILLS, seed=SEED)
    tally.add("files in that month", FILES, seed=SEED)


def copied(whole: Path) -> Path:
    path = whole.parent / "copy"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    return path


async def count_operations(store: Store) -> int:
    faults = Faults()
    store.disk = faults.disk
    volume = store.open(memory_index=False)
    await retain(volume, False, quiet)
    kill(volume)
    return len(faults.log)


async def killed_run(store: Store, at: int) -> None:
    faults = Faults()
    store.disk = faults.disk
    volume = store.open(memory_index=False)
    faults.kill_after = at
    try:
        await retain(volume, False, quiet)
    except* Killed:
        pass
    kill(volume)
    store.disk = Store.disk
