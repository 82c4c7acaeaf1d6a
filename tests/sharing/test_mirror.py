"""A folder and the drive that mirrors it: equal after every turn, whatever programs did between, and after kills."""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperfs.chunks.extents import Extent
from hyperfs.errors import FileError, Unreachable
from hyperfs.policy.attributes import KEEP, PLACES
from hyperfs.sharing import mirror_turn
from hyperfs.sharing.mirror import Mirror
from hyperfs.sharing.mirror_bytes import differing
from hyperfs.sharing.mirrored import Mirrored, Reached, Twin, decode_reached, decode_twin
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.prune import prune
from hyperfs.volume.volume import Volume
from tests import tally
from tests.volume.conftest import (
    Store,
    damage,
    empty_store,
    inode_of,
    make_folder,
    read_file,
    rename,
    rmdir,
    unlink,
    write_file,
)
from tests.volume.random_steps import NAMES, below, change, inodes

from .conftest import no_progress
from .mirroring import CLOUD, SECRET, Pair, holes, opened, seen

__all__ = ["empty_store"]

ALL = os.environ.get("HYPERFS_ALL") == "1"
LONG = Random(3).randbytes(700_000)
POLICIES = [b"local-only", b"cloud", b"cloud,nas", b"nas", None]


async def step(volume: Volume, chance: Random) -> None:
    """What a program does anywhere on the drive."""
    folders, files = inodes(volume)
    names = volume.names
    with suppress(FileError):
        match chance.randrange(16):
            case 0 if files:
                inode = volume.overlay.inode(chance.choice(files))
                if inode.is_file:
                    await volume.files.write(inode, chance.randrange(400_000), chance.randbytes(200_000))
            case 1 if files:
                inode = volume.overlay.inode(chance.choice(files))
                if inode.is_file:
                    await volume.files.resize(inode, chance.choice([0, 100, 300_000]))
            case 2:
                inode = volume.overlay.inode(chance.choice(folders + files))
                value = chance.choice([None, b"", b"short", chance.randbytes(3000)])
                volume.xattrs.set(inode, chance.choice([b"user.one", b"user.two"]), value)
            case 3:
                names.symlink(chance.choice(folders), chance.choice(NAMES), chance.choice([b"..", b"/etc"]), 1, 2)
            case 4:
                names.make(chance.choice(folders), chance.choice(NAMES), 0o010600, 3, 4)
            case 5 if files:
                names.link(volume.overlay.inode(chance.choice(files)), chance.choice(folders), chance.choice(NAMES))
            case 6:
                inode = volume.overlay.inode(chance.choice(folders + files))
                volume.xattrs.set(inode, PLACES, chance.choice(POLICIES))
            case 7:
                one, other = chance.choice(folders), chance.choice(folders)
                name, to = chance.choice(NAMES), chance.choice(NAMES)
                if not {one, other} & (below(volume, one, name) | below(volume, other, to)):
                    names.rename(one, name, other, to, 2)
            case _:
                await change(volume, chance)


async def remove_tree(volume: Volume, directory: int, name: bytes) -> None:
    dentry = volume.overlay.live.dentry(directory, name)
    assert dentry is not None
    if dentry[1] != 4:
        volume.unlinked(volume.names.unlink(directory, name))
        return
    for child, _ in list(volume.overlay.live.dentries(dentry[0])):
        await remove_tree(volume, dentry[0], child)
    volume.unlinked(volume.names.rmdir(directory, name))


async def run_random(empty: Path, path: Path, seed: int, turns: int) -> None:
    chance = Random(seed)
    async with opened(empty, path) as (store, _, source, into):
        shared = make_folder(source, chance.choice([b"a", b"a"]))
        pair = Pair(source, into, shared.ino)
        for _ in range(turns):
            for _ in range(chance.choice([1, 3, 12])):
                await step(source, chance)
                if chance.random() < 0.3:
                    store.clock.forward(1)
                    await source.commit()
            if chance.random() < 0.15:
                pair = Pair(source, into, shared.ino, chance.choice([CLOUD, frozenset({"cloud", "nas"})]))
            if chance.random() < 0.1:
                await source.commit()
                await prune(source, 1, False, no_progress)
            if chance.random() < 0.1:
                await interrupted(pair, chance.randrange(60))
            done = await pair.turn()
            if done.is_there:
                pair.check()
            assert not pair.into.committer.pending
        assert damage(into) == []
        facts = into.overlay.live.facts(keys.mirror_key(b""))
        live = {decode_twin(value).ino for key, value in facts.items() if len(key) > keys.PREFIX_BYTES}
        if done.is_there:
            assert live == {ino for _, ino in _all(into)}, "what stood for something that is gone is forgotten"
    tally.add("mirrored turns compared", turns, seed=seed)


async def interrupted(pair: Pair, checkpoints: int) -> None:
    """A turn that is cancelled in the middle."""

    async def cancel() -> None:
        for _ in range(checkpoints):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel)
        await pair.mirror.turn(pair.places)
        nursery.cancel_scope.cancel()


