"""What an open volume holds in memory has a bound that does not grow with the drive or with its history."""

import os
import random
import tracemalloc

import pytest
import trio
import trio.testing

from hyperfs.volume import overlay, restore, volume
from hyperfs.volume.queues import queues
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, make_folder, read_file, unlink, write_file

MIB = 1 << 20


def held(volume: Volume) -> dict[str, int]:
    return {queue.name: queue.held for queue in queues(volume)}


async def test_chunks_that_were_overwritten_before_any_version_had_them_are_forgotten(store: Store) -> None:
    rng = random.Random(1)
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"")
        for _ in range(20):
            await volume.files.write(inode, 0, rng.randbytes(10_000))
            await volume.files.flushing.flush([inode])
        assert held(volume)["fresh chunks"] == 20
        await volume.commit()
        assert held(volume)["fresh chunks"] == 0


async def test_a_chunk_that_is_used_again_after_a_commit_began_is_stored_once(store: Store) -> None:
    data = random.Random(2).randbytes(10_000)
    async with store.opened() as volume:
        first = await write_file(volume, b"a", data)
        await volume.files.flushing.flush([first])
        length = volume.content.log.length
        await volume.committer.commit_before(lambda: None)
        second = await write_file(volume, b"b", data)
        await volume.files.flushing.flush([second])
        assert volume.content.log.length == length
        await volume.commit()
        assert read_file(volume, b"b") == data


async def test_a_large_file_goes_into_chunks_in_parts(store: Store) -> None:
    rng = random.Random(3)
    pieces = [rng.randbytes(MIB) for _ in range(48)]
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"")
        for number, piece in enumerate(pieces):
            volume.files._dirty.put(inode, number * MIB, piece)  # all at once: no stream takes a part on the way
        volume.overlay.resize(inode, 48 * MIB)
        volume.overlay.touch(inode)
        tracemalloc.start()
        try:
            await volume.files.flushing.flush([inode])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert volume.files.dirty_bytes == 0
        assert read_file(volume, b"f") == b"".join(pieces)
    assert peak < 48 * MIB, f"{peak >> 20} MiB beside the bytes themselves"


async def test_inodes_that_were_made_and_committed_leave_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "TABLE_LIMIT", 100)
    async with store.opened() as volume:
        volume.overlay._trim_at = 100
        for number in range(1000):
            await write_file(volume, b"%d" % number, b"x")
            if number % 50 == 49:
                await volume.commit()
        assert held(volume)["inodes in memory"] <= 200
        assert all(read_file(volume, b"%d" % number) == b"x" for number in range(1000))


async def test_who_makes_changes_waits_for_the_version_when_there_are_too_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume, "CHANGES_LIMIT_BYTES", 100_000)
    async with store.opened() as drive:
        for number in range(400):
            await drive.room_for_change()
            await write_file(drive, b"%d" % number, b"x")
            drive.xattrs.set(inode_of(drive, b"%d" % number), b"user.a", bytes(3000))
            assert drive.overlay.live.active.nbytes < 110_000
        assert drive.versions.newest.version > 5


async def test_a_change_waits_while_a_commit_is_slow_and_reading_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume, "CHANGES_LIMIT_BYTES", 10_000)
    done: list[str] = []

    async def change(drive: Volume) -> None:
        await drive.room_for_change()
        done.append("changed")

    async with store.opened() as drive:
        for number in range(20):
            await write_file(drive, b"%d" % number, b"x")
        async with trio.open_nursery() as nursery, drive.committer._lock:  # a commit that takes long
            nursery.start_soon(change, drive)
            await trio.testing.wait_all_tasks_blocked()
            assert read_file(drive, b"7") == b"x"
            assert not done
        assert done == ["changed"]


async def test_an_fsync_waits_for_the_version_when_the_journal_is_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume, "JOURNAL_MOST_BYTES", 300_000)
    rng = random.Random(4)
    async with store.opened() as drive:
        inode = await write_file(drive, b"f", b"")
        for _ in range(60):
            await drive.files.write(inode, 0, rng.randbytes(30_000))
            await drive.fsync(inode)
            assert drive.parts.journal.live_bytes < 400_000
        assert drive.versions.newest.version > 2


async def test_what_a_restore_takes_away_and_nobody_has_open_is_let_go(store: Store) -> None:
    async with store.opened() as drive:
        make_folder(drive, b"d")
        for number in range(20):
            await write_file(drive, b"d/%d" % number, b"x" * 1000)
        kept = (await drive.commit()).version
        in_hand = inode_of(drive, b"d/3")
        drive.opened(in_hand, writing=False)
        for _ in range(3):
            await restore.restore(drive, b"d", kept)
        assert set(drive.overlay.orphans) == {in_hand.ino}
        assert drive.files.read(in_hand, 0, 1000) == b"x" * 1000
        drive.released(in_hand, writing=False)
        assert not drive.overlay.orphans


async def test_an_unlinked_open_file_does_not_hold_the_changes_of_others(store: Store) -> None:
    async with store.opened() as drive:
        inode = await write_file(drive, b"f", b"x" * 5000)
        drive.opened(inode, writing=False)
        for number in range(50):
            await write_file(drive, b"%d" % number, b"y" * 5000)
        await drive.files.flushing.flush_all()
        drive.overlay.live.freeze()
        unlink(drive, b"f")
        source = inode.orphan_source
        assert source is not None
        (cell,) = [c.cell_contents for c in source.__closure__ or () if hasattr(c.cell_contents, "frozen")]
        assert set(cell.frozen.extents) == {inode.ino}
        assert not cell.frozen.inodes
        drive.overlay.live.frozen = None
        drive.released(inode, writing=False)


async def test_bytes_that_no_version_ever_held_are_listed_as_dead_by_the_next_one(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"a", os.urandom(50_000))
        await volume.files.flushing.flush_all()
        await volume.files.resize(inode, 0)
        await volume.files.write(inode, 0, b"small")
        made = await volume.commit()
        (dead,) = made.replaced.chunks
        assert (dead.log, dead.born) == (volume.content.number, made.version)
        assert volume.content.fresh == 0
