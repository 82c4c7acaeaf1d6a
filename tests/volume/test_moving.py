"""Where blocks are becomes what policies ask for; nothing is in neither place, and nothing is where it may not be."""

import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from hyperfs.errors import Unreachable
from hyperfs.policy.attributes import CLASS, COPIES, PLACES
from hyperfs.policy.placement import Strength
from hyperfs.policy.scanning import Program
from hyperfs.values import BlockRef
from hyperfs.volume import keys, moving
from hyperfs.volume.check import verify
from hyperfs.volume.elsewhere import Wish
from hyperfs.volume.moving import Mover
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.prune import prune
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, inode_of, kill, make_folder, rename, unlink, write_file
from .faults import Faults, Killed
from .other_places import InMemory, Place

ALL = os.environ.get("HYPERFS_ALL") == "1"
SIZE = 300_000


def noise(seed: int, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


@asynccontextmanager
async def opened(store: Store, *names: str) -> AsyncIterator[tuple[Volume, InMemory, Mover]]:
    async with store.opened() as volume:
        places = InMemory(volume.parts.logs, *(names or ("nas", "office")))
        volume.returning.elsewhere = places
        yield volume, places, Mover(volume)


async def move(volume: Volume, places: InMemory, mover: Mover) -> None:
    """A version of all that was done, then as many turns as it takes."""
    await volume.commit()
    await mover.turn()
    places.deliver()
    await mover.turn()
    volume.parts.chunkstore.cache.clear()


def blocks_of(volume: Volume, path: bytes) -> set[BlockRef]:
    extents = volume.overlay.extents(inode_of(volume, path), 0, MAX_FILE_BYTES)
    return {BlockRef(at.log, at.block) for e in extents for at in (e.place, *e.bases)}


def here(volume: Volume, path: bytes) -> bool:
    """Whether all of a file is; fails where only some is."""
    left = {volume.parts.residence.has_left(ref) for ref in blocks_of(volume, path)}
    assert len(left) == 1, f"{path!r} is here in part"
    return not left.pop()


async def read(volume: Volume, path: bytes, keep: bool = False) -> bytes:
    inode = inode_of(volume, path)
    return await volume.returning.complete(lambda: volume.files.read_soon(inode, 0, inode.size), keep)


async def folder_with(volume: Volume, path: bytes, seed: int, size: int = SIZE, **policies: bytes) -> None:
    """A folder with one file in it, a version for itself: so it shares no pack."""
    folder = make_folder(volume, path)
    for name, value in policies.items():
        volume.xattrs.set(folder, b"user.hyperfs." + name.encode(), value)
    await write_file(volume, path + b"/f", noise(seed, size))
    await volume.commit()


async def test_cold_leaves_as_soon_as_two_places_have_it_and_auto_and_hot_stay(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        for number, kind in enumerate((b"cold", b"archive", b"auto", b"hot")):
            await folder_with(volume, kind, number, **{"class": kind})
        await volume.commit()
        await mover.turn()
        assert volume.parts.residence.is_whole, "nothing leaves that is nowhere else"
        assert all(wish.soon and wish.copies == 2 for wish in places.wishes)
        assert mover.standing.to_leave_bytes > 2 * SIZE
        places.deliver()
        before = volume.content.log.size_on_disk()
        await mover.turn()
        assert before - volume.content.log.size_on_disk() > 2 * SIZE - 4 * 4096
        assert [here(volume, kind + b"/f") for kind in (b"cold", b"archive", b"auto", b"hot")] == [0, 0, 1, 1]
        volume.parts.chunkstore.cache.clear()
        for number, kind in enumerate((b"cold", b"archive", b"auto", b"hot")):
            assert await read(volume, kind + b"/f") == noise(number)


async def test_a_copy_fewer_than_asked_and_nothing_leaves(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        await mover.turn()
        places.deliver()
        places.at["nas"].lost = set(places.at["nas"].blocks)
        await mover.turn()
        assert here(volume, b"d/f"), "what a place has acknowledged and dropped is not there"
        places.at["nas"].lost.clear()
        await mover.turn()
        assert not here(volume, b"d/f")


async def test_three_copies_with_two_places_never_leave_and_it_is_said(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold", "copies": b"3"})
        await move(volume, places, mover)
        assert here(volume, b"d/f")
        assert places.wishes == []
        assert "fewer places" in volume.warnings["copies"]
        volume.xattrs.set(inode_of(volume, b"d"), COPIES, b"2")
        await move(volume, places, mover)
        assert not here(volume, b"d/f")
        assert "copies" not in volume.warnings


async def test_with_one_place_one_copy_is_enough_and_there_is_a_warning(store: Store) -> None:
    async with opened(store, "nas") as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        await move(volume, places, mover)
        assert not here(volume, b"d/f")
        assert "only other place" in volume.warnings["copies"]


async def test_bytes_go_only_where_they_may(store: Store) -> None:
    async with opened(store, "nas", "office", "away") as (volume, places, mover):
        await folder_with(volume, b"local", 1, **{"class": b"cold", "places": b"local-only"})
        await folder_with(volume, b"office", 2, **{"class": b"cold", "places": b"office"})
        await folder_with(volume, b"two", 3, **{"class": b"cold", "places": b"away,office"})
        mine = {path: blocks_of(volume, path + b"/f") for path in (b"local", b"office", b"two")}
        unlink(volume, b"local/f")  # and what only an older version has stays as well
        await move(volume, places, mover)
        assert not mine[b"local"] & set().union(*(place.blocks for place in places.at.values()))
        assert not any(volume.parts.residence.has_left(ref) for ref in mine[b"local"])
        assert not here(volume, b"office/f")
        assert not here(volume, b"two/f")
        assert mine[b"office"] <= set(places.at["office"].blocks)
        assert not mine[b"office"] & (set(places.at["nas"].blocks) | set(places.at["away"].blocks))
        assert not mine[b"two"] & set(places.at["nas"].blocks)


async def test_a_pack_stays_when_something_in_it_must(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        for name, kind in ((b"cold", b"cold"), (b"hot", b"hot")):
            volume.xattrs.set(make_folder(volume, name), CLASS, kind)
            await write_file(volume, name + b"/small", noise(len(name), 3000))
        await volume.commit()
        assert blocks_of(volume, b"cold/small") == blocks_of(volume, b"hot/small"), "they are to share a pack"
        await move(volume, places, mover)
        assert here(volume, b"cold/small")
        volume.xattrs.set(inode_of(volume, b"hot"), CLASS, b"cold")
        await move(volume, places, mover)
        assert not here(volume, b"cold/small")


async def test_a_base_stays_as_long_as_a_delta_that_must_stay_needs_it(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, 100_000, **{"class": b"hot"})
        first = blocks_of(volume, b"d/f")
        inode = inode_of(volume, b"d/f")
        await volume.files.write(inode, 50_000, b"changed")
        await volume.commit()
        after = blocks_of(volume, b"d/f")
        assert first < after, "it is to be a delta"
        await move(volume, places, mover)
        assert here(volume, b"d/f")


async def test_what_was_deleted_and_what_only_old_versions_have_leaves_without_being_asked_for(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"gone", 1)
        await folder_with(volume, b"old", 2)
        await folder_with(volume, b"kept", 3)
        gone, old = blocks_of(volume, b"gone/f"), blocks_of(volume, b"old/f")
        versions = volume.versions.newest.version
        unlink(volume, b"gone/f")
        await write_file(volume, b"old/f", noise(9))
        await move(volume, places, mover)
        assert all(volume.parts.residence.has_left(ref) for ref in gone | old)
        assert here(volume, b"kept/f")
        tree = volume.versions.tree(versions)
        for path, seed in ((b"gone", 1), (b"old", 2)):
            dentry = tree.dentry(inode_of(volume, path).ino, b"f")
            assert dentry is not None
            extents = tree.extents(dentry[0], 0, SIZE)
            data = await volume.returning.complete(lambda e=extents: volume.content.read_soon(e, 0, SIZE), keep=False)
            assert data == noise(seed)


async def test_over_the_budget_what_was_used_least_lately_leaves_and_media_before_documents(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        big = 1_200_000
        names = [b"old.pdf", b"film.mp4", b"paper.pdf", b"new.pdf"]
        make_folder(volume, b"d")
        for number, name in enumerate(names):
            if name in (b"film.mp4", b"new.pdf"):
                store.clock.forward(7200)
            await write_file(volume, b"d/" + name, noise(number, big))
            await volume.commit()
        await volume.commit()
        whole = sum(log.size_on_disk() for log in volume.parts.logs.values())

        async def with_budget(size: int) -> list[bytes]:
            key = keys.budget_key(volume.device)
            volume.overlay.set_fact(key, b"%d" % size)
            await move(volume, places, mover)
            return [name for name in names if volume.parts.residence.has_left(min(blocks_of(volume, b"d/" + name)))]

        assert await with_budget(2 * whole) == []
        assert await with_budget(whole - big // 4) == [b"old.pdf"]
        assert await with_budget(whole - big - big // 4) == [b"old.pdf", b"film.mp4"]
        assert await with_budget(0) == names
        for number, name in enumerate(names):
            assert await read(volume, b"d/" + name) == noise(number, big)


async def test_what_was_used_lately_stays_longer(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        for number, path in enumerate((b"a", b"b")):
            await folder_with(volume, path, number)
            store.clock.forward(7200)
        volume.uses.opened(inode_of(volume, b"a/f").ino, 1)
        for ino, _ in volume.uses.take_opens():
            volume.uses.sighted(Program("/usr/bin/vim", ""), ino, 1.0)
        volume.uses.settle(2000.0)
        list(volume.uses.save())
        whole = sum(log.size_on_disk() for log in volume.parts.logs.values())
        volume.overlay.set_fact(keys.budget_key(volume.device), b"%d" % (whole - SIZE // 4))
        await move(volume, places, mover)
        assert here(volume, b"a/f")
        assert not here(volume, b"b/f")


async def test_hot_comes_back_when_it_is_set_and_is_on_the_disk_then(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        await move(volume, places, mover)
        assert not here(volume, b"d/f")
        volume.xattrs.set(inode_of(volume, b"d"), CLASS, b"hot")
        await move(volume, places, mover)
        assert here(volume, b"d/f")
        assert mover.standing.returned_bytes > SIZE
        assert mover.standing.to_return_bytes == 0
        assert volume.parts.residence.is_whole
        places.at.clear()
        assert await read(volume, b"d/f") == noise(1)


async def test_open_and_unwritten_files_stay(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"open", 1, **{"class": b"cold"})
        await folder_with(volume, b"dirty", 2, **{"class": b"cold"})
        volume.opened(inode_of(volume, b"open/f"), writing=False)
        await volume.commit()
        await mover.turn()
        places.deliver()
        await volume.files.write(inode_of(volume, b"dirty/f"), 0, b"x")
        await mover.turn()
        assert here(volume, b"open/f")
        assert here(volume, b"dirty/f")
        volume.released(inode_of(volume, b"open/f"), writing=False)
        await mover.turn()
        assert not here(volume, b"open/f")


async def test_what_is_opened_while_places_are_asked_stays(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        await volume.commit()
        await mover.turn()
        places.deliver()
        confirm = places.confirm

        async def open_meanwhile(log: int, first: int, end: int) -> frozenset[str]:
            volume.opened(inode_of(volume, b"d/f"), writing=False)
            return await confirm(log, first, end)

        places.confirm = open_meanwhile  # type: ignore[method-assign]
        await mover.turn()
        assert here(volume, b"d/f")


async def test_only_looking_asks_for_rest_however_long_moving_takes(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        await mover.turn()
        places.deliver()
        confirm = places.confirm
        seen: list[float] = []

        async def take_a_while(log: int, first: int, end: int) -> frozenset[str]:
            seen.append(mover.looking_seconds)
            await trio.sleep(0.01)
            return await confirm(log, first, end)

        places.confirm = take_a_while  # type: ignore[method-assign]
        await mover.turn()
        assert not here(volume, b"d/f")
        assert set(seen) == {mover.looking_seconds}


async def test_a_policy_that_is_set_while_places_are_asked_counts(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        await volume.commit()
        await mover.turn()
        places.deliver()
        confirm = places.confirm

        async def set_meanwhile(log: int, first: int, end: int) -> frozenset[str]:
            volume.xattrs.set(inode_of(volume, b"d"), PLACES, b"local-only")
            return await confirm(log, first, end)

        places.confirm = set_meanwhile  # type: ignore[method-assign]
        await mover.turn()
        assert here(volume, b"d/f")


async def test_while_it_is_held_nothing_leaves_and_what_is_to_be_here_comes_back(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"away", 1, **{"class": b"cold"})
        await move(volume, places, mover)
        await folder_with(volume, b"more", 2, **{"class": b"cold"})
        volume.xattrs.set(inode_of(volume, b"away"), CLASS, b"hot")
        mover.held = lambda: "the brake"
        await move(volume, places, mover)
        assert here(volume, b"more/f")
        assert here(volume, b"away/f")


async def test_what_came_back_for_a_scan_leaves_again(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1)
        whole = sum(log.size_on_disk() for log in volume.parts.logs.values())
        volume.overlay.set_fact(keys.budget_key(volume.device), b"0")
        await move(volume, places, mover)
        volume.overlay.set_fact(keys.budget_key(volume.device), b"%d" % (4 * whole))
        assert await read(volume, b"d/f", keep=True) == noise(1)
        with trio.fail_after(60):
            while not volume.parts.residence.is_whole:
                await trio.sleep(0.01)
        await move(volume, places, mover)
        assert here(volume, b"d/f")
        volume.unwanted.update(blocks_of(volume, b"d/f"))
        await mover.turn()
        assert not here(volume, b"d/f")


async def test_a_place_that_is_taken_away_and_its_blocks_cannot_be_had_is_an_error_and_no_hang(store: Store) -> None:
    async with opened(store, "nas") as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        await move(volume, places, mover)
        places.at["nas"].is_gone = True
        volume.xattrs.set(inode_of(volume, b"d"), CLASS, b"hot")
        await volume.commit()
        await mover._try(lambda what, done, of: None)
        assert "no place answers" in volume.warnings["moving"]
        places.at["nas"].is_gone = False
        await mover._try(lambda what, done, of: None)
        assert here(volume, b"d/f")
        assert "moving" not in volume.warnings


async def test_retention_and_verify_work_on_what_is_elsewhere(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        for seed in range(5):
            store.clock.forward(40 * 24 * 3600.0)
            await write_file(volume, b"d/f", noise(10 + seed))
            await volume.commit()
        await move(volume, places, mover)
        assert not here(volume, b"d/f")
        found = verify(volume.parts)
        assert [damage for damage in found.damage if damage.where != "file keys"] == []
        left = volume.parts.residence.cold_bytes
        unlink(volume, b"d/f")
        store.clock.forward(400 * 24 * 3600.0)
        await volume.commit()
        await prune(volume, 1, False, lambda what, done, of: None)
        await mover.turn()
        assert volume.parts.residence.cold_bytes < left / 3
        assert [damage for damage in verify(volume.parts).damage if damage.where != "file keys"] == []


async def test_a_prune_tells_what_comes_back_here_and_what_in_each_place(store: Store) -> None:
    async with opened(store, "nas") as (volume, places, mover):
        for folder, kind in ((b"away", b"cold"), (b"here", b"hot")):
            await folder_with(volume, folder, folder[0], **{"class": kind})
        for seed in range(4):
            store.clock.forward(2)
            for folder in (b"away", b"here"):
                await write_file(volume, folder + b"/f", noise(10 * folder[0] + seed))
            await volume.commit()
        await move(volume, places, mover)
        assert not here(volume, b"away/f")
        assert here(volume, b"here/f")
        log = volume.content.log
        would, space = await prune(volume, 1, True, lambda what, done, of: None), log._blocks.allocated()
        done = await prune(volume, 1, False, lambda what, done, of: None)
        given_back = space - log._blocks.allocated()
        assert given_back >= 3 * SIZE
        for told in (would, done):
            assert abs(told.bytes - given_back) <= 100_000, "metadata"
            assert 4 * SIZE <= told.elsewhere_bytes["nas"] <= 5 * SIZE


async def _steps(volume: Volume, places: InMemory, mover: Mover, rng: random.Random, files: dict[bytes, int]) -> None:
    """What a user and the background do. `files`: by path, the seed of what is in it; changed as soon as it counts."""
    for _ in range(6):
        match rng.randrange(7):
            case 0 | 1:
                path = b"d%d/f%d" % (rng.randrange(3), rng.randrange(3))
                seed = rng.randrange(1 << 30)
                files.pop(path, None)
                await write_file(volume, path, noise(seed, rng.choice([2000, 90_000, 200_000])))
                await volume.commit()
                files[path] = seed
            case 2 if files:
                path = rng.choice(sorted(files))
                files.pop(path)
                unlink(volume, path)
                await volume.commit()
            case 3:
                folder = inode_of(volume, b"d%d" % rng.randrange(3))
                volume.xattrs.set(folder, CLASS, rng.choice([b"hot", b"auto", b"cold", b"archive"]))
            case 4 if files:
                path = rng.choice(sorted(files))
                size = inode_of(volume, path).size
                assert await read(volume, path, keep=rng.random() < 0.5) == noise(files[path], size)
            case 5:
                budget = rng.choice([b"0", b"200000", b"9000000"])
                volume.overlay.set_fact(keys.budget_key(volume.device), budget)
            case _:
                places.deliver()
        await volume.commit()
        await mover.turn()


def _nothing_is_nowhere(volume: Volume, places: InMemory) -> int:
    """Each block of what is committed is here or at enough places."""
    cleared = volume.parts.catalog.cleared
    number = volume.content.number
    for index in range(volume.content.log.signed_length):
        ref = BlockRef(number, index)
        if cleared.has(number, index) or volume.content.log.holds(index):
            continue
        assert sum(place.has(ref) for place in places.at.values()) >= 2, f"{ref} is nowhere"
    return volume.content.log.signed_length


@pytest.mark.parametrize("seed", range(40 if ALL else 4))
async def test_killed_at_any_operation_nothing_is_in_neither_place_and_all_can_be_read(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    kept: dict[str, Place] = {"nas": Place(), "office": Place()}
    async with store.opened() as volume:
        for folder in range(3):
            make_folder(volume, b"d%d" % folder)
    files: dict[bytes, int] = {}
    checked = killed = 0
    for _ in range(8 if ALL else 4):
        faults = Faults()
        store.disk = faults.disk
        volume = store.open()
        places = InMemory(volume.parts.logs)
        places.at = kept
        volume.returning.elsewhere = places
        try:
            await volume.recover()
            faults.kill_after = rng.randrange(5, 150)
            await _steps(volume, places, Mover(volume), rng, files)
        except* Killed:
            killed += 1
        faults.dead = True
        kill(volume)
        store.disk = Store.disk
        async with store.opened() as volume:
            places = InMemory(volume.parts.logs)
            places.at = kept
            volume.returning.elsewhere = places
            checked += _nothing_is_nowhere(volume, places)
            for path, of in files.items():
                size = inode_of(volume, path).size
                assert await read(volume, path) == noise(of, size), path
            assert [damage for damage in verify(volume.parts).damage if damage.where != "file keys"] == []
            await volume.commit()
            await Mover(volume).turn()
            checked += _nothing_is_nowhere(volume, places)
    tally.add("blocks looked for after moving was killed", checked, seed=seed)
    tally.add("times moving was killed", killed, seed=seed)


async def test_a_folder_is_moved_by_name_and_its_bytes_follow_the_policy_of_where_they_are(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"a", 1)
        volume.xattrs.set(make_folder(volume, b"cold"), CLASS, b"cold")
        rename(volume, b"a", b"cold/a")
        await move(volume, places, mover)
        assert not here(volume, b"cold/a/f")


async def test_a_survey_knows_nothing_of_what_no_version_has(store: Store) -> None:
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        await move(volume, places, mover)
        assert mover.surveyor.newest is not None
        assert mover.surveyor.newest.needs(BlockRef(volume.content.number, 10**6)).strength is Strength.HOT


async def test_in_the_background_what_is_proven_during_a_turn_leaves_in_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(moving, "LATEST_SECONDS", 10_000.0)
    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        want = places.want

        def deliver_at_once(wishes: Sequence[Wish]) -> None:
            want(wishes)
            places.deliver()

        places.want = deliver_at_once  # type: ignore[method-assign]
        confirm = places.confirm
        asked = 0

        async def too_early(log: int, first: int, end: int) -> frozenset[str]:
            """At first nothing is confirmed; it becomes so while the turn still goes on."""
            nonlocal asked
            asked += 1
            if asked > 1:
                return await confirm(log, first, end)
            places.deliver()
            await trio.sleep(0.05)
            return frozenset()

        places.confirm = too_early  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mover.run)
            with trio.fail_after(60):
                while here(volume, b"d/f") or asked < 2:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


async def test_whoever_waits_for_what_is_to_be_here_is_told_how_far_it_is_or_why_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(moving, "REST_FACTOR", 0.0)
    told: list[tuple[int, int]] = []

    async def tell(done: int, of: int) -> None:
        told.append((done, of))

    async with opened(store) as (volume, places, mover):
        await folder_with(volume, b"d", 1, **{"class": b"cold"})
        await move(volume, places, mover)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mover.run)
            places.at["nas"].is_gone = places.at["office"].is_gone = True
            volume.xattrs.set(inode_of(volume, b"d"), CLASS, b"hot")
            await volume.commit()
            with trio.fail_after(60), pytest.raises(Unreachable, match="no place answers"):
                await mover.all_here(tell)
            places.at["nas"].is_gone = places.at["office"].is_gone = False
            mover.look_again()
            with trio.fail_after(60):
                while "moving" in volume.warnings:
                    await trio.sleep(0.01)
                await mover.all_here(tell)
            assert here(volume, b"d/f")
            nursery.cancel_scope.cancel()
    assert told
