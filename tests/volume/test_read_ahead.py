"""What is decoded ahead of a sequential reader is never anything but what the file holds when he asks."""

import random

import pytest
import trio

from hyperfs.errors import Corrupt
from hyperfs.volume import read_ahead
from hyperfs.volume.inode import Inode
from hyperfs.volume.read_ahead import ReadAhead
from hyperfs.volume.volume import Volume

from .conftest import Store, write_file
from .test_flushing import damage_content

MIB = 1 << 20


async def read_through(volume: Volume, inode: Inode) -> bytes:
    found = b""
    while piece := await volume.files.read_soon(inode, len(found), MIB, goes_on=True):
        found += piece
    return found


async def test_a_file_read_through_is_its_bytes(store: Store) -> None:
    data = random.Random(1).randbytes(5 * MIB + 777)
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", data)
        await volume.commit()
        for _ in range(2):
            assert await read_through(volume, inode) == data
        assert not volume.content.ahead._windows  # all were asked for, none is left behind


async def test_what_is_written_meanwhile_is_read(store: Store) -> None:
    rng = random.Random(2)
    data = bytearray(rng.randbytes(6 * MIB))
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", bytes(data))
        await volume.commit()
        for step in range(12):
            found = b""
            while len(found) < len(data):
                found += await volume.files.read_soon(inode, len(found), MIB, goes_on=True)
                if len(found) in (MIB, 3 * MIB):
                    at, new = len(found) + rng.randrange(2 * MIB), rng.randbytes(3000)
                    data[at : at + len(new)] = new
                    await volume.files.write(inode, at, new)
                    if step % 3 == 1:
                        await volume.files.flushing.flush_all()
                    if step % 3 == 2:
                        await volume.commit()
            assert found == bytes(data[: len(found)])
            await volume.commit()


async def test_a_file_that_shrinks_is_read_to_its_new_end(store: Store) -> None:
    data = random.Random(3).randbytes(5 * MIB)
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", data)
        await volume.commit()
        await volume.files.read_soon(inode, 0, MIB, goes_on=True)
        await volume.files.resize(inode, MIB + 5)
        assert await volume.files.read_soon(inode, MIB, MIB, goes_on=True) == data[MIB : MIB + 5]


async def test_damage_ahead_is_told_to_who_reads_there(store: Store) -> None:
    data = random.Random(4).randbytes(4 * MIB)
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", data)
    damage_content(store)
    async with store.opened() as volume:
        inode = volume.overlay.inode(inode.ino)
        for start in range(0, len(data), MIB):
            with pytest.raises(Corrupt):
                await volume.files.read_soon(inode, start, MIB, goes_on=True)


async def test_windows_that_nobody_asks_for_are_few() -> None:
    ahead = ReadAhead(lambda extents, offset, size: [bytes(size)])
    for ino in range(20):
        ahead.begin(ino, 0, MIB, 10 * MIB, lambda start, end: [])
    assert len(ahead._windows) == read_ahead.WINDOWS_MOST
    with trio.fail_after(60):
        assert await ahead.take(19, MIB, MIB, []) == bytes(MIB)
    assert await ahead.take(19, MIB, MIB, []) is None
    assert await ahead.take(19, 0, MIB - 1, []) is None
    assert await ahead.take(0, 0, MIB, []) is None
