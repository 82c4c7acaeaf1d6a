"""Restore and undo where something is protected, and what keeps the check cheap."""

import pytest

from hyperfs.errors import NotPermitted, Refused
from hyperfs.policy.attributes import CLASS, PROTECT
from hyperfs.volume.inode import Inode
from hyperfs.volume.restore import restore
from hyperfs.volume.undo import undo
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, make_folder, read_file, rename, unlink, write_file


def put(volume: Volume, path: bytes, name: bytes, value: bytes | None) -> None:
    volume.xattrs.set(inode_of(volume, path), name, value)


async def two_states(store: Store, volume: Volume) -> int:
    """d/f in two states, and d/new only in the second; the version of the first."""
    make_folder(volume, b"d")
    await write_file(volume, b"d/f", b"one")
    version = (await volume.commit()).version
    store.clock.forward(60)
    await write_file(volume, b"d/f", b"two")
    return version


@pytest.mark.parametrize(("name", "value"), [(PROTECT, b"lock"), (CLASS, b"archive")])
async def test_a_restore_replaces_nothing_locked_or_archived(store: Store, name: bytes, value: bytes) -> None:
    async with store.opened() as volume:
        version = await two_states(store, volume)
        put(volume, b"d", name, value)
        for path in (b"d/f", b"d", b""):
            with pytest.raises(Refused):
                await restore(volume, path, version)
        assert read_file(volume, b"d/f") == b"two"
        await restore(volume, b"d/f", version, b"elsewhere")
        assert read_file(volume, b"elsewhere") == b"one"


async def test_a_restore_in_a_nodelete_folder_is_an_edit_where_nothing_goes_for_it(store: Store) -> None:
    async with store.opened() as volume:
        version = await two_states(store, volume)
        put(volume, b"d", PROTECT, b"nodelete")
        await restore(volume, b"d/f", version)
        assert read_file(volume, b"d/f") == b"one"
        await write_file(volume, b"d/new", b"new")
        with pytest.raises(Refused, match="new"):
            await restore(volume, b"d", version)
        assert read_file(volume, b"d/new") == b"new"


async def test_an_undo_takes_nothing_protected_away(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        put(volume, b"d", PROTECT, b"nodelete")
        await volume.commit()
        store.clock.forward(60)
        await write_file(volume, b"d/f", b"one")
        await volume.commit()
        with pytest.raises(Refused):
            await undo(volume, b"d")
        assert read_file(volume, b"d/f") == b"one"


async def test_an_undo_writes_nothing_into_an_archive(store: Store) -> None:
    async with store.opened() as volume:
        await two_states(store, volume)
        await volume.commit()
        put(volume, b"d/f", CLASS, b"archive")
        await volume.commit()
        with pytest.raises(Refused):
            await undo(volume, b"d/f")
        assert read_file(volume, b"d/f") == b"two"


async def test_a_name_that_an_undo_brings_back_opens_no_archive(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        make_folder(volume, b"other")
        file = await write_file(volume, b"d/f", b"one")
        put(volume, b"d", CLASS, b"archive")
        volume.names.link(file, inode_of(volume, b"other").ino, b"f")
        await volume.commit()
        store.clock.forward(60)
        unlink(volume, b"other/f")
        await volume.commit()
        await undo(volume, b"other")
        with pytest.raises(Refused):
            volume.protection.writing(inode_of(volume, b"other/f"))


async def test_without_anything_protected_nothing_is_asked(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        put(volume, b"d", CLASS, b"cold")
        assert not volume.protection.on
        put(volume, b"d", PROTECT, b"lock")
        assert volume.protection.on
        put(volume, b"d", PROTECT, b"trash")
        assert not volume.protection.on


async def test_a_name_in_the_version_that_is_being_made_counts_as_saved(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        put(volume, b"d", PROTECT, b"nodelete")
        await volume.commit()
        inode = await write_file(volume, b"d/f", b"one")
        volume.protection.going(inode.parent, b"f")
        volume.overlay.live.freeze()
        for deed in (
            lambda: volume.protection.going(inode.parent, b"f"),
            lambda: volume.protection.renaming(inode.parent, b"f", 1, b"f", 0),
        ):
            with pytest.raises(Refused):
                deed()
        volume.overlay.live.active, volume.overlay.live.frozen = volume.overlay.live.frozen, None  # type: ignore[assignment]


async def test_only_an_owner_sets_takes_away_and_overrules(store: Store) -> None:
    async with store.opened() as volume:
        folder, file = make_folder(volume, b"d"), await write_file(volume, b"d/f", b"one")
        folder.uid, file.uid = 1001, 1002

        def may(inode: Inode, name: bytes, value: bytes | None, uid: int) -> bool:
            try:
                volume.protection.setting(inode, name, value, uid)
            except NotPermitted:
                return False
            return True

        assert may(folder, PROTECT, b"lock", 1001)
        assert not may(folder, PROTECT, b"lock", 1002)
        assert may(folder, PROTECT, b"nodelete", 1002)
        put(volume, b"d", PROTECT, b"lock")
        assert not may(folder, PROTECT, None, 1002)
        assert not may(file, PROTECT, b"none", 1002)
        assert not may(file, PROTECT, b"none", 1001)
        assert may(file, PROTECT, b"none", 0)
        assert may(file, CLASS, b"cold", 1002)
        assert not may(file, CLASS, b"archive", 1001)


async def test_protection_is_there_after_a_kill(store: Store) -> None:
    volume = store.open()
    await volume.recover()
    make_folder(volume, b"d")
    await write_file(volume, b"d/f", b"one")
    put(volume, b"d", PROTECT, b"lock")
    await volume.fsync(None)
    volume.parts.close()
    async with store.opened() as volume:
        with pytest.raises(Refused):
            volume.protection.going(inode_of(volume, b"d").ino, b"f")
        rename(volume, b"d", b"e")
        assert volume.protection.on
        unlink(volume, b"e/f")
        volume.names.rmdir(1, b"e")
        assert not volume.protection.on
