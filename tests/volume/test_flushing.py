"""The way into chunks: what comes back from it is as durable as it was before."""

from hashlib import shake_128

from hyperfs.volume.flushing import BATCH_BYTES

from .conftest import Store, inode_of, kill, unlink, write_file


def noise(size: int) -> bytes:
    return shake_128(b"noise").digest(size)


async def test_fsynced_bytes_that_a_stream_took_and_gave_back_stay_durable(store: Store) -> None:
    volume = store.open()
    far = 3 * BATCH_BYTES
    inode = await write_file(volume, b"f", b"start")
    await volume.files.write(inode, far, b"synced")
    await volume.fsync(inode)
    await volume.files.write(inode, 10, bytes(BATCH_BYTES - 100))
    volume.opened(inode, True)
    flushing = volume.files.flushing
    async with flushing._flush_lock:
        taken = flushing._take(inode, streaming=True)
        assert taken is not None
        assert taken.runs[-1][0] == far
        await flushing._store([taken])
    assert inode.dirty is not None  # six bytes at the end are no sure chunk
    await volume.fsync(None)
    kill(volume)
    volume = store.open()
    assert volume.files.read(inode_of(volume, b"f"), far, 100) == b"synced"
    kill(volume)


async def test_a_file_that_is_opened_after_its_name_went_has_its_bytes(store: Store) -> None:
    """A program has found the name, another one removes it, and only then the kernel opens what was found."""
    async with store.opened() as volume:
        saved, kept = noise(200_000), noise(100_000)
        for name, data in ((b"in a version", saved), (b"dirty", kept)):
            await write_file(volume, name, data)
            if name == b"in a version":
                await volume.commit()
        for name, data in ((b"in a version", saved), (b"dirty", kept)):
            inode = inode_of(volume, name)
            unlink(volume, name)
            volume.opened(inode, False)
            assert volume.files.read(inode, 0, len(data)) == data
            await volume.commit()
            assert volume.files.read(inode, 0, len(data)) == data
            volume.released(inode, False)
            volume.forgotten(inode.ino)
        assert not volume.overlay.orphans
        assert volume.files.dirty_bytes == 0


async def test_a_forgotten_file_gives_up_its_unsaved_bytes(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", noise(100_000))
        unlink(volume, b"f")
        volume.forgotten(inode.ino)
        assert volume.files.dirty_bytes == 0
        blocks = volume.content.log.length
        await volume.commit()
        assert volume.content.log.length == blocks
