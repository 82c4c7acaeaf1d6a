"""A clone in which names and versions come when they are needed: how often the peer is asked, and when it is whole.

What is counted are waits: how often an operation could not go on before something came. That, times the delay of the
line, is how long it takes.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from hyperfs.errors import NotResident, ReadOnlyDrive
from hyperfs.log.log import Log
from hyperfs.log.proof import BlockRequest, Request
from hyperfs.store.files import Disk
from hyperfs.values import ROOT_INO, BlockRef
from hyperfs.volume.completing import Completing, is_incomplete
from hyperfs.volume.device_logs import open_log
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.paths import find
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import DRIVE, Store, damage, inode_of, make_folder, read_file, write_file
from .twin_peer import FromPeer, TwinPeer, clone, new_keys

IS_ALL = os.environ.get("HYPERFS_ALL") == "1"
FOLDERS, FILES = (100, 1000) if IS_ALL else (3, 1000)
KEYS = new_keys()


async def fill(store: Store) -> None:
    async with store.opened() as volume:
        for folder in range(FOLDERS):
            made = make_folder(volume, b"/d%d" % folder)
            for number in range(FILES):
                inode = volume.names.make(made.ino, b"file%d" % number, 0o100644, 0, 0)
                await volume.files.write(inode, 0, b"%d in %d " % (number, folder) * 20)
            store.clock.forward(10)
            await volume.commit()


def put(peer: TwinPeer, path: Path, blocks: Iterable[BlockRef]) -> int:
    """Blocks come into a store that is not open, as `cloning.sparse_opening` does it; how many bytes."""
    nbytes = 0
    for ref in blocks:
        source, entry = peer.open(ref.log), peer.chain.logs[ref.log]
        target: Log = open_log(Disk(path), entry, None, Options(), is_own=False)
        data = target.take(source.proof(Request(block=BlockRequest(ref.index, target.missing(2 * ref.index)))))
        target.put_back(ref.index, data)
        target.sync_blocks()
        nbytes += len(data)
        target.close()
        source.close()
    return nbytes


def open_with(peer: TwinPeer, path: Path, options: Options) -> tuple[Volume, int, int]:
    """The clone open; in how many waits, and how many bytes came."""
    waits = nbytes = 0
    while True:
        try:
            return open_volume(path, KEYS, options), waits, nbytes
        except NotResident as absent:
            waits += 1
            nbytes += put(peer, path, (*absent.blocks, *absent.ahead))


class Counting:
    """An operation as a program sees it, which is run again until it lacks nothing."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.waits = 0
        self._fetched = volume.returning.fetched_bytes

    async def of(self, operation: Callable[[], object]) -> tuple[int, int]:
        """(waits, bytes)"""
        before, self.waits = self.volume.returning.fetched_bytes, 0

        async def once() -> None:
            self.waits += 1
            operation()

        await self.volume.returning.complete(once)
        while self.volume.returning._under_way:  # what was asked ahead counts too
            await trio.sleep(0)
        return self.waits - 1, self.volume.returning.fetched_bytes - before


@asynccontextmanager
async def sparse(store: Store, path: Path) -> AsyncIterator[tuple[Volume, int, int]]:
    await fill(store)
    peer = TwinPeer(store.path)
    clone(peer, path, DRIVE.root, KEYS, lost=True, whole_metadata=False)
    volume, waits, nbytes = open_with(peer, path, Store(path).options())
    with closing(FromPeer(peer, volume.parts.logs)) as places:
        volume.returning.elsewhere = places
        async with volume.running():
            yield volume, waits, nbytes


async def test_a_clone_opens_lists_and_reads_in_few_round_trips(store: Store, tmp_path: Path) -> None:
    async with sparse(store, tmp_path / "clone") as (volume, waits, nbytes):
        found = {"opening": (waits, nbytes)}
        counting, live = Counting(volume), volume.overlay.live

        def list_long() -> None:
            folder = inode_of(volume, b"/d1")
            for _, (ino, *_) in live.dentries(folder.ino):
                volume.overlay.inode(ino)

        found["listing 1,000 names"] = await counting.of(list_long)
        found["reading a file"] = await counting.of(lambda: read_file(volume, b"/d2/file500"))
        for what, (waited, size) in found.items():
            tally.add(f"waits of a clone of {FOLDERS * FILES:,} files: {what}", waited)
            tally.add(f"bytes of a clone of {FOLDERS * FILES:,} files: {what}", size)
        assert found["opening"][0] <= 8
        assert found["listing 1,000 names"][0] <= 8
        assert found["reading a file"][0] <= 6
        assert all(size < 1 << 20 for _, size in found.values())


async def test_it_takes_writes_and_knows_its_versions_once_all_has_come(store: Store, tmp_path: Path) -> None:
    async with sparse(store, tmp_path / "clone") as (volume, _, _):
        completing = Completing(volume)
        completing.bar()
        assert completing.is_needed
        assert "being fetched: 0 of" in volume.warnings["completing"]
        with pytest.raises(ReadOnlyDrive, match="still being fetched"):
            volume.check_writable()
        await completing.run()
        assert not is_incomplete(volume.parts.chain, volume.parts.logs)
        assert not volume.warnings
        assert len(list(volume.versions.all())) == FOLDERS + 1
        await write_file(volume, b"/new", b"now")
        assert (await volume.commit()).version == FOLDERS + 2
    peer = TwinPeer(store.path)
    again = open_volume(tmp_path / "clone", KEYS, Store(tmp_path / "clone").options())
    with closing(FromPeer(peer, again.parts.logs)) as places:
        again.returning.elsewhere = places
        async with again.running() as volume:
            assert find(volume.overlay.live, b"/new") is not None
            assert find(volume.overlay.live, b"/d2/file999") is not None
            assert len(list(volume.versions.all())) == FOLDERS + 2
            assert volume.overlay.inode(ROOT_INO)
            assert damage(volume) == []
