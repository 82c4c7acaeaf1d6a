"""What each version changed: against all that two trees hold, and against a plain model of random histories."""

import os
import random

import pytest
import trio

from hyperfs.trie.walk import walk
from hyperfs.volume import changes, keys
from hyperfs.volume.change_rows import Name, VersionChanges
from hyperfs.volume.changes import (
    ATTRIBUTES,
    BELOW,
    CONTENT,
    DELETED,
    LEFT,
    MOVED,
    NAMED,
    REPLACED,
    TRASHED,
)
from hyperfs.volume.entries import decode_dentry
from hyperfs.volume.inode import Inode
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Clock, Store, inode_of, make_folder, rename, rmdir, unlink, write_file
from .random_steps import change

INODE_KEY = bytes([keys.INODE])


async def version(volume: Volume, clock: Clock, seconds: float = 60) -> int:
    clock.forward(seconds)
    made = (await volume.commit()).version
    await volume.changes.caught_up()
    return made


def names(found: tuple[Name, ...]) -> list[bytes]:
    return [name.name for name in found]


def lost(volume: Volume, path: bytes = b"") -> list[tuple[bytes, int, int]]:
    return sorted((w.name, w.version, w.how) for w in volume.changes.went(inode_of(volume, path).ino))


async def test_what_a_version_changed(store: Store) -> None:
    async with store.opened() as volume:
        kept = await write_file(volume, b"kept", b"1")
        owned = await write_file(volume, b"owned", b"1")
        await write_file(volume, b"goes", b"1")
        moved = await write_file(volume, b"old", b"1")
        first = await version(volume, store.clock)
        await volume.files.write(kept, 0, b"2")
        volume.xattrs.set(owned, b"user.a", b"b")
        unlink(volume, b"goes")
        rename(volume, b"old", b"new")
        made = await version(volume, store.clock)
        found = volume.changes.of(made)
        assert (found.version, found.before, found.many) == (made, first, False)
        assert sorted(names(found.went)) == [b"goes", b"old"]
        assert found.came == (Name(1, b"new", moved.ino, 8),)
        assert found.content == {kept.ino}
        assert found.attributes >= {owned.ino}


