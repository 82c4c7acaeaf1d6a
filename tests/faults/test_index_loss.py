"""The index is derived: without its folder, or with any of its files damaged, the drive says the same as before."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from sample_drive import Drive, Reading, Sample, compare, put, read_all

from hyperfs.errors import HyperfsError
from hyperfs.store.memory import MemoryIndex
from hyperfs.store.rocksdb import RocksIndex
from hyperfs.volume import indexing
from hyperfs.volume.check import verify
from hyperfs.volume.volume import Volume


@pytest.fixture
def drive(indexed_sample: Sample, fast_folder: Path) -> Iterator[Drive]:
    folder = fast_folder / "index-loss"
    yield indexed_sample.lay_out(folder)
    shutil.rmtree(folder)


def answers(volume: Volume) -> dict[str, Any]:
    """What the index is asked, but for which chunks are live: a test of its own."""
    catalog = volume.parts.catalog
    facts = list(catalog.versions())
    return {
        "versions": facts,
        "times": [catalog.at_time(f.time_ns) for f in facts] + [catalog.at_time(f.time_ns - 1) for f in facts],
        "seconds": [catalog.at_second(f.second) for f in facts if f.second],
        "births": [catalog.born_with_node(f.log, f.index) for f in facts],
        "content births": [catalog.born_with_block(2, block) for block in range(facts[-1].content_length)],
        "snapshots": volume.versions.snapshots(),
    }


def live_chunks(volume: Volume) -> dict[bytes, Any]:
    """The facts of each chunk that the newest version reads."""
    found = {}
    tree = volume.versions.tree(volume.committer.newest.version)
    for _, (ino, _) in tree.dentries(1):
        for extent in tree.extents(ino, 0, 1 << 40):
            found[extent.chunk] = volume.parts.catalog.chunk(extent.chunk)
    return found


async def ask(drive: Drive) -> tuple[dict[str, Any], dict[bytes, Any]]:
    volume = drive.open()
    async with volume.running():
        await volume.commit()
        return answers(volume), live_chunks(volume)


def test_deleting_the_index_folder_loses_nothing(drive: Drive, indexed_sample: Sample) -> None:
    before = trio.run(ask, drive)
    shutil.rmtree(drive.path / "index")
    reading, _ = trio.run(read_all, drive, indexed_sample.newest)
    assert compare(indexed_sample.expected, reading).same
    assert trio.run(ask, drive) == before
    volume = drive.open(read_only=True)
    assert verify(volume.parts).damage == []
    volume.parts.close()


def test_a_rebuilt_index_still_finds_what_is_stored_already(drive: Drive) -> None:
    async def copy() -> tuple[int, int]:
        volume = drive.open()
        async with volume.running():
            await volume.commit()
            source = volume.names.lookup(1, b"large")
            before = volume.content.log.byte_length
            data = volume.files.read(source, 0, source.size)
            await put(volume, volume.overlay.inode(1), b"a copy", data)
            await volume.commit()
            assert verify(volume.parts).damage == []
            return volume.content.log.byte_length - before, len(data)

    shutil.rmtree(drive.path / "index")
    stored, size = trio.run(copy)
    assert size == 400_000
    assert stored == 0


def test_every_file_of_the_index_may_be_lost_or_emptied(
    drive: Drive, indexed_sample: Sample, fast_folder: Path
) -> None:
    names = sorted(path.name for path in (drive.path / "index").iterdir())
    assert any(name.endswith(".log") for name in names)
    for name in names:
        for spoil in (Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"nonsense" * 99)):
            copy = indexed_sample.lay_out(fast_folder / "one-file")
            spoil(copy.path / "index" / name)
            reading, _ = trio.run(read_all, copy, indexed_sample.newest)
            assert compare(indexed_sample.expected, reading).same, name
            volume = copy.open()
            assert verify(volume.parts).damage == [], name
            volume.parts.close()
            shutil.rmtree(copy.path)


@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_attack_l03_an_index_of_another_drive_is_not_believed(
    drive: Drive, indexed_sample: Sample, fast_folder: Path, ahead: int
) -> None:
    """`ahead`: by how many versions the other drive is past this one. Equal numbers are no proof."""
    other = Drive(fast_folder / "other-drive", indexed_sample.options)
    other.create()

    async def some_versions() -> None:
        volume = other.open()
        async with volume.running():
            for number in range(indexed_sample.newest + ahead - 1):
                await put(volume, volume.overlay.inode(1), b"file %d" % number, bytes([number]) * 2000)
                await volume.commit()
            assert volume.committer.newest.version == indexed_sample.newest + ahead

    trio.run(some_versions)
    shutil.rmtree(drive.path / "index")
    shutil.copytree(other.path / "index", drive.path / "index")
    shutil.rmtree(other.path)
    reading, _ = trio.run(read_all, drive, None)
    assert {fact.version for fact in reading.facts} == set(range(1, max(reading.versions) + 1))
    reading, _ = trio.run(read_all, drive, indexed_sample.newest)
    assert compare(indexed_sample.expected, reading).same
    volume = drive.open()
    assert verify(volume.parts).damage == []
    volume.parts.close()


@pytest.mark.parametrize("edit", ["other bits", "another's value", "nothing"])
def test_attack_l03_an_edited_index_makes_nobody_read_wrong_bytes(
    drive: Drive, indexed_sample: Sample, edit: str
) -> None:
    """By who may write to the store's folder and has no key: every row of what is derived says something else."""
    index = RocksIndex(drive.path / "index")
    rows = [(key, value) for key, value in index.scan() if value]
    others = {
        "other bits": [bytes([value[0] ^ 1]) + value[1:-1] + bytes([value[-1] ^ 1]) for _, value in rows],
        "another's value": [value for _, value in rows[1:] + rows[:1]],
        "nothing": [b""] * len(rows),
    }[edit]
    index.write((key, value) for (key, _), value in zip(rows, others, strict=True))
    index.close()
    with suppress(HyperfsError):  # an error is a good end too: the way out is to delete it
        reading, _ = trio.run(read_all, drive, indexed_sample.newest)
        assert not compare(indexed_sample.expected, reading).wrong
    shutil.rmtree(drive.path / "index")
    reading, _ = trio.run(read_all, drive, indexed_sample.newest)
    assert compare(indexed_sample.expected, reading).same


