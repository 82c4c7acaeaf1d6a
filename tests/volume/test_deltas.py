"""Bytes that take the place of others cost what has changed, and every version stays as it was."""

import os
import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hyperfs.chunks.extents import MAX_DELTAS, Extent
from hyperfs.volume.check import verify
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.prune import prune
from hyperfs.volume.volume import Volume

from .conftest import Store, damage, inode_of, kill, read_file, rename, unlink, write_file
from .faults import Faults, Killed

Save = Callable[[Volume, bytes, bytes], Awaitable[object]]


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def edited(data: bytes, seed: int, edits: int = 3) -> bytes:
    """A few bytes put in, taken away and changed."""
    generator = random.Random(seed)
    result = bytearray(data)
    for _ in range(edits):
        at = generator.randrange(len(result))
        result[at : at + generator.randrange(8)] = generator.randbytes(generator.randrange(1, 20))
    return bytes(result)


def extents_of(volume: Volume, path: bytes) -> list[Extent]:
    inode = inode_of(volume, path)
    return volume.overlay.extents(inode, 0, inode.size)


def grown(volume: Volume) -> int:
    return volume.content.log.byte_length


async def over(volume: Volume, path: bytes, data: bytes) -> None:
    """The bytes that differ are written in place."""
    inode = inode_of(volume, path)
    old = read_file(volume, path)
    for at in range(0, len(data), 4096):
        if old[at : at + 4096] != data[at : at + 4096]:
            await volume.files.write(inode, at, data[at : at + 4096])
    await volume.files.resize(inode, len(data))


async def anew(volume: Volume, path: bytes, data: bytes) -> None:
    await write_file(volume, path, data)


async def by_rename(volume: Volume, path: bytes, data: bytes) -> None:
    await write_file(volume, path + b".new", data)
    rename(volume, path + b".new", path)


async def as_rsync(volume: Volume, path: bytes, data: bytes) -> None:
    """Its bytes are in chunks before the rename."""
    await write_file(volume, b"." + path + b".Ab3dE6", data)
    await volume.files.flushing.flush_all()
    rename(volume, b"." + path + b".Ab3dE6", path)


async def removed_first(volume: Volume, path: bytes, data: bytes) -> None:
    unlink(volume, path)
    await write_file(volume, path, data)


async def with_backup(volume: Volume, path: bytes, data: bytes) -> None:
    rename(volume, path, path + b"~")
    await write_file(volume, path, data)


WAYS = [over, anew, by_rename, as_rsync, removed_first, with_backup]


