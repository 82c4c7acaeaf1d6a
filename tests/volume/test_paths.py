from hyperfs.volume.paths import near_path

from .conftest import Store, inode_of, make_folder, unlink, write_file


async def test_a_near_path_is_found_in_changes_and_in_versions(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"a")
        make_folder(volume, b"a/b")
        inode = await write_file(volume, b"a/b/f", b"1")
        live = volume.overlay.live
        assert near_path(live, inode, 10) == b"a/b/f"
        await volume.commit()
        assert near_path(live, inode, 10) == b"a/b/f"
        volume.names.rename(inode_of(volume, b"a").ino, b"b", 1, b"c")
        assert near_path(live, inode, 10) == b"c/f"


async def test_a_file_without_a_name_has_no_near_path(store: Store) -> None:
    async with store.opened() as volume:
        inode = await write_file(volume, b"f", b"1")
        volume.opened(inode, False)
        unlink(volume, b"f")
        assert near_path(volume.overlay.live, inode, 10) is None
        volume.released(inode, False)


async def test_it_is_not_looked_for_among_many_names(store: Store) -> None:
    async with store.opened() as volume:
        for number in range(5):
            await write_file(volume, b"f%d" % number, b"1")
        inode = inode_of(volume, b"f4")
        assert near_path(volume.overlay.live, inode, 4) is None
        assert near_path(volume.overlay.live, inode, 5) == b"f4"