def _all(volume: Volume) -> set[tuple[bytes, int]]:
    folders, files = inodes(volume)
    return {(b"", ino) for ino in folders + files}


@settings(max_examples=400 if ALL else 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_whatever_programs_do_the_mirror_is_equal(empty_store: Path, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(mirror_turn, "SLICE", 1)
        trio.run(run_random, empty_store, Path(folder), seed, 12)


async def test_costs_what_changed_and_what_is_renamed_costs_nothing(empty_store: Path, tmp_path: Path) -> None:
    async with opened(empty_store, tmp_path) as (_, _, source, into):
        make_folder(source, b"f")
        make_folder(source, b"f/sub")
        await write_file(source, b"f/sub/long", LONG)
        pair = Pair(source, into, inode_of(source, b"f").ino)
        assert (await pair.turn()).bytes == len(LONG)
        rename(source, b"f/sub", b"f/other")
        rename(source, b"f", b"g")
        before = into.content.log.length
        assert (await pair.turn())[1:3] == (0, False)
        await source.files.write(inode_of(source, b"g/other/long"), 300_000, b"!")
        assert 0 < (await pair.turn()).bytes <= 512 << 10, "the chunks around the change"
        pair.check()
        assert into.content.log.length - before <= 1, "and of these what has changed is stored"
        await write_file(source, b"beside", b"x")
        version = into.versions.newest.version
        await pair.turn()
        assert into.versions.newest.version == version, "what does not touch the folder makes no version"
        unlink(source, b"g/other/long")
        rmdir(source, b"g/other")
        await pair.turn()
        assert list(into.overlay.live.dentries(ROOT_INO)) == []


async def test_a_hole_that_is_made_comes_as_a_hole(empty_store: Path, tmp_path: Path) -> None:
    async with opened(empty_store, tmp_path) as (_, _, source, into):
        make_folder(source, b"f")
        inode = await write_file(source, b"f/long", LONG)
        pair = Pair(source, into, inode_of(source, b"f").ino)
        await pair.turn()
        await source.files.resize(inode, 100_000)
        await source.files.resize(inode, 600_000)
        await source.files.write(inode, 500_000, b"z" * 1000)
        await pair.turn()
        pair.check()
        assert holes(into, inode_of(into, b"long").ino) == [(0, 100_000), (500_000, 501_000)]


async def test_what_may_not_be_at_all_places_is_left_out(empty_store: Path, tmp_path: Path) -> None:
    async with opened(empty_store, tmp_path) as (_, _, source, into):
        make_folder(source, b"up")
        folder = make_folder(source, b"up/f")
        for name in (b"up/f/here", b"up/f/there"):
            make_folder(source, name)
            await write_file(source, name + b"/secret", b"one")
        await write_file(source, b"up/f/own", b"two")
        source.xattrs.set(inode_of(source, b"up/f/own"), PLACES, b"local-only")
        source.xattrs.set(inode_of(source, b"up/f/here"), PLACES, b"nas")
        source.xattrs.set(inode_of(source, b"up/f/there"), KEEP, b"30d")
        pair = Pair(source, into, folder.ino)
        await pair.turn()
        assert sorted(seen(into, ROOT_INO)) == [b"", b"/there", b"/there/secret"]
        assert into.overlay.live.xattrs(inode_of(into, b"there").ino) == {}
        source.xattrs.set(inode_of(source, b"up/f/own"), PLACES, None)
        await pair.turn()
        assert read_file(into, b"own") == b"two"
        rename(source, b"up/f/there", b"up/f/here/there")
        await pair.turn()
        assert sorted(seen(into, ROOT_INO)) == [b"", b"/own"]
        hidden = make_folder(source, b"hidden")
        source.xattrs.set(hidden, PLACES, b"local-only")
        await pair.turn()
        rename(source, b"up", b"hidden/up")
        assert not (await pair.turn()).may_go
        assert sorted(seen(into, ROOT_INO)) == [b""]
        rename(source, b"hidden/up", b"up")
        await pair.turn()
        pair.check()
        rename(source, b"up/f", b"gone")
        rename(source, b"gone", b"up/g")
        for name, _ in list(source.overlay.live.dentries(folder.ino)):
            await remove_tree(source, folder.ino, name)
        rmdir(source, b"up/g")
        assert not (await pair.turn()).is_there


async def test_goes_on_after_a_kill(empty_store: Path, tmp_path: Path) -> None:
    """The version that was mirrored stands in the mirror's own version; one that is not kept any more is no need."""
    async with opened(empty_store, tmp_path) as (_, _, source, into):
        folder = make_folder(source, b"f")
        make_folder(source, b"f/sub")
        await write_file(source, b"f/sub/long", LONG)
        pair = Pair(source, into, folder.ino)
        await pair.turn()
    async with opened(empty_store, tmp_path) as (store, _, source, into):
        store.clock.forward(10)
        pair = Pair(source, into, folder.ino)
        rename(source, b"f/sub", b"f/moved")
        done = await pair.turn()
        assert (done.whole, done.bytes) == (False, 0)
        store.clock.forward(10)
        rename(source, b"f/moved", b"f/again")
        await source.commit()
        await prune(source, 1, False, no_progress)
        done = await pair.turn()
        assert (done.whole, done.bytes) == (True, 0)
        pair.check()
        assert Mirrored(into.overlay, bytes(32)).reached is None, "of another secret nothing is known"


async def test_a_kill_between_parts_leaves_what_hangs_together(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_turn, "CHANGES_LIMIT_BYTES", 1)
    async with opened(empty_store, tmp_path) as (_, _, source, into):
        folder = make_folder(source, b"f")
        for name in (b"f/a", b"f/b", b"f/b/c"):
            make_folder(source, name)
            await write_file(source, name + b"/file", name)
        pair = Pair(source, into, folder.ino)
        await pair.turn()
        assert into.versions.newest.version > 3
        version = into.versions.newest.version - 1
        assert Mirrored(into.overlay, SECRET).reached is not None
        tree = into.versions.tree(version)
        assert tree.fact(keys.mirror_key(b"")) is None, "a part is not taken for the whole"
        assert damage(into) == []


async def test_from_every_moment_of_a_turn_in_which_it_is_killed_it_finds_back(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_turn, "SLICE", 1)
    monkeypatch.setattr(mirror_turn, "CHANGES_LIMIT_BYTES", 1)
    every, images = 1 if ALL else 40, []
    async with opened(empty_store, tmp_path) as (_, into_store, source, into):
        folder = make_folder(source, b"f")
        for name in (b"f/a", b"f/b", b"f/b/c", b"f/gone", b"f/gone/kept"):
            make_folder(source, name)
            await write_file(source, name + b"/file", name * 100)
        pair = Pair(source, into, folder.ino)
        await pair.turn()
        rename(source, b"f/gone/kept", b"f/a/kept")
        rename(source, b"f/b", b"f/a/b")
        await remove_tree(source, folder.ino, b"gone")
        make_folder(source, b"f/b")
        await write_file(source, b"f/b/new", b"new" * 100)
        rename(source, b"f/a/b/c/file", b"f/b/file")

        async def copy() -> None:
            while True:
                for _ in range(every):
                    await trio.lowlevel.checkpoint()
                images.append(shutil.copytree(into_store.path, tmp_path / f"image{len(images)}"))

        for whole in (False, True):
            if whole:  # of a store in which nothing is known of what stands there
                pair.mirror = Mirror(source, into, folder.ino, bytes(32))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(copy)
                await pair.turn()
                nursery.cancel_scope.cancel()
            pair.check()
            assert damage(into) == []
        for image in images:
            async with Store(image, into_store.clock).opened() as again:
                other = Pair(source, again, folder.ino)
                await other.turn()
                other.check()
                assert damage(again) == []
    tally.add("kills in the middle of mirroring", len(images))


async def test_bytes_that_are_nowhere_to_be_had_keep_nothing_else_back(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(empty_store, tmp_path) as (_, _, source, into):
        folder = make_folder(source, b"f")
        await write_file(source, b"f/long", LONG)
        await write_file(source, b"f/short", b"here")
        pair = Pair(source, into, folder.ino)
        await source.commit()

        async def nowhere(*args: object) -> bytes:
            raise Unreachable("the disk is in a drawer")

        with monkeypatch.context() as patch:
            patch.setattr(source.content, "read_soon", nowhere)
            with pytest.raises(Unreachable, match="1 files can't be read at the moment: the disk is in a drawer"):
                await pair.turn()
        assert read_file(into, b"short") == b"here"
        assert pair.mirror.reached == 0
        await pair.turn()
        pair.check()


def extent(offset: int, length: int, chunk: bytes) -> Extent:
    return Extent(offset, length, chunk * 16, 0, length, 1, 2, 3)


def test_differing_ranges() -> None:
    one, two, three = extent(0, 10, b"a"), extent(10, 10, b"b"), extent(30, 10, b"c")
    assert differing([one, two], [one, two], 20) == (20, [])
    assert differing([], [one, two, three], 40) == (40, [(0, 20), (30, 40)])
    assert differing([one, two, three], [one, three], 40) == (10, [(30, 40)])
    assert differing([one, two], [one], 10) == (10, [])
    assert differing([one, two], [one], 20) == (10, [])
    assert differing([one], [one, extent(10, 10, b"d")], 20) == (20, [(10, 20)])


def test_golden_bytes() -> None:
    values = json.loads((Path(__file__).parents[1] / "vectors/inode.json").read_text())["values"]
    twin, reached = values["mirror"], values["mirrored"]
    found = decode_twin(bytes.fromhex(twin["hex"]))
    assert found == Twin(twin["ino"], bytes.fromhex(twin["content"]))
    assert found.encode().hex() == twin["hex"]
    last = decode_reached(bytes.fromhex(reached["hex"]))
    assert last == Reached(reached["version"], reached["folder"], frozenset(reached["places"].split(",")))
    assert last.encode().hex() == reached["hex"]