@pytest.mark.parametrize("size", [3000, 50_000, 300_000, 1_500_000])
@pytest.mark.parametrize("save", WAYS)
async def test_however_a_file_is_saved_an_edit_costs_little(store: Store, save: Save, size: int) -> None:
    old = noise(size, size)
    new = bytearray(old)
    new[size // 2 : size // 2 + 40] = noise(1, 40)
    async with store.opened() as volume:
        await write_file(volume, b"f", old)
        await volume.commit()
        before = grown(volume)
        await save(volume, b"f", bytes(new))
        await volume.commit()
        assert grown(volume) - before < 1500
        assert read_file(volume, b"f") == new
        assert any(extent.bases for extent in extents_of(volume, b"f"))


@pytest.mark.parametrize("save", WAYS)
async def test_every_version_of_a_chain_of_edits_reads_back(store: Store, save: Save) -> None:
    versions = {}
    data = noise(7, 200_000)
    async with store.opened() as volume:
        await write_file(volume, b"f", data)
        for number in range(12):
            versions[(await volume.commit()).version] = data
            data = edited(data, number)
            await save(volume, b"f", data)
        await volume.commit()
    kill(store.open(read_only=True))
    volume = store.open(read_only=True)
    longest = 0
    for version, expected in versions.items():
        tree = volume.versions.tree(version)
        found = tree.dentry(1, b"f")
        assert found is not None
        extents = tree.extents(found[0], 0, len(expected))
        longest = max(longest, *(len(extent.bases) for extent in extents))
        assert volume.content.read(extents, 0, len(expected)) == expected
    assert longest == MAX_DELTAS
    assert damage(volume) == []
    kill(volume)


async def test_what_is_known_is_not_stored_again_as_a_delta(store: Store) -> None:
    one, two = noise(1, 60_000), noise(2, 60_000)
    async with store.opened() as volume:
        await write_file(volume, b"one", one)
        await write_file(volume, b"two", two)
        await volume.commit()
        before = grown(volume)
        await by_rename(volume, b"one", two)
        await volume.commit()
        assert grown(volume) == before
        assert extents_of(volume, b"one")[0].place == extents_of(volume, b"two")[0].place


async def test_bytes_that_are_like_nothing_are_stored_alone(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", noise(1, 400_000))
        await volume.commit()
        await by_rename(volume, b"f", noise(2, 400_000))
        await volume.commit()
        assert not any(extent.bases for extent in extents_of(volume, b"f"))


async def test_pages_in_a_large_file_that_nothing_of_it_resembles_leave_its_chunks(store: Store) -> None:
    """No more than the pages is stored where the chunk around them can't be read."""
    async with store.opened() as volume:
        await write_file(volume, b"f", noise(1, 3_000_000))
        await volume.commit()
        before, inode = grown(volume), inode_of(volume, b"f")
        for page in range(20):
            await volume.files.write(inode, page * 140_000, noise(page, 4096))
        await volume.commit()
        assert grown(volume) - before < 20 * 4096 + 20_000
        assert len(extents_of(volume, b"f")) < 60


async def test_appending_costs_what_is_appended(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"log", noise(1, 20_000))
        await volume.commit()
        before = grown(volume)
        for line in range(20):
            await volume.files.write(inode, inode.size, noise(line, 60))
            await volume.commit()
        assert grown(volume) - before < 20 * 60 * 8
        assert len(extents_of(volume, b"log")) == 1


async def test_a_delta_goes_with_its_base_through_a_prune(store: Store) -> None:
    data = noise(3, 150_000)
    async with store.opened() as volume:
        await write_file(volume, b"f", data)
        for number in range(8):
            await volume.commit()
            store.clock.forward(2)
            data = edited(data, number)
            await by_rename(volume, b"f", data)
        await volume.commit()
        await prune(volume, 1, False, lambda what, done, of: None)
        volume.parts.chunkstore.cache.clear()
        assert read_file(volume, b"f") == data
        # What a prune let go is never a base, though it may be in memory.
        await by_rename(volume, b"f", edited(data, 99))
        await volume.commit()
        volume.parts.chunkstore.cache.clear()
        assert read_file(volume, b"f") == edited(data, 99)
        assert damage(volume) == []


async def test_while_a_prune_runs_nothing_new_needs_what_it_may_let_go(store: Store) -> None:
    data = noise(3, 150_000)
    async with store.opened() as volume:
        await write_file(volume, b"f", data)
        await volume.commit()
        volume.parts.catalog.only_live = True
        await by_rename(volume, b"f", edited(data, 1))
        await volume.commit()
        assert not any(extent.bases for extent in extents_of(volume, b"f"))


async def test_a_delta_whose_base_was_let_go_is_not_found_as_a_duplicate(store: Store) -> None:
    """It may have stayed for what else is in its pack."""
    data = noise(3, 50_000)
    async with store.opened() as volume:
        await write_file(volume, b"f", data)
        await write_file(volume, b"other", noise(4, 30_000))
        await volume.commit()
        store.clock.forward(2)
        lost = edited(data, 1)
        await write_file(volume, b"f", lost)
        await write_file(volume, b"stays", noise(5, 30_000))
        await volume.commit()
        unlink(volume, b"f")
        unlink(volume, b"other")
        store.clock.forward(2)
        await volume.commit()
        await prune(volume, 1, False, lambda what, done, of: None)
        volume.parts.chunkstore.cache.clear()
        await write_file(volume, b"again", lost)
        await volume.commit()
        assert read_file(volume, b"again") == lost
        assert damage(volume) == []


async def test_verify_knows_bases_that_no_version_and_no_index_names(store: Store) -> None:
    """Written twice between two versions: the first state is nothing but a base."""
    data = noise(3, 200_000)
    async with store.opened() as volume:
        await write_file(volume, b"f", data)
        await volume.files.flushing.flush_all()
        await by_rename(volume, b"f", edited(data, 1))
        await volume.commit()
        assert extents_of(volume, b"f")[0].bases
    volume = store.open(read_only=True)
    assert volume.parts.catalog.lies(extents_of(volume, b"f")[0].chunk)
    assert damage(volume) == []
    kill(volume)


async def test_a_damaged_base_is_told_with_the_files_that_need_it(store: Store) -> None:
    data = noise(3, 200_000)
    async with store.opened() as volume:
        await write_file(volume, b"f", data)
        await volume.commit()
        unlink(volume, b"f")
        await write_file(volume, b"f", edited(data, 1))
        await volume.commit()
        base = extents_of(volume, b"f")[0].bases[0]
        start, _ = volume.content.log.block_range(base.block)
        entry = volume.parts.chain.logs[base.log]
        blocks = store.path / log_folder(entry) / "blocks"
    with blocks.open("r+b") as file:
        file.seek(start + 100)
        flipped = bytes(b ^ 1 for b in file.read(1))
        file.seek(start + 100)
        file.write(flipped)
    volume = store.open(read_only=True)
    report = verify(volume.parts)
    newest = volume.versions.newest.version
    assert any(f"block {base.block}" in damage.where for damage in report.damage)
    assert any(b"f" in damage.paths and newest in damage.versions for damage in report.damage)
    assert len(report.losses.chunks) >= 2  # the base too is to be found again
    kill(volume)


@pytest.mark.parametrize("seed", range(int(os.environ.get("HYPERFS_KILLS", "3"))))
async def test_killed_at_any_operation_what_was_fsynced_is_there(store: Store, tmp_path: Path, seed: int) -> None:
    """At every so many operations of the disk: a delta is never there without its base."""
    after = seed
    while True:
        path = tmp_path / f"killed {after}"
        shutil.copytree(store.path, path)
        faults = Faults()
        killed = Store(path, disk=faults.disk)
        states: list[bytes] = []
        safe: int | None = None
        dead = False
        volume = killed.open()
        faults.kill_after = after
        try:
            data = noise(seed, 90_000)
            for number in range(6):
                states.append(data)
                inode = await write_file(volume, b"f", data)
                await volume.fsync(inode)
                safe = number
                data = edited(data, number)
                if number % 2:
                    await volume.commit(write_back=False)
        except (Killed, ExceptionGroup):
            dead = True
        faults.kill_after, faults.dead = None, True
        kill(volume)
        volume = Store(path).open()
        if safe is not None:
            assert read_file(volume, b"f") in states[safe:]
        await volume.recover()
        assert damage(volume) == []
        kill(volume)
        shutil.rmtree(path)
        if not dead:
            break
        after += 7

