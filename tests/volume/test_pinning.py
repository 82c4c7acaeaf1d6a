"""What was deleted can be had for 30 days, whatever thinning takes meanwhile; and then it goes."""

import random
import shutil
from datetime import UTC

import pytest

from hyperfs.policy.attributes import KEEP
from hyperfs.values import ROOT_INO
from hyperfs.volume.deleted import deleted_from, find_deleted
from hyperfs.volume.finding import find_deleted as everywhere
from hyperfs.volume.history import versions_of
from hyperfs.volume.history_steps import AS_IT_WAS
from hyperfs.volume.last_state import last_state
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.pins import Pin
from hyperfs.volume.prune import prune
from hyperfs.volume.restore import restore
from hyperfs.volume.retaining import retain, thin
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, damage, inode_of, make_folder, read_file, rename, rmdir, unlink, write_file

DAY = 24 * 3600.0


def quiet(what: str, done: int, of: int) -> None:
    """Nobody watches."""


async def step(store: Store, volume: Volume, seconds: float = 3) -> int:
    version = (await volume.commit()).version
    store.clock.forward(seconds)
    return version


async def some_edits(store: Store, volume: Volume, count: int = 3) -> None:
    for number in range(count):
        await write_file(volume, b"other", b"%d" % number * 100)
        await step(store, volume)


def pins(volume: Volume) -> dict[bytes, Pin]:
    return {pin.name: pin for pin in volume.versions.offers.pins}


def bytes_of(volume: Volume, pin: Pin) -> bytes:
    """Of a pinned file, read from the disk."""
    volume.parts.nodes._young.clear()
    volume.parts.nodes._old.clear()
    tree = volume.versions.tree(pin.version)
    inode = tree.inode(pin.ino)
    assert inode is not None
    if inode.inline is not None:
        return inode.inline
    return volume.content.read(tree.extents(pin.ino, 0, MAX_FILE_BYTES), 0, inode.size)


async def test_a_deleted_file_is_pinned_as_it_was_last_and_for_30_days(store: Store) -> None:
    data = random.Random(1).randbytes(100_000)
    async with store.opened() as volume:
        await write_file(volume, b"f", b"first" * 30_000)
        await step(store, volume)
        await write_file(volume, b"f", data)
        last = await step(store, volume)
        unlink(volume, b"f")
        await step(store, volume)
        await some_edits(store, volume)
        store.clock.forward(2 * DAY)
        await some_edits(store, volume, 1)
        await retain(volume, False, quiet)
        assert not volume.versions.is_kept(last)
        assert list(pins(volume)) == [b"f"]
        assert bytes_of(volume, pins(volume)[b"f"]) == data
        assert volume.versions.tree(last).inode(ROOT_INO) is None
        assert damage(volume) == []
    async with store.opened() as volume:
        assert bytes_of(volume, pins(volume)[b"f"]) == data
        space = volume.content.log.size_on_disk()
        store.clock.forward(29 * DAY)
        await some_edits(store, volume, 1)
        await retain(volume, False, quiet)
        assert not pins(volume)
        assert space - volume.content.log.size_on_disk() >= 90_000
        assert damage(volume) == []


async def test_what_is_pinned_stands_in_deleted_with_an_index_made_anew_too(store: Store) -> None:
    async with store.opened(memory_index=False) as volume:
        volume.xattrs.set(inode_of(volume, b""), KEEP, b"1 version")
        make_folder(volume, b"d")
        await write_file(volume, b"d/f", b"was here")
        last = await step(store, volume)
        unlink(volume, b"d/f")
        await step(store, volume)
        await retain(volume, False, quiet)
    for _ in range(2):
        async with store.opened(memory_index=False) as volume:
            await volume.changes.caught_up()
            ino = inode_of(volume, b"d").ino
            assert [(found.entry, found.version) for found in deleted_from(volume, ino)] == [(b"f", last)]
            found = find_deleted(volume, ino, b"f")
            assert found is not None
            assert bytes_of(volume, pins(volume)[b"f"]) == b"was here"
            assert [thing.path for thing in everywhere(volume, b"") if thing is not None] == [b"d/f"]
        shutil.rmtree(store.path / "index")


