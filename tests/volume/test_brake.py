"""The brake on a real volume: what puts it on, what does not, and what it holds up."""

import base64
import math
import os
import random
import zlib
from collections.abc import Callable

import pytest

from hyperfs.errors import Refused
from hyperfs.policy.attributes import CLASS, KEEP
from hyperfs.volume import brake as brake_module
from hyperfs.volume import prune, retaining
from hyperfs.volume.brake import Brake
from hyperfs.volume.moving import Mover
from hyperfs.volume.options import no_progress
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, make_folder, read_file, rename, rmdir, unlink, write_file
from .other_places import InMemory

FILES = 620
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0"


def text(number: int) -> bytes:
    return f"Letter {number}\n".encode() + b"Dear Sir or Madam, nothing is new here.\n" * 12


def noise(number: int, size: int = 500) -> bytes:
    return random.Random(number).randbytes(size)


def picture(number: int) -> bytes:
    return JPEG + noise(number, 900)


async def fill(
    volume: Volume, folder: bytes, content: Callable[[int], bytes] = text, files: int = FILES, ending: bytes = b".txt"
) -> list[bytes]:
    """A folder with so many files, in a version."""
    make_folder(volume, folder)
    paths = [folder + b"/%d" % number + ending for number in range(files)]
    for number, path in enumerate(paths):
        await write_file(volume, path, content(number))
    await volume.commit()
    return paths


async def looked(volume: Volume) -> Brake:
    await volume.commit()
    await volume.brake.look()
    return volume.brake


