"""Compare: every difference once, under its right name, and nothing else."""

from hyperfs.volume.compare import Difference, compare
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, make_folder, rename, rmdir, unlink, write_file


async def between(volume: Volume, old: int, path: bytes = b"") -> list[Difference]:
    new = (await volume.commit()).version
    return await compare(volume, old, new, path)


async def start(volume: Volume) -> int:
    make_folder(volume, b"d")
    make_folder(volume, b"d/sub")
    await write_file(volume, b"d/f", b"f" * 1000)
    await write_file(volume, b"d/sub/g", b"g" * 100_000)
    await write_file(volume, b"h", b"h")
    return (await volume.commit()).version


async def test_equal_versions_differ_in_nothing(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        assert await between(volume, version) == []


async def test_added_removed_and_changed(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        await write_file(volume, b"d/new", b"123")
        unlink(volume, b"h")
        await volume.files.write(inode_of(volume, b"d/sub/g"), 50_000, b"x")
        assert await between(volume, version) == [
            Difference("added", b"d/new", None, None, 3),
            Difference("changed", b"d/sub/g", None, 100_000, 100_000),
            Difference("removed", b"h", None, 1, None),
        ]


async def test_a_moved_folder_is_one_difference(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        rename(volume, b"d", b"e")
        assert await between(volume, version) == [Difference("moved", b"e", b"d", None, None)]


async def test_a_change_below_a_moved_folder_says_both_paths(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        rename(volume, b"d", b"e")
        await write_file(volume, b"e/f", b"short")
        assert await between(volume, version) == [
            Difference("moved", b"e", b"d", None, None),
            Difference("changed", b"e/f", b"d/f", 1000, 5),
        ]


async def test_a_file_saved_by_renaming_has_changed(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        await write_file(volume, b"d/f.tmp", b"better")
        rename(volume, b"d/f.tmp", b"d/f")
        assert await between(volume, version) == [Difference("changed", b"d/f", None, 1000, 6)]


async def test_a_file_replaced_by_its_equal_has_not_changed(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        old = inode_of(volume, b"d/sub/g")
        new = await write_file(volume, b"tmp", b"g" * 100_000)
        new.mtime_ns = old.mtime_ns
        rename(volume, b"tmp", b"d/sub/g")
        assert await between(volume, version) == []


async def test_attributes_alone(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        folder, file = inode_of(volume, b"d/sub"), inode_of(volume, b"d/f")
        folder.mode |= 0o2
        volume.overlay.touch(folder)
        volume.xattrs.set(file, b"user.x", b"1")
        inode_of(volume, b"h").atime_ns += 1
        volume.overlay.touch(inode_of(volume, b"h"))
        assert await between(volume, version) == [
            Difference("attributes", b"d/f", None, 1000, 1000),
            Difference("attributes", b"d/sub", None, None, None),
        ]


async def test_a_file_with_two_names_changes_under_both(store: Store) -> None:
    async with store.opened() as volume:
        await start(volume)
        volume.names.link(inode_of(volume, b"d/f"), inode_of(volume, b"d/sub").ino, b"twin")
        version = (await volume.commit()).version
        await volume.files.write(inode_of(volume, b"d/f"), 0, b"new")
        assert [(d.kind, d.path) for d in await between(volume, version)] == [
            ("changed", b"d/f"),
            ("changed", b"d/sub/twin"),
        ]


async def test_a_new_link_is_added_and_changes_nothing_else(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        volume.names.link(inode_of(volume, b"d/f"), 1, b"twin")
        assert await between(volume, version) == [Difference("added", b"twin", None, None, 1000)]


async def test_a_file_in_the_place_of_a_folder(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        unlink(volume, b"d/sub/g")
        rmdir(volume, b"d/sub")
        await write_file(volume, b"d/sub", b"now a file")
        assert await between(volume, version) == [
            Difference("added", b"d/sub", None, None, 10),
            Difference("removed", b"d/sub", None, None, None),
            Difference("removed", b"d/sub/g", None, 100_000, None),
        ]


async def test_two_files_that_exchange_names_have_both_changed(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        rename(volume, b"d/f", b"h", 2)
        assert await between(volume, version) == [
            Difference("changed", b"d/f", None, 1000, 1),
            Difference("changed", b"h", None, 1, 1000),
        ]


async def test_only_what_lies_below_a_path(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        await write_file(volume, b"d/sub/new", b"1")
        await write_file(volume, b"d/subnew", b"1")
        rename(volume, b"h", b"d/sub/h")
        assert [d.path for d in await between(volume, version, b"d/sub")] == [b"d/sub/h", b"d/sub/new"]


async def test_a_path_of_today_means_the_folder_that_had_another_name(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        await write_file(volume, b"d/sub/g", b"1")
        rename(volume, b"d", b"e")
        rename(volume, b"e/sub", b"s")
        found = await between(volume, version, b"s")
        assert [(d.kind, d.path, d.old_path) for d in found] == [
            ("moved", b"s", b"d/sub"),
            ("changed", b"s/g", b"d/sub/g"),
        ]


async def test_snapshots_and_settings_are_no_difference(store: Store) -> None:
    async with store.opened() as volume:
        version = await start(volume)
        await volume.make_snapshot(1, b"keep")
        assert await between(volume, version) == []
