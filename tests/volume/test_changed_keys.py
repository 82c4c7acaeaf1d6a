"""What differs below a path is what the whole comparison says of it, and costs no more than what is there."""

import os
import random

import pytest

from hyperfs.volume import changed_keys
from hyperfs.volume.changed_keys import _Below
from hyperfs.volume.compare import compare, differences, differences_below, within
from hyperfs.volume.paths import Paths, find, scope
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, inode_of, make_folder, rename, write_file
from .random_steps import all_paths, change

ALL = os.environ.get("HYPERFS_ALL") == "1"
SEED = int(os.environ.get("HYPERFS_SEED", "7"))
ROUNDS, STEPS = (60, 40) if ALL else (5, 30)


async def test_below_any_path_it_is_what_the_whole_comparison_says_of_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed_keys, "_KEYS_A_TURN", 0)  # so that it is always the other way that ends first
    rng = random.Random(SEED)
    compared = seen = 0
    async with store.opened() as volume:
        versions = []
        for _ in range(ROUNDS):
            for _ in range(rng.randrange(1, STEPS)):
                await change(volume, rng)
            versions.append((await volume.commit()).version)
        for _ in range(6 * ROUNDS):
            old, new = (Paths(volume.versions.tree(rng.choice([0, *versions]))) for _ in range(2))
            whole = differences(old, new)
            paths = {*all_paths(old.tree), *all_paths(new.tree), *all_paths(volume.overlay.live), b"nowhere"}
            for path in rng.sample(sorted(paths), min(len(paths), 12)):
                scopes = [scope(volume.overlay.live, side, path) for side in (old, new)]
                expected = list(within(whole, *scopes))
                assert differences_below(old, new, *scopes) == expected, (SEED, path, scopes)
                compared += 1
                seen += len(expected)
    assert seen > compared // 4
    tally.add("comparisons below a path, and of the whole drive", compared, seed=SEED)


async def big_change(volume: Volume) -> tuple[int, int]:
    """One file changes in a small folder, and very much elsewhere."""
    for folder in (b"big", b"small"):
        make_folder(volume, folder)
    for number in range(600):
        await write_file(volume, b"big/%d" % number, b"old %d" % number)
    for number in range(5):
        await write_file(volume, b"small/%d" % number, b"old")
    old = (await volume.commit()).version
    for number in range(600):
        await write_file(volume, b"big/%d" % number, b"new %d" % number)
    await write_file(volume, b"small/3", b"new")
    rename(volume, b"big/7", b"small/came")
    rename(volume, b"small/1", b"big/went")
    return old, (await volume.commit()).version


async def test_a_small_folder_costs_what_is_in_it_however_much_changed_elsewhere(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store.opened() as volume:
        old, new = await big_change(volume)
        noted = []
        note = changed_keys.Changes.note
        monkeypatch.setattr(changed_keys.Changes, "note", lambda *given: (noted.append(1), note(*given)))
        found = await compare(volume, old, new, b"small")
        assert [(d.kind, d.path, d.old_path) for d in found] == [
            ("moved", b"big/went", b"small/1"),
            ("changed", b"small/3", None),
            ("changed", b"small/came", b"big/7"),
            ("moved", b"small/came", b"big/7"),
        ]
        assert len(noted) < 150
        assert len(await compare(volume, old, new, b"small/3")) == 1
        await write_file(volume, b"small/3", b"newer")
        newest = (await volume.commit()).version
        noted.clear()
        assert [d.path for d in await compare(volume, new, newest, b"big")] == []
        assert len(noted) < 20  # nor what is there, however little changed


async def test_a_file_with_names_in_several_folders_is_left_to_the_other_way(store: Store) -> None:
    async with store.opened() as volume:
        _, new = await big_change(volume)
        volume.names.link(inode_of(volume, b"small/3"), inode_of(volume, b"big").ino, b"twin")
        newest = (await volume.commit()).version
        sides = [Paths(volume.versions.tree(version)) for version in (new, newest)]
        below = _Below(*sides)
        assert list(below.look(*(find(side.tree, b"small") for side in sides)))
        assert not below.is_complete
        assert [(d.kind, d.path) for d in await compare(volume, new, newest, b"big/twin")] == [("added", b"big/twin")]
