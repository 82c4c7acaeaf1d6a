"""Retention on a real volume: what stays is what the rules say, and it is as it was."""

import random

import pytest

from hyperfs.errors import InvalidArgument
from hyperfs.policy.attributes import KEEP
from hyperfs.policy.retention import DAY_NS, HOUR_NS
from hyperfs.values import ROOT_INO
from hyperfs.volume import collecting, remembered_groups
from hyperfs.volume.retaining import retain, thin
from hyperfs.volume.rules import effective, rules_of
from hyperfs.volume.volume import Volume

from .conftest import Store, damage, inode_of, make_folder, unlink, write_file
from .model import View, view_of_tree

HOUR = 3600.0
DAY = 24 * HOUR


def quiet(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def views(volume: Volume) -> dict[int, View]:
    return {f.version: view_of_tree(volume, volume.versions.tree(f.version)) for f in volume.versions.all()}


def set_keep(volume: Volume, path: bytes, value: bytes | None) -> None:
    volume.xattrs.set(inode_of(volume, path), KEEP, value)


def oracle(history: list[tuple[int, int]], now: int) -> set[int]:
    """The default for (version, time) that are all listed, told slowly and another way."""
    stays = {history[-1][0]}
    monday = 3 * DAY_NS
    for version, time in history:
        age, later = now - time, [t for _, t in history if t > time]
        if age < HOUR_NS:
            stays.add(version)
            continue
        size, shift = (HOUR_NS, 0) if age < DAY_NS else (DAY_NS, 0) if age < 30 * DAY_NS else (7 * DAY_NS, monday)
        if not any((t + shift) // size == (time + shift) // size for t in later):
            stays.add(version)
    return stays


async def month(
    store: Store, volume: Volume, days: int, seed: int, folder: bytes = b""
) -> list[tuple[int, int]]:
    """So many days of edits; (version, time) of each that is listed."""
    rng = random.Random(seed)
    made = []
    for _ in range(days):
        for _ in range(rng.randrange(6)):
            store.clock.forward(rng.choice([5, 600, HOUR, 3 * HOUR]))
            name = folder + b"f%d" % rng.randrange(8)
            await write_file(volume, name, rng.randbytes(rng.choice([10, 3000, 90_000])))
            commit = await volume.commit()
            assert commit.display_second
            made.append((commit.version, commit.time_ns))
        store.clock.forward(rng.randrange(int(DAY)))
    return made


async def test_a_month_of_edits_thins_to_what_the_rules_say(store: Store) -> None:
    async with store.opened() as volume:
        first = (volume.versions.newest.version, volume.versions.newest.time_ns)
        made = await month(store, volume, 45, seed=5)
        before, now = views(volume), store.clock.now_ns
        done = await retain(volume, False, quiet)
        after = views(volume)
        expected = oracle([first, *made], now)
        assert {v for v in after if v <= made[-1][0]} == expected
        assert all(after[v] == before[v] for v in expected)
        assert done.versions == len(made) + 1 - len(expected)
        assert done.bytes > 0
        assert damage(volume) == []
    async with store.opened() as volume:
        assert {v for v in views(volume) if v <= made[-1][0]} == expected
        assert damage(volume) == []


@pytest.mark.parametrize("by_groups", [False, True])
async def test_thinning_in_many_steps_is_thinning_at_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch, by_groups: bool
) -> None:
    if by_groups:
        monkeypatch.setattr(collecting, "REMEMBERED_MOST", 1)
        monkeypatch.setattr(remembered_groups, "GROUP_VERSIONS", 4)
    async with store.opened() as volume:
        made = [(volume.versions.newest.version, volume.versions.newest.time_ns)]
        for seed in range(8):
            made += await month(store, volume, 5, seed)
            await (retain(volume, False, quiet) if seed % 2 else thin(volume))
        listed = {f.version for f in volume.versions.all() if f.second}
        assert listed == oracle(made, store.clock.now_ns)
        before = views(volume)
        await retain(volume, False, quiet)
        assert {version: view for version, view in views(volume).items() if version in before} == before
        assert damage(volume) == []


async def test_the_drives_rule_is_that_of_the_root(store: Store) -> None:
    async with store.opened() as volume:
        await month(store, volume, 10, seed=1)
        set_keep(volume, b"", b"3 versions")
        await volume.commit()
        listed = [f.version for f in volume.versions.all() if f.second]
        await retain(volume, False, quiet)
        assert [f.version for f in volume.versions.all() if f.second] == listed[-3:]


async def test_a_folder_that_keeps_all_keeps_the_versions(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        set_keep(volume, b"d", b"all")
        await volume.commit()
        await month(store, volume, 10, seed=2, folder=b"d/")
        before = list(volume.versions.all())
        await retain(volume, False, quiet)
        assert list(volume.versions.all())[1 : len(before)] == before[1:]


async def test_a_named_snapshot_stays_and_what_it_kept_goes_with_its_name(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"named")
        named = (await volume.make_snapshot(ROOT_INO, b"name")).version
        await month(store, volume, 3, seed=3)
        store.clock.forward(40 * DAY)
        await month(store, volume, 1, seed=4)
        await retain(volume, False, quiet)
        assert volume.versions.is_kept(named)
        await volume.delete_snapshot(ROOT_INO, b"name")
        await retain(volume, False, quiet)
        assert not volume.versions.is_kept(named)
        assert damage(volume) == []


async def test_a_rule_is_checked_and_a_wrong_one_changes_nothing(store: Store) -> None:
    async with store.opened() as volume:
        inode = make_folder(volume, b"d")
        set_keep(volume, b"d", b"30d")
        with pytest.raises(InvalidArgument):
            set_keep(volume, b"d", b"30 days")
        with pytest.raises(InvalidArgument):
            set_keep(volume, b"d", b"\xff")
        assert volume.xattrs.get(inode, KEEP) == b"30d"
        assert rules_of(volume.overlay.live)[inode.ino] == effective(volume.overlay.live, inode.ino).rule


async def test_a_rule_holds_below_until_one_nearer_says_otherwise(store: Store) -> None:
    async with store.opened() as volume:
        for path in (b"a", b"a/b", b"a/b/c"):
            make_folder(volume, path)
        file = await write_file(volume, b"a/b/c/f", b"1")
        live = volume.overlay.live

        def rule() -> tuple[str | None, int]:
            return effective(live, file.ino)[0::2]  # type: ignore[return-value]

        assert rule() == (None, 0)
        set_keep(volume, b"", b"1y")
        assert rule() == ("1y", ROOT_INO)
        set_keep(volume, b"a", b"30d")
        set_keep(volume, b"a/b/c", b"all")
        assert rule() == ("all", inode_of(volume, b"a/b/c").ino)
        set_keep(volume, b"a/b/c", None)
        assert rule() == ("30d", inode_of(volume, b"a").ino)
    async with store.opened() as volume:
        assert len(rules_of(volume.overlay.live)) == 2


async def test_the_rule_of_a_folder_that_is_gone_is_remembered(store: Store) -> None:
    async with store.opened() as volume:
        folder = make_folder(volume, b"d")
        set_keep(volume, b"d", b"all")
        await volume.commit()
        volume.unlinked(volume.names.rmdir(ROOT_INO, b"d"))
        await volume.commit()
        assert folder.ino in rules_of(volume.overlay.live)


async def test_a_clock_that_went_back_lets_nothing_more_go(store: Store) -> None:
    async with store.opened() as volume:
        await month(store, volume, 3, seed=6)
        await retain(volume, False, quiet)
        before = {f.version for f in volume.versions.all() if f.second}
        store.clock.forward(-300 * DAY)
        await write_file(volume, b"f", b"now")
        await volume.commit()
        await retain(volume, False, quiet)
        assert before <= {f.version for f in volume.versions.all()}


async def test_a_version_that_is_only_marked_gives_its_space_at_the_next_prune(store: Store) -> None:
    async with store.opened() as volume:
        await month(store, volume, 12, seed=7)
        space = volume.content.log.size_on_disk()
        assert await thin(volume) > 0
        assert await thin(volume) == 0
        assert volume.content.log.size_on_disk() == space
        assert damage(volume) == []
        assert (await retain(volume, False, quiet)).bytes > 0
        assert volume.content.log.size_on_disk() < space


@pytest.mark.parametrize("made", ["unlinked", "linked"])
async def test_bytes_of_a_version_that_is_only_marked_may_be_stored_again(store: Store, made: str) -> None:
    async with store.opened() as volume:
        data = random.Random(1).randbytes(90_000)
        await write_file(volume, b"f", data)
        await volume.commit()
        store.clock.forward(60)
        if made == "unlinked":
            unlink(volume, b"f")
        else:
            await write_file(volume, b"f", b"other")
        await volume.commit()
        store.clock.forward(40 * DAY)
        await write_file(volume, b"g", b"")
        await volume.commit()
        await thin(volume)
        await write_file(volume, b"again", data)
        await volume.commit()
        await retain(volume, False, quiet)
        assert damage(volume) == []