@pytest.fixture(autouse=True)
def asked_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks when it is asked to, and not half-way."""
    monkeypatch.setattr(brake_module, "SETTLE_SECONDS", math.inf)


# What puts it on


async def overwrite(volume: Volume, path: bytes, number: int) -> None:
    await write_file(volume, path, noise(number))


async def overwrite_with_base64(volume: Volume, path: bytes, number: int) -> None:
    await write_file(volume, path, base64.encodebytes(noise(number)))


async def write_base64_beside_and_delete(volume: Volume, path: bytes, number: int) -> None:
    await write_file(volume, path + b".locked", base64.b64encode(noise(number)))
    unlink(volume, path)


async def overwrite_and_rename(volume: Volume, path: bytes, number: int) -> None:
    await write_file(volume, path, noise(number))
    rename(volume, path, path + b".locked")


async def write_beside_and_delete(volume: Volume, path: bytes, number: int) -> None:
    await write_file(volume, path + b".locked", noise(number))
    unlink(volume, path)


async def write_under_a_random_name_and_delete(volume: Volume, path: bytes, number: int) -> None:
    folder = path.rpartition(b"/")[0]
    await write_file(volume, folder + b"/%x" % random.Random(number).getrandbits(64), noise(number))
    unlink(volume, path)


async def rename_over(volume: Volume, path: bytes, number: int) -> None:
    await write_file(volume, b"new", noise(number))
    rename(volume, b"new", path)


async def delete(volume: Volume, path: bytes, number: int) -> None:
    unlink(volume, path)


async def empty(volume: Volume, path: bytes, number: int) -> None:
    await write_file(volume, path, b"")


ATTACKS = [
    overwrite,
    overwrite_with_base64,
    overwrite_and_rename,
    write_beside_and_delete,
    write_under_a_random_name_and_delete,
    rename_over,
    delete,
    empty,
    *([write_base64_beside_and_delete] if os.environ.get("HYPERFS_ALL") else []),
]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_it_comes_on_and_says_what_was_lost(store: Store, attack: Callable) -> None:  # type: ignore[type-arg]
    async with store.opened() as volume:
        paths = await fill(volume, b"Documents")
        await fill(volume, b"Other")
        good = (await volume.commit()).version
        for number, path in enumerate(paths):
            await attack(volume, path, number)
            if number % 200 == 100:
                store.clock.forward(60)
                await volume.commit()
        brake = await looked(volume)
        assert brake.is_on
        record = brake.record
        assert record is not None
        deletes = attack in (delete, empty)
        assert (record.path, record.lost, record.of, record.before) == (b"Documents", FILES, FILES, good)
        assert record.deleted == (FILES if deletes else 0)
        assert f"restore Documents --at @{good}" in brake.words()
        tree = volume.versions.tree(record.before)
        assert [name for name, _ in tree.dentries(record.folder)] == sorted(path[10:] for path in paths)


@pytest.mark.parametrize("content", [picture, noise])
async def test_pictures_and_what_nobody_can_read_count_when_they_are_overwritten(
    store: Store, content: Callable[[int], bytes]
) -> None:
    async with store.opened() as volume:
        for number, path in enumerate(await fill(volume, b"Photos", content, ending=b".jpg")):
            await write_file(volume, path, noise(number + 10_000))
        assert (await looked(volume)).is_on


async def test_the_middle_of_a_file_counts(store: Store) -> None:
    """Some leave the beginning as it is."""
    async with store.opened() as volume:
        paths = await fill(volume, b"d", lambda number: text(number) * 200, files=501)
        for number, path in enumerate(paths):
            await write_file(volume, path, text(number) + noise(number, 100_000))
        assert (await looked(volume)).is_on


async def test_tiny_files_count(store: Store) -> None:
    async with store.opened() as volume:
        for number, path in enumerate(await fill(volume, b"d", lambda number: b"note %d" % number)):
            await write_file(volume, path, noise(number, 24))
        assert (await looked(volume)).is_on


# What does not


async def test_500_files_are_not_enough(store: Store) -> None:
    async with store.opened() as volume:
        paths = await fill(volume, b"d")
        for number, path in enumerate(paths[:500]):
            await write_file(volume, path, noise(number))
        assert not (await looked(volume)).is_on
        await write_file(volume, paths[500], noise(500))
        assert (await looked(volume)).is_on


async def test_less_than_a_fifth_of_every_folder_is_not_enough(store: Store) -> None:
    async with store.opened() as volume:
        paths = await fill(volume, b"d", files=2600)
        for number, path in enumerate(paths[:515]):
            await write_file(volume, path, noise(number))
        assert not (await looked(volume)).is_on
        for number, path in enumerate(paths[515:525]):
            await write_file(volume, path, noise(number))
        assert (await looked(volume)).is_on


async def test_what_takes_longer_than_ten_minutes_is_not_seen(store: Store) -> None:
    async with store.opened() as volume:
        for number, path in enumerate(await fill(volume, b"d")):
            await write_file(volume, path, noise(number))
            if number % 100 == 99:
                await looked(volume)
                store.clock.forward(130)
        assert not (await looked(volume)).is_on


async def change_text(volume: Volume, paths: list[bytes]) -> None:
    for number, path in enumerate(paths):
        await write_file(volume, path, text(number)[:-60] + b"and more")


async def rename_all(volume: Volume, paths: list[bytes]) -> None:
    make_folder(volume, b"moved")
    for number, path in enumerate(paths):
        rename(volume, path, b"moved/%d" % number)


async def compress_all(volume: Volume, paths: list[bytes]) -> None:
    for number, path in enumerate(paths):
        await write_file(volume, path + b".gz", b"\x1f\x8b\x08\0" + noise(number))
        unlink(volume, path)


async def save_all_by_rename(volume: Volume, paths: list[bytes]) -> None:
    for number, path in enumerate(paths):
        await write_file(volume, path + b".tmp", text(number) + b"saved")
        rename(volume, path + b".tmp", path)


async def delete_and_write_again(volume: Volume, paths: list[bytes]) -> None:
    for path in paths:
        unlink(volume, path)
    await volume.commit()
    for number, path in enumerate(paths):
        await write_file(volume, path, text(number))


async def delete_with_the_folder_in_a_larger_one(volume: Volume, paths: list[bytes]) -> None:
    for path in paths:
        unlink(volume, path)
    rmdir(volume, paths[0].rpartition(b"/")[0])


@pytest.mark.parametrize(
    "work",
    [
        change_text,
        rename_all,
        compress_all,
        save_all_by_rename,
        delete_and_write_again,
        delete_with_the_folder_in_a_larger_one,
    ],
)
async def test_work_does_not(store: Store, work: Callable) -> None:  # type: ignore[type-arg]
    async with store.opened() as volume:
        make_folder(volume, b"top")
        await fill(volume, b"top/others", files=2600)
        await work(volume, await fill(volume, b"top/d"))
        assert not (await looked(volume)).is_on


async def test_a_folder_that_is_made_anew_does_not(store: Store) -> None:
    """By programs that replace a whole folder."""
    async with store.opened() as volume:
        make_folder(volume, b"top")
        paths = await fill(volume, b"top/d")
        for path in paths:
            unlink(volume, path)
        rmdir(volume, b"top/d")
        rmdir(volume, b"top")
        await volume.commit()
        make_folder(volume, b"top")
        await fill(volume, b"top/d")
        assert not (await looked(volume)).is_on
        for path in paths:
            unlink(volume, path)
        assert (await looked(volume)).is_on


async def test_new_files_do_not_whatever_is_in_them(store: Store) -> None:
    """A photo import; and what came and went within the time."""
    async with store.opened() as volume:
        await fill(volume, b"DCIM", picture)
        for path in await fill(volume, b"raw", noise):
            rename(volume, path, b"DCIM/raw-" + path[4:])
        assert not (await looked(volume)).is_on


@pytest.mark.parametrize("name", [b"node_modules", b".cache", b"__pycache__", b".Trash-1000"])
async def test_what_can_be_made_again_does_not_count(store: Store, name: bytes) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"project")
        make_folder(volume, b"project/" + name)
        for path in await fill(volume, b"project/" + name + b"/files"):
            unlink(volume, path)
        assert not (await looked(volume)).is_on


@pytest.mark.parametrize("marker", [b"Makefile", b"package.json"])
async def test_where_a_build_works_deleting_does_not_count_and_overwriting_does(store: Store, marker: bytes) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"project")
        await write_file(volume, b"project/" + marker, b"all:")
        objects = await fill(volume, b"project/out", lambda number: b"\x7fELF" + bytes(300), ending=b".o")
        sources = await fill(volume, b"project/src")
        for path in objects:
            unlink(volume, path)
        assert not (await looked(volume)).is_on
        for number, path in enumerate(sources):
            await write_file(volume, path, noise(number))
        assert (await looked(volume)).is_on


async def test_what_nobody_could_read_may_be_deleted(store: Store) -> None:
    """Git's loose objects; the packs of a backup, of which a prune writes new ones."""
    async with store.opened() as volume:
        paths = await fill(volume, b"objects", lambda number: zlib.compress(noise(number)), ending=b"")
        for number, path in enumerate(paths):
            unlink(volume, path)
            await write_file(volume, b"objects/new-%d" % number, noise(number + 10_000))
        assert not (await looked(volume)).is_on


