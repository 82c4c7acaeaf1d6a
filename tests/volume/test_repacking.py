"""Packs of which little is needed are stored anew: that reads as before, and the rest gives its space back."""

import random
import shutil

from hyperfs.policy.attributes import KEEP
from hyperfs.values import ROOT_INO
from hyperfs.volume.repacking import places_of
from hyperfs.volume.retaining import no_progress, retain
from hyperfs.volume.volume import Volume

from .conftest import Store, damage, inode_of, read_file, unlink, write_file
from .faults import killed_at_each

FILES = 60


def data(number: int) -> bytes:
    return random.Random(number).randbytes(3000)


async def half_dead_packs(store: Store, volume: Volume) -> None:
    """Of every six small files that were stored together one is left."""
    volume.xattrs.set(inode_of(volume, b""), KEEP, b"1 version")
    for number in range(FILES):
        await write_file(volume, b"%d" % number, data(number))
    await volume.commit()
    store.clock.forward(40 * 24 * 3600)
    for number in range(FILES):
        if number % 6:
            inode = inode_of(volume, b"%d" % number)
            unlink(volume, b"%d" % number)
            volume.forgotten(inode.ino)
    await volume.commit()
    store.clock.forward(40 * 24 * 3600)  # what was deleted has had its time
    await write_file(volume, b"last", b"x" * 1000)
    await volume.commit()


def check(volume: Volume) -> None:
    for number in range(0, FILES, 6):
        assert read_file(volume, b"%d" % number) == data(number)
    assert damage(volume) == []


async def test_what_is_needed_of_half_dead_packs_moves_and_the_rest_goes(store: Store) -> None:
    async with store.opened(memory_index=False) as volume:
        await half_dead_packs(store, volume)
        await retain(volume, False, no_progress)
        space = volume.content.log.size_on_disk()
        assert space > FILES * 2500
        assert not places_of(volume)
        await retain(volume, False, no_progress, with_packs=True)
        assert len(places_of(volume)) == FILES // 6
        assert volume.content.log.size_on_disk() < space / 2
        check(volume)
        # The same bytes again are known where they lie now.
        length = volume.content.log.length
        await write_file(volume, b"again", data(0))
        await volume.commit()
        assert volume.content.log.length == length
        # And a file that names the new place alone does not make the others there look needless.
        await retain(volume, False, no_progress, with_packs=True)
        check(volume)
        assert len(places_of(volume)) == FILES // 6
    async with store.opened(memory_index=False) as volume:
        check(volume)
    shutil.rmtree(store.path / "index")
    async with store.opened(memory_index=False) as volume:
        check(volume)
        await retain(volume, False, no_progress, with_packs=True)
        check(volume)
        for number in range(0, FILES, 6):
            inode = inode_of(volume, b"%d" % number)
            unlink(volume, b"%d" % number)
            volume.forgotten(inode.ino)
        inode = inode_of(volume, b"again")
        unlink(volume, b"again")
        volume.forgotten(inode.ino)
        await volume.commit()
        store.clock.forward(80 * 24 * 3600)
        await write_file(volume, b"last", b"y" * 1000)
        await volume.commit()
        await retain(volume, False, no_progress, with_packs=True)
        assert not places_of(volume)  # nothing needs them any more
        assert damage(volume) == []


async def test_a_version_that_is_kept_reads_through_the_new_place(store: Store) -> None:
    async with store.opened() as volume:
        await half_dead_packs(store, volume)
        named = (await volume.make_snapshot(ROOT_INO, b"name")).version
        for number in range(0, FILES, 12):
            inode = inode_of(volume, b"%d" % number)
            unlink(volume, b"%d" % number)
            volume.forgotten(inode.ino)
        await volume.commit()
        await retain(volume, False, no_progress, with_packs=True)
        assert places_of(volume)
        tree = volume.versions.tree(named)
        for number in range(0, FILES, 6):
            dentry = tree.dentry(ROOT_INO, b"%d" % number)
            assert dentry is not None
            assert volume.content.read(tree.extents(dentry[0], 0, 3000), 0, 3000) == data(number)
        assert damage(volume) == []


async def test_a_file_without_a_name_that_is_open_keeps_its_pack(store: Store) -> None:
    async with store.opened() as volume:
        await half_dead_packs(store, volume)
        inode = inode_of(volume, b"0")
        volume.opened(inode, False)
        unlink(volume, b"0")
        await volume.commit()
        await retain(volume, False, no_progress, with_packs=True)
        assert volume.files.read(inode, 0, inode.size) == data(0)


async def test_killed_at_any_operation_nothing_is_lost(store: Store) -> None:
    async with store.opened() as volume:
        await half_dead_packs(store, volume)
    states = 0
    async for copy in killed_at_each(store, lambda volume: retain(volume, False, no_progress, with_packs=True)):
        async with copy.opened() as volume:
            check(volume)
            await retain(volume, False, no_progress, with_packs=True)
            check(volume)
            assert len(places_of(volume)) in (0, FILES // 6)
        states += 1
    assert states > 13
