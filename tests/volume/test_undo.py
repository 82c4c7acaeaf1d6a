"""Undo and redo on a real volume: what a step changed goes and comes, and nothing else does."""

import contextlib
import os
from collections.abc import Awaitable, Callable

import pytest

from hyperfs.errors import NotFound
from hyperfs.volume.check import verify
from hyperfs.volume.restore import restore
from hyperfs.volume.undo import Undone, list_steps, redo, undo, undo_version
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, inode_of, kill, make_folder, read_file, rename, rmdir, unlink, write_file
from .faults import Faults, Killed
from .model import Seen, View, view_of_tree

BIG = bytes(range(256)) * 2000


def seen(volume: Volume, below: bytes = b"") -> dict[bytes, object]:
    """What must be as it was: all but times of access and of change, which nobody can set, and inode numbers."""
    view: View = view_of_tree(volume, volume.overlay.live)
    inside = {path: s for path, s in view.items() if not below or path == below or path.startswith(below + b"/")}
    return {path: _stable(s) for path, s in inside.items()}


def _stable(s: Seen) -> object:
    mode, uid, gid, nlink, _, mtime, _ = s.attributes
    return mode, uid, gid, nlink, mtime, s.data, s.xattrs, s.twins


async def step(store: Store, volume: Volume, *changes: Callable[[], Awaitable[object] | object]) -> None:
    """Changes, with a second and a version after each, and then a pause."""
    for change in changes:
        made = change()
        if isinstance(made, Awaitable):
            await made
        store.clock.forward(1)
        await volume.commit()
    store.clock.forward(10)


async def start(store: Store, volume: Volume) -> None:
    """A tree with everything that an undo must bring back."""
    make_folder(volume, b"d", 0o750)
    make_folder(volume, b"d/sub", 0o2775)
    make_folder(volume, b"other")
    big = await write_file(volume, b"d/big", BIG, 0o4755)
    volume.xattrs.set(big, b"user.short", b"s")
    volume.xattrs.set(big, b"user.long", b"l" * 5000)
    await write_file(volume, b"d/sub/tiny", b"tiny")
    hole = await write_file(volume, b"d/sub/hole", b"x")
    await volume.files.write(hole, 1_000_000, b"y" * 1000)
    volume.names.symlink(inode_of(volume, b"d").ino, b"link", b"../target", 1, 2)
    volume.names.link(big, inode_of(volume, b"d/sub").ino, b"twin")
    volume.names.make(inode_of(volume, b"d").ino, b"fifo", 0o010600, 3, 4)
    store.clock.forward(1)
    await volume.commit()
    store.clock.forward(10)


async def remove_tree(volume: Volume, path: bytes) -> None:
    for name, _ in list(volume.overlay.live.dentries(inode_of(volume, path).ino)):
        child = path + b"/" + name
        if inode_of(volume, child).is_directory:
            await remove_tree(volume, child)
        else:
            unlink(volume, child)
    rmdir(volume, path)


async def is_whole(volume: Volume, done: Undone) -> None:
    """The live tree is the newest version, and nothing in the drive is wrong."""
    assert not done.plan.conflicts
    newest = volume.versions.newest.version
    assert done.version == newest
    assert view_of_tree(volume, volume.versions.tree(newest)) == view_of_tree(volume, volume.overlay.live)
    assert [found for found in verify(volume.parts).damage if found.where != "file keys"] == []