async def test_of_a_version_without_a_row_the_trees_tell(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        made = (await volume.commit()).version
        assert volume.changes.filled < made
        assert names(volume.changes.of(made).came) == [b"f"]


async def test_a_version_that_changed_many_things_has_no_list(store: Store) -> None:
    async with store.opened() as volume:
        for number in range(600):
            await write_file(volume, b"f%d" % number, b"1")
        await version(volume, store.clock)
        for number in range(600):
            rename(volume, b"f%d" % number, b"g%d" % number)
        made = await version(volume, store.clock)
        assert volume.changes.of(made) == VersionChanges(made, made - 1, True)
        assert len(list(volume.changes.went(1))) == 600


async def test_an_inode_has_a_row_for_each_version_that_changed_it_newest_first(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        inode = await write_file(volume, b"d/f", b"1")
        await version(volume, store.clock)
        await volume.files.write(inode, 0, b"2")
        content = await version(volume, store.clock)
        await write_file(volume, b"elsewhere", b"2")
        other = await version(volume, store.clock)
        inode.mode |= 0o111
        volume.overlay.touch(inode)
        mode = await version(volume, store.clock)
        rename(volume, b"d/f", b"g")
        named = await version(volume, store.clock)
        assert [(t.version, t.flags & ~ATTRIBUTES) for t in volume.changes.touched(inode.ino)] == [
            (named, NAMED),
            (mode, 0),
            (content, CONTENT),
        ]
        folder = list(volume.changes.touched(inode_of(volume, b"d").ino))
        assert folder == [(named, LEFT), (mode, BELOW), (content, BELOW)]
        assert [t.version for t in volume.changes.touched(1)] == [named, mode, other, content, 2]
        assert [t.version for t in volume.changes.touched(inode.ino, mode)] == [mode, content]


async def test_deleted_moved_and_trashed_are_told_apart(store: Store) -> None:
    async with store.opened() as volume:
        for name in (b".Trash-1000", b".Trash-1000/files", b"d", b"deleted-folder"):
            make_folder(volume, name)
        for name in (b"deleted", b"moved", b"trashed", b"deleted-folder/in", b"linked", b"was-in-trash"):
            await write_file(volume, name, b"1")
        rename(volume, b"was-in-trash", b".Trash-1000/files/x")
        volume.names.link(inode_of(volume, b"linked"), 1, b"other")
        await version(volume, store.clock)
        unlink(volume, b"deleted")
        unlink(volume, b"linked")
        rename(volume, b"moved", b"d/moved")
        rename(volume, b"trashed", b".Trash-1000/files/trashed")
        rename(volume, b".Trash-1000/files/x", b".Trash-1000/x")
        unlink(volume, b"deleted-folder/in")
        rmdir(volume, b"deleted-folder")
        made = await version(volume, store.clock)
        assert lost(volume) == [
            (b"deleted", made, DELETED),
            (b"deleted-folder", made, DELETED),
            (b"linked", made, DELETED),
            (b"moved", made, MOVED),
            (b"trashed", made, TRASHED),
        ]
        assert lost(volume, b".Trash-1000/files") == [(b"x", made, MOVED)]


async def test_only_the_names_of_trash_folders_are_trash(store: Store) -> None:
    async with store.opened() as volume:
        for name in (b".Trash", b".Trash/1", b".Trashes", b".Trashy", b".Trash-no"):
            make_folder(volume, name)
        for name in (b"a", b"b", b"c", b"d"):
            await write_file(volume, name, b"1")
        await version(volume, store.clock)
        for name, to in ((b"a", b".Trash/1/a"), (b"b", b".Trashes/b"), (b"c", b".Trashy/c"), (b"d", b".Trash-no/d")):
            rename(volume, name, to)
        made = await version(volume, store.clock)
        how = {b"a": TRASHED, b"b": TRASHED, b"c": MOVED, b"d": MOVED}
        assert lost(volume) == [(name, made, how[name]) for name in sorted(how)]


async def test_what_is_replaced_by_its_like_goes_on_and_is_not_gone(store: Store) -> None:
    async with store.opened() as volume:
        old = await write_file(volume, b"saved", b"1")
        await write_file(volume, b"file", b"1")
        make_folder(volume, b"folder")
        await version(volume, store.clock)
        await write_file(volume, b"tmp", b"2")
        rename(volume, b"tmp", b"saved")
        unlink(volume, b"file")
        make_folder(volume, b"file")
        rmdir(volume, b"folder")
        make_folder(volume, b"folder")
        made = await version(volume, store.clock)
        assert lost(volume) == [(b"file", made, DELETED), (b"folder", made, DELETED)]
        saved = inode_of(volume, b"saved")
        assert saved.predecessor == old.ino
        await write_file(volume, b"tmp", b"3")
        await version(volume, store.clock)
        rename(volume, b"tmp", b"saved")
        made = await version(volume, store.clock)
        found = list(volume.changes.touched(inode_of(volume, b"saved").ino))
        assert found == [(made, NAMED | REPLACED)]


async def test_a_folder_whose_deletion_took_several_versions_began_to_go_with_the_first(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        make_folder(volume, b"d/sub")
        for number in range(4):
            await write_file(volume, b"d/sub/%d" % number, b"1")
        await version(volume, store.clock)
        unlink(volume, b"d/sub/0")
        await version(volume, store.clock)
        store.clock.forward(60)  # what went a minute before is another matter
        first = None
        for number in range(1, 4):
            unlink(volume, b"d/sub/%d" % number)
            made = await version(volume, store.clock, 3)
            first = first or made
        rmdir(volume, b"d/sub")
        rmdir(volume, b"d")
        await version(volume, store.clock, 3)
        (found,) = volume.changes.went(1, b"d")
        assert first is not None
        assert found.began_ns == volume.versions.commit(first).time_ns


async def test_rows_are_made_anew_when_the_index_is_lost(store: Store) -> None:
    async with store.opened(memory_index=False) as volume:
        await write_file(volume, b"f", b"1")
        await version(volume, store.clock)
        unlink(volume, b"f")
        made = await version(volume, store.clock)
        before = lost(volume), volume.changes.of(made)
    async with store.opened(memory_index=False) as volume:
        assert volume.changes.filled >= made
        assert (lost(volume), volume.changes.of(made)) == before
    async with store.opened(memory_index=True) as volume:
        assert volume.changes.filled == 0
        await volume.changes.caught_up()
        assert (lost(volume), volume.changes.of(made)) == before


async def test_a_drive_that_is_read_only_tells_the_same_and_keeps_nothing(store: Store) -> None:
    async with store.opened(memory_index=False) as volume:
        await write_file(volume, b"f", b"1")
        await version(volume, store.clock)
        unlink(volume, b"f")
        await volume.commit()
    async with store.open(read_only=True, memory_index=False).running() as volume:
        await volume.changes.caught_up()
        assert [name for name, _, _ in lost(volume)] == [b"f"]
        assert volume.parts.catalog.waiting == 0


async def test_the_index_holds_no_names(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"a-name-to-look-for", b"1")
        await version(volume, store.clock)
        unlink(volume, b"a-name-to-look-for")
        await version(volume, store.clock)
        kept = [*volume.parts.catalog.rows(b"", b"")]
        assert any(key.startswith(b"w") for key, _ in kept)
        assert not any(b"a-name" in key or b"a-name" in value for key, value in kept)


async def test_a_row_that_was_changed_counts_as_absent(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        await version(volume, store.clock)
        unlink(volume, b"f")
        made = await version(volume, store.clock)
        catalog, whole = volume.parts.catalog, volume.changes.of(made)
        for prefix in (b"w", b"e"):
            for key, value in list(catalog.rows(prefix, prefix)):
                catalog.apply([(key, bytes([value[0] ^ 1]) + value[1:])])
        assert lost(volume) == []
        assert volume.changes.of(made) == whole


async def test_rows_are_made_in_the_background_when_nobody_asks(store: Store, autojump_clock: object) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        newest = (await volume.commit()).version
        with trio.fail_after(60):
            while volume.changes.filled < newest:
                await trio.sleep(1)


async def test_rows_that_were_interrupted_are_made_to_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "SLICE_SECONDS", 0)  # a turn for others at every step
    monkeypatch.setattr(changes, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(changes, "VERSIONS_AT_ONCE", 4)
    chance = random.Random(7)
    async with store.opened() as volume:
        while volume.versions.newest.version < 12:
            await change(volume, chance)
            store.clock.forward(60)
            await volume.commit()
        await volume.changes.caught_up()  # and nothing is made in the background
        catalog, whole = volume.parts.catalog, None
        for steps in (10_000, 1, 2, 5, 10, 20, 40, 80):
            for prefix in (b"e", b"f", b"h", b"w"):
                catalog.apply([(key, None) for key, _ in catalog.rows(prefix, prefix)])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(volume.changes.caught_up)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            await volume.changes.caught_up()
            rows = {key: value for prefix in (b"e", b"f", b"h", b"w") for key, value in catalog.rows(prefix, prefix)}
            assert whole in (None, rows)
            whole = rows


# Random histories, against all that two trees hold

SEEDS = range(200) if os.environ.get("HYPERFS_ALL") else range(8)
Kept = dict[int, dict[bytes, bytes]]
"""By inode: the entries of a tree, by kind and rest of the key."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_rows_say_all_that_two_trees_differ_in(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    async with store.opened() as volume:
        last = await version(volume, store.clock)
        while last < 25:
            await change(volume, chance)
            if chance.random() < 0.6:
                continue
            made = await version(volume, store.clock)
            if made != last:
                check(volume, made, held(volume, last), held(volume, made))
            last = made
        tally.add("versions whose changes were compared", 25, seed=seed)


def held(volume: Volume, made: int) -> Kept:
    found: Kept = {}
    tree = volume.versions.tree(made)
    for key, value, _ in walk(tree.load, tree.root):
        if key[:8] != bytes(8):
            found.setdefault(int.from_bytes(key[:8], "big"), {})[key[8:]] = value
    return found


def check(volume: Volume, made: int, before: Kept, after: Kept) -> None:
    found = volume.changes.of(made)
    assert set(found.went) == dentries(before) - dentries(after)
    assert set(found.came) == dentries(after) - dentries(before)
    content: set[int] = set()
    attributes: set[int] = set()
    for ino in before.keys() & after.keys():
        old, new = (Inode.decode(ino, kept[ino][INODE_KEY]) for kept in (before, after))
        stored = [{k: v for k, v in kept[ino].items() if k[0] == keys.EXTENT} for kept in (before, after)]
        bytes_differ = (old.size, old.inline or b"", stored[0]) != (new.size, new.inline or b"", stored[1])
        if not new.is_directory and bytes_differ:
            content.add(ino)
        if old.mode != new.mode or (old.mtime_ns != new.mtime_ns and not new.is_directory):
            attributes.add(ino)
    assert (set(found.content), set(found.attributes)) == (content, attributes)
    changed = content | attributes | {n.directory for n in (*found.went, *found.came)}
    rows = {ino for ino in before if made in {t.version for t in volume.changes.touched(ino)}}
    must = {ino for ino in with_all_above(changed & after.keys(), after) if ino in before}
    named = {n.ino for n in (*found.went, *found.came)} & before.keys() & after.keys()
    may = with_all_above(changed, before) | with_all_above(changed, after) | named
    assert must | named <= rows <= may


def dentries(kept: Kept) -> set[Name]:
    return {
        Name(ino, key[1:], *decode_dentry(value))
        for ino, entries in kept.items()
        for key, value in entries.items()
        if key[0] == keys.DENTRY
    }


def with_all_above(inos: set[int], kept: Kept) -> set[int]:
    found = set()
    for ino in inos & kept.keys():
        while ino and ino not in found:
            found.add(ino)
            ino = Inode.decode(ino, kept[ino][INODE_KEY]).parent
    return found
