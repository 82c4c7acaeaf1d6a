"""Policies of a real volume: what holds is what a naive model of paths says, after any moves, commits and kills."""

import random

import pytest

from hyperfs.errors import FileError, InvalidArgument
from hyperfs.policy.attributes import CLASS, COPIES, DEFAULTS, FILED, KEEP, PLACES, PROTECT
from hyperfs.policy.inheritance import Held
from hyperfs.policy.retention import All, Thin
from hyperfs.values import ROOT_INO
from hyperfs.volume.check import verify
from hyperfs.volume.paths import find
from hyperfs.volume.policy_words import computed, holding
from hyperfs.volume.restore import restore
from hyperfs.volume.retaining import thin
from hyperfs.volume.rules import effective, rules_of
from hyperfs.volume.undo import undo
from hyperfs.volume.volume import Volume
from hyperfs.volume.whereabouts import resident_percent

from .conftest import Store, inode_of, kill, make_folder, rename, rmdir, unlink, write_file

VALUES = {CLASS: (b"hot", b"cold", b"archive"), PROTECT: (b"none", b"nodelete", b"lock"), COPIES: (b"1", b"3")}


def put(volume: Volume, path: bytes, name: bytes, value: bytes | None) -> None:
    volume.xattrs.set(inode_of(volume, path), name, value)


def held(volume: Volume, path: bytes, name: bytes) -> bytes | None:
    return volume.overlay.policies.held(inode_of(volume, path).ino, name).value


def all_paths(volume: Volume) -> dict[bytes, int]:
    found, waiting = {b"": ROOT_INO}, [(b"", ROOT_INO)]
    while waiting:
        path, ino = waiting.pop()
        for name, (child, kind) in volume.overlay.live.dentries(ino):
            below = path + b"/" + name if path else name
            found[below] = child
            if kind == 4:
                waiting.append((below, child))
    return found


def check_by_paths(volume: Volume) -> None:
    """By every path, from the attributes themselves, told the long way."""
    paths = all_paths(volume)
    own = {ino: volume.overlay.live.xattrs(ino) for ino in paths.values()}
    for path, ino in paths.items():
        above = [path]
        while above[-1]:
            above.append(above[-1].rpartition(b"/")[0])
        for name in FILED:
            set_on = next((paths[at] for at in above if name in own[paths[at]]), 0)
            expected = Held(own[set_on][name], set_on) if set_on else Held(DEFAULTS.get(name), 0)
            assert volume.overlay.policies.held(ino, name) == expected, (path, name)
    carriers = {ino for ino in own if FILED & own[ino].keys()}
    assert volume.overlay.policies.carriers == carriers
    hard = [values.get(CLASS) == b"archive" or values.get(PROTECT) in (b"nodelete", b"lock") for values in own.values()]
    assert volume.protection.on == any(hard)


def random_step(volume: Volume, rng: random.Random) -> None:
    paths = sorted(all_paths(volume))
    folders = [path for path in paths if volume.overlay.inode(inode_of(volume, path).ino).is_directory]
    path, into = rng.choice(paths), rng.choice(folders)
    new = (into + b"/" if into else b"") + b"%d" % rng.randrange(6)
    try:
        match rng.randrange(7):
            case 0:
                make_folder(volume, new)
            case 1:
                volume.names.make(inode_of(volume, into).ino, new.rpartition(b"/")[2], 0o100644, 0, 0)
            case 2 if path and into != path and not into.startswith(path + b"/"):
                rename(volume, path, new)
            case 3 if path and path not in folders:
                unlink(volume, path)
            case 4 if path and path in folders:
                rmdir(volume, path)
            case _:
                name = rng.choice(sorted(VALUES))
                put(volume, path, name, rng.choice((None, *VALUES[name])))
    except FileError:
        pass