async def test_a_removed_tree_is_back_at_once_and_redo_brings_the_emptiness_back(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        before = seen(volume, b"d")
        written = volume.content.log.length
        # An rm -rf that takes its time, and another program that writes elsewhere in the same versions.
        for count, name in enumerate((b"sub/tiny", b"sub/hole", b"sub/twin", b"big", b"link", b"fifo")):
            unlink(volume, b"d/" + name)
            await write_file(volume, b"other/%d" % count, b"noise %d" % count)
            store.clock.forward(3)
            await volume.commit()
        rmdir(volume, b"d/sub")
        rmdir(volume, b"d")
        await write_file(volume, b"other/last", b"noise")
        noise = seen(volume, b"other")
        empty = seen(volume)
        done = await undo(volume, b"d")
        assert seen(volume, b"d") == before
        assert seen(volume, b"other") == noise
        assert volume.content.log.length == written
        await is_whole(volume, done)
        assert done.carried.names == [(1, b"d")]
        again = await redo(volume, b"d")
        assert seen(volume).keys() == empty.keys()
        assert seen(volume, b"other") == noise
        await is_whole(volume, again)
        back = await undo(volume, b"d")
        assert seen(volume, b"d") == before
        await is_whole(volume, back)
    volume = store.open()
    assert seen(volume, b"d") == before
    kill(volume)


async def test_steps_go_back_one_by_one_and_forth_again(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        states = [seen(volume, b"d")]
        await step(store, volume, lambda: write_file(volume, b"d/new", b"1"), lambda: write_file(volume, b"d/x", b"2"))
        states.append(seen(volume, b"d"))
        await step(store, volume, lambda: rename(volume, b"d/new", b"d/sub/moved"))
        states.append(seen(volume, b"d"))
        await step(store, volume, lambda: write_file(volume, b"d/sub/moved", b"edited"))
        states.append(seen(volume, b"d"))
        await step(store, volume, lambda: remove_tree(volume, b"d/sub"))
        states.append(seen(volume, b"d"))
        for expected in states[-2::-1]:
            await undo(volume, b"d")
            assert seen(volume, b"d") == expected
            store.clock.forward(10)
        for expected in states[1:]:
            await redo(volume, b"d")
            assert seen(volume, b"d") == expected
            store.clock.forward(10)
        with pytest.raises(NotFound):
            await redo(volume, b"d")
        done = await undo(volume, b"d")
        assert seen(volume, b"d") == states[-2]
        await is_whole(volume, done)


async def test_a_change_after_an_undo_ends_the_line_of_redo(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        await step(store, volume, lambda: write_file(volume, b"d/a", b"1"))
        await step(store, volume, lambda: write_file(volume, b"d/b", b"2"))
        await undo(volume, b"d")
        store.clock.forward(10)
        await step(store, volume, lambda: write_file(volume, b"other/c", b"elsewhere"))
        await redo(volume, b"d")
        assert read_file(volume, b"d/b") == b"2"
        await undo(volume, b"d")
        store.clock.forward(10)
        await step(store, volume, lambda: write_file(volume, b"d/c", b"3"))
        with pytest.raises(NotFound):
            await redo(volume, b"d")
        await undo(volume, b"d")  # c
        await undo(volume, b"d")  # a: b is taken back already
        assert {b"d/a", b"d/b", b"d/c"} & seen(volume).keys() == set()


async def test_a_pause_of_five_seconds_parts_steps_and_a_shorter_one_does_not(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        for number, pause in enumerate((4.5, 4.5, 5.5, 1, 20)):
            await write_file(volume, b"d/%d" % number, b"x")
            store.clock.forward(1)
            await volume.commit()
            store.clock.forward(pause - 1)
        found, _ = await list_steps(volume, b"d", 10)
        assert [step.versions for step, _ in found] == [2, 3, 1]
        assert (await undo(volume, b"d")).step.versions == 2
        assert sorted(n for n, _ in volume.overlay.live.dentries(inode_of(volume, b"d").ino) if n.isdigit()) == [
            b"0",
            b"1",
            b"2",
        ]


async def test_what_changed_since_is_listed_and_needs_force(store: Store) -> None:
    """A file was moved out of the folder, and there something else took its place: that is no step of the folder."""
    async with store.opened() as volume:
        await start(store, volume)
        await step(store, volume, lambda: write_file(volume, b"d/f", b"1"))
        await step(store, volume, lambda: rename(volume, b"d/f", b"other/f"))
        await step(store, volume, lambda: unlink(volume, b"other/f"), lambda: write_file(volume, b"other/f", b"2"))
        before = seen(volume)
        done = await undo(volume, b"d")
        assert [(c.why, c.name) for c in done.plan.conflicts] == [("changed", b"f")]
        assert done.version is None
        assert seen(volume) == before
        forced = await undo(volume, b"d", force=True)
        assert forced.version is not None
        assert read_file(volume, b"d/f") == b"2"
        assert b"other/f" not in seen(volume)


async def test_a_file_that_was_moved_out_and_deleted_there_comes_back(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        before = seen(volume, b"d")
        await step(store, volume, lambda: rename(volume, b"d/big", b"other/f"))
        await step(store, volume, lambda: unlink(volume, b"other/f"))
        await undo(volume, b"d")
        assert seen(volume, b"d").keys() == before.keys()
        assert read_file(volume, b"d/big") == BIG


async def test_a_trial_changes_nothing(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        await step(store, volume, lambda: unlink(volume, b"d/big"))
        before, newest = seen(volume), volume.versions.newest.version
        done = await undo(volume, b"d", dry_run=True)
        assert done.plan.names
        assert (seen(volume), volume.versions.newest.version) == (before, newest)


async def test_the_root_and_a_single_file(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        await step(store, volume, lambda: write_file(volume, b"d/f", b"one"))
        await step(store, volume, lambda: write_file(volume, b"d/f", b"two"), lambda: unlink(volume, b"d/big"))
        await step(store, volume, lambda: write_file(volume, b"other/x", b"x"))
        await undo(volume, b"d/f")
        assert read_file(volume, b"d/f") == b"one"
        assert b"d/big" not in seen(volume)
        store.clock.forward(10)
        # For the drive that undo is a change like any other.
        await undo(volume, b"")
        assert read_file(volume, b"d/f") == b"two"
        await undo(volume, b"")
        assert b"other/x" not in seen(volume)
        await undo(volume, b"d/f")
        assert read_file(volume, b"d/f") == b"one"


async def test_with_nothing_left_it_says_so(store: Store) -> None:
    async with store.opened() as volume:
        with pytest.raises(NotFound):
            await undo(volume, b"")
        with pytest.raises(NotFound):
            await undo(volume, b"nothing")


async def test_an_open_file_that_is_taken_back_keeps_its_bytes(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        await step(store, volume, lambda: write_file(volume, b"d/sub/tiny", b"newer"))
        inode = inode_of(volume, b"d/sub/tiny")
        volume.opened(inode, True)
        await undo(volume, b"d")
        assert read_file(volume, b"d/sub/tiny") == b"tiny"
        assert volume.files.read(inode, 0, 10) == b"newer"
        volume.released(inode, True)
        await volume.commit()


async def test_a_restore_is_taken_back(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        version = volume.versions.newest.version
        old = seen(volume, b"d")
        await step(store, volume, lambda: unlink(volume, b"d/big"), lambda: write_file(volume, b"d/new", b"new"))
        before = seen(volume)
        await restore(volume, b"d", version)
        assert seen(volume, b"d") == old
        store.clock.forward(10)
        done = await undo(volume, b"d")
        assert seen(volume) == {**before, b"": seen(volume)[b""]}
        await is_whole(volume, done)


KILLS = range(0, 60, 1 if os.environ.get("HYPERFS_ALL") == "1" else 6)


@pytest.mark.parametrize("kill_after", KILLS)
async def test_killed_at_any_moment_it_is_done_wholly_or_not_at_all(store: Store, kill_after: int) -> None:
    """And what was not done yet, or done, is known: the next undo and redo go on from there."""
    faults = Faults()
    store.disk = faults.disk
    volume = store.open()
    await start(store, volume)
    before = seen(volume)
    await step(store, volume, lambda: write_file(volume, b"d/sub/tiny", b"others"), lambda: unlink(volume, b"d/big"))
    after = seen(volume)
    await write_file(volume, b"other/noise", b"in no version yet")
    faults.kill_after = kill_after
    with contextlib.suppress(Killed):
        await undo(volume, b"d")
    with contextlib.suppress(Killed):
        kill(volume)
    faults.kill_after, faults.dead = None, False
    async with store.opened() as volume:
        found = {path: state for path, state in seen(volume).items() if not path.startswith(b"other")}
        states = [{path: s for path, s in view.items() if not path.startswith(b"other")} for view in (before, after)]
        tally.add("kills of an undo", 1)
        if states.index(found):
            await undo(volume, b"d")
        assert seen(volume, b"d") == {path: s for path, s in before.items() if path.startswith(b"d")}
        store.clock.forward(10)
        done = await redo(volume, b"d")
        assert seen(volume, b"d") == {path: s for path, s in after.items() if path.startswith(b"d")}
        await is_whole(volume, done)


async def test_it_is_durable_and_known_as_an_undo_after_a_kill_and_without_an_index(store: Store) -> None:
    volume = store.open()
    await start(store, volume)
    before = seen(volume, b"d")
    await step(store, volume, lambda: write_file(volume, b"d/a", b"1"))
    await undo(volume, b"d")
    kill(volume)
    async with store.opened() as volume:
        assert seen(volume, b"d") == before
        await redo(volume, b"d")
        assert read_file(volume, b"d/a") == b"1"


async def test_one_version_is_taken_back_whatever_came_before_and_after(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        unlink(volume, b"d/big")
        store.clock.forward(1)
        await volume.commit()
        without = seen(volume)
        await write_file(volume, b"d/back", b"put back")  # within five seconds: the same step
        store.clock.forward(1)
        made = (await volume.commit()).version
        await write_file(volume, b"other/later", b"later")
        store.clock.forward(1)
        await volume.commit()
        trial = await undo_version(volume, b"d/back", made, dry_run=True)
        assert [(d.kind, d.path) for d in trial.differences] == [("removed", b"d/back")]
        done = await undo_version(volume, b"d/back", made)
        assert done.version is not None
        assert seen(volume, b"d").keys() == {path for path in without if path.split(b"/")[0] == b"d"}
        assert read_file(volume, b"other/later") == b"later"
        await redo(volume, b"d/back")
        assert read_file(volume, b"d/back") == b"put back"


async def test_a_version_that_changed_nothing_there_is_not_taken_back(store: Store) -> None:
    async with store.opened() as volume:
        await start(store, volume)
        await write_file(volume, b"d/new", b"x")
        made = (await volume.commit()).version
        for path, number in ((b"other", made), (b"", 1)):
            with pytest.raises(NotFound):
                await undo_version(volume, path, number)
