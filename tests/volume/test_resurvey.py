"""A survey that is brought up to date says what a new one would say, and holds nothing less strongly."""

import os
import random

import pytest

from hyperfs.values import ROOT_INO
from hyperfs.volume.survey import LIVE, Survey
from hyperfs.volume.surveying import Surveyor
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, make_folder, rename, unlink, write_file

SEEDS = range(20 if os.environ.get("HYPERFS_ALL") else 2)
STEPS, TURNS = 6, 10
FOLDERS = {
    b"cold": (b"class", b"cold"),
    b"hot": (b"class", b"hot"),
    b"here": (b"places", b"local-only"),
    b"plain": None,
}
ANYWHERE = frozenset({"nas", "office"})
NAMES = [b"a", b"b", b"c.mp4"]


def quiet(what: str, done: int, of: int) -> None:
    """Nobody watches."""


async def surveyed(surveyor: Surveyor) -> Survey:
    return await surveyor.now(quiet)


async def prepared(volume: Volume) -> None:
    for name, policy in FOLDERS.items():
        folder = make_folder(volume, name)
        make_folder(volume, name + b"/sub")
        if policy is not None:
            volume.xattrs.set(folder, b"user.hyperfs." + policy[0], policy[1])
    await volume.commit()


async def step(volume: Volume, rng: random.Random, files: set[bytes]) -> None:
    """What a program does: contents repeat, so that files share chunks, and small ones share packs."""
    path = rng.choice(list(FOLDERS)) + rng.choice([b"/", b"/sub/"]) + rng.choice(NAMES)
    match rng.randrange(5):
        case 0 | 1:
            data = random.Random(rng.randrange(6)).randbytes(rng.choice([3_000, 90_000]))
            await write_file(volume, path, data)
            files.add(path)
        case 2 if files:
            gone = rng.choice(sorted(files))
            unlink(volume, gone)
            files.discard(gone)
        case 3 if files:
            old = rng.choice(sorted(files))
            rename(volume, old, path)
            files.discard(old)
            files.add(path)
        case 4:
            inode = volume.overlay.inode(ROOT_INO)
            volume.xattrs.set(inode, b"user.long", rng.randbytes(3_000))


def compare(kept: Survey, new: Survey) -> int:
    """How many blocks were compared."""
    assert kept.logs.keys() == new.logs.keys()
    for number, found in new.logs.items():
        had = kept.logs[number]
        assert had.named == found.named
        for block, needs in enumerate(found.needs):
            assert bool(had.needs[block]) == bool(needs), block
            assert had.flags[block] & LIVE == found.flags[block] & LIVE, block
            before, after = kept.table.all[had.needs[block]], new.table.all[needs]
            assert before.strength >= after.strength, block
            assert before.allowed(ANYWHERE) <= after.allowed(ANYWHERE), block
    return sum(len(found.needs) for found in new.logs.values())


@pytest.mark.parametrize("seed", SEEDS)
async def test_after_any_steps_it_is_as_a_new_one(store: Store, seed: int) -> None:
    rng, files = random.Random(seed), set[bytes]()
    async with store.opened() as volume:
        await prepared(volume)
        surveyor = Surveyor(volume)
        compared = 0
        for _ in range(TURNS):
            for _ in range(STEPS):
                await step(volume, rng, files)
                if rng.random() < 0.4:  # what came and went between two surveys is known too
                    store.clock.forward(1)
                    await volume.commit()
            await volume.commit()
            compared += compare(await surveyed(surveyor), await surveyed(Surveyor(volume)))
        assert surveyor.whole == 1
        tally.add("blocks of which a survey was brought up to date and made anew", compared, seed=seed)


async def test_a_folder_that_moves_below_another_policy_and_a_policy_that_is_set_want_a_whole_one(store: Store) -> None:
    async with store.opened() as volume:
        await prepared(volume)
        await write_file(volume, b"hot/sub/f", b"x" * 3_000)
        await volume.commit()
        surveyor = Surveyor(volume)
        await surveyed(surveyor)
        rename(volume, b"hot/sub", b"plain/other")
        await volume.commit()
        compare(await surveyed(surveyor), await surveyed(Surveyor(volume)))
        assert surveyor.whole == 2
        rename(volume, b"plain/other", b"plain/again")
        await volume.commit()
        await surveyed(surveyor)
        assert surveyor.whole == 2, "nothing else holds for it"
        volume.xattrs.set(volume.overlay.inode(ROOT_INO), b"user.hyperfs.class", b"cold")
        await volume.commit()
        compare(await surveyed(surveyor), await surveyed(Surveyor(volume)))
        assert surveyor.whole == 3


async def test_what_was_used_since_counts(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", random.Random(1).randbytes(90_000))
        await volume.commit()
        surveyor = Surveyor(volume)
        before = await surveyed(surveyor)
        store.clock.forward(5 * 3600)
        volume.uses._fresh[inode.ino] = store.clock() // (3600 * 10**9)
        after = await surveyed(surveyor)
        [log] = after.logs
        assert max(after.logs[log].used) == max(before.logs[log].used) + 5
        assert surveyor.whole == 1
