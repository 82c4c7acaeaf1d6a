"""The way into chunks: what comes back from it is as durable as it was before."""

from hyperfs.volume.flushing import BATCH_BYTES

from .conftest import Store, inode_of, kill, write_file


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
