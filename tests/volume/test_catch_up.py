"""The index is rebuilt in batches, in bounded memory, with progress; killed in the middle, it begins anew."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import trio

from hyperfs.store.memory import MemoryIndex
from hyperfs.store.rocksdb import RocksIndex
from hyperfs.volume import catch_up as catching_up
from hyperfs.volume import indexing
from hyperfs.volume.catalog import Catalog
from hyperfs.volume.volume import Volume

sys.path.insert(0, str(Path(__file__).parent.parent / "faults"))

from sample_drive import Drive, put  # the path has to be there first

from hyperfs.volume.options import Options

FILES = 120
VERSIONS = 40


class Killed(Exception):
    """As by SIGKILL: nothing after it is written."""


class MortalIndex(MemoryIndex):
    """Takes so many batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        super().write(changes)

    def close(self) -> None:
        """What it holds is looked at afterwards."""


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """With chunks of several extents, some in old versions only, and versions of one file."""
    drive = Drive(tmp_path_factory.mktemp("drive") / "store", Options())
    drive.create()

    async def fill() -> None:
        volume = drive.open()
        async with volume.running():
            root = volume.overlay.inode(1)
            for number in range(FILES):
                await put(volume, root, b"file %d" % number, b"%d " % (number // 2) * 1000)
            changing = await put(volume, root, b"changing", b"x" * 2000)
            for number in range(VERSIONS):
                await volume.files.write(changing, 0, b"%d " % number * 500)
                await volume.commit()

    trio.run(fill)
    return drive


def contents(index: MemoryIndex | RocksIndex) -> dict[bytes, bytes]:
    return dict(index.scan())


def as_rebuilt(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """A rebuilt index does not know the chunks that only old versions use, nor when the changes of a version began, and
    not yet what versions changed."""
    return {
        key: value
        for key, value in found.items()
        if key[:1] not in b"befhw" and (key[:1] != b"c" or value[4:8] != bytes(4))
    }


@pytest.fixture(scope="module")
def kept(drive: Drive) -> dict[bytes, bytes]:
    """What the index of the drive holds that was written commit by commit."""
    index = RocksIndex(drive.path / "index")
    try:
        return contents(index)
    finally:
        index.close()


@pytest.fixture(params=[3, 50, 10_000])
def batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(catching_up, "BATCH", request.param)
    return request.param


def open_with(drive: Drive, index: MemoryIndex, monkeypatch: pytest.MonkeyPatch) -> Volume:
    monkeypatch.setattr(indexing, "MemoryIndex", lambda: index)
    return drive.open(memory_index=True)


def test_what_is_rebuilt_is_what_commits_would_have_written(
    drive: Drive, kept: dict[bytes, bytes], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = MemoryIndex()
    volume = open_with(drive, index, monkeypatch)
    assert contents(index) == as_rebuilt(kept)
    volume.parts.close()


def test_killed_after_any_batch_it_begins_anew(
    drive: Drive, kept: dict[bytes, bytes], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for batches in range(12):
        index = MortalIndex(batches)
        try:
            open_with(drive, index, monkeypatch).parts.close()
        except Killed:
            assert Catalog(index).mark() is None
    monkeypatch.undo()
    half = drive.path / "index"
    whole = RocksIndex(half)
    whole.write([(b"m", None)])
    whole.close()
    volume = drive.open()
    assert "was not finished" in volume.warnings["index"]
    volume.parts.close()
    rebuilt = RocksIndex(half)
    assert contents(rebuilt) == as_rebuilt(kept)
    rebuilt.close()


def test_a_long_way_behind_it_is_caught_up_in_batches(
    drive: Drive, kept: dict[bytes, bytes], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the mark of an old version; killed after the first batch it has none."""
    index = MemoryIndex()
    volume = open_with(drive, index, monkeypatch)
    old = volume.versions.commit(volume.versions.newest.version - 30)
    facts = volume.parts.catalog.version(old.version)
    assert facts is not None
    nodes, logs = volume.parts.nodes, volume.parts.logs
    fresh = Catalog(MemoryIndex())
    catching_up.catch_up(fresh, nodes, logs, (old, facts.log, facts.index), lambda *_: None)
    newest = volume.parts.catalog.version(volume.versions.newest.version)
    assert newest is not None
    catching_up.catch_up(fresh, nodes, logs, (volume.versions.newest, newest.log, newest.index), lambda *_: None)
    found = dict(fresh._scan(b"", b""))
    assert as_rebuilt(found) == as_rebuilt(kept)
    volume.parts.close()


def test_progress_is_told_to_its_end(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "TELL_ENTRIES", 10)
    told: dict[str, list[tuple[int, int]]] = {}
    volume = drive.open(memory_index=True, progress=lambda what, done, of: told.setdefault(what, []).append((done, of)))
    volume.parts.close()
    assert list(told) == ["index: reading versions", "index: listing chunks"]
    for steps in told.values():
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]
        assert len(steps) > 10