def test_an_old_copy_of_the_index_catches_up(drive: Drive, indexed_sample: Sample, tmp_path: Path) -> None:
    """As after restoring one folder from a backup, or a power cut: the index was never synced."""

    async def one_more(number: int) -> Reading:
        volume = drive.open()
        async with volume.running():
            await put(volume, volume.overlay.inode(1), b"new %d" % number, b"%d" % number * 3000)
            await volume.commit()
            return Reading.of(volume)

    trio.run(one_more, 0)
    shutil.copytree(drive.path / "index", tmp_path / "old")
    for number in range(1, 4):
        newest = trio.run(one_more, number)
    shutil.rmtree(drive.path / "index")
    shutil.copytree(tmp_path / "old", drive.path / "index")
    reading, _ = trio.run(read_all, drive, None)
    assert compare(newest, reading).same
    volume = drive.open()
    assert verify(volume.parts).damage == []
    volume.parts.close()


class FullIndex(MemoryIndex):
    """Has no room while `full`: what RocksDB says when the disk has none."""

    full = False

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(changes)


def test_a_batch_that_the_index_could_not_take_is_not_forgotten(
    sample: Sample, fast_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is durable, so it is no error; and it is answered for at once and written with the next batch."""
    drive = sample.lay_out(fast_folder / "full-index")
    index = FullIndex()
    monkeypatch.setattr(indexing, "MemoryIndex", lambda: index)

    async def work() -> None:
        volume = drive.open()
        async with volume.running():
            for number in range(6):
                index.full = number in (1, 2, 4)
                await put(volume, volume.overlay.inode(1), b"new %d" % number, b"%d" % number * 3000)
                commit = await volume.commit()
                assert volume.parts.catalog.version(commit.version) is not None
                assert volume.parts.catalog.at_time(commit.time_ns) == commit.version
                assert (volume.parts.catalog.trouble is not None) == index.full
                assert [f.version for f in volume.versions.all()] == list(range(1, commit.version + 1))
            assert verify(volume.parts).damage == []

    trio.run(work)
    shutil.rmtree(drive.path)