@pytest.mark.parametrize("seed", range(6))
async def test_what_holds_is_what_paths_say(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        volume = store.open()
        await volume.recover()
        check_by_paths(volume)
        for _ in range(60):
            random_step(volume, rng)
            if rng.random() < 0.1:
                await volume.commit()
            if rng.random() < 0.1:
                check_by_paths(volume)
        await volume.fsync(None)
        check_by_paths(volume)
        kill(volume)


async def test_a_wrong_value_changes_nothing(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        put(volume, b"d", CLASS, b"cold")
        with pytest.raises(InvalidArgument):
            put(volume, b"d", CLASS, b"warm")
        assert held(volume, b"d", CLASS) == b"cold"


async def test_a_folders_policy_is_one_attribute_and_one_fact_however_much_is_below(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        for number in range(300):
            await write_file(volume, b"d/%d" % number, b"x")
        await volume.commit()
        put(volume, b"d", CLASS, b"cold")
        active = volume.overlay.live.active
        assert (len(active.inodes), len(active.xattrs), len(active.facts)) == (1, 1, 1)
        assert held(volume, b"d/77", CLASS) == b"cold"


async def test_policies_come_back_with_a_restore_and_an_undo(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        await write_file(volume, b"d/f", b"x")
        put(volume, b"d", PLACES, b"nas")
        version = (await volume.commit()).version
        unlink(volume, b"d/f")
        rmdir(volume, b"d")
        assert volume.overlay.policies.carriers == set()
        await volume.commit()
        await restore(volume, b"d", version)
        assert held(volume, b"d/f", PLACES) == b"nas"
        put(volume, b"d", PLACES, b"office")
        await volume.commit()
        store.clock.forward(60)
        put(volume, b"d", PLACES, None)
        await undo(volume, b"d")
        assert held(volume, b"d/f", PLACES) == b"office"
        check_by_paths(volume)


async def test_a_drive_with_policies_is_whole(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        for name, value in ((CLASS, b"archive"), (PROTECT, b"lock"), (COPIES, b"2"), (PLACES, b"local-only")):
            put(volume, b"d", name, value)
        await volume.commit()
        assert [found for found in verify(volume.parts).damage if found.where != "file keys"] == []
    async with store.opened(memory_index=False) as volume:
        check_by_paths(volume)


async def test_what_is_locked_keeps_every_version(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        make_folder(volume, b"d/kept")
        make_folder(volume, b"d/free")
        put(volume, b"d/kept", KEEP, b"1 version")
        put(volume, b"d", PROTECT, b"lock")
        put(volume, b"d/free", PROTECT, b"trash")
        rules = rules_of(volume.overlay.live)
        inos = {path: inode_of(volume, path).ino for path in (b"", b"d", b"d/kept", b"d/free")}
        assert rules == {inos[b""]: Thin(), inos[b"d"]: All(), inos[b"d/kept"]: All(), inos[b"d/free"]: Thin()}
        assert effective(volume.overlay.live, inos[b"d/kept"]) == (None, All(), inos[b"d"])
        put(volume, b"d", PROTECT, None)
        assert inos[b"d"] not in rules_of(volume.overlay.live)


async def test_thinning_leaves_versions_of_what_is_locked_and_takes_others(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"locked")
        put(volume, b"locked", PROTECT, b"lock")
        seen = {}
        for number in range(6):
            await write_file(volume, b"locked/f", b"%d" % number)
            seen[(await volume.commit()).version] = b"%d" % number
            store.clock.forward(60)
            await write_file(volume, b"other", b"%d" % number)
            await volume.commit()
            store.clock.forward(60)
        store.clock.forward(40 * 24 * 3600)
        before = len(list(volume.versions.all()))
        await write_file(volume, b"other", b"last")
        await volume.commit()
        assert await thin(volume) > 0
        assert len(list(volume.versions.all())) < before
        for version, data in seen.items():
            tree = volume.versions.tree(version)
            ino = find(tree, b"locked/f")
            assert ino is not None
            inode = tree.inode(ino)
            assert inode is not None
            assert inode.inline == data


async def test_only_what_is_trash_is_pinned_when_thinning_takes_its_version(store: Store) -> None:
    async with store.opened() as volume:
        for name in (b"kept", b"loose"):
            make_folder(volume, name)
            await write_file(volume, name + b"/f", b"x" * 1000)
        put(volume, b"loose", PROTECT, b"none")
        await volume.commit()
        store.clock.forward(60)
        for name in (b"kept", b"loose"):
            unlink(volume, name + b"/f")
        await volume.commit()
        for _ in range(3):
            store.clock.forward(60)
            await write_file(volume, b"other", b"y")
            await volume.commit()
        store.clock.forward(3 * 24 * 3600)
        await write_file(volume, b"other", b"z")
        await volume.commit()
        await volume.changes.caught_up()
        await thin(volume)
        pins = {volume.overlay.inode(pin.directory).ino for pin in volume.versions.offers.pins}
        assert pins == {inode_of(volume, b"kept").ino}


async def test_words_say_what_holds_and_where_it_comes_from(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"a")
        make_folder(volume, b"a/b")
        put(volume, b"a", CLASS, b"archive")
        put(volume, b"a/b", COPIES, b"3")
        ino = inode_of(volume, b"a/b").ino
        found = holding(volume, ino)
        assert list(found) == ["class", "protect", "copies", "places", "keep"]
        assert (found["class"].value, found["class"].origin) == ("archive", "a")
        assert (found["copies"].value, found["copies"].source) == ("3", ino)
        assert (found["protect"].value, found["protect"].origin) == ("trash", None)
        assert b'"archive"' in (computed(volume, ino, b"user.hyperfs.policy") or b"")
        assert await resident_percent(volume, ino) == 100
        assert computed(volume, ino, b"user.hyperfs.link") is None
