"""Letting old versions go: what stays is as it was, what goes gives its space back, whatever happens meanwhile."""

import random
import shutil
from collections.abc import Iterator
from datetime import UTC

import pytest
import trio

from hyperfs.chunks.extents import WHOLE_BLOCK, Extent, Place
from hyperfs.errors import InvalidArgument, NoSuchVersion, Refused
from hyperfs.values import ROOT_INO
from hyperfs.volume.marking import Marks, mark_extents
from hyperfs.volume.paths import find
from hyperfs.volume.prune import Pruned, prune
from hyperfs.volume.restore import restore
from hyperfs.volume.volume import Volume

from .conftest import Store, damage, inode_of, kill, make_folder, read_file, rename, unlink, write_file
from .faults import Faults, Gate, Killed
from .model import View, view_of_tree

KIB = 1 << 10


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def quiet(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def test_bases_are_needed_by_what_names_them() -> None:
    marks = Marks()
    marks.reach({2: 100, 4: 100})
    bases = (Place(2, 8, 0), Place(4, 7, WHOLE_BLOCK))
    mark_extents([Extent(0, 1, bytes(16), 0, 1, 2, 50, 3, bases)], marks)
    marked = [(log, block) for log in (2, 4) for block in range(100) if marks.has(log, block)]
    assert marked == [(2, 8), (2, 50), (4, 7)]


async def let_go(volume: Volume, keep_last: int, dry_run: bool = False) -> Pruned:
    return await prune(volume, keep_last, dry_run, quiet)


def kept(volume: Volume) -> dict[int, View]:
    """Every version that there is, with its tree and bytes."""
    return {f.version: view_of_tree(volume, volume.versions.tree(f.version)) for f in volume.versions.all()}


def content_bytes(volume: Volume) -> int:
    log = volume.content.log
    return log._blocks.allocated()


async def make_past(store: Store, volume: Volume, versions: int = 8, size: int = 200 * KIB) -> None:
    """So many versions: a big file written anew in each, small ones that come and go, one that stays."""
    if find(volume.overlay.live, b"d") is None:
        make_folder(volume, b"d")
    await write_file(volume, b"stays", noise(1, 3 * size))
    for number in range(versions):
        store.clock.forward(2)
        await write_file(volume, b"big", noise(100 + number, size))
        await write_file(volume, b"d/small %d" % number, noise(200 + number, 5 * KIB))
        if number >= 2:
            unlink(volume, b"d/small %d" % (number - 2))
        await volume.commit()


async def test_what_is_kept_is_as_it_was_and_the_rest_is_gone(store: Store) -> None:
    async with store.opened() as volume:
        await make_past(store, volume)
        before, space = kept(volume), content_bytes(volume)
        done = await let_go(volume, 3)
        after = kept(volume)
        assert done.versions == len(before) - 3
        assert sorted(after)[:3] == sorted(before)[-3:]
        assert all(after[version] == before[version] for version in sorted(before)[-3:])
        for version in sorted(before)[:-3]:
            with pytest.raises(NoSuchVersion, match="was let go"):
                volume.versions.tree(version)
        with pytest.raises(NoSuchVersion, match="before the beginning of this drive that is kept: the oldest"):
            volume.versions.resolve("2000-01-01", ROOT_INO, store.clock(), UTC)
        assert space - content_bytes(volume) >= 4 * 200 * KIB
        assert damage(volume) == []
    async with store.opened() as volume:
        assert {v: view for v, view in kept(volume).items() if v in after} == after
        assert damage(volume) == []


async def test_the_index_made_anew_has_what_is_kept_and_no_more(store: Store) -> None:
    async with store.opened(memory_index=False) as volume:
        await make_past(store, volume)
        await let_go(volume, 2)
        after = kept(volume)
    shutil.rmtree(store.path / "index")
    async with store.opened(memory_index=False) as volume:
        assert kept(volume) == after
        assert damage(volume) == []


async def test_an_index_from_before_the_prune_leads_nobody_to_what_is_gone(store: Store) -> None:
    async with store.opened(memory_index=False) as volume:
        await make_past(store, volume)
        gone = volume.versions.tree(3)
    shutil.copytree(store.path / "index", store.path.parent / "old index")
    async with store.opened(memory_index=False) as volume:
        await let_go(volume, 1)
    for newer in (False, True):
        shutil.rmtree(store.path / "index")
        shutil.copytree(store.path.parent / "old index", store.path / "index")
        async with store.opened(memory_index=False) as volume:
            if newer:
                with pytest.raises(NoSuchVersion):
                    volume.versions.tree(3)
            await write_file(volume, b"again", noise(101, 200 * KIB))  # the bytes of a version that went
            await volume.commit()
            assert read_file(volume, b"again") == noise(101, 200 * KIB)
            assert damage(volume) == []
    assert gone.root is not None


async def test_bytes_that_went_can_be_written_again(store: Store) -> None:
    async with store.opened() as volume:
        await make_past(store, volume)
        await let_go(volume, 1)
        for number in range(8):
            await write_file(volume, b"again %d" % number, noise(100 + number, 200 * KIB))
        await volume.commit()
    async with store.opened() as volume:
        for number in range(8):
            assert read_file(volume, b"again %d" % number) == noise(100 + number, 200 * KIB)


async def test_chunks_that_went_leave_the_index(store: Store) -> None:
    async with store.opened(memory_index=False) as volume:
        await make_past(store, volume)
        before = {chunk for chunk, _ in volume.parts.catalog.chunks()}
        await let_go(volume, 1)
        left = {chunk for chunk, _ in volume.parts.catalog.chunks()}
        assert left < before
        assert all(volume.parts.catalog.chunk(chunk) is not None for chunk in left)
        assert damage(volume) == []


async def test_a_named_snapshot_and_a_version_that_is_being_read_stay(store: Store) -> None:
    async with store.opened() as volume:
        await make_past(store, volume, versions=3)
        await volume.make_snapshot(inode_of(volume, b"d").ino, b"kept")
        named = volume.versions.resolve("kept", inode_of(volume, b"d").ino, store.clock(), UTC)
        await make_past_again(store, volume)
        before = kept(volume)
        with volume.reads(3):
            done = await let_go(volume, 1)
            assert done.in_use == (3,)
            assert {named, 3} <= set(kept(volume))
        await let_go(volume, 1)
        after = kept(volume)
        assert 3 not in after
        assert after[named] == before[named]
        await volume.delete_snapshot(inode_of(volume, b"d").ino, b"kept")
        await let_go(volume, 1)
        assert named not in kept(volume)
        assert damage(volume) == []


async def make_past_again(store: Store, volume: Volume) -> None:
    for number in range(3):
        store.clock.forward(2)
        await write_file(volume, b"big", noise(300 + number, 100 * KIB))
        await volume.commit()


async def test_a_file_without_a_name_that_is_open_keeps_its_bytes(store: Store) -> None:
    async with store.opened() as volume:
        await make_past(store, volume)
        old, new = inode_of(volume, b"big"), await write_file(volume, b"never in a version", noise(7, 300 * KIB))
        await volume.files.flushing.flush_all()
        expected = noise(107, 200 * KIB)
        for inode in (old, new):
            volume.opened(inode, False)
        unlink(volume, b"big")
        unlink(volume, b"never in a version")
        for number in range(3):
            store.clock.forward(2)
            await write_file(volume, b"other", noise(number, 50 * KIB))
            await volume.commit()
        await let_go(volume, 1)
        assert volume.files.read(old, 0, old.size) == expected
        assert volume.files.read(new, 0, new.size) == noise(7, 300 * KIB)


async def test_a_file_without_a_name_that_is_open_keeps_its_attributes(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"1")
        volume.xattrs.set(inode, b"user.short", b"s")
        volume.xattrs.set(inode, b"user.long", noise(1, 5000))
        await volume.commit()
        volume.opened(inode, False)
        unlink(volume, b"f")
        await make_past(store, volume)
        await let_go(volume, 1)
        volume.parts.nodes._young.clear()
        assert volume.xattrs.names(inode) == [b"user.long", b"user.short"]
        assert volume.xattrs.get(inode, b"user.short") == b"s"
        assert volume.xattrs.get(inode, b"user.long") == noise(1, 5000)
        volume.xattrs.set(inode, b"user.short", None)
        assert volume.xattrs.names(inode) == [b"user.long"]


async def test_a_dry_run_changes_nothing_and_says_what_then_happens(store: Store) -> None:
    async with store.opened() as volume:
        await make_past(store, volume)
        before, length = kept(volume), volume.parts.metadata_log.length
        announced = await let_go(volume, 2, dry_run=True)
        assert kept(volume) == before
        assert volume.parts.metadata_log.length == length
        assert not volume.parts.chain.intents
        done = await let_go(volume, 2)
        assert (done.versions, done.kept) == (announced.versions, announced.kept)
        assert abs(done.bytes - announced.bytes) <= 0.05 * done.bytes
        again = await let_go(volume, 100)
        assert again.versions == 0


async def test_a_dry_run_counts_what_was_deleted_a_moment_ago(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"big", noise(5, 400 * KIB))
        await volume.commit()
        store.clock.forward(2)
        unlink(volume, b"big")
        volume.forgotten(inode.ino)
        announced = await let_go(volume, 1, dry_run=True)
        assert announced.bytes >= 300 * KIB
        assert (await let_go(volume, 1)).bytes == announced.bytes


async def test_the_space_that_is_told_is_the_space_that_comes_back(store: Store) -> None:
    async with store.opened() as volume:
        await make_past(store, volume, versions=20)
        logs = volume.parts.logs.values()
        before = sum(log._blocks.allocated() for log in logs)
        done = await let_go(volume, 1)
        freed = before - sum(log._blocks.allocated() for log in logs)
        assert abs(freed - done.bytes) <= 0.05 * done.bytes + 64 * KIB  # the prune's own version takes some


async def test_at_least_one_version_stays_and_only_one_works_at_a_time(store: Store) -> None:
    async with store.opened() as volume:
        with pytest.raises(InvalidArgument):
            await let_go(volume, 0)
        async with volume.collecting:
            with pytest.raises(Refused, match="another prune"):
                await let_go(volume, 1)


async def test_a_restore_that_reads_a_version_meanwhile_gets_all_of_it(store: Store) -> None:
    async with store.opened() as volume:
        await make_past(store, volume)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(restore, volume, b"big", 3, b"back")
            nursery.start_soon(let_go, volume, 1)
        assert read_file(volume, b"back") == noise(101, 200 * KIB)
        await let_go(volume, 1)
        assert read_file(volume, b"back") == noise(101, 200 * KIB)
        assert damage(volume) == []


@pytest.mark.parametrize("operation", ["fdatasync", "pwrite", "punch"])
async def test_what_is_written_meanwhile_refers_to_nothing_that_goes(store: Store, operation: str) -> None:
    """Writers bring back old bytes at each moment of a prune: while it is held up at the n-th operation of a kind."""
    faults = Faults()
    store.disk = faults.disk
    for moment in range(1, 12, 2):
        async with store.opened() as volume:
            await make_past(store, volume, versions=5)
            await store_without_a_version(volume)
            gate = NthGate(faults, operation, moment)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(let_go, volume, 1)
                nursery.start_soon(bring_back, volume, gate)
            await volume.commit()
        async with store.opened() as volume:
            check_brought_back(volume)
            unlink(volume, b"late")
            unlink(volume, b"late small")
            unlink(volume, b"late known")


async def test_what_is_written_between_marking_and_clearing_refers_to_nothing_that_goes(store: Store) -> None:
    faults = Faults()
    store.disk = faults.disk
    async with store.opened() as volume:
        await make_past(store, volume, versions=5)
        await store_without_a_version(volume)
        gate = Gate(faults, "pwrite", "control")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(let_go, volume, 1)
            nursery.start_soon(bring_back, volume, gate)
        await volume.commit()
        check_brought_back(volume)
        await let_go(volume, 1)
    async with store.opened() as volume:
        check_brought_back(volume)


async def store_without_a_version(volume: Volume) -> None:
    """Chunks that are in the log and that no version and no file names."""
    inode = await write_file(volume, b"in no version", noise(999, 200 * KIB))
    await volume.files.flushing.flush_all()
    unlink(volume, b"in no version")
    volume.forgotten(inode.ino)


def check_brought_back(volume: Volume) -> None:
    assert read_file(volume, b"late") == noise(101, 200 * KIB)
    assert read_file(volume, b"late small") == noise(201, 5 * KIB)
    assert read_file(volume, b"late known") == noise(999, 200 * KIB)
    assert damage(volume) == []


class NthGate(Gate):
    """Holds up the n-th operation of a kind."""

    def __init__(self, faults: Faults, operation: str, number: int) -> None:
        super().__init__(faults, operation, "")
        self._left = number

    def _meet(self, operation: str, path: str) -> None:
        if operation == self._wanted[0]:
            self._left -= 1
        if self._left <= 0:
            super()._meet(operation, path)


async def bring_back(volume: Volume, gate: Gate) -> None:
    with trio.move_on_after(5):
        await trio.to_thread.run_sync(gate.entered.wait, 0.5, abandon_on_cancel=True)
    try:
        await write_file(volume, b"late", noise(101, 200 * KIB))
        await write_file(volume, b"late small", noise(201, 5 * KIB))
        await write_file(volume, b"late known", noise(999, 200 * KIB))
        with trio.move_on_after(0.2):
            await volume.files.flushing.flush_all()
    finally:
        gate.open()


def moments(store: Store) -> Iterator[tuple[int, Store]]:
    """The store as it is, once for every operation of a prune on the disk at which it may be killed."""
    number = 0
    while True:
        path = store.path.parent / f"at {number}"
        shutil.copytree(store.path, path)
        yield number, Store(path, store.clock)
        shutil.rmtree(path)
        number += 1


async def test_killed_at_any_moment_everything_that_is_kept_is_there_and_it_goes_on(store: Store) -> None:
    async with store.opened() as volume:
        await make_past(store, volume, versions=4)
        rename(volume, b"big", b"renamed")
        await volume.commit()
        before = kept(volume)
    for number, copy in moments(store):
        faults = Faults()
        copy.disk = faults.disk
        volume = copy.open()
        faults.kill_after = number
        try:
            await let_go(volume, 2)
        except* Killed:
            pass
        killed = faults.dead
        kill(volume)
        copy.disk = Store.disk
        async with copy.opened() as volume:
            found = kept(volume)
            assert all(found[version] == before[version] for version in sorted(before)[-2:])
            assert all(found[version] == before[version] for version in set(found) & set(before))
            assert damage(volume) == []
            assert not volume.parts.chain.intents
            await let_go(volume, 2)
            assert damage(volume) == []
        if not killed:
            break
    assert number > 8


async def test_what_gives_no_page_back_is_not_announced(store: Store) -> None:
    """The control chain keeps each run that was ever announced; small ones between commits would add up in it."""
    async with store.opened() as volume:
        await write_file(volume, b"file", b"first")
        await volume.make_snapshot(ROOT_INO, b"keeps all commits after it")
        for number in range(100):
            store.clock.forward(2)
            await write_file(volume, b"file", b"%d" % number)
            if number % 10 == 0:
                await write_file(volume, b"big", noise(number, 50 * KIB))
            await volume.commit()
        done = await let_go(volume, 1)
        chain, cleared = volume.parts.chain, volume.parts.catalog.cleared
        ranges = [run for log in volume.parts.logs for run in cleared.ranges(log)]
        assert done.versions > 90
        assert done.bytes >= 9 * 48 * KIB
        assert 0 < len(ranges) <= 12
        assert len(chain.encode()) < 5000
        again = await let_go(volume, 1, dry_run=True)
        assert (again.blocks, again.bytes) == (0, 0)
        assert damage(volume) == []
    async with store.opened() as volume:
        assert damage(volume) == []


async def test_a_small_run_goes_with_its_neighbour(store: Store) -> None:
    async with store.opened() as volume:
        for number in range(6):
            store.clock.forward(2)
            await write_file(volume, b"small", noise(number, 3 * KIB))
            await volume.commit()
            await let_go(volume, 1)
        log = volume.content.number
        assert volume.parts.catalog.cleared.has(log, 0)
        assert damage(volume) == []
