"""The overlay: what an unlinked file leaves in versions, which is nothing."""

from functools import partial

import trio
from trio.testing import wait_all_tasks_blocked

from hyperfs.volume.regions import hurried

from .conftest import Store, kill, unlink, write_file
from .model import walk_tree
from .test_model import check_garbage


async def test_an_attribute_of_an_unlinked_file_gets_into_no_version(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"1")
        volume.opened(inode, True)
        await volume.commit()
        unlink(volume, b"f")
        await volume.commit()
        volume.xattrs.set(inode, b"user.a", b"1")
        await write_file(volume, b"g", b"2")
        newest = await volume.commit()
        check_garbage(volume, newest.version)
        volume.released(inode, True)


async def test_an_unlinked_file_keeps_its_attributes_for_who_has_it_open(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"1")
        volume.xattrs.set(inode, b"user.old", b"1")
        await volume.commit()
        volume.xattrs.set(inode, b"user.new", b"2")
        volume.opened(inode, True)
        unlink(volume, b"f")
        await volume.commit()
        volume.xattrs.set(inode, b"user.last", b"3")
        volume.xattrs.set(inode, b"user.old", None)
        assert volume.xattrs.names(inode) == [b"user.last", b"user.new"]
        assert volume.xattrs.get(inode, b"user.last") == b"3"
        assert volume.xattrs.get(inode, b"user.new") == b"2"
        assert volume.xattrs.get(inode, b"user.old") is None
        volume.released(inode, True)


async def test_bytes_that_come_after_their_time_leave_it(store: Store) -> None:
    """The kernel tells a time beside the bytes; while those wait for a commit it is there first."""
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"old")
        volume.files.close_gate()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(volume.files.write, inode, 0, b"new", keep_times=True))
            await wait_all_tasks_blocked()
            inode.mtime_ns = inode.ctime_ns = 5
            volume.files.open_gate()
        assert (volume.files.read(inode, 0, 3), inode.mtime_ns, inode.ctime_ns) == (b"new", 5, 5)


async def test_a_file_that_goes_while_its_bytes_are_on_their_way_gets_into_no_version(store: Store) -> None:
    volume = store.open()
    inode = await write_file(volume, b"f", b"x" * 100_000)
    flushing = volume.files.flushing
    async with flushing._flush_lock:
        taken = flushing._take(inode, streaming=False, effort=hurried())
        assert taken is not None
        unlink(volume, b"f")
        volume.forgotten(inode.ino)
        await flushing._store([taken])
    newest = await volume.commit()
    check_garbage(volume, newest.version)
    assert [path for path, _ in walk_tree(volume.overlay.live)] == [b""]
    assert volume.files.dirty_bytes == 0
    kill(volume)


async def test_an_unlinked_file_is_let_go_by_its_close_and_the_kernel_in_whichever_order(store: Store) -> None:
    async with store.opened() as volume:
        for closed_first in (True, False):
            inode = await write_file(volume, b"f", b"x" * 1000)
            volume.opened(inode, True)
            unlink(volume, b"f")
            if closed_first:
                volume.released(inode, True)
                volume.forgotten(inode.ino)
            else:
                volume.forgotten(inode.ino)
                assert volume.files.read(inode, 0, inode.size) == b"x" * 1000
                volume.released(inode, True)
            assert not volume.overlay.orphans
            assert volume.files.dirty_bytes == 0
