"""Restore: what was, is again, without a byte copied; what is replaced stays in history."""

import pytest
import trio

from hyperfs.errors import IsADirectory, NoSuchVersion, NotADirectory, NotFound, NotPermitted, ReadOnlyDrive
from hyperfs.volume.compare import compare
from hyperfs.volume.history import versions_of
from hyperfs.volume.restore import restore
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, kill, make_folder, read_file, rename, rmdir, unlink, write_file
from .model import View, view_of_tree

BIG = bytes(range(256)) * 2000


async def start(volume: Volume) -> int:
    """A tree with everything that a restore must bring back."""
    make_folder(volume, b"d", 0o750)
    make_folder(volume, b"d/sub", 0o2775)
    big = await write_file(volume, b"d/big", BIG, 0o4755)
    big.uid, big.gid, big.atime_ns, big.mtime_ns = 5, 6, 777, 888
    volume.xattrs.set(big, b"user.short", b"s")
    volume.xattrs.set(big, b"user.long", b"l" * 5000)
    await write_file(volume, b"d/sub/tiny", b"tiny")
    hole = await write_file(volume, b"d/sub/hole", b"x")
    await volume.files.write(hole, 1_000_000, b"y" * 1000)
    volume.names.symlink(inode_of(volume, b"d").ino, b"link", b"../target", 1, 2)
    volume.names.link(big, inode_of(volume, b"d/sub").ino, b"twin")
    volume.names.link(big, 1, b"outside")
    volume.names.make(inode_of(volume, b"d").ino, b"fifo", 0o010600, 3, 4)
    inode_of(volume, b"d/sub").mtime_ns = 12345
    inode_of(volume, b"d").mtime_ns = 54321
    return (await volume.commit()).version


def live(volume: Volume) -> View:
    return view_of_tree(volume, volume.overlay.live)


def stable(view: View, folder: bytes) -> dict[bytes, object]:
    """What must be as it was: all but the time of change and what names outside the tree add."""
    inside = {path: seen for path, seen in view.items() if path == folder or path.startswith(folder + b"/")}
    return {
        path[len(folder) :]: (
            seen.attributes[:3],
            seen.attributes[4:6],
            seen.data,
            seen.xattrs,
            tuple(twin[len(folder) :] for twin in seen.twins if twin in inside),
        )
        for path, seen in inside.items()
    }


