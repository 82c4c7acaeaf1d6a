"""Changes of many files are made beside the live tree: others go on meanwhile, and see all of it or nothing."""

import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from hyperfs.errors import Refused
from hyperfs.volume import draft, restore, undo
from hyperfs.volume.draft import Draft
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.paths import find
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, damage, inode_of, kill, make_folder, read_file, unlink, write_file

LONG = os.environ.get("HYPERFS_ALL") == "1"
FILES = int(os.environ.get("HYPERFS_DRAFT_FILES", "100000" if LONG else "1000"))
STEP_MOST = 50
"""Names of the live tree that are changed one by one in one step of the thread that does everything."""
SOME = 40
"""Files, where drafts are made of everything."""

Meddle = Callable[[], Awaitable[object]]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts are made of everything."""
    for module in (restore, undo):
        monkeypatch.setattr(module, "MANY", 0)


async def folder_of(volume: Volume, count: int) -> tuple[int, int]:
    """The versions in which a folder is empty, and has so many files. There is another, that nobody restores."""
    make_folder(volume, b"d")
    make_folder(volume, b"other")
    none = (await volume.commit()).version
    directory = inode_of(volume, b"d").ino
    for number in range(count):
        inode = volume.names.make(directory, b"%06d" % number, 0o100644, 0, 0)
        await volume.files.write(inode, 0, b"%d" % number)
        if number % 1000 == 999:
            await volume.room_for_change()
    return none, (await volume.commit()).version


def some_there(volume: Volume, count: int) -> tuple[bool, ...]:
    """Whether the first, the middle and the last file are there."""
    live = volume.overlay.live
    return tuple(find(live, b"d/%06d" % number) is not None for number in (0, count // 2, count - 1))


def names(volume: Volume) -> int:
    return sum(1 for _ in volume.overlay.live.dentries(inode_of(volume, b"d").ino))


async def empty(volume: Volume) -> None:
    """As one burst, that an undo takes back."""
    directory = inode_of(volume, b"d").ino
    for count, (name, _) in enumerate(list(volume.overlay.live.dentries(directory))):
        volume.forgotten(volume.names.unlink(directory, name).ino)
        if count % 1000 == 999:
            await volume.room_for_change()
    await volume.commit()


def while_it_works(monkeypatch: pytest.MonkeyPatch, meddle: Meddle, times: int = 1) -> list[int]:
    """Has others do something when a draft is made, and is about to be entered. Gives a number for each draft."""
    made: list[int] = []
    look = Draft.look

    async def meddling(self: Draft) -> None:
        made.append(len(made))
        if len(made) <= times:
            await meddle()
        await look(self)

    monkeypatch.setattr(Draft, "look", meddling)
    return made


def count_changes(monkeypatch: pytest.MonkeyPatch) -> Counter[bool]:
    """How often a name is changed: in the thread that does everything (True), and in others."""
    counts: Counter[bool] = Counter()
    set_dentry, ours = Overlay.set_dentry, threading.get_ident()

    def counted(self: Overlay, *change: Any) -> None:
        counts[threading.get_ident() == ours] += 1
        set_dentry(self, *change)

    monkeypatch.setattr(Overlay, "set_dentry", counted)
    return counts


@pytest.mark.parametrize("how", ["restore", "undo", "restore to nothing"])
async def test_others_are_answered_while_much_changes_and_see_all_or_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with store.opened() as volume:
        none, full = await folder_of(volume, FILES)
        store.clock.forward(60)  # or all of it were one burst, to an undo
        if how != "restore to nothing":
            await empty(volume)
        store.clock.forward(60)
        await write_file(volume, b"other/file", b"")
        before = some_there(volume, FILES)
        seen: Counter[tuple[bool, ...]] = Counter()

        async def look_and_write(task_status: trio.TaskStatus[None]) -> None:
            task_status.started()
            while True:
                seen[some_there(volume, FILES)] += 1
                await write_file(volume, b"other/file", b"%d" % seen.total())
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery:
            await nursery.start(look_and_write)
            counts = count_changes(monkeypatch)
            if how == "undo":
                await undo.undo(volume, b"d")
            else:
                await restore.restore(volume, b"d", full if how == "restore" else none)
            nursery.cancel_scope.cancel()
        wanted = 0 if how == "restore to nothing" else FILES
        assert names(volume) == wanted
        assert seen.keys() <= {before, (bool(wanted),) * 3}
        assert counts[True] < STEP_MOST < counts[False]
        assert read_file(volume, b"other/file") == b"%d" % seen.total()
        tally.add("answers to others while many files changed at once", seen.total())
    with_everything = store.open()
    assert names(with_everything) == wanted
    assert not damage(with_everything)
    kill(with_everything)


@pytest.mark.usefixtures("always")
async def test_what_others_change_beside_it_meanwhile_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with store.opened() as volume:
        _, full = await folder_of(volume, SOME)
        await empty(volume)
        files = volume.overlay.files

        async def meddle() -> None:
            await write_file(volume, b"other/new", b"new")
            make_folder(volume, b"in the root")  # whose names and links the restore changes too
            await volume.commit()
            await write_file(volume, b"other/newer", b"newer")

        drafts = while_it_works(monkeypatch, meddle)
        await restore.restore(volume, b"d", full)
        assert drafts == [0]
        assert read_file(volume, b"other/new") == b"new"
        assert read_file(volume, b"other/newer") == b"newer"
        assert read_file(volume, b"d/%06d" % (SOME - 1)) == b"%d" % (SOME - 1)
        assert volume.overlay.files == files + SOME + 2
        assert inode_of(volume, b"").nlink == 2 + len([b"d", b"other", b"in the root"])
        assert not damage(volume)


@pytest.mark.usefixtures("always")
async def test_a_draft_that_others_spoil_is_begun_anew_and_their_bytes_stay_in_history(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store.opened() as volume:
        _, full = await folder_of(volume, SOME)
        await write_file(volume, b"d/%06d" % 1, b"changed")

        async def meddle() -> None:
            await write_file(volume, b"d/%06d" % 2, b"changed meanwhile")
            await write_file(volume, b"d/more", b"made meanwhile")

        drafts = while_it_works(monkeypatch, meddle)
        done = await restore.restore(volume, b"d", full)
        assert drafts == [0, 1]
        assert names(volume) == SOME
        assert read_file(volume, b"d/%06d" % 2) == b"2"
        before = volume.versions.tree(volume.versions.before(done.made))
        assert {find(before, b"d/more"), find(before, b"d/%06d" % 2)}.isdisjoint({None})
        assert not damage(volume)


@pytest.mark.usefixtures("always")
async def test_a_draft_that_is_spoilt_again_and_again_is_made_on_the_live_tree(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store.opened() as volume:
        none, _ = await folder_of(volume, SOME)
        times = 0

        async def meddle() -> None:
            nonlocal times
            times += 1
            await write_file(volume, b"d/%06d" % times, b"changed meanwhile")

        drafts = while_it_works(monkeypatch, meddle, times=draft.TRIES)
        await restore.restore(volume, b"d", none)
        assert len(drafts) == draft.TRIES
        assert names(volume) == 0
        assert not damage(volume)


@pytest.mark.usefixtures("always")
async def test_who_has_a_file_open_that_a_draft_takes_away_keeps_it(store: Store) -> None:
    async with store.opened() as volume:
        none, _ = await folder_of(volume, SOME)
        inode = inode_of(volume, b"d/%06d" % 3)
        volume.opened(inode, writing=True)
        files = volume.overlay.files
        await restore.restore(volume, b"d", none)
        assert volume.files.read(inode, 0, 10) == b"3"
        await volume.files.write(inode, 1, b" more")
        assert volume.files.read(inode, 0, 10) == b"3 more"
        volume.released(inode, writing=True)
        assert volume.overlay.files == files - SOME
        assert not damage(volume)


@pytest.mark.usefixtures("always")
async def test_a_policy_that_is_set_meanwhile_holds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with store.opened() as volume:
        none, _ = await folder_of(volume, SOME)

        async def meddle() -> None:
            volume.xattrs.set(inode_of(volume, b"d/%06d" % 5), b"user.hyperfs.protect", b"lock")

        while_it_works(monkeypatch, meddle)
        with pytest.raises(Refused):
            await restore.restore(volume, b"d", none)
        assert names(volume) == SOME


@pytest.mark.usefixtures("always")
async def test_policies_come_back_with_what_carries_them(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        file = await write_file(volume, b"d/file", b"x")
        volume.xattrs.set(file, b"user.hyperfs.class", b"cold")
        full = (await volume.commit()).version
        unlink(volume, b"d/file")
        await restore.restore(volume, b"d", full)
        assert volume.overlay.policies.held(inode_of(volume, b"d/file").ino, b"user.hyperfs.class").value == b"cold"
        await undo.undo(volume, b"d")
        assert find(volume.overlay.live, b"d/file") is None
        assert volume.overlay.policies.carriers == set()


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("moment", ["before it is entered", "entered", "being made a version"])
async def test_a_kill_leaves_all_or_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    class Killed(BaseException):
        pass

    async def die() -> None:
        if moment == "entered":  # a record that somebody asks for would have what was entered
            await volume.journaling.fsync(None)
        raise Killed

    volume = store.open()
    with pytest.raises(BaseExceptionGroup) as ended:  # noqa: PT012  # it is killed inside
        async with volume.running():
            _, full = await folder_of(volume, SOME)
            await empty(volume)
            if moment == "before it is entered":
                while_it_works(monkeypatch, die)
            else:
                commit = volume.commit
                monkeypatch.setattr(volume, "commit", lambda write_back=True: die() if names(volume) else commit())
            if moment == "being made a version":
                monkeypatch.setattr(volume.journaling, "fsync", lambda inode: trio.lowlevel.checkpoint())
            try:
                await restore.restore(volume, b"d", full)
            finally:
                kill(volume)
    assert ended.group_contains(Killed)
    again = store.open()
    assert names(again) == (SOME if moment == "entered" else 0)
    assert not damage(again)
    kill(again)
