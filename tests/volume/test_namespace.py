"""Names: POSIX's rules about what may be made, linked, replaced and removed, one by one."""

import stat

import pytest

from hyperfs.errors import (
    Exists,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NotADirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    TooManyLinks,
)
from hyperfs.volume.namespace import EXCHANGE, LINK_MAX, NOREPLACE
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, make_folder, rename, rmdir, unlink, write_file


async def tree(volume: Volume) -> None:
    make_folder(volume, b"d")
    make_folder(volume, b"d/full")
    make_folder(volume, b"e")
    for path in (b"f", b"g", b"d/full/x"):
        await write_file(volume, path, path)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b"])
async def test_names_that_can_not_be(store: Store, name: bytes) -> None:
    async with store.opened() as volume:
        await tree(volume)
        with pytest.raises(InvalidArgument):
            volume.names.make(1, name, stat.S_IFREG, 0, 0)
        with pytest.raises(InvalidArgument):
            volume.names.rename(1, b"f", 1, name)


async def test_a_name_has_255_bytes_of_any_content(store: Store) -> None:
    async with store.opened() as volume:
        for name in (b"n" * 255, b"\xff\xfe", b"new\nline", b"\xc3\xa9", b".versionsx"):
            await write_file(volume, name, b"1")
        await volume.commit()
        assert len(list(volume.overlay.live.dentries(1))) == 5
        with pytest.raises(NameTooLong):
            volume.names.make(1, b"n" * 256, stat.S_IFREG, 0, 0)
        with pytest.raises(NameTooLong):
            volume.names.lookup(1, b"n" * 256)


@pytest.mark.parametrize(
    ("old", "new", "flags", "error"),
    [
        (b"nothing", b"x", 0, NotFound),
        (b"f", b"d", 0, IsADirectory),
        (b"d", b"f", 0, NotADirectory),
        (b"e", b"d", 0, NotEmpty),
        (b"f", b"g", NOREPLACE, Exists),
        (b"f", b"nothing", EXCHANGE, NotFound),
        (b"f", b"g", NOREPLACE | EXCHANGE, InvalidArgument),
        (b"f", b"g/x", 0, NotADirectory),
    ],
)
async def test_renames_that_are_refused_change_nothing(
    store: Store, old: bytes, new: bytes, flags: int, error: type[Exception]
) -> None:
    async with store.opened() as volume:
        await tree(volume)
        before = [(n, d) for ino in (1, 2, 3) for n, d in volume.overlay.live.dentries(ino)]
        with pytest.raises(error):
            rename(volume, old, new, flags)
        assert [(n, d) for ino in (1, 2, 3) for n, d in volume.overlay.live.dentries(ino)] == before


async def test_a_folder_replaces_an_empty_one(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        rename(volume, b"d", b"e")
        assert inode_of(volume, b"e/full/x").size == len(b"d/full/x")
        assert inode_of(volume, b"").nlink == 3
        assert volume.overlay.directories == 3


async def test_a_folder_moved_elsewhere_changes_both_link_counts(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        rename(volume, b"d/full", b"e/full")
        counts = [inode_of(volume, path).nlink for path in (b"", b"d", b"e", b"e/full")]
        assert counts == [4, 2, 3, 2]
        assert inode_of(volume, b"e/full").parent == inode_of(volume, b"e").ino


async def test_an_exchange_of_a_file_and_a_folder(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        rename(volume, b"d/full", b"f", EXCHANGE)
        assert inode_of(volume, b"f").is_directory
        assert inode_of(volume, b"d/full").is_file
        assert [inode_of(volume, path).nlink for path in (b"", b"d")] == [5, 2]


async def test_two_names_of_one_file_renamed_onto_another_stay(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        volume.names.link(inode_of(volume, b"f"), 1, b"twin")
        rename(volume, b"f", b"twin")
        assert inode_of(volume, b"f") is inode_of(volume, b"twin")
        assert inode_of(volume, b"f").nlink == 2


async def test_links_that_are_refused(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        file, folder = inode_of(volume, b"f"), inode_of(volume, b"d")
        with pytest.raises(NotPermitted):
            volume.names.link(folder, 1, b"twin")
        with pytest.raises(Exists):
            volume.names.link(file, 1, b"g")
        file.nlink = LINK_MAX
        with pytest.raises(TooManyLinks):
            volume.names.link(file, 1, b"twin")
        file.nlink = 1
        unlink(volume, b"f")
        with pytest.raises(NotFound):
            volume.names.link(file, 1, b"twin")


async def test_removals_that_are_refused(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        with pytest.raises(NotEmpty):
            rmdir(volume, b"d")
        with pytest.raises(NotADirectory):
            rmdir(volume, b"f")
        with pytest.raises(IsADirectory):
            unlink(volume, b"d")
        with pytest.raises(NotFound):
            unlink(volume, b"nothing")


async def test_nothing_is_made_in_a_folder_that_was_removed(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        folder = inode_of(volume, b"e")
        volume.opened(folder, False)
        rmdir(volume, b"e")
        with pytest.raises(NotFound):
            volume.names.make(folder.ino, b"x", stat.S_IFREG, 0, 0)
        with pytest.raises(NotFound):
            volume.names.rename(1, b"f", folder.ino, b"x")


async def test_a_setgid_folder_passes_on_its_group(store: Store) -> None:
    async with store.opened() as volume:
        folder = make_folder(volume, b"d", 0o2755)
        folder.gid = 77
        assert (await write_file(volume, b"d/f", b"")).gid == 77
        below = make_folder(volume, b"d/sub")
        assert below.gid == 77
        assert below.mode & stat.S_ISGID


async def test_a_symlink_keeps_any_target(store: Store) -> None:
    async with store.opened() as volume:
        volume.names.symlink(1, b"long", b"t" * 4095, 0, 0)
        volume.names.symlink(1, b"odd", b"\xff/../\n", 0, 0)
        await volume.commit()
        assert inode_of(volume, b"long").inline == b"t" * 4095
        assert inode_of(volume, b"odd").inline == b"\xff/../\n"
        with pytest.raises(NameTooLong):
            volume.names.symlink(1, b"longer", b"t" * 4096, 0, 0)
        with pytest.raises(NotFound):
            volume.names.symlink(1, b"empty", b"", 0, 0)


async def test_dot_and_slashes_in_a_path_mean_nothing(store: Store) -> None:
    async with store.opened() as volume:
        await tree(volume)
        assert volume.names.find(b"//d//full/x", 1) is inode_of(volume, b"d/full/x")
        with pytest.raises(NotADirectory):
            volume.names.find(b"f/x", 1)
        with pytest.raises(NotFound):
            volume.names.find(b"d/nothing/x", 1)
