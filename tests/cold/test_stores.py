"""The whole way with real stores: a folder and an S3 server (moto's). Blocks leave as eviction lets them leave, and
files are read as the kernel's requests read them."""

import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import trio

from hyperfs.store.object_folder import FolderObjects
from hyperfs.store.objects import Objects
from hyperfs.store.s3 import S3Objects
from hyperfs.volume.residence import Run
from tests import tally
from tests.store.s3_server import BUCKET, KEY, location, moto_server
from tests.volume.conftest import Store, inode_of

from .conftest import SEED, Side, running

MIB = 1 << 20


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as address:
        urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
        yield address


@pytest.fixture(params=["folder", "S3 (moto)"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        folder = FolderObjects(tmp_path / "nas")
        folder.prepare()
        return folder
    return S3Objects(location(request.getfixturevalue("moto"), prefix=tmp_path.name), KEY)


async def evict(side: Side) -> None:
    """All that a place confirms leaves, in the two phases of eviction."""

    async def is_safe(run: Run) -> bool:
        return bool(await side.cold.confirm(*run))

    gone = await side.volume.parts.residence.evict([Run(side.log, 0, side.length)], is_safe)
    assert gone == [Run(side.log, 0, side.length)]
    side.volume.parts.chunkstore.cache.clear()


async def read(side: Side, path: bytes, offset: int, size: int) -> bytes:
    volume = side.volume

    async def operation() -> bytes:
        return await volume.files.read_soon(inode_of(volume, path), offset, size)

    return await volume.returning.complete(operation, keep=False)


async def test_files_leave_and_are_read_from_the_store(store: Store, objects: Objects) -> None:
    async with running(store) as side:
        side.cold.add("place", "url", objects)
        side.volume.returning.elsewhere = side.cold
        await side.write(b"large", 20 * MIB)
        inode = inode_of(side.volume, b"large")
        whole = side.volume.files.read(inode, 0, inode.size)
        before = side.volume.content.log.size_on_disk()
        side.want("place")
        await side.until_proven("place")
        await evict(side)
        assert side.volume.content.log.size_on_disk() < before - 19 * MIB
        moved = side.cold.transfer()["fetched_bytes"]
        assert await read(side, b"large", 11 * MIB, 4096) == whole[11 * MIB : 11 * MIB + 4096]
        assert side.cold.transfer()["fetched_bytes"] - moved < MIB
        found = sha256()
        for offset in range(0, inode.size, MIB):
            found.update(await read(side, b"large", offset, MIB))
        assert found.digest() == sha256(whole).digest()
        tally.add("bytes that left and were read from a cold store", inode.size, seed=SEED)


async def test_what_was_cleared_goes_from_the_store_too(store: Store, objects: Objects) -> None:
    async with running(store) as side:
        side.cold.add("place", "url", objects)
        await side.write(b"large", 9 * MIB)
        side.want("place")
        await side.until_proven("place")
        catalog = side.volume.parts.catalog
        number = side.log
        assert side.cold.facts()[0].objects == 2
        catalog.cleared = catalog.cleared.more([(number, 0, 0, b"", ((0, side.length),))])
        with trio.fail_after(60):
            while side.cold.facts()[0].objects:
                await trio.sleep(0.02)
        assert list(objects.list(side.cold._prover._blocks.drive_folder)) == []


async def test_what_little_is_left_of_objects_shares_one(store: Store, objects: Objects) -> None:
    async with running(store) as side:
        side.cold.add("place", "url", objects)
        await side.write(b"large", 20 * MIB)
        side.want("place")
        await side.until_proven("place")
        side.cold.want([])
        with trio.fail_after(60):
            while "place" not in side.cold._auditor._rewritten_ns:  # the first look is over: the next is a day later
                await trio.sleep(0.02)
        blocks = {ref: side.block(ref.index) for ref in side.refs(0, side.length // 2)}
        cleared = tuple((ref.index + 1, end) for ref, end in zip(blocks, (side.length // 2, side.length), strict=True))
        catalog = side.volume.parts.catalog
        catalog.cleared = catalog.cleared.more([(side.log, 0, 0, b"", cleared)])
        store.clock.forward(25 * 3600)
        with trio.fail_after(60):
            while [len(held.runs or ()) for held in side.cold.place("place").holdings] != [2]:
                await trio.sleep(0.02)
        assert await side.cold.fetch(list(blocks)) == blocks
        [info] = objects.list(side.cold._prover._blocks.drive_folder)
        assert info.size < MIB


async def test_the_map_is_made_again_from_the_list(store: Store, objects: Objects) -> None:
    async with running(store) as side:
        side.cold.add("place", "url", objects)
        await side.write(b"large", 9 * MIB)
        side.want("place")
        await side.until_proven("place")
        blocks = {ref: side.block(ref.index) for ref in side.refs(1, 50)}
        await evict(side)
    async with running(store) as side:  # with a new index
        side.cold.add("place", "url", objects)
        assert await side.cold.fetch(list(blocks)) == blocks
        await side.until_proven("place")
