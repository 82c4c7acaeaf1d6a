"""A file's history by rows, against the same walked through every version; and the states that it had."""

import os
import random
from collections.abc import Iterator

import pytest

from hyperfs.volume.deleted import deleted_from
from hyperfs.volume.file_history import file_step
from hyperfs.volume.file_states import Spot, States, file_at, states
from hyperfs.volume.history import versions_of
from hyperfs.volume.inode import Inode
from hyperfs.volume.paths import Paths
from hyperfs.volume.prune import prune
from hyperfs.volume.tree import Tree
from hyperfs.volume.versions import Versions
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, unlink, write_file
from .random_steps import NAMES, change, inodes

SEEDS = range(200) if os.environ.get("HYPERFS_ALL") else range(8)
VERSIONS = 30


async def random_history(store: Store, volume: Volume, seed: int) -> None:
    chance = random.Random(seed)
    while volume.versions.newest.version < VERSIONS:
        await change(volume, chance)
        if chance.random() < 0.5:
            store.clock.forward(60)
            await volume.commit()
    await volume.changes.caught_up()


def walked(volume: Volume, spot: Spot) -> Iterator[tuple[int, str, Inode | None]]:
    """(version, what changed, the file in it), newest first, of every version."""
    known = [facts.version for facts in volume.versions.all()]
    inode = file_at(volume.versions.tree(known[-1]), spot)
    for before, version in zip([0, *known][-2::-1], known[::-1], strict=True):
        trees = Paths(volume.versions.tree(before)), Paths(volume.versions.tree(version))
        words, earlier, spot = file_step(*trees, inode, spot)
        yield version, words, inode
        inode = earlier


def spots(volume: Volume) -> list[Spot]:
    return [Spot(directory, name) for directory in inodes(volume)[0] for name in (*NAMES, b"tmp")]


def path_of(volume: Volume, spot: Spot) -> bytes:
    folder = Paths(volume.overlay.live).directory(spot.directory)
    return folder + b"/" + spot.name


def is_folder(volume: Volume, spot: Spot) -> bool:
    """Whether a name means a folder, or did last: its history is another one."""
    dentry = volume.overlay.live.dentry(*spot)
    kinds = [dentry[1]] if dentry is not None else [went.kind for went in volume.changes.went(*spot)]
    return 4 in kinds


def compare_versions(volume: Volume) -> int:
    compared = 0
    for spot in spots(volume):
        wanted = [(version, words) for version, words, _ in walked(volume, spot) if words]
        if wanted and not is_folder(volume, spot):
            found = versions_of(volume, path_of(volume, spot))
            assert [(version.version, version.change) for version in found] == wanted
            compared += 1
    return compared


def compare_states(volume: Volume) -> None:
    for spot in spots(volume):
        found = States()
        for state in states(volume, spot):
            found.add(state.ino, state.first.version, state.last)
        found.sort()
        for version, words, inode in walked(volume, spot):
            position = found.position(version)
            assert (position is not None) == (inode is not None)
            if position is not None and inode is not None:
                ino, first, _ = found.at(position)
                assert ino == inode.ino
                assert first == version or not words.startswith(("created", "content", "attributes"))


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_rows_tell_is_what_a_walk_through_all_versions_finds(store: Store, seed: int) -> None:
    async with store.opened() as volume:
        await random_history(store, volume, seed)
        compared = compare_versions(volume)
        compare_states(volume)
        tally.add("histories of files compared", compared, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
async def test_rows_of_versions_that_were_let_go_stand_for_a_change_by_the_next_kept_one(
    store: Store, seed: int
) -> None:
    async with store.opened() as volume:
        await random_history(store, volume, seed)
        await prune(volume, VERSIONS // 3, dry_run=False, progress=lambda what, done, of: None)
        await volume.changes.caught_up()
        compare_versions(volume)
        compare_states(volume)
    async with store.opened() as volume:  # with an index made anew of what is kept
        await volume.changes.caught_up()
        compare_versions(volume)
        compare_states(volume)


async def test_what_others_did_meanwhile_costs_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_into: list[int] = []
    tree = Versions.tree

    def counted(versions: Versions, version: int) -> Tree:
        looked_into.append(version)
        return tree(versions, version)

    costs = []
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        await write_file(volume, b"gone", b"1")
        await volume.commit()
        await write_file(volume, b"f", b"2")
        unlink(volume, b"gone")
        await volume.commit()
        for _ in range(2):
            for number in range(100):
                await write_file(volume, b"other", b"%d" % number)
                await volume.commit()
            await volume.changes.caught_up()
            with monkeypatch.context() as patch:
                patch.setattr(Versions, "tree", counted)
                assert len(list(versions_of(volume, b"f"))) == 2
                assert len(list(versions_of(volume, b"gone"))) == 2
                assert len(list(states(volume, Spot(1, b"f")))) == 2
                assert len(list(deleted_from(volume, 1))) == 1
            costs.append(len(looked_into))
            looked_into.clear()
    assert costs[0] == costs[1] < 100
