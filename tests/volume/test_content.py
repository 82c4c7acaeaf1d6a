"""Reading through worker threads gives what reading in one piece gives."""

import random

import pytest

from hyperfs.errors import NotResident
from hyperfs.volume.read_ahead import LARGE_READ_BYTES

from .conftest import Store, write_file


async def test_a_read_in_two_threads_is_that_in_one(store: Store) -> None:
    rng = random.Random(3)
    data = rng.randbytes(5 * LARGE_READ_BYTES + 12_345)
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", data)
        await volume.files.write(inode, len(data) + 3 * LARGE_READ_BYTES, b"behind a hole")
        await volume.commit()
        data += bytes(3 * LARGE_READ_BYTES) + b"behind a hole"
        for size in (1, LARGE_READ_BYTES - 1, LARGE_READ_BYTES, 2 * LARGE_READ_BYTES, 4 * LARGE_READ_BYTES, 1 << 30):
            for offset in (0, 1, rng.randrange(len(data)), len(data) - 1, 6 * LARGE_READ_BYTES):
                assert await volume.files.read_soon(inode, offset, size) == data[offset : offset + size]


async def test_a_large_read_names_all_blocks_that_are_missing(store: Store) -> None:
    async with store.opened() as volume:
        size = 8 * LARGE_READ_BYTES
        inode = await write_file(volume, b"f", random.Random(4).randbytes(size))
        await volume.commit()
        log = volume.content.log
        log.punch(0, log.length)
        with pytest.raises(NotResident) as whole:
            volume.files.read(inode, 0, size)
        with pytest.raises(NotResident) as parts:
            await volume.files.read_soon(inode, 0, size)
        assert len(whole.value.blocks) > 8
        assert set(parts.value.blocks) == set(whole.value.blocks)
