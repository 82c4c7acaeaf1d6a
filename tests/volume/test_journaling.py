"""fsync: what it promised is there after a kill, and nothing older comes back over it."""

import errno
import os
from collections.abc import Callable

import pytest
import trio
import trio.testing

from hyperfs.errors import ReadOnlyDrive, SyncFailed
from hyperfs.store.journal_records import Kind
from hyperfs.volume import sync_pace
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.flushing import BATCH_BYTES
from hyperfs.volume.inode import Inode
from hyperfs.volume.journaling import SMALL_BYTES
from hyperfs.volume.regions import hurried
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, kill, make_folder, read_file, unlink, write_file
from .faults import Faults, Gate


def content_log(store: Store) -> str:
    return blocks_of(store, lambda volume: volume.content.number)


def metadata_log(store: Store) -> str:
    return blocks_of(store, lambda volume: volume.parts.metadata_number)


def blocks_of(store: Store, number: Callable[[Volume], int]) -> str:
    volume = store.open(read_only=True)
    folder = log_folder(volume.parts.chain.logs[number(volume)])
    kill(volume)
    return f"{folder}/blocks"


async def test_small_bytes_ride_in_the_journal(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"abc" * 500)
    await volume.fsync(inode)
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == b"abc" * 500
    kill(volume)


async def test_what_became_chunks_is_not_overwritten_by_older_bytes_of_the_journal(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"old" * 10_000)
    await volume.fsync(inode)  # small: its bytes are in a record
    await volume.files.write(inode, 0, b"new" * 100_000)
    await volume.fsync(inode)  # large: chunks, and a record that names them
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == b"new" * 100_000
    kill(volume)


async def test_what_became_inline_is_not_overwritten_by_older_bytes_of_the_journal(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"old" * 50)
    await volume.fsync(inode)
    await volume.files.write(inode, 0, b"new" * 50)
    await volume.files.flushing.flush([inode])  # a commit that begins and is killed
    await volume.fsync(None)
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == b"new" * 50
    kill(volume)


async def test_bytes_that_were_cut_off_do_not_come_back(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"x" * 4000)
    await volume.fsync(inode)
    await volume.files.resize(inode, 1000)
    await volume.files.resize(inode, 3000)
    await volume.fsync(inode)
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == b"x" * 1000 + bytes(2000)
    kill(volume)


async def test_a_record_never_makes_a_file_shorter_than_its_inline_bytes(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"a" * 300)
    await volume.files.flushing.flush([inode])
    await volume.files.write(inode, 100, b"b" * 210)
    await volume.fsync(None)
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == b"a" * 300
    kill(volume)


async def test_a_record_never_makes_a_file_shorter_than_its_chunks(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"a" * 300_000)
    await volume.files.flushing.flush([inode])
    await volume.files.write(inode, 100, b"b" * 400_000)
    await volume.fsync(None)
    kill(volume)
    volume = store.open()
    inode = inode_of(volume, b"f")
    await volume.files.resize(inode, 500_000)
    found = read_file(volume, b"f")
    assert found.rstrip(b"\0") == b"a" * len(found.rstrip(b"\0"))
    assert len(found.rstrip(b"\0")) in (0, 300_000)
    kill(volume)


