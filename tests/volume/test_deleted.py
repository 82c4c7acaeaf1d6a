"""What was deleted from a directory: against a plain model of states, and the rules one by one."""

import os
import random

import pytest

from hyperfs.errors import Corrupt
from hyperfs.policy.when import display_name
from hyperfs.volume.catalog import version_changes
from hyperfs.volume.change_rows import DELETED, Went
from hyperfs.volume.deleted import Deleted, deleted_from, find_deleted, split_ending, with_mark
from hyperfs.volume.prune import prune
from hyperfs.volume.restore import restore
from hyperfs.volume.tree import Tree
from hyperfs.volume.undo import undo
from hyperfs.volume.versions import Versions
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, inode_of, make_folder, rename, rmdir, unlink, write_file
from .deleted_model import NAMES, File, Folder, Model, Thing


async def version(store: Store, volume: Volume, seconds: float = 60) -> int:
    store.clock.forward(seconds)
    made = (await volume.commit()).version
    await volume.changes.caught_up()
    return made


def listed(volume: Volume, path: bytes = b"") -> dict[bytes, Deleted]:
    ino = inode_of(volume, path).ino
    found = {deleted.entry: deleted for deleted in deleted_from(volume, ino)}
    for entry, deleted in found.items():
        assert find_deleted(volume, ino, entry) == deleted
    return found


def content(volume: Volume, deleted: Deleted) -> object:
    return whole(volume, deleted.version, deleted.went.ino)


def whole(volume: Volume, made: int, ino: int) -> object:
    """A file's bytes, or a folder's names with theirs."""
    tree = volume.versions.tree(made)
    inode = tree.inode(ino)
    assert inode is not None
    if inode.is_directory:
        return {name: whole(volume, made, child) for name, (child, _) in tree.dentries(ino)}
    if inode.inline is not None:
        return inode.inline
    return volume.content.read(tree.extents(ino, 0, inode.size), 0, inode.size)


# The rules one by one


