"""What differs below a path is what the whole comparison says of it, and costs no more than what is there."""

import os
import random

import pytest

from hyperfs.volume import changed_keys
from hyperfs.volume.changed_keys import _Below
from hyperfs.volume.compare import compare, differences, differences_below, within
from hyperfs.volume.paths import Paths, find, parts_of, scope
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, inode_of, make_folder, rename, rmdir, unlink, write_file

ALL = os.environ.get("HYPERFS_ALL") == "1"
SEED = int(os.environ.get("HYPERFS_SEED", "7"))
ROUNDS, STEPS = (60, 25) if ALL else (5, 14)


def all_paths(tree: Tree) -> list[bytes]:
    found, waiting = [b""], [(1, b"")]
    while waiting:
        ino, path = waiting.pop()
        for name, (child, kind) in tree.dentries(ino):
            found.append(path + name)
            if kind == 4:
                waiting.append((child, path + name + b"/"))
    return found


def is_folder(volume: Volume, path: bytes) -> bool:
    return inode_of(volume, path).is_directory


async def random_step(volume: Volume, rng: random.Random) -> None:
    """One change: often a move of something into, out of, or within a folder, or over another thing."""
    paths = all_paths(volume.overlay.live)
    folders = [path for path in paths if is_folder(volume, path)]
    others = [path for path in paths if path]
    files = [path for path in others if path not in folders]
    new = b"/".join(filter(None, (rng.choice(folders), b"%d" % rng.randrange(4))))
    what = rng.choice(["write", "write", "folder", "move", "move", "move", "swap", "link", "remove", "mode"])
    if what == "write" and new not in folders:
        await write_file(volume, new, rng.randbytes(rng.choice([5, 9, 3000])))
    elif what == "folder" and new not in paths and new.count(b"/") < 3:
        make_folder(volume, new)
    elif what == "link" and files and new not in paths:
        folder = inode_of(volume, new.rpartition(b"/")[0])
        volume.names.link(inode_of(volume, rng.choice(files)), folder.ino, parts_of(new)[-1])
    elif what in ("move", "swap") and others:
        one = rng.choice(others)
        two = new if what == "move" else rng.choice(others)
        related = (two + b"/").startswith(one + b"/") or (one + b"/").startswith(two + b"/")
        is_free = two not in paths or (one not in folders and two not in folders)
        if not related and (is_free if what == "move" else (one in folders) == (two in folders)):
            rename(volume, one, two, 2 if what == "swap" else 0)
    elif what == "remove" and others:
        one = rng.choice(others)
        if one not in folders:
            unlink(volume, one)
        elif not any(path.startswith(one + b"/") for path in paths):
            rmdir(volume, one)
    elif what == "mode" and others:
        inode = inode_of(volume, rng.choice(others))
        inode.mode ^= 0o11
        volume.overlay.touch(inode)


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
                await random_step(volume, rng)
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