async def test_a_deleted_folder_comes_back_whole_and_stores_no_content(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        before = stable(live(volume), b"d")
        await remove_tree(volume, b"d")
        await volume.commit()
        blocks = volume.content.log.length
        done = await restore(volume, b"d", version)
        assert stable(live(volume), b"d") == before
        assert volume.content.log.length == blocks
        assert (done.files, done.folders, done.replaced) == (5, 2, [(1, b"d")])
        assert inode_of(volume, b"d/big").nlink == 2
        assert inode_of(volume, b"d").nlink == 3
        assert inode_of(volume, b"outside").nlink == 1
        newest = volume.versions.newest
        assert view_of_tree(volume, volume.versions.tree(newest.version)) == live(volume)
        assert not volume.committer.pending


async def remove_tree(volume: Volume, path: bytes) -> None:
    inode = inode_of(volume, path)
    for name, _ in list(volume.overlay.live.dentries(inode.ino)):
        child = path + b"/" + name
        if inode_of(volume, child).is_directory:
            await remove_tree(volume, child)
        else:
            unlink(volume, child)
    rmdir(volume, path)


async def test_an_existing_folder_is_replaced_and_its_state_is_in_a_version(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        before = stable(live(volume), b"d")
        await write_file(volume, b"d/big", b"spoiled")
        await write_file(volume, b"d/extra", b"extra")
        spoiled = live(volume)
        totals = volume.overlay.files, volume.overlay.directories
        await restore(volume, b"d", version)
        assert stable(live(volume), b"d") == before
        past = volume.versions.tree(volume.versions.newest.version - 1)
        assert view_of_tree(volume, past) == spoiled
        assert volume.overlay.directories == totals[1]
        # And back again: a restore is undone by a restore.
        await restore(volume, b"d", volume.versions.newest.version - 1)
        assert stable(live(volume), b"d") == stable(spoiled, b"d")


async def test_inode_numbers_are_new(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        numbers = {inode_of(volume, path).ino for path in live(volume)}
        await restore(volume, b"d", version)
        again = {inode_of(volume, path).ino for path in live(volume) if path.startswith(b"d")}
        assert not again & numbers


async def test_an_open_file_that_is_replaced_keeps_its_bytes(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        inode = await write_file(volume, b"d/sub/tiny", b"the newest" * 1000)
        volume.opened(inode, True)
        await restore(volume, b"d/sub/tiny", version)
        assert read_file(volume, b"d/sub/tiny") == b"tiny"
        await volume.files.write(inode, 0, b"THE")
        assert volume.files.read(inode, 0, 10) == b"THE newest"
        volume.released(inode, True)
        await volume.commit()
        assert read_file(volume, b"d/sub/tiny") == b"tiny"


async def test_a_restored_file_goes_on_in_its_history(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        store.clock.forward(10)
        await write_file(volume, b"d/sub/tiny", b"worse")
        await volume.commit()
        store.clock.forward(10)
        await restore(volume, b"d", version)
        await volume.changes.caught_up()
        assert [v.size for v in versions_of(volume, b"d/sub/tiny")] == [4, 5, 4]


async def test_to_another_place(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        before = live(volume)
        done = await restore(volume, b"d/sub", version, b"copy")
        assert stable(live(volume), b"copy") == stable(before, b"d/sub")
        assert stable(live(volume), b"d") == stable(before, b"d")
        assert done.replaced == [(1, b"copy")]
        await restore(volume, b"d/sub/tiny", version, b"copy/twin")
        assert read_file(volume, b"copy/twin") == b"tiny"


async def test_a_tree_into_itself(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        before = live(volume)
        await restore(volume, b"d", version, b"d/sub/d")
        assert stable(live(volume), b"d/sub/d") == stable(before, b"d")


async def test_folders_above_that_are_gone_come_back_too(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        await remove_tree(volume, b"d")
        done = await restore(volume, b"d/sub/tiny", version)
        assert read_file(volume, b"d/sub/tiny") == b"tiny"
        assert [n for n, _ in volume.overlay.live.dentries(inode_of(volume, b"d").ino)] == [b"sub"]
        assert inode_of(volume, b"d/sub").mode == 0o042775
        assert inode_of(volume, b"d").mtime_ns == 54321
        assert (done.files, done.folders, done.replaced) == (1, 2, [(1, b"d")])
        assert inode_of(volume, b"").nlink == 3


async def test_the_whole_drive(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        await write_file(volume, b"new", b"1")
        unlink(volume, b"outside")
        inode_of(volume, b"").mode = 0o040700
        volume.overlay.touch(inode_of(volume, b""))
        done = await restore(volume, b"", version)
        newest = volume.versions.newest.version
        assert await compare(volume, version, newest) == []
        assert inode_of(volume, b"").mode == 0o040755
        assert sorted(name for _, name in done.replaced) == [b"d", b"new", b"outside"]
        assert inode_of(volume, b"outside").nlink == 3


async def test_a_renamed_file_by_its_name_of_today(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        rename(volume, b"d/sub/tiny", b"elsewhere")
        await write_file(volume, b"elsewhere", b"worse")
        await restore(volume, b"elsewhere", version)
        assert read_file(volume, b"elsewhere") == b"tiny"


async def test_a_file_where_a_folder_is_now(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        unlink(volume, b"d/sub/tiny")
        make_folder(volume, b"d/sub/tiny")
        await write_file(volume, b"d/sub/tiny/below", b"1")
        await restore(volume, b"d/sub/tiny", version)
        assert read_file(volume, b"d/sub/tiny") == b"tiny"


async def test_what_is_refused_changes_nothing(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        before = live(volume)
        refusals = [
            (b"d", version + 5, None, NoSuchVersion),
            (b"d", 1, None, NotFound),
            (b"nothing", version, None, NotFound),
            (b"d", version, b"no/folder", NotFound),
            (b"d", version, b"outside", NotADirectory),
            (b"outside", version, b"d", IsADirectory),
            (b"outside", version, b"outside/x", NotADirectory),
            (b"outside", version, b"", NotADirectory),
            (b"outside", version, b"d/.versions", NotPermitted),
        ]
        for path, number, to, error in refusals:
            with pytest.raises(error):
                await restore(volume, path, number, to)
        assert live(volume) == before


async def test_a_read_only_drive_refuses(store: Store) -> None:
    async with store.open(read_only=True).running() as volume:
        with pytest.raises(ReadOnlyDrive):
            await restore(volume, b"", 1)


async def test_it_is_durable_when_it_returns(store: Store) -> None:
    volume = store.open()
    version = await start(volume)
    before = stable(live(volume), b"d")
    await remove_tree(volume, b"d")
    await restore(volume, b"d", version)
    kill(volume)
    volume = store.open()
    assert stable(live(volume), b"d") == before
    kill(volume)


async def test_others_write_while_a_restore_reads(store: Store) -> None:
    """What changes in the target before the restore changes it is in a version, whenever it comes."""
    async with store.opened() as volume:
        version = await start(volume)
        for number in range(300):
            await write_file(volume, b"d/sub/%d" % number, b"x")
        full = (await volume.commit()).version
        await restore(volume, b"d", version)

        async def write() -> None:
            await trio.lowlevel.checkpoint()
            await write_file(volume, b"d/late", b"late")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(restore, volume, b"d", full)
            nursery.start_soon(write)
        trees = [volume.versions.tree(v) for v in range(full, volume.versions.newest.version + 1)]
        views = [*(view_of_tree(volume, tree) for tree in trees), live(volume)]
        assert any(b"d/late" in view for view in views)


async def test_an_open_file_that_is_replaced_keeps_its_attributes_for_who_has_it_open(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        inode = await write_file(volume, b"open", b"1")
        volume.opened(inode, True)
        volume.xattrs.set(inode, b"user.a", b"2")
        await restore(volume, b"", version)
        assert inode.nlink == 0
        assert volume.xattrs.names(inode) == [b"user.a"]
        assert volume.xattrs.get(inode, b"user.a") == b"2"
        volume.released(inode, True)
