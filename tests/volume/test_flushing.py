"""The way into chunks: what is saved beside damage, and what large files and small ones become."""

import random

import pytest
import trio

from hyperfs.errors import Corrupt
from hyperfs.volume import flushing
from hyperfs.volume.device_logs import log_folder

from .conftest import Store, inode_of, kill, read_file, write_file


def damage_content(store: Store) -> None:
    """Flips one bit in every content block's middle, as far as a byte every 1000 does."""
    volume = store.open(read_only=True)
    path = store.path / log_folder(volume.parts.chain.logs[volume.content.number]) / "blocks"
    kill(volume)
    data = bytearray(path.read_bytes())
    for at in range(500, len(data), 1000):
        data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("size", [20_000, 300_000])
async def test_what_is_written_beside_damage_can_be_saved(store: Store, size: int) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", random.Random(1).randbytes(size))
    damage_content(store)
    async with store.opened() as volume:
        inode = inode_of(volume, b"f")
        await volume.files.write(inode, 100, b"new bytes")
        await write_file(volume, b"g", b"of another file" * 100)
        await volume.commit()
        assert volume.files.read(inode, 100, 9) == b"new bytes"
        assert read_file(volume, b"g") == b"of another file" * 100
        with pytest.raises(Corrupt):
            volume.files.read(inode, 0, 100)
        assert "commit" not in volume.warnings


async def test_a_file_that_shrinks_to_a_few_bytes_lies_in_its_inode(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"x" * 3000)
        await volume.commit()
        assert inode.inline is None
        await volume.files.resize(inode, 100)
        await volume.files.write(inode, 10, b"y")
        await volume.commit()
        assert inode.inline is not None
        assert volume.overlay.extents(inode, 0, 3000) == []
        assert read_file(volume, b"f") == b"x" * 10 + b"y" + b"x" * 89


async def test_a_hole_takes_no_chunk(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"a" * 1000)
        await volume.files.write(inode, 50_000_000, b"b" * 1000)
        await volume.commit()
        assert inode.stored == 2000
        assert volume.files.read(inode, 20_000_000, 10) == bytes(10)
        assert volume.files.read(inode, 49_999_999, 2) == b"\0b"


async def test_many_open_files_with_short_tails_do_not_fill_the_memory_for_ever(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flushing, "DIRTY_LIMIT_BYTES", 1 << 20)
    rng = random.Random(1)
    async with store.opened() as volume:
        with trio.fail_after(30):
            for number in range(60):
                inode = await write_file(volume, b"%d" % number, b"")
                volume.opened(inode, True)
                await volume.files.write(inode, 0, rng.randbytes(70_000))  # most have no sure cut so early
        assert volume.files.dirty_bytes <= 1 << 20


async def test_writers_that_wait_for_room_go_on_whoever_made_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync may take the bytes before the stream does, which then finds nothing to do."""
    monkeypatch.setattr(flushing, "DIRTY_LIMIT_BYTES", 1 << 20)
    rng = random.Random(1)
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"")
        volume.opened(inode, True)
        with trio.fail_after(30):
            for _ in range(40):  # trio picks by chance who goes first
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(volume.files.write, inode, 0, rng.randbytes((1 << 20) + 1))
                    nursery.start_soon(volume.files.flushing.flush_all)


async def test_writers_that_wait_for_room_go_on_when_a_file_is_discarded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flushing, "DIRTY_LIMIT_BYTES", 1 << 20)
    rng = random.Random(1)
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"")
        with trio.fail_after(30):
            for _ in range(40):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(volume.files.write, inode, 0, rng.randbytes((1 << 20) + 1))
                    await trio.lowlevel.checkpoint()
                    volume.files.discard(inode)


async def test_scattered_writes_are_stored_with_their_chunks_and_not_again_for_each(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent on as soon as a dense file's are, each of some thousand pages was a chunk, or stored a whole one anew."""
    rng = random.Random(1)
    pages = 1024
    old = rng.randbytes(pages * 4096)
    async with store.opened() as volume:
        inode = await write_file(volume, b"image", old)
        await volume.commit()
        chunks = len(volume.overlay.extents(inode, 0, inode.size))
        monkeypatch.setattr(flushing, "STREAM_BYTES", 64 << 10)
        monkeypatch.setattr(flushing, "SCATTERED_BYTES", 2 << 20)
        volume.opened(inode, True)
        wanted = bytearray(old)
        before = volume.content.log.length
        for page in rng.sample(range(pages), pages * 3 // 4):
            data = rng.randbytes(4096)
            wanted[page * 4096 : page * 4096 + 4096] = data
            await volume.files.write(inode, page * 4096, data)
        with trio.fail_after(60):
            while volume.content.log.length == before:  # it does not wait for a sync
                await trio.sleep(0.01)
        await volume.files.flushing.flush_all()
        assert volume.files.read(inode, 0, inode.size) == bytes(wanted)
        assert len(volume.overlay.extents(inode, 0, inode.size)) <= 3 * chunks
        assert volume.content.log.length - before <= 3 * chunks