async def test_what_is_pinned_is_in_its_history_and_its_version_can_be_named(store: Store) -> None:
    async with store.opened() as volume:
        volume.xattrs.set(inode_of(volume, b""), KEEP, b"1 version")
        make_folder(volume, b"d")
        make_folder(volume, b"e")
        for name in (b"d/f", b"e/g"):
            await write_file(volume, name, b"was here")
        last = await step(store, volume)
        for name in (b"d/f", b"e/g"):
            unlink(volume, name)
        rmdir(volume, b"e")
        await step(store, volume)
        await some_edits(store, volume)
        await retain(volume, False, quiet)
        await volume.changes.caught_up()
        for path in (b"d/f", b"e"):
            assert [(v.version == last, v.size, v.change) for v in versions_of(volume, path)] == [
                (False, 0, "deleted"),
                (True, 8, AS_IT_WAS),
            ]
            assert volume.versions.resolve(f"@{last}", 1, 0, UTC) == last
            assert last_state(volume, path) == last
            await restore(volume, path, last)
        assert [read_file(volume, name) for name in (b"d/f", b"e/g")] == [b"was here"] * 2


async def test_states_that_a_folders_rule_let_go_are_counted_and_not_listed(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"short")
        volume.xattrs.set(inode_of(volume, b"short"), KEEP, b"2 versions")
        volume.xattrs.set(inode_of(volume, b""), KEEP, b"all")
        made = []
        for number in range(5):
            await write_file(volume, b"short/f", b"x" * number)
            await write_file(volume, b"g", b"x" * number)
            made.append(await step(store, volume))
        await retain(volume, False, quiet)
        await volume.changes.caught_up()
        assert [(v.version, v.let_go) for v in versions_of(volume, b"g")] == [(found, 0) for found in made[::-1]]
        told = [(v.version, v.let_go) for v in versions_of(volume, b"short/f")]
        assert told[0] == (made[4], 0)
        assert sum(let_go for _, let_go in told) + len(told) == 5
        assert all(not volume.versions.tree(found).hides(inode_of(volume, b"short/f").ino) for found, _ in told)


async def test_what_a_kept_version_has_as_it_was_needs_no_pin(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"as it was" * 1000)
        make_folder(volume, b"d")
        await write_file(volume, b"d/g", b"as it was" * 1000)
        await step(store, volume, 2 * DAY)
        await some_edits(store, volume)
        unlink(volume, b"f")
        unlink(volume, b"d/g")
        rmdir(volume, b"d")
        await step(store, volume)
        await some_edits(store, volume)
        store.clock.forward(2 * DAY)
        await some_edits(store, volume, 1)
        await retain(volume, False, quiet)
        assert not pins(volume)
        # Until that one goes.
        volume.xattrs.set(inode_of(volume, b""), KEEP, b"1 version")
        await volume.commit()
        await retain(volume, False, quiet)
        assert set(pins(volume)) == {b"f", b"d"}
        assert damage(volume) == []


async def test_what_replaced_or_moved_is_not_deleted(store: Store) -> None:
    async with store.opened() as volume:
        volume.xattrs.set(inode_of(volume, b""), KEEP, b"1 version")
        await write_file(volume, b"f", b"old")
        await write_file(volume, b"m", b"moves")
        await step(store, volume)
        await write_file(volume, b"f~", b"new")
        rename(volume, b"f~", b"f")
        rename(volume, b"m", b"n")
        await step(store, volume)
        await retain(volume, False, quiet)
        assert not pins(volume)


