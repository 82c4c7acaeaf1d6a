"""History: a file's and a folder's distinct versions, across renames, saving by rename, and deletion."""

import pytest

from hyperfs.errors import NotFound
from hyperfs.volume.history import commits, versions_of
from hyperfs.volume.volume import Volume

from .conftest import Clock, Store, inode_of, make_folder, rename, rmdir, unlink, write_file


async def version(volume: Volume, clock: Clock) -> int:
    clock.forward(60)
    made = (await volume.commit()).version
    await volume.changes.caught_up()
    return made


def told(volume: Volume, path: bytes) -> list[tuple[int, int, str]]:
    return [(v.version, v.size, v.change) for v in versions_of(volume, path)]


async def test_a_file_from_its_creation_to_its_deletion(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        first = await version(volume, store.clock)
        await write_file(volume, b"other", b"x")
        await version(volume, store.clock)
        await write_file(volume, b"f", b"22")
        second = await version(volume, store.clock)
        volume.xattrs.set(inode_of(volume, b"f"), b"user.a", b"b")
        third = await version(volume, store.clock)
        unlink(volume, b"f")
        fourth = await version(volume, store.clock)
        assert told(volume, b"f") == [
            (fourth, 0, "deleted"),
            (third, 2, "attributes"),
            (second, 2, "content"),
            (first, 1, "created"),
        ]


async def test_facts_of_a_version(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        store.clock.forward(100)
        made = await volume.make_snapshot(1, b"name")
        found = next(versions_of(volume, b"f"))
        commit = volume.versions.commit(made.version)
        assert found == (commit.version, commit.time_ns, commit.display_second, 1, 1, b"name", "created", 0)


async def test_a_rename_is_followed_and_told(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        await write_file(volume, b"old", b"1")
        first = await version(volume, store.clock)
        rename(volume, b"old", b"middle")
        second = await version(volume, store.clock)
        rename(volume, b"middle", b"d/new")
        await volume.files.write(inode_of(volume, b"d/new"), 0, b"12")
        third = await version(volume, store.clock)
        assert told(volume, b"d/new") == [
            (third, 2, "content, renamed from middle"),
            (second, 1, "renamed from old"),
            (first, 1, "created"),
        ]


async def test_a_renamed_folder_changes_nothing_in_the_history_of_its_files(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        await write_file(volume, b"d/f", b"1")
        first = await version(volume, store.clock)
        rename(volume, b"d", b"e")
        await version(volume, store.clock)
        assert told(volume, b"e/f") == [(first, 1, "created")]


async def test_saving_by_rename_goes_on_in_the_same_history(store: Store) -> None:
    async with store.opened() as volume:
        wanted = []
        for number in range(4):
            await write_file(volume, b"f.tmp", b"x" * (number + 1))
            rename(volume, b"f.tmp", b"f")
            wanted.append((await version(volume, store.clock), number + 1, "content" if number else "created"))
        assert told(volume, b"f") == wanted[::-1]


async def test_saving_by_rename_twice_within_one_version(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        first = await version(volume, store.clock)
        for data in (b"22", b"333"):
            await write_file(volume, b"f.tmp", data)
            rename(volume, b"f.tmp", b"f")
        rename(volume, b"f", b"g")
        second = await version(volume, store.clock)
        assert told(volume, b"g") == [(second, 3, "content, renamed from f"), (first, 1, "created")]


async def test_a_temporary_file_that_was_in_a_version_goes_on_in_the_history_of_what_it_replaced(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        first = await version(volume, store.clock)
        await write_file(volume, b"f.tmp", b"22")
        await version(volume, store.clock)
        rename(volume, b"f.tmp", b"f")
        third = await version(volume, store.clock)
        assert told(volume, b"f") == [(third, 2, "content"), (first, 1, "created")]


async def test_a_name_that_was_deleted_and_made_again(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        first = await version(volume, store.clock)
        unlink(volume, b"f")
        second = await version(volume, store.clock)
        await write_file(volume, b"f", b"333")
        third = await version(volume, store.clock)
        assert told(volume, b"f") == [(third, 3, "created"), (second, 0, "deleted"), (first, 1, "created")]


async def test_a_file_in_a_folder_that_is_no_more(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        await write_file(volume, b"d/f", b"1")
        first = await version(volume, store.clock)
        unlink(volume, b"d/f")
        rmdir(volume, b"d")
        second = await version(volume, store.clock)
        assert told(volume, b"d/f") == [(second, 0, "deleted"), (first, 1, "created")]


async def test_another_name_of_a_file(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        first = await version(volume, store.clock)
        volume.names.link(inode_of(volume, b"f"), 1, b"twin")
        second = await version(volume, store.clock)
        assert told(volume, b"twin") == [(second, 1, "linked from f"), (first, 1, "created")]


async def test_each_name_of_a_file_shows_the_snapshots_that_can_be_named_there(store: Store) -> None:
    async with store.opened() as volume:
        folders = {name: make_folder(volume, name) for name in (b"a", b"b")}
        file = await write_file(volume, b"a/f", b"1")
        volume.names.link(file, folders[b"b"].ino, b"f")
        for name, folder in folders.items():
            store.clock.forward(60)
            await write_file(volume, b"a/f", b"of " + name)
            await volume.make_snapshot(folder.ino, b"snapshot of " + name)
        await volume.changes.caught_up()
        assert [v.name for v in versions_of(volume, b"a/f")][:2] == [None, b"snapshot of a"]
        assert [v.name for v in versions_of(volume, b"b/f")][:2] == [b"snapshot of b", None]


async def test_a_file_that_is_linked_to_its_place_and_loses_its_first_name_knows_where_it_is(store: Store) -> None:
    async with store.opened() as volume:
        for name in (b"tmp", b"new"):
            make_folder(volume, name)
        file = await write_file(volume, b"tmp/mail", b"1")
        volume.names.link(file, inode_of(volume, b"new").ino, b"mail")
        unlink(volume, b"tmp/mail")
        await version(volume, store.clock)
        assert file.parent == inode_of(volume, b"new").ino
        assert [v.change for v in versions_of(volume, b"new/mail")] == ["created"]


async def test_a_path_that_never_was(store: Store) -> None:
    async with store.opened() as volume:
        with pytest.raises(NotFound):
            versions_of(volume, b"nothing")
        with pytest.raises(NotFound):
            list(commits(volume, b"nothing"))


async def test_a_folder_has_a_version_whenever_something_below_it_changes(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        make_folder(volume, b"d/sub")
        await write_file(volume, b"d/sub/f", b"1")
        first = await version(volume, store.clock)
        await write_file(volume, b"elsewhere", b"12345")
        await version(volume, store.clock)
        await write_file(volume, b"d/sub/f", b"22")
        await write_file(volume, b"d/g", b"333")
        third = await version(volume, store.clock)
        rename(volume, b"elsewhere", b"d/elsewhere")
        fourth = await version(volume, store.clock)
        rename(volume, b"d", b"e")
        fifth = await version(volume, store.clock)
        assert told(volume, b"e") == [
            (fifth, 10, "1 moved"),
            (fourth, 10, "1 moved"),
            (third, 5, "1 added, 1 changed"),
            (first, 1, "created"),
        ]


async def test_a_folder_that_was_deleted(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        first = await version(volume, store.clock)
        rmdir(volume, b"d")
        second = await version(volume, store.clock)
        assert told(volume, b"d") == [(second, 0, "deleted"), (first, 0, "created")]


async def test_commits_count_what_changed(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        await write_file(volume, b"d/f", b"1")
        first = await version(volume, store.clock)
        await write_file(volume, b"d/f", b"2")
        await write_file(volume, b"g", b"3")
        second = await version(volume, store.clock)
        found = list(commits(volume))
        assert [(c.version, c.added, c.removed, c.moved, c.changed) for c in found] == [
            (second, 1, 0, 0, 1),
            (first, 2, 0, 0, 0),
            (1, 0, 0, 0, 0),
        ]
        assert [(c.version, c.added, c.changed) for c in commits(volume, b"g")] == [(second, 1, 0)]
        assert [(c.version, c.added, c.changed) for c in commits(volume, b"d")] == [(second, 0, 1), (first, 2, 0)]


async def test_the_root_has_a_history(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        first = await version(volume, store.clock)
        assert told(volume, b"") == [(first, 1, "1 added"), (1, 0, "created")]