# What it does


async def attacked(volume: Volume, rule: bytes | None = None) -> list[bytes]:
    paths = await fill(volume, b"Documents")
    if rule is not None:
        volume.xattrs.set(inode_of(volume, b"Documents"), KEEP, rule)
    for number, path in enumerate(paths):
        await write_file(volume, path, noise(number))
    await volume.commit()
    return paths


async def test_attack_d04_mass_overwriting_under_a_poisoned_rule_takes_nothing_until_a_person_says_so(
    store: Store,
) -> None:
    """Whoever overwrites all has first said that nothing old is to be kept."""
    async with store.opened() as volume:
        paths = await attacked(volume, rule=b"1 version")
        before = [found.version for found in volume.versions.all()]
        with pytest.raises(Refused, match="brake release"):  # who lets go has it look first
            await prune.prune(volume, 1, False, no_progress)
        with pytest.raises(Refused):
            await retaining.thin(volume)
        assert (await prune.prune(volume, 1, True, no_progress)).versions
        assert {found.version for found in volume.versions.all()} >= set(before)
        record = volume.brake.record
        assert record is not None
        assert f"restore Documents --at @{record.before}" in volume.brake.words()
        tree = volume.versions.tree(record.before)
        assert len([name for name, _ in tree.dentries(record.folder)]) == len(paths)
        assert await volume.brake.release()
        assert not await volume.brake.release()
        assert (await prune.prune(volume, 1, False, no_progress)).versions


async def test_nothing_leaves_this_device_until_it_is_released(store: Store) -> None:
    async with store.opened() as volume:
        places = InMemory(volume.parts.logs, "nas", "office")
        volume.returning.elsewhere = places
        mover = Mover(volume)
        volume.xattrs.set(make_folder(volume, b"cold"), CLASS, b"cold")
        await write_file(volume, b"cold/f", noise(1, 300_000))
        await attacked(volume)
        await mover.turn()
        places.deliver()
        await mover.turn()
        assert volume.brake.is_on
        assert volume.parts.residence.is_whole
        await volume.brake.release()
        await mover.turn()
        assert not volume.parts.residence.is_whole


async def test_it_stays_on_over_restarts_and_a_release_does_too(store: Store) -> None:
    async with store.opened() as volume:
        await attacked(volume)
        words = (await looked(volume)).words()
    async with store.opened() as volume:
        assert volume.brake.is_on
        assert volume.brake.words() == words
        await volume.brake.release()
    async with store.opened() as volume:
        assert not (await looked(volume)).is_on  # what was before the release counts no more


async def test_what_was_lost_before_a_restart_is_seen_after_it(store: Store) -> None:
    async with store.opened() as volume:
        await attacked(volume)
        assert not volume.brake.is_on
    store.clock.forward(3 * 24 * 3600)
    async with store.opened() as volume:
        assert (await looked(volume)).is_on


async def test_it_is_durable_when_it_is_on(store: Store) -> None:
    volume = store.open()
    await attacked(volume)
    await volume.brake.look()
    volume.parts.close()  # as a kill would
    async with store.opened() as volume:
        assert volume.brake.is_on


async def test_a_second_attack_after_a_release_is_seen(store: Store) -> None:
    async with store.opened() as volume:
        paths = await attacked(volume)
        await looked(volume)
        await volume.brake.release()
        for path in paths:
            unlink(volume, path)
        assert not (await looked(volume)).is_on  # nobody could read them any more
        for number, path in enumerate(await fill(volume, b"Letters")):
            await write_file(volume, path, noise(number))
        assert (await looked(volume)).is_on


async def test_what_it_names_has_the_bytes(store: Store) -> None:
    async with store.opened() as volume:
        paths = await attacked(volume)
        record = (await looked(volume)).record
        assert record is not None
        tree = volume.versions.tree(record.before)
        for number, path in enumerate(paths[:20]):
            inode = tree.inode((tree.dentry(record.folder, path[10:]) or (0, 0))[0])
            assert inode is not None
            extents = tree.extents(inode.ino, 0, inode.size)
            assert volume.parts.chunkstore.read(extents, 0, inode.size) == text(number)
        assert read_file(volume, paths[0]) == noise(0)
