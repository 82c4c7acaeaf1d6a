"""Rows of versions that are gone: fewer after a prune, and every question is answered as before."""

import os
import random

import pytest
import trio

from hyperfs.volume import change_rows as rows
from hyperfs.volume import trimming
from hyperfs.volume.catalog import BIRTH_PREFIX, Catalog
from hyperfs.volume.check import verify
from hyperfs.volume.deleted import deleted_from
from hyperfs.volume.file_states import Spot, states
from hyperfs.volume.finding import find_deleted
from hyperfs.volume.history import commits, versions_of
from hyperfs.volume.moments import moments_of
from hyperfs.volume.options import no_progress
from hyperfs.volume.paths import Paths, join
from hyperfs.volume.prune import prune
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, make_folder, rmdir, unlink, write_file
from .random_steps import NAMES, change, inodes

SEEDS = range(60) if os.environ.get("HYPERFS_ALL") else range(6)
PREFIXES = (BIRTH_PREFIX, rows.INODE_PREFIX, rows.WENT_PREFIX)


def count(catalog: Catalog) -> list[int]:
    return [sum(1 for _ in catalog.rows(prefix, prefix)) for prefix in PREFIXES]


async def make_history(store: Store, volume: Volume, seed: int, versions: int) -> None:
    chance = random.Random(seed)
    while volume.versions.newest.version < versions:
        await change(volume, chance)
        if chance.random() < 0.5:
            store.clock.forward(60)
            await volume.commit()
    await volume.changes.caught_up()


def answers(volume: Volume) -> list[object]:
    folders = [(ino, Paths(volume.overlay.live).directory(ino)) for ino in inodes(volume)[0]]
    found: list[object] = [sorted(map(str, filter(None, find_deleted(volume, b""))))]
    for ino, path in folders:
        found.append(sorted(map(str, deleted_from(volume, ino))))
        found += [list(versions_of(volume, path)), list(commits(volume, path)), list(moments_of(volume, path))]
        for name in NAMES:
            found.append([str(state) for state in states(volume, Spot(ino, name))])
            if volume.overlay.live.dentry(ino, name) is not None:
                found.append(list(versions_of(volume, join(path, name))))
    return found


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_question_is_answered_as_before(store: Store, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with store.opened() as volume:
        await make_history(store, volume, seed, 60)
        catalog, trim = volume.parts.catalog, trimming.lapsed_rows
        monkeypatch.setattr(trimming, "lapsed_rows", lambda *facts: iter(()))
        await prune(volume, 8, False, no_progress)
        await volume.changes.caught_up()
        before, had = answers(volume), count(catalog)
        monkeypatch.setattr(trimming, "lapsed_rows", trim)
        await trim_index(volume)
        assert answers(volume) == before
        now = count(catalog)
        assert all(after <= earlier for after, earlier in zip(now, had, strict=True))
        assert sum(now) < sum(had)
        assert [damage for damage in verify(volume.parts).damage if damage.where != "file keys"] == []
        tally.add("rows of versions that are gone taken away", sum(had) - sum(now), seed=seed)


async def trim_index(volume: Volume) -> None:
    """What a prune does of it."""
    pins = frozenset(pin.ino for pin in volume.versions.offers.pins)
    await trio.to_thread.run_sync(trimming.trim_index, volume, pins, no_progress)


async def test_little_is_left_of_what_came_and_went(store: Store) -> None:
    async with store.opened() as volume:
        for number in range(40):
            make_folder(volume, b"d")
            await write_file(volume, b"d/f", b"%d" % number * 5000)
            await volume.commit()
            await write_file(volume, b"d/f", b"%d" % number * 6000)
            await volume.commit()
            unlink(volume, b"d/f")
            rmdir(volume, b"d")
            store.clock.forward(60)
            await volume.commit()
        await volume.changes.caught_up()
        before = count(volume.parts.catalog)
        await prune(volume, 1, False, no_progress)
        after = count(volume.parts.catalog)
        assert before[1] > 80
        assert [now * 8 < earlier for now, earlier in zip(after, before, strict=True)] == [True, True, True]
