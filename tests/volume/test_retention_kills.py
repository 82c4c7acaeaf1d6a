"""A retention run that is killed at each of its operations on the disk: what is to be had before is had afterwards."""

import os
import random
import shutil

from hyperfs.policy.attributes import KEEP
from hyperfs.values import ROOT_INO
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.retaining import no_progress, retain
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, damage, inode_of, make_folder, unlink, write_file
from .faults import killed_at_each

ALL = os.environ.get("HYPERFS_ALL") == "1"
DAY = 24 * 3600.0
Bytes = dict[tuple[int, int], bytes]
"""By version and inode."""


def read(volume: Volume, tree: Tree, ino: int) -> bytes:
    inode = tree.inode(ino)
    assert inode is not None
    if inode.inline is not None:
        return inode.inline
    return volume.content.read(tree.extents(ino, 0, MAX_FILE_BYTES), 0, inode.size)


def all_bytes(volume: Volume) -> Bytes:
    """All that can be had of any version, read anew."""
    found: Bytes = {}
    for facts in volume.versions.all():
        tree = volume.versions.tree(facts.version)
        waiting = [ino for ino in {ROOT_INO, *volume.versions.offers.borders} if tree.inode(ino) is not None]
        while waiting:
            for _, (ino, kind) in tree.dentries(waiting.pop()):
                if kind == 4:
                    waiting.append(ino)
                else:
                    found[facts.version, ino] = read(volume, tree, ino)
    for pin in volume.versions.offers.pins:
        found[pin.version, pin.ino] = read(volume, volume.versions.tree(pin.version), pin.ino)
    return found


async def make_history(store: Store, volume: Volume, rng: random.Random, count: int) -> None:
    for folder, rule in ((b"short", b"2 versions"), (b"all", b"all"), (b"none", None)):
        make_folder(volume, folder)
        if rule is not None:
            volume.xattrs.set(inode_of(volume, folder), KEEP, rule)
    await volume.commit()
    live: set[bytes] = set()
    for _ in range(count):
        store.clock.forward(rng.choice([5, 900, 900, 7200, DAY]))
        name = rng.choice([b"short/", b"all/", b"none/", b""]) + b"f%d" % rng.randrange(3)
        if name in live and rng.random() < 0.4:
            unlink(volume, name)
            live.discard(name)
        else:
            await write_file(volume, name, rng.randbytes(rng.choice([50, 6000, 40_000])))
            live.add(name)
        await volume.commit()


async def test_killed_at_any_operation_what_is_to_stay_is_there_and_the_next_run_ends_the_same(store: Store) -> None:
    seed = int(os.environ.get("HYPERFS_SEED", "11"))
    rng = random.Random(seed)
    async with store.opened() as volume:
        await make_history(store, volume, rng, 50)
    shutil.copytree(store.path, store.path.parent / "whole")
    whole = Store(store.path.parent / "whole", store.clock)
    async with whole.opened() as volume:
        before = all_bytes(volume)
        await retain(volume, False, no_progress)
        expected = all_bytes(volume)
        pinned = {(pin.version, pin.ino) for pin in volume.versions.offers.pins}
        assert pinned
        assert volume.versions.offers.absent
        newest = volume.versions.newest.version
        expected = {place: data for place, data in expected.items() if place in before}
        assert len(expected) < len(before)
        assert newest not in {version for version, _ in before}
        assert damage(volume) == []
    states = 0
    async for copy in killed_at_each(store, lambda volume: retain(volume, False, no_progress), 1 if ALL else 2):
        async with copy.opened() as volume:
            found = all_bytes(volume)
            assert all(found[place] == data for place, data in expected.items())
            assert all(before[place] == data for place, data in found.items() if place in before)
            assert damage(volume) == []
            await retain(volume, False, no_progress)
            again = all_bytes(volume)
            assert {place: again[place] for place in expected} == expected
            assert damage(volume) == []
        states += 1
    assert states > 5
    tally.add("moments at which a retention run was killed", states, seed=seed)
    tally.add("files of versions read after each", len(expected), seed=seed)
