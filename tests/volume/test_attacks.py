"""Attacks by who has a device's keys, or its clock, on what is made of a drive: each tries it and sees it fail."""

import pytest

from hyperfs.errors import InvalidArgument, NameTooLong
from hyperfs.volume.check import verify
from hyperfs.volume.finding import find_deleted
from hyperfs.volume.history_steps import tree_bytes
from hyperfs.volume.status import status
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, make_folder, read_file, rename, write_file

NOT_NAMES = [b"../../etc/cron.d/x", b"a/b", b"/", b"", b".", b"..", b"nul\0", b"x" * 300]
DAY_SECONDS = 86_400


def put_name(volume: Volume, folder: bytes, name: bytes, ino: int, kind: int) -> None:
    """As another program with the drive's keys may write it: no operation of ours asks for it."""
    volume.overlay.set_dentry(inode_of(volume, folder).ino, name, (ino, kind))


async def test_attack_d05_hostile_names_are_shown_to_nobody_and_named_by_verify(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"evil")
        inode = await write_file(volume, b"evil/good", b"good")
        for name in NOT_NAMES:
            with pytest.raises((InvalidArgument, NameTooLong)):
                volume.names.make(inode_of(volume, b"evil").ino, name, 0o100644, 0, 0)
            put_name(volume, b"evil", name, inode.ino, 8)
        await volume.commit()
    async with store.opened() as volume:
        folder = inode_of(volume, b"evil").ino
        assert [name for name, _ in volume.overlay.live.dentries(folder)] == [b"good"]
        damage = verify(volume.parts).damage
        assert "an entry under what can't be a name: it is not shown" in {found.what for found in damage}
        assert read_file(volume, b"evil/good") == b"good"


async def test_attack_d05_a_folder_that_lies_in_itself_ends_no_walk_and_is_named_by_verify(store: Store) -> None:
    """A cycle of moves, and the root below itself: two ways down from each step, so without end and ever wider."""
    async with store.opened() as volume:
        outer, inner = make_folder(volume, b"a"), make_folder(volume, b"a/b")
        await write_file(volume, b"a/b/file", b"12345")
        for name in (b"up", b"up again"):
            put_name(volume, b"a/b", name, outer.ino, 4)
        put_name(volume, b"a/b", b"root", 1, 4)
        await volume.commit()
        damage = verify(volume.parts).damage
        words = {found.what for found in damage}
        assert f"a folder that says it is in 1 and is in {inner.ino}" in words
        assert tree_bytes(volume.overlay.live, outer.ino) == 5
        rename(volume, b"a", b".Trash-0")  # what is in a trash counts as deleted, with all below it
        await volume.commit()
        found = [item.path for item in find_deleted(volume, b"", b"*") if item is not None]
        assert found.count(b"a/b/file") <= 1


async def test_attack_d03_versions_of_a_clock_far_ahead_are_told_and_displace_nothing(store: Store) -> None:
    async with store.opened() as volume:
        await write_file(volume, b"f", b"before")
        before = await volume.commit()
        store.clock.forward(10 * 365 * DAY_SECONDS)
        await write_file(volume, b"f", b"in ten years")
        ahead = await volume.commit()
        store.clock.forward(-10 * 365 * DAY_SECONDS)
        told = [words for words in status(volume)["warnings"] if "clock" in words]
        assert len(told) == 1
        assert "s behind the newest version: set it" in told[0]
        await write_file(volume, b"f", b"now")
        now = await volume.commit()
        found = {fact.version: fact.time_ns for fact in volume.versions.all()}
        assert found[before.version] < found[ahead.version] < found[now.version]
        assert read_file(volume, b"f") == b"now"