async def test_a_folder_deleted_file_by_file_is_pinned_whole(store: Store) -> None:
    async with store.opened() as volume:
        volume.xattrs.set(inode_of(volume, b""), KEEP, b"1 version")
        folder = make_folder(volume, b"d")
        make_folder(volume, b"d/e")
        for number in range(6):
            await write_file(volume, b"d/e/%d" % number, b"%d" % number * 3000)
        whole = await step(store, volume, 100)
        for number in range(6):
            unlink(volume, b"d/e/%d" % number)
            await step(store, volume, 2)
        rmdir(volume, b"d/e")
        await step(store, volume, 2)
        rmdir(volume, b"d")
        await step(store, volume, 2)
        await volume.changes.caught_up()
        await retain(volume, False, quiet)
        found = pins(volume)
        assert {name: pin.version for name, pin in found.items()} == {b"d": whole}
        tree = volume.versions.tree(whole)
        (sub,) = (ino for _, (ino, _) in tree.dentries(folder.ino))
        assert [name for name, _ in tree.dentries(sub)] == [b"%d" % number for number in range(6)]
        assert damage(volume) == []


async def test_a_deletion_in_a_folder_with_a_short_rule_is_pinned_too(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        volume.xattrs.set(inode_of(volume, b"d"), KEEP, b"1 version")
        await write_file(volume, b"d/f", b"was here" * 9000)
        await write_file(volume, b"g", b"1")
        last = await step(store, volume)
        unlink(volume, b"d/f")
        await step(store, volume)
        await retain(volume, False, quiet)
        assert volume.versions.is_kept(last)
        assert volume.versions.tree(last).inode(inode_of(volume, b"d").ino) is None
        assert bytes_of(volume, pins(volume)[b"f"]) == b"was here" * 9000
        assert damage(volume) == []


async def test_a_prune_to_so_many_versions_lets_deleted_things_go_too(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", random.Random(2).randbytes(200_000))
        await step(store, volume)
        unlink(volume, b"f")
        volume.forgotten(inode.ino)
        await step(store, volume, 2 * DAY)
        await some_edits(store, volume, 1)
        await retain(volume, False, quiet)
        assert pins(volume)
        assert (await prune(volume, 1, False, quiet)).bytes > 190_000
        assert not pins(volume)
        assert damage(volume) == []


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_is_deleted_can_be_had_for_30_days(store: Store, seed: int) -> None:
    """Against an oracle that remembers the last bytes of every file, and when it was deleted."""
    rng, live, deleted = random.Random(seed), dict[bytes, bytes](), list[tuple[bytes, bytes, int]]()
    checked = 0
    async with store.opened() as volume:
        for number in range(120):
            store.clock.forward(rng.choice([5, 600, 4000, 5 * 3600, DAY]))
            name = b"f%d" % rng.randrange(12)
            if name in live and rng.random() < 0.5:
                unlink(volume, name)
                await volume.commit()
                deleted.append((name, live.pop(name), store.clock.now_ns))
            else:
                live[name] = b"%d " % number * rng.choice([3, 3000])
                await write_file(volume, name, live[name])
                await volume.commit()
            if number % 15 == 14:
                await (retain(volume, False, quiet) if number % 2 else thin(volume))
        await retain(volume, False, quiet)
        now = store.clock.now_ns
        can_be_had = {(pin.name, bytes_of(volume, pin)) for pin in volume.versions.offers.pins}
        for facts in volume.versions.all():
            tree = volume.versions.tree(facts.version)
            for name, (ino, _) in tree.dentries(ROOT_INO):
                pin = Pin(facts.version, ino, facts.log, facts.index, ROOT_INO, 0, name)
                can_be_had.add((name, bytes_of(volume, pin)))
        for name, data, when in deleted:
            if now - when < 29 * DAY * 10**9:
                assert (name, data) in can_be_had
                checked += 1
        assert damage(volume) == []
    tally.add("deleted files looked for after thinning", checked, seed=seed)
    assert checked > 5