async def test_a_stream_into_chunks_leaves_fsynced_bytes_that_it_has_not_come_to(store: Store) -> None:
    volume = store.open()
    far = 3 * BATCH_BYTES
    inode = await write_file(volume, b"f", b"start")
    await volume.files.write(inode, far, b"synced")
    await volume.fsync(inode)
    await volume.files.write(inode, 10, bytes(range(1, 251)) * (BATCH_BYTES // 250) + bytes(2 * BATCH_BYTES - 100))
    volume.opened(inode, True)
    flushing = volume.files.flushing
    async with flushing._flush_lock:
        taken = flushing._take(inode, streaming=True, effort=hurried())
        assert taken is not None
        await flushing._store([taken])
    assert inode.dirty is not None
    await volume.fsync(None)
    kill(volume)
    volume = store.open()
    inode = inode_of(volume, b"f")
    assert volume.files.read(inode, 0, 5) == b"start"
    assert volume.files.read(inode, far, 100) == b"synced"
    kill(volume)


async def test_a_record_gives_no_size_past_what_a_stream_has_not_come_to(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"x" * BATCH_BYTES)
    await volume.files.write(inode, BATCH_BYTES, b"x" * 5_000_000)
    volume.opened(inode, True)
    flushing = volume.files.flushing
    async with flushing._flush_lock:
        taken = flushing._take(inode, streaming=True, effort=hurried())
        assert taken is not None
        await flushing._store([taken])
    await volume.fsync(None)
    kill(volume)
    volume = store.open()
    found = read_file(volume, b"f")
    assert found == b"x" * BATCH_BYTES
    kill(volume)


async def test_fsync_waits_for_bytes_that_a_commit_has_taken(store: Store) -> None:
    faults = Faults()
    store.disk = faults.disk
    blocks = content_log(store)
    volume = store.open()
    inode = await write_file(volume, b"f", b"abc" * 1000)
    other = await write_file(volume, b"other", b"x" * 1000)
    journal_gate = Gate(faults, "fdatasync", "/journal/")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(volume.fsync, other)  # holds the journal's lock
        await trio.to_thread.run_sync(journal_gate.entered.wait)
        done = trio.Event()

        async def sync_first() -> None:
            await volume.fsync(inode)
            done.set()

        nursery.start_soon(sync_first)
        await trio.testing.wait_all_tasks_blocked()
        content_gate = Gate(faults, "pwrite", blocks)
        nursery.start_soon(volume.files.flushing.flush, [inode])  # as a commit does
        await trio.to_thread.run_sync(content_gate.entered.wait)
        journal_gate.open()
        with trio.move_on_after(0.2):
            await done.wait()
        assert not done.is_set()
        content_gate.open()
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == b"abc" * 1000
    kill(volume)


async def test_a_record_that_waited_for_a_commit_takes_nothing_from_its_version(store: Store) -> None:
    """What the commit has made durable was on the list of the record that had begun before."""
    faults = Faults()
    store.disk = faults.disk
    data = b"abc" * 200
    nodes, blocks = metadata_log(store), content_log(store)
    volume = store.open()
    await volume.fsync(await write_file(volume, b"f", data))
    at_commit = Gate(faults, "pwrite", nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(volume.commit)
        await trio.to_thread.run_sync(at_commit.entered.wait)  # it has frozen what it makes durable
        volume.journaling.placed(await write_file(volume, b"placed", b"0" * 100_000))
        other = await write_file(volume, b"other", b"1" * 600)
        at_settling = Gate(faults, "pwrite", blocks)
        nursery.start_soon(volume.fsync, other)  # brings what was put in its place
        await trio.to_thread.run_sync(at_settling.entered.wait)
        before = volume.versions.newest.version
        at_commit.open()
        with trio.fail_after(30):
            while volume.versions.newest.version == before:
                await trio.sleep(0.01)
        at_settling.open()
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == data
    assert read_file(volume, b"other") == b"1" * 600
    kill(volume)


async def test_a_record_that_failed_beside_a_commit_is_written_anew_and_takes_nothing(store: Store) -> None:
    faults = Faults()
    store.disk = faults.disk
    data = bytes(range(256)) * 400
    nodes = metadata_log(store)
    volume = store.open()
    inode = await write_file(volume, b"f", data)
    await volume.files.flushing.flush([inode])
    at_commit = Gate(faults, "pwrite", nodes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(volume.commit)
        await trio.to_thread.run_sync(at_commit.entered.wait)
        at_record = FailingGate(faults, "pwrite", "/journal/")
        other = await write_file(volume, b"other", b"1" * 600)
        nursery.start_soon(fsync_in_vain, volume, other)
        await trio.to_thread.run_sync(at_record.entered.wait)
        before = volume.versions.newest.version
        at_commit.open()
        with trio.fail_after(30):
            while volume.versions.newest.version == before:
                await trio.sleep(0.01)
        at_record.open()
    await volume.fsync(other)
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == data
    assert read_file(volume, b"other") == b"1" * 600
    kill(volume)


class FailingGate(Gate):
    """What it held up fails."""

    def _meet(self, operation: str, path: str) -> None:
        first = not self.entered.is_set()
        super()._meet(operation, path)
        if first and self.entered.is_set():
            raise OSError(errno.EIO, os.strerror(errno.EIO))


async def fsync_in_vain(volume: Volume, inode: Inode) -> None:
    with pytest.raises(OSError, match="Input/output"):
        await volume.fsync(inode)


async def test_blocks_that_were_still_being_written_do_not_count_as_synced(store: Store) -> None:
    faults = Faults()
    store.disk = faults.disk
    blocks = content_log(store)
    volume = store.open()
    first = await write_file(volume, b"first", b"a" * 100_000)
    second = await write_file(volume, b"second", bytes(range(256)) * 1000)
    await volume.files.flushing.flush([first])
    gate = Gate(faults, "pwrite", blocks)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(volume.files.flushing.flush, [second])
        await trio.to_thread.run_sync(gate.entered.wait)
        await volume.fsync(first)
        gate.open()
    faults.log.clear()
    await volume.fsync(second)
    assert ("fdatasync", str(store.path / blocks)) in faults.log
    kill(volume)


async def test_a_cancelled_fsync_loses_nothing_for_the_next_one(store: Store) -> None:
    faults = Faults()
    store.disk = faults.disk
    volume = store.open()
    inode = await write_file(volume, b"f", b"abc")
    with trio.CancelScope() as scope:
        scope.cancel()
        await volume.fsync(inode)
    await volume.fsync(inode)
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == b"abc"
    kill(volume)


async def test_a_removed_tree_stays_removed(store: Store) -> None:
    volume = store.open()
    make_folder(volume, b"d")
    await write_file(volume, b"d/f", b"x" * 5000)
    await volume.commit()
    unlink(volume, b"d/f")
    volume.names.rmdir(1, b"d")
    await volume.fsync(None)
    kill(volume)
    volume = store.open()
    assert list(volume.overlay.live.dentries(1)) == []
    assert (volume.overlay.files, volume.overlay.directories, volume.overlay.file_bytes) == (0, 1, 0)
    kill(volume)


async def test_a_torn_tail_does_not_join_the_change_that_comes_after_it(store: Store) -> None:
    volume = store.open()
    await volume.fsync(await write_file(volume, b"before", b"1"))
    volume.parts.journal.append(b"the beginning of a long change", Kind.MORE)
    kill(volume)
    volume = store.open()
    await volume.recover()
    await volume.fsync(await write_file(volume, b"after", b"2"))
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"before") == b"1"
    assert read_file(volume, b"after") == b"2"
    kill(volume)


async def test_a_gap_in_a_torn_tail_is_no_damage_later(store: Store) -> None:
    volume = store.open()
    journal = volume.parts.journal
    segment = journal._segment_for(0)
    start = segment.end
    journal.append(b"torn", Kind.NOTE)
    end = segment.end
    journal.append(b"whole", Kind.NOTE)
    kill(volume)
    with (store.path / segment.name).open("r+b") as file:
        file.seek(start)
        file.write(bytes(end - start))
    volume = store.open()
    await volume.recover()
    await volume.fsync(await write_file(volume, b"f", b"1"))
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == b"1"
    kill(volume)


async def test_an_fsync_after_opening_ends_with_a_long_journal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No version waits, so none can make the journal shorter."""
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        await volume.fsync(None)
    monkeypatch.setattr("hyperfs.volume.volume.JOURNAL_MOST_BYTES", -1)
    async with store.opened() as volume:
        with trio.fail_after(30):
            await volume.fsync(inode_of(volume, b"f"))


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every disk is quick enough for the trio thread to wait for it."""
    monkeypatch.setattr(sync_pace, "DIRECT_SECONDS", float("inf"))


async def append_and_sync(volume: Volume, inode: Inode, times: int) -> bytes:
    data = b"".join(bytes([number]) * 4096 for number in range(times))
    for number in range(times):
        await volume.files.write(inode, number * 4096, data[number * 4096 : (number + 1) * 4096])
        await volume.fsync(inode)
    return data


@pytest.mark.usefixtures("quick_disk")
async def test_what_the_trio_thread_has_synced_is_there_after_a_kill(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"")
    data = await append_and_sync(volume, inode, 3 * sync_pace.TRUSTED_SYNCS)
    assert volume.content.log.length == 0  # they ride in the journal, however many they are together
    kill(volume)
    volume = store.open()
    assert read_file(volume, b"f") == data
    kill(volume)


@pytest.mark.usefixtures("quick_disk")
async def test_a_sync_that_fails_in_the_trio_thread_ends_all_writing(store: Store) -> None:
    faults = Faults()
    store.disk = faults.disk
    volume = store.open()
    inode = await write_file(volume, b"f", b"")
    await append_and_sync(volume, inode, 2 * sync_pace.TRUSTED_SYNCS)

    def fail(operation: str, path: str) -> None:
        if operation == "fdatasync":
            raise SyncFailed(errno.EIO, "sync failed", path)

    faults.before = fail
    await volume.files.write(inode, 0, b"x")
    with pytest.raises(SyncFailed):
        await volume.fsync(inode)
    with pytest.raises(ReadOnlyDrive):
        await volume.fsync(inode)
    kill(volume)


async def test_many_bytes_at_once_do_not_ride(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"x" * (SMALL_BYTES + 1))
    await volume.fsync(inode)
    assert volume.content.log.length > 0
    kill(volume)
