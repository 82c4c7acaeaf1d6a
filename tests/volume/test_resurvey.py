"""A survey that is brought up to date says what a new one would say, and holds nothing less strongly."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperfs.values import ROOT_INO
from hyperfs.volume import survey_rows
from hyperfs.volume.survey import LIVE, Survey
from hyperfs.volume.survey_rows import SurveyRows, encode
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


def kept_surveyor(volume: Volume) -> Surveyor:
    """Which goes on from what an earlier one has kept."""
    return Surveyor(volume, rows_of(volume))


def rows_of(volume: Volume) -> SurveyRows:
    return SurveyRows(volume.parts.catalog, volume.parts.node_id_key)


async def keep(volume: Volume) -> None:
    surveyor = kept_surveyor(volume)
    async with surveyor.keeping():
        await surveyed(surveyor)


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


@pytest.mark.parametrize("seed", SEEDS)
async def test_after_opening_anew_it_goes_on_and_is_as_a_new_one(store: Store, seed: int) -> None:
    rng, files = random.Random(seed), set[bytes]()
    whole = compared = 0
    for turn in range(TURNS):
        async with store.opened(memory_index=False) as volume:
            if not turn:
                await prepared(volume)
            surveyor = kept_surveyor(volume)
            async with surveyor.keeping():
                for _ in range(rng.randrange(STEPS)):  # before the first survey of this opening
                    await step(volume, rng, files)
                    await volume.commit()
                compared += compare(await surveyed(surveyor), await surveyed(Surveyor(volume)))
                whole += surveyor.whole
            for _ in range(rng.randrange(STEPS)):  # behind the last
                await step(volume, rng, files)
    assert whole == 1
    tally.add("blocks of which a survey was gone on from after opening anew", compared, seed=seed)


def a_damaged_part(volume: Volume) -> None:
    [(key, value)] = [row for row in volume.parts.catalog.rows(b"y", b"y") if len(row[0]) > 1]
    volume.parts.catalog.apply([(key, value[:-9] + bytes([value[-9] ^ 1]) + value[-8:])])


def a_lost_part(volume: Volume) -> None:
    [key] = [key for key, _ in volume.parts.catalog.rows(b"y", b"y") if len(key) > 1]
    volume.parts.catalog.apply([(key, None)])


def a_head_of_another_length(volume: Volume) -> None:
    volume.parts.catalog.apply([(b"y", b"1")])


def another_policy(volume: Volume) -> None:
    volume.xattrs.set(volume.overlay.inode(ROOT_INO), b"user.hyperfs.class", b"cold")


@pytest.mark.parametrize("harm", [a_damaged_part, a_lost_part, a_head_of_another_length, another_policy])
async def test_what_was_kept_counts_for_nothing_after(store: Store, harm: Callable[[Volume], None]) -> None:
    async with store.opened(memory_index=False) as volume:
        await prepared(volume)
        await write_file(volume, b"hot/f", b"x" * 3_000)
        await volume.commit()
        await keep(volume)
        harm(volume)
    async with store.opened(memory_index=False) as volume:
        surveyor = kept_surveyor(volume)
        compare(await surveyed(surveyor), await surveyed(Surveyor(volume)))
        assert surveyor.whole == 1


async def test_what_was_kept_of_another_past_counts_for_nothing(store: Store, tmp_path: Path) -> None:
    """The store was brought back as it was, and something else was done."""
    async with store.opened(memory_index=False) as volume:
        await prepared(volume)
    shutil.copytree(store.path, tmp_path / "before")
    async with store.opened(memory_index=False) as volume:
        await write_file(volume, b"cold/f", random.Random(1).randbytes(90_000))
        await volume.commit()
        await keep(volume)
        kept = rows_of(volume).load()
        assert kept is not None
    async with Store(tmp_path / "before", store.clock).opened(memory_index=False) as volume:
        await write_file(volume, b"here/f", random.Random(2).randbytes(90_000))
        await volume.commit()
        assert volume.versions.newest.version == kept.version
        list(rows_of(volume).save(encode(kept)))
        assert rows_of(volume).load() is not None
        surveyor = kept_surveyor(volume)
        compare(await surveyed(surveyor), await surveyed(Surveyor(volume)))
        assert surveyor.whole == 1


async def test_a_save_that_was_cut_short_leaves_the_one_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_rows, "PART_BYTES", 20)
    async with store.opened() as volume:
        await prepared(volume)
        await keep(volume)
        first = rows_of(volume).load()
        assert first is not None
        next(rows_of(volume).save(encode(first._replace(version=99))))
        before = rows_of(volume).load()
        assert before is not None
        assert before.version == first.version
        list(rows_of(volume).save(encode(first._replace(version=99))))
        last = rows_of(volume).load()
        assert last is not None
        assert last.version == 99
        assert {key[1] for key, _ in volume.parts.catalog.rows(b"y", b"y") if len(key) > 1} == {1}
