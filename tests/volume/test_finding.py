"""What was deleted, found across folders, in folders that are no more, and by pattern."""

from hyperfs.policy.attributes import KEEP
from hyperfs.volume.deleted import find_deleted as deleted_entry
from hyperfs.volume.finding import Found, find_deleted
from hyperfs.volume.retaining import no_progress, retain
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, make_folder, rename, rmdir, unlink, write_file


async def version(store: Store, volume: Volume, seconds: float = 60) -> int:
    store.clock.forward(seconds)
    made = (await volume.commit()).version
    await volume.changes.caught_up()
    return made


def found(volume: Volume, base: bytes = b"", pattern: bytes | None = None) -> list[Found]:
    return sorted(thing for thing in find_deleted(volume, base, pattern) if thing is not None)


def paths(volume: Volume, base: bytes = b"", pattern: bytes | None = None) -> list[bytes]:
    return [thing.path for thing in found(volume, base, pattern)]


async def test_all_below_a_folder_with_where_to_get_it(store: Store) -> None:
    async with store.opened() as volume:
        for name in (b"d", b"d/e"):
            make_folder(volume, name)
        for name in (b"top", b"d/f", b"d/e/g"):
            await write_file(volume, name, b"bytes")
        made = await version(store, volume)
        for name in (b"top", b"d/f", b"d/e/g"):
            unlink(volume, name)
        await version(store, volume)
        assert paths(volume) == [b"d/e/g", b"d/f", b"top"]
        assert paths(volume, b"d") == [b"d/e/g", b"d/f"]
        assert paths(volume, b"d/f") == [b"d/f"]
        thing = found(volume, b"d/e")[0]
        assert (thing.kind, thing.size, thing.version) == (8, 5, made)
        assert thing.entry == b"d/e/.versions/.deleted/g"


async def test_a_deleted_folder_is_one_thing_and_can_be_looked_into(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        make_folder(volume, b"d/sub")
        for name in (b"d/a.txt", b"d/sub/b.txt", b"d/sub/c"):
            await write_file(volume, name, b"1")
        await version(store, volume)
        for name in (b"d/sub/b.txt", b"d/sub/c", b"d/a.txt"):
            unlink(volume, name)
        await version(store, volume, 1)
        rmdir(volume, b"d/sub")
        rmdir(volume, b"d")
        await version(store, volume, 1)
        assert paths(volume) == [b"d"]
        assert paths(volume, b"", b"*.txt") == [b"d/a.txt", b"d/sub/b.txt"]
        assert paths(volume, b"d/sub") == [b"d/sub"]
        assert paths(volume, b"d", b"c") == [b"d/sub/c"]
        assert paths(volume, b"d", b"sub/*") == [b"d/sub/b.txt", b"d/sub/c"]
        assert found(volume, b"", b"b.txt")[0].entry == b".versions/.deleted/d/sub/b.txt"
        assert paths(volume, b"elsewhere") == []


async def test_what_was_deleted_from_a_folder_long_before_that_went_too(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        for name in (b"d/early", b"d/late"):
            await write_file(volume, name, b"1")
        await version(store, volume)
        unlink(volume, b"d/early")
        await version(store, volume)
        await write_file(volume, b"d/between", b"1")
        await version(store, volume)
        for name in (b"d/late", b"d/between"):
            unlink(volume, name)
        rmdir(volume, b"d")
        await version(store, volume)
        assert [(thing.path, thing.entry) for thing in found(volume)] == [
            (b"d", b".versions/.deleted/d"),
            (b"d/early", None),
        ]


async def test_a_folder_that_was_renamed_since_has_its_name_of_now(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"old")
        await write_file(volume, b"old/f", b"1")
        await version(store, volume)
        unlink(volume, b"old/f")
        await version(store, volume)
        rename(volume, b"old", b"new")
        await version(store, volume)
        assert paths(volume) == [b"new/f"]
        assert inode_of(volume, b"new")


async def test_in_the_trash(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b".Trash-0")
        await write_file(volume, b"f", b"1")
        await version(store, volume)
        rename(volume, b"f", b".Trash-0/f")
        await version(store, volume)
        assert [(thing.path, thing.how) for thing in found(volume)] == [(b"f", 2)]


async def test_after_the_index_was_lost_pinned_files_are_found_under_all_their_names(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        file = await write_file(volume, b"d/one", b"1" * 200)
        volume.names.link(file, inode_of(volume, b"d").ino, b"two")
        await write_file(volume, b"d/three", b"3")
        await version(store, volume)
        for name in (b"one", b"two", b"three"):
            unlink(volume, b"d/" + name)
        for number in range(3):
            await version(store, volume)
            await write_file(volume, b"other", b"%d" % number)
        volume.xattrs.set(inode_of(volume, b""), KEEP, b"1 version")
        await version(store, volume)
        await retain(volume, False, no_progress)
        await volume.changes.caught_up()
        before = [(thing.path, thing.entry) for thing in found(volume)]
        assert [path for path, _ in before] == [b"d/one", b"d/three", b"d/two"]
    async with store.opened() as volume:  # whose index is in memory, and made anew
        await volume.changes.caught_up()
        assert [(thing.path, thing.entry) for thing in found(volume)] == before
        for name in (b"one", b"two", b"three"):
            deleted = deleted_entry(volume, inode_of(volume, b"d").ino, name)
            assert deleted is not None
            assert deleted.entry == name
