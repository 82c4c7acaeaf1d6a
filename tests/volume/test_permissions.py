"""Modes and ACLs of a real volume: kept together, handed down, and there again after a kill and in a version."""

import stat

from hyperfs.volume import acl
from hyperfs.volume.acl import GROUP_OWNER, MASK, OTHER, OWNER, USER, Entry
from hyperfs.volume.inode import Inode
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, kill, make_folder, unlink, write_file

NOBODY = 0xFFFFFFFF
SHARED = acl.encode(
    (
        Entry(OWNER, 7, NOBODY),
        Entry(USER, 6, 1001),
        Entry(GROUP_OWNER, 5, NOBODY),
        Entry(MASK, 7, NOBODY),
        Entry(OTHER, 0, NOBODY),
    )
)
NO_MORE_THAN_A_MODE = acl.encode((Entry(OWNER, 6, NOBODY), Entry(GROUP_OWNER, 4, NOBODY), Entry(OTHER, 4, NOBODY)))


def make(volume: Volume, parent: Inode, name: bytes, mode: int, umask: int) -> Inode:
    """As the mount does it."""
    born = volume.permissions.of_new(parent.ino, mode, umask)
    inode = volume.names.make(parent.ino, name, born.mode, 0, 0)
    volume.permissions.give(inode, born)
    return inode


def permissions(inode: Inode) -> int:
    return stat.S_IMODE(inode.mode)


async def test_a_new_acl_changes_the_mode_and_a_new_mode_the_acl(store: Store) -> None:
    async with store.opened() as volume:
        file = await write_file(volume, b"f", b"1")
        volume.permissions.set_access(file, SHARED, keep_setgid=True)
        assert permissions(file) == 0o770
        volume.permissions.chmod(file, 0o640)
        value = volume.xattrs.get(file, acl.ACCESS)
        assert value is not None
        assert [e.permissions for e in acl.decode(value)] == [6, 6, 5, 4, 0]
        volume.permissions.set_access(file, NO_MORE_THAN_A_MODE, keep_setgid=True)
        assert (permissions(file), volume.xattrs.names(file)) == (0o644, [])


async def test_the_setgid_bit_goes_when_who_sets_the_acl_is_not_of_the_group(store: Store) -> None:
    async with store.opened() as volume:
        file = await write_file(volume, b"f", b"1", mode=0o2755)
        volume.permissions.set_access(file, SHARED, keep_setgid=True)
        assert permissions(file) == 0o2770
        volume.permissions.set_access(file, SHARED, keep_setgid=False)
        assert permissions(file) == 0o770


async def test_without_a_default_acl_the_umask_counts_and_with_one_it_does_not(store: Store) -> None:
    async with store.opened() as volume:
        folder = make_folder(volume, b"d")
        assert permissions(make(volume, folder, b"a", stat.S_IFREG | 0o666, 0o027)) == 0o640
        volume.permissions.set_default(folder, SHARED)
        file = make(volume, folder, b"b", stat.S_IFREG | 0o666, 0o027)
        assert (permissions(file), volume.xattrs.names(file)) == (0o660, [acl.ACCESS])
        below = make(volume, folder, b"c", stat.S_IFDIR | 0o777, 0o077)
        assert (permissions(below), volume.xattrs.names(below)) == (0o770, [acl.ACCESS, acl.DEFAULT])
        assert volume.xattrs.get(below, acl.DEFAULT) == SHARED
        volume.permissions.set_default(folder, NO_MORE_THAN_A_MODE)
        assert volume.xattrs.names(make(volume, folder, b"d", stat.S_IFREG | 0o600, 0o077)) == []


async def test_acls_are_there_after_a_kill_and_in_versions(store: Store) -> None:
    volume = store.open()
    folder = make_folder(volume, b"d")
    volume.permissions.set_default(folder, SHARED)
    make(volume, folder, b"f", stat.S_IFREG | 0o666, 0)
    await volume.fsync(None)
    kill(volume)
    async with store.opened() as volume:
        file = inode_of(volume, b"d/f")
        assert permissions(file) == 0o660
        before = volume.xattrs.get(file, acl.ACCESS)
        version = (await volume.commit()).version
        volume.permissions.chmod(file, 0o600)
        volume.overlay.touch(file)
        await volume.commit()
        assert volume.versions.tree(version).xattr(file.ino, acl.ACCESS) == before
        assert volume.xattrs.get(file, acl.ACCESS) != before


async def test_an_unlinked_files_attributes_are_its_own_until_it_is_forgotten(store: Store) -> None:
    async with store.opened() as volume:
        file = await write_file(volume, b"f", b"1")
        volume.xattrs.set(file, b"user.old", b"1")
        await volume.commit()
        volume.xattrs.set(file, b"user.new", b"2")
        volume.opened(file, True)
        unlink(volume, b"f")
        volume.xattrs.set(file, b"user.newest", b"3")
        volume.xattrs.set(file, b"user.old", None)
        assert volume.xattrs.names(file) == [b"user.new", b"user.newest"]
        assert volume.xattrs.get(file, b"user.old") is None
        await volume.commit()
        assert volume.xattrs.get(file, b"user.new") == b"2"
        volume.released(file, True)
        volume.forgotten(file.ino)
        assert file.ino not in volume.overlay.orphans


async def test_a_file_that_is_unlinked_during_a_commit_keeps_its_attributes(store: Store) -> None:
    volume = store.open()
    file = await write_file(volume, b"f", b"1")
    volume.xattrs.set(file, b"user.frozen", b"1")
    volume.overlay.live.freeze()
    volume.xattrs.set(file, b"user.active", b"2")
    unlink(volume, b"f")
    volume.overlay.live.settle(volume.overlay.live.root)
    assert volume.xattrs.names(file) == [b"user.active", b"user.frozen"]
    assert volume.xattrs.get(file, b"user.frozen") == b"1"
    kill(volume)