async def test_a_file_and_a_folder(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        await write_file(volume, b"d/in", b"1")
        await write_file(volume, b"f", b"22")
        made = await version(store, volume)
        unlink(volume, b"f")
        unlink(volume, b"d/in")
        rmdir(volume, b"d")
        await version(store, volume)
        found = listed(volume)
        held = {entry: content(volume, deleted) for entry, deleted in found.items()}
        assert held == {b"f": b"22", b"d": {b"in": b"1"}}
        assert {deleted.version for deleted in found.values()} == {made}


async def test_a_folder_whose_deletion_took_several_versions_is_whole(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        for number in range(3):
            await write_file(volume, b"d/%d" % number, b"1")
        await version(store, volume)
        for number in range(3):
            unlink(volume, b"d/%d" % number)
            await version(store, volume, 1 if number else 60)
        rmdir(volume, b"d")
        await version(store, volume, 1)
        (found,) = listed(volume).values()
        assert content(volume, found) == {b"0": b"1", b"1": b"1", b"2": b"1"}


async def test_one_name_several_times(store: Store) -> None:
    async with store.opened() as volume:
        for data in (b"1", b"2", b"3"):
            await write_file(volume, b"a.tar.gz", data)
            await version(store, volume)
            unlink(volume, b"a.tar.gz")
            await version(store, volume)
        found = listed(volume)
        assert len(found) == 3
        assert content(volume, found[b"a.tar.gz"]) == b"3"
        (older, oldest) = sorted(set(found) - {b"a.tar.gz"})[::-1]
        assert older.startswith(b"a.tar.2026-")
        assert older.endswith(b"Z.gz")
        assert [content(volume, found[entry]) for entry in (oldest, older)] == [b"1", b"2"]


async def test_the_last_of_a_name_is_found_by_its_time_too_and_keeps_that_name(store: Store) -> None:
    async with store.opened() as volume:
        found: dict[bytes, Deleted] = {}
        for data in (b"1", b"2", b"3"):
            await write_file(volume, b"f.txt", data)
            await version(store, volume)
            unlink(volume, b"f.txt")
            await version(store, volume)
            for entry, deleted in found.items():
                again = find_deleted(volume, 1, entry)
                assert again is not None
                assert again.went == deleted.went
            last = listed(volume)[b"f.txt"]
            named = with_mark(last.went, display_name(last.went.time_ns // 10**9).encode())
            found[named] = last


async def test_two_within_a_second_and_names_that_look_like_ours(store: Store) -> None:
    async with store.opened() as volume:
        for data in (b"1", b"2", b"3"):
            await write_file(volume, b"f", data)
            await version(store, volume, 0.1)
            unlink(volume, b"f")
            await version(store, volume, 0.1)
        found = listed(volume)
        assert sorted(str(content(volume, deleted)) for deleted in found.values()) == ["b'1'", "b'2'", "b'3'"]
        taken = next(entry for entry in found if entry != b"f")
        await write_file(volume, taken, b"of that very name")
        await version(store, volume)
        unlink(volume, taken)
        await version(store, volume)
        found = listed(volume)
        assert len(found) == 4
        assert content(volume, found[taken]) == b"of that very name"


async def test_files_and_folders_of_one_name_within_a_second(store: Store) -> None:
    """Their marks stand in different places, so that two have the same time."""
    async with store.opened() as volume:
        for data in (b"1", b"2"):
            await write_file(volume, b"f.txt", data)
            await version(store, volume, 0.1)
            unlink(volume, b"f.txt")
            make_folder(volume, b"f.txt")
            await version(store, volume, 0.1)
            rmdir(volume, b"f.txt")
            await version(store, volume, 0.1)
        found = listed(volume)
        assert sorted(str(content(volume, deleted)) for deleted in found.values()) == ["b'1'", "b'2'", "{}", "{}"]


async def test_to_find_one_of_many_of_a_name_does_not_take_longer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_into: list[int] = []
    tree = Versions.tree

    def counted(versions: Versions, version: int) -> Tree:
        looked_into.append(version)
        return tree(versions, version)

    async with store.opened() as volume:
        for number in range(60):
            await write_file(volume, b"lock", b"%d" % number)
            await version(store, volume)
            unlink(volume, b"lock")
            await version(store, volume)
        entries = sorted(deleted_from(volume, 1), key=lambda found: found.went.version)
        monkeypatch.setattr(Versions, "tree", counted)
        for found in (entries[0], entries[30], entries[-1]):
            assert find_deleted(volume, 1, found.entry) == found
        assert len(looked_into) <= 12


async def test_what_a_restore_put_back_is_not_listed_and_what_is_only_called_the_same_is(store: Store) -> None:
    async with store.opened() as volume:
        for name in (b"restored", b"new"):
            await write_file(volume, name, b"1")
        made = await version(store, volume)
        for name in (b"restored", b"new"):
            unlink(volume, name)
        await version(store, volume)
        assert set(listed(volume)) == {b"restored", b"new"}
        await restore(volume, b"restored", made)
        await write_file(volume, b"new", b"another")
        assert set(listed(volume)) == {b"new"}


@pytest.mark.parametrize("times", [1, 3])
async def test_put_back_and_undone_is_one_thing(store: Store, times: int) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        for name in (b"f", b"d/f"):
            await write_file(volume, name, b"1")
        made = await version(store, volume)
        unlink(volume, b"f")
        unlink(volume, b"d/f")
        rmdir(volume, b"d")
        await version(store, volume)
        for _ in range(times):
            for name in (b"f", b"d"):
                await restore(volume, name, made)
            await version(store, volume)
            await undo(volume, b"")
            await version(store, volume)
        found = listed(volume)
        assert set(found) == {b"f", b"d"}
        assert content(volume, found[b"d"]) == {b"f": b"1"}
        await write_file(volume, b"f", b"another")
        await version(store, volume)
        unlink(volume, b"f")
        await version(store, volume)
        assert [content(volume, deleted) for _, deleted in sorted(listed(volume).items())][1:] == [b"another", b"1"]


async def test_thrown_away_twice_is_one_thing(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b".Trash-0")
        file = await write_file(volume, b"f", b"1")
        await version(store, volume)
        rename(volume, b"f", b".Trash-0/f")
        await version(store, volume)
        rename(volume, b".Trash-0/f", b"f")
        await volume.files.write(file, 0, b"2")
        last = await version(store, volume)
        assert listed(volume) == {}
        rename(volume, b"f", b".Trash-0/f")
        await version(store, volume)
        (found,) = listed(volume).values()
        assert (found.entry, found.version) == (b"f", last)


async def test_what_no_kept_version_has_is_not_offered(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"1")
        await version(store, volume)
        unlink(volume, b"f")
        await version(store, volume)
        for number in range(3):
            await write_file(volume, b"other", b"%d" % number)
            await version(store, volume)
        assert set(listed(volume)) == {b"f"}
        await prune(volume, 2, dry_run=False, progress=lambda what, done, of: None)
        assert len(list(volume.changes.went(1))) == 1
        assert listed(volume) == {}
        assert list(volume.changes.went(1)) == []


async def test_what_lies_in_a_damaged_version_hides_nothing_else(store: Store) -> None:
    async with store.opened() as volume:
        for name in (b"before", b"after"):
            await write_file(volume, name, b"1")
            made = await version(store, volume)
            unlink(volume, name)
            await version(store, volume)
        damage(volume, made)
        assert [deleted.entry for deleted in deleted_from(volume, 1)] == [b"before"]
        with pytest.raises(Corrupt):
            find_deleted(volume, 1, b"after")


def damage(volume: Volume, made: int) -> None:
    """The version's commit can't be read any more."""
    facts = volume.parts.catalog.version(made)
    assert facts is not None
    volume.parts.catalog.apply(version_changes(volume.versions.commit(made), facts.log, facts.index - 1))
    volume.versions.forget([made])


async def test_a_very_long_name_several_times(store: Store) -> None:
    async with store.opened() as volume:
        for name in (b"x" * 255, "✓".encode() * 85, b"y" * 251 + b".txt"):
            for data in (b"1", b"2"):
                await write_file(volume, name, data)
                await version(store, volume)
                unlink(volume, name)
                await version(store, volume)
        found = listed(volume)
        assert len(found) == 6
        assert all(len(entry) <= 255 for entry in found)


@pytest.mark.parametrize(
    ("name", "stem", "ending"),
    [
        (b"a.txt", b"a", b".txt"),
        (b"a.tar.gz", b"a.tar", b".gz"),
        (b"plain", b"plain", b""),
        (b".hidden", b".hidden", b""),
        (b".hidden.txt", b".hidden", b".txt"),
        (b"...", b"...", b""),
        (b"end.", b"end", b"."),
        (b"a." + b"x" * 200, b"a." + b"x" * 200, b""),
    ],
)
def test_the_ending_of_a_name(name: bytes, stem: bytes, ending: bytes) -> None:
    assert split_ending(name) == (stem, ending)


def test_a_folder_s_name_has_no_ending() -> None:
    went = Went(1, b"v1.2", 5, 7, 4, DELETED, 0, 0)
    assert with_mark(went, b"@5") == b"v1.2.@5"


# Random histories against a plain model

SEEDS = range(200) if os.environ.get("HYPERFS_ALL") else range(8)


async def step(volume: Volume, model: Model, chance: random.Random, kept: list[Thing]) -> None:
    path, folder = chance.choice(model.folders())
    name = chance.choice(NAMES)
    full, there = path + b"/" + name, folder.names.get(name)
    match chance.randrange(7):
        case 0 | 1 if there is None or isinstance(there, File):
            data = chance.randbytes(4)
            await write_file(volume, full, data)
            if there is None:
                folder.names[name] = File(data)
            else:
                there.data = data
        case 2 if there is None:
            make_folder(volume, full)
            folder.names[name] = Folder()
        case 3 | 4 if there is not None:
            remove(volume, full, there)
            del folder.names[name]
        case 5 | 6 if there is not None:
            to, target = chance.choice(model.folders())
            new = chance.choice(NAMES)
            other = target.names.get(new)
            if (to + b"/").startswith(full + b"/") or other is there or (
                other is not None and (isinstance(other, Folder) or isinstance(there, Folder))
            ):
                return
            rename(volume, full, to + b"/" + new)
            del folder.names[name]
            target.names[new] = there
    kept += folder.names.values()  # so that no id is given twice


def remove(volume: Volume, path: bytes, thing: Thing) -> None:
    if isinstance(thing, File):
        unlink(volume, path)
        return
    for name, child in thing.names.items():
        remove(volume, path + b"/" + name, child)
    rmdir(volume, path)


@pytest.mark.parametrize("seed", SEEDS)
async def test_all_that_was_deleted_is_offered_and_nothing_else(store: Store, seed: int) -> None:
    chance, model = random.Random(seed), Model()
    kept: list[Thing] = []
    async with store.opened() as volume:
        model.note()
        for _ in range(40):
            for _ in range(chance.randint(1, 6)):
                await step(volume, model, chance, kept)
            await version(store, volume)
            model.note()
        compared = 0
        for path, folder in model.folders():
            found = listed(volume, path)
            held = sorted((deleted.went.name, repr(content(volume, deleted))) for deleted in found.values())
            assert held == sorted((name, repr(was)) for name, was in model.deleted(folder))
            compared += len(held)
        tally.add("deleted things compared with a model", compared, seed=seed)
