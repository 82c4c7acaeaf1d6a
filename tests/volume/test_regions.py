"""Folders with rules of their own: what each version offers of them, told by an oracle that knows nothing of marks."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from hyperfs.policy.attributes import KEEP
from hyperfs.policy.retention import Rule, Stamp, Thin, kept, parse_keep
from hyperfs.values import ROOT_INO
from hyperfs.volume.compare import compare
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.retaining import retain, thin
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, damage, inode_of, make_folder, rename, write_file

DAY = 24 * 3600.0
REGIONS = {b"": b"", b"a": b"30d", b"b": b"all", b"b/in": b"3 versions", b"c": b""}
"""The folders of the model, and the rules that they begin with; without one they are of the region above."""


def quiet(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def set_keep(volume: Volume, path: bytes, value: bytes | None) -> None:
    volume.xattrs.set(inode_of(volume, path), KEEP, value)


def files_of(volume: Volume, version: int, folder: bytes) -> dict[bytes, bytes] | None:
    """The files right in a folder (by today's path) as a version offers them; None where it offers no such folder."""
    tree = volume.versions.tree(version)
    ino = inode_of(volume, folder).ino
    if tree.inode(ino) is None:
        return None
    found = {}
    for name, (child, _) in tree.dentries(ino):
        inode = tree.inode(child)
        assert inode is not None, name
        if inode.is_file:
            extents = tree.extents(child, 0, MAX_FILE_BYTES)
            data = inode.inline if inode.inline is not None else volume.content.read(extents, 0, inode.size)
            found[name] = data.ljust(inode.size, b"\0")
    return found


@dataclass
class World:
    """What was written, by version: each region's files, told by the test alone."""

    store: Store
    volume: Volume
    rng: random.Random
    states: dict[int, dict[bytes, dict[bytes, bytes]]] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    now: dict[bytes, dict[bytes, bytes]] = field(default_factory=lambda: {f: {} for f in REGIONS})

    async def begin(self) -> None:
        for folder, rule in REGIONS.items():
            if folder:
                make_folder(self.volume, folder)
            if rule:
                set_keep(self.volume, folder, rule)
        await self.commit()

    async def commit(self) -> None:
        commit = await self.volume.commit()
        if commit.version not in self.states:
            assert commit.display_second
            self.states[commit.version] = {folder: dict(files) for folder, files in self.now.items()}
            self.times[commit.version] = commit.time_ns

    async def edit(self) -> None:
        self.store.clock.forward(self.rng.choice([5, 700, 3600, 5 * 3600, DAY, 3 * DAY]))
        for _ in range(self.rng.choice([1, 1, 1, 2])):
            folder = self.rng.choice(list(REGIONS))
            name = b"f%d" % self.rng.randrange(3)
            data = self.rng.randbytes(self.rng.choice([20, 2000, 40_000]))
            await write_file(self.volume, folder + b"/" + name if folder else name, data)
            self.now[folder][name] = data
        await self.commit()

    def region(self, folder: bytes, rules: dict[bytes, Rule]) -> bytes:
        while folder and folder not in rules:
            folder = folder.rpartition(b"/")[0]
        return folder


def states_of(world: World, versions: Iterator[int], folders: list[bytes]) -> dict[int, object]:
    """Of a region: the versions in which it differs from the one before, with its state."""
    found: dict[int, object] = {}
    last: object = None
    for version in versions:
        state = [world.states[version][folder] for folder in folders]
        if state != last:
            found[version] = last = state
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_what_versions_offer_of_each_region_is_what_its_rule_says(store: Store, seed: int) -> None:
    """All states that a rule keeps are there, whole; no other state of the region is; and verify has nothing to say."""
    async with store.opened() as volume:
        world = World(store, volume, random.Random(seed))
        await world.begin()
        rules: dict[bytes, Rule] = {b"": Thin()}
        rules |= {folder: parse_keep(rule.decode()) for folder, rule in REGIONS.items() if rule}
        for number in range(60):
            await world.edit()
            if number % 17 == 16:
                await (retain(volume, False, quiet) if number % 2 else thin(volume))
        await retain(volume, False, quiet)
        now = store.clock.now_ns
        compared = 0
        for region, rule in rules.items():
            folders = [folder for folder in REGIONS if world.region(folder, rules) == region]
            states = states_of(world, iter(sorted(world.states)), folders)
            stamps = [Stamp(version, world.times[version]) for version in states]
            wanted = [states[s.version] for s, stays in zip(stamps, kept(rule, stamps, now), strict=True) if stays]
            offered = []
            for facts in volume.versions.all():
                found = [files_of(volume, facts.version, folder) for folder in folders]
                assert (None in found) == all(files is None for files in found)
                if None not in found and found not in offered[-1:]:
                    offered.append(found)
                compared += len(found)
            assert offered == wanted, region
        assert damage(volume) == []
        tally.add("regions of versions compared with what their rules say", compared, seed=seed)
    async with store.opened() as volume:
        assert damage(volume) == []
        await retain(volume, False, quiet)
        assert damage(volume) == []


async def edit(store: Store, volume: Volume, path: bytes, data: bytes, seconds: float = 2) -> int:
    store.clock.forward(seconds)
    await write_file(volume, path, data)
    return (await volume.commit()).version


async def test_a_new_rule_below_one_that_let_go_does_not_bring_back(store: Store) -> None:
    """What its old region has let go stays gone, and is absent, not damaged."""
    async with store.opened() as volume:
        make_folder(volume, b"keeper")
        set_keep(volume, b"keeper", b"all")
        make_folder(volume, b"a")
        make_folder(volume, b"a/b")
        set_keep(volume, b"a", b"1 version")
        versions = []
        for number in range(4):
            await edit(store, volume, b"a/b/f", b"%d" % number * 5000)
            versions.append(await edit(store, volume, b"keeper/f", b"%d" % number * 100))
        await retain(volume, False, quiet)
        set_keep(volume, b"a/b", b"all")
        await volume.commit()
        for run in (None, thin, thin):
            if run is not None:
                await run(volume)
            for version in versions[:-1]:
                assert files_of(volume, version, b"a/b") is None
                assert files_of(volume, version, b"keeper") is not None
        await retain(volume, False, quiet)
        assert damage(volume) == []
        later = [await edit(store, volume, b"a/b/f", b"new %d" % number) for number in range(3)]
        await retain(volume, False, quiet)
        assert [files_of(volume, version, b"a/b") for version in later] == [{b"f": b"new %d" % n} for n in range(3)]
        assert damage(volume) == []


async def test_a_rule_that_is_taken_away_leaves_its_folder_to_the_one_above(store: Store) -> None:
    async with store.opened() as volume:
        set_keep(volume, b"", b"2 versions")
        make_folder(volume, b"d")
        set_keep(volume, b"d", b"all")
        for number in range(5):
            await edit(store, volume, b"d/f", b"%d" % number * 3000)
        await retain(volume, False, quiet)
        assert len([f for f in volume.versions.all() if f.second]) >= 5
        set_keep(volume, b"d", None)
        await volume.commit()  # which is a version of the folder: an attribute of it has changed
        await edit(store, volume, b"d/f", b"last")
        await retain(volume, False, quiet)
        offered = [files_of(volume, f.version, b"d") for f in volume.versions.all()]
        assert len({str(found) for found in offered if found is not None}) == 2
        assert damage(volume) == []


async def test_what_was_moved_belongs_to_the_region_that_it_lay_in_then(store: Store) -> None:
    async with store.opened() as volume:
        for folder, rule in ((b"short", b"1 version"), (b"long", b"all")):
            make_folder(volume, folder)
            set_keep(volume, folder, rule)
        moved = make_folder(volume, b"short/m")
        first = await edit(store, volume, b"short/m/f", b"first" * 1000)
        other = await edit(store, volume, b"long/f", b"x")
        store.clock.forward(2)
        rename(volume, b"short/m", b"long/m")
        second = (await volume.commit()).version
        third = await edit(store, volume, b"long/m/f", b"third" * 1000)
        await edit(store, volume, b"long/g", b"y")
        await retain(volume, False, quiet)
        trees = [volume.versions.tree(version) for version in (first, other, second, third)]
        assert [tree.inode(moved.ino) is not None for tree in trees] == [False, False, True, True]
        assert damage(volume) == []


async def test_lists_and_lookups_agree(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        set_keep(volume, b"d", b"2 versions")
        for number in range(6):
            await edit(store, volume, b"d/f", b"%d" % number * 3000)
            await edit(store, volume, b"f", b"%d" % number * 3000)
        await retain(volume, False, quiet)
        ino = inode_of(volume, b"d").ino
        listed = {f.version for f in volume.versions.listed(ino)}
        assert listed == {f.version for f in volume.versions.all() if files_of(volume, f.version, b"d") is not None} & {
            f.version for f in volume.versions.all() if f.second
        }
        everything = {f.version for f in volume.versions.listed(ROOT_INO)}
        assert listed < everything
        absent = min(everything - listed, key=lambda version: (version < min(listed), version))
        assert volume.versions.tree(absent).dentry(ROOT_INO, b"d") is None
        assert b"d" not in dict(volume.versions.tree(absent).dentries(ROOT_INO))
        newest = volume.versions.newest.version
        found = await compare(volume, absent, newest)
        assert all(difference.path != b"d/f" or difference.kind == "added" for difference in found)


async def test_a_version_in_which_a_file_is_open_offers_it_still(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        set_keep(volume, b"d", b"1 version")
        version = await edit(store, volume, b"d/f", b"1" * 90_000)
        await edit(store, volume, b"f", b"1")
        for number in range(3):
            await edit(store, volume, b"d/f", b"%d" % number * 90_000)
        with volume.reads(version):
            await retain(volume, False, quiet)
            assert files_of(volume, version, b"d") == {b"f": b"1" * 90_000}
        await retain(volume, False, quiet)
        assert damage(volume) == []
        assert not volume.versions.is_kept(version) or files_of(volume, version, b"d") is None


async def test_a_hard_link_into_a_region_that_keeps_all_is_kept(store: Store) -> None:
    async with store.opened() as volume:
        for folder, rule in ((b"short", b"1 version"), (b"long", b"all")):
            make_folder(volume, folder)
            set_keep(volume, folder, rule)
        inode = await write_file(volume, b"short/f", b"1" * 50_000)
        volume.names.link(inode, inode_of(volume, b"long").ino, b"g")
        first = (await volume.commit()).version
        store.clock.forward(2)
        await volume.files.resize(inode, 0)
        await volume.files.write(inode, 0, b"2" * 50_000)
        await volume.commit()
        await retain(volume, False, quiet)
        assert files_of(volume, first, b"long") == {b"g": b"1" * 50_000}
        assert damage(volume) == []
