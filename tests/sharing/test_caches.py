"""What came by links is bounded: what was used least lately goes, what is open stays."""

import os
import time
from pathlib import Path

import trio

from hyperfs.sharing import caches
from hyperfs.sharing.caches import RECENT_SECONDS, Room, found_in, make_room
from hyperfs.store.folder import LOCK, StoreLock
from tests.volume.conftest import Store

from .conftest import LONG, Machine, link_of, owned, read, written

NOW = 1_700_000_000.0
KIB = 1024


def cached(links: Path, name: str, age: float, nbytes: int = 100 * KIB) -> Path:
    """A link's store that was last mounted or unmounted so long ago, with the log of its process."""
    store = links / name
    (store / "logs").mkdir(parents=True)
    (store / "logs" / "blocks").write_bytes(os.urandom(nbytes))
    (store / LOCK).touch()
    (links / f"{name}.log").write_text("said")
    for path in (store / LOCK, store):
        os.utime(path, (NOW - age, NOW - age))
    return store


def names(links: Path) -> list[str]:
    return sorted(path.name for path in links.iterdir())


def test_the_least_lately_used_go_until_the_rest_fits(tmp_path: Path) -> None:
    for name, age in (("b", 5000), ("c", 4000), ("a", 3000)):
        cached(tmp_path, name, age)
    assert [found.store.name for found in found_in(tmp_path)] == ["b", "c", "a"]
    whole = sum(found.nbytes for found in found_in(tmp_path))
    assert make_room(tmp_path, whole, NOW) == 0
    assert len(names(tmp_path)) == 6
    left = make_room(tmp_path, whole - 1, NOW)
    assert names(tmp_path) == ["a", "a.log", "c", "c.log"]
    assert left == whole - 1 - sum(found.nbytes for found in found_in(tmp_path))
    assert make_room(tmp_path, 0, NOW) == 0
    assert names(tmp_path) == []


def test_what_is_open_or_was_used_a_moment_ago_stays(tmp_path: Path) -> None:
    mounted = cached(tmp_path, "mounted", 9000)
    cached(tmp_path, "recent", RECENT_SECONDS - 1)
    cached(tmp_path, "old", RECENT_SECONDS + 1)
    with StoreLock(mounted):
        os.utime(mounted / LOCK, (NOW - 9000, NOW - 9000))  # mounted for long
        assert make_room(tmp_path, 0, NOW) < 0
        assert names(tmp_path) == ["mounted", "mounted.log", "recent", "recent.log"]


def test_mounting_and_unmounting_is_using(tmp_path: Path) -> None:
    store = cached(tmp_path, "store", 0)
    lock = StoreLock(store)
    assert found_in(tmp_path)[0].used > time.time() - 3600
    os.utime(store / LOCK, (NOW, NOW))
    lock.release()
    assert found_in(tmp_path)[0].used > time.time() - 3600


def test_what_was_on_its_way_out_goes_on_and_no_folder_is_no_fault(tmp_path: Path) -> None:
    cached(tmp_path, "store", 9000).rename(tmp_path / f"{caches.GONE}store")
    assert make_room(tmp_path, 1 << 30, NOW) == 1 << 30
    assert names(tmp_path) == ["store.log"]
    assert make_room(tmp_path / "none", 7, NOW) == 7


async def test_between_two_looks_what_has_come_counts(tmp_path: Path) -> None:
    cached(tmp_path, "store", 0)
    came = 7
    room = Room(tmp_path, found_in(tmp_path)[0].nbytes + 100, lambda: came)
    came += 99
    assert room.is_there
    came += 1
    assert not room.is_there
    await room.look()  # it was not kept
    assert room.is_there


async def test_past_the_bound_what_is_read_of_a_mounted_link_is_not_kept(store: Store, tmp_path: Path) -> None:
    links = tmp_path / "links"
    old = cached(links, "old", 9000)
    async with owned(store, tmp_path / "peers") as side:
        await written(side, b"/other", LONG[::-1])
        reader = Machine(links / "reader", link_of(side))
        await reader.bring()
        async with reader.opened() as (volume, _):
            residence = volume.parts.residence
            absent = residence.cold_bytes
            for path, data, most_bytes in ((b"/long", LONG, 0), (b"/other", LONG[::-1], 1 << 30)):
                room = Room(links, most_bytes, lambda: volume.returning.fetched_bytes)
                volume.returning.may_keep = lambda room=room: room.is_there
                assert not old.exists()
                assert residence.cold_bytes == absent
                assert await read(volume, path) == data
                await trio.sleep(0.05)  # for want of an event: of what is not kept there is none
            while residence.cold_bytes == absent:
                await trio.sleep(0.01)
