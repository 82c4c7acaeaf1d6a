"""A drive comes back from a cloud peer with the recovery key alone, goes on, and comes back from there again."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from hyperfs.cloning import asking
from hyperfs.cloning import clone as clone_module
from hyperfs.crypto.keys import RootSeed, SigningKeyPair
from hyperfs.errors import Corrupt, Misbehaved, NotAStore, NotHeld, ReadOnlyDrive, Refused, Unreachable
from hyperfs.policy.attributes import COPIES, KEEP, PROTECT
from hyperfs.replication.dialogue_codec import Method
from hyperfs.store import folder
from hyperfs.store.journal import Journal
from hyperfs.volume import cloning
from hyperfs.volume.creating import first_chain
from hyperfs.volume.paths import find
from tests.volume.conftest import DRIVE, Store, damage, inode_of, write_file

from .conftest import LONG, Machine, held, read, synced

POLICIES = {PROTECT: b"lock", COPIES: b"3"}


async def test_the_whole_cycle(store: Store, tmp_path: Path) -> None:
    async with held(store, tmp_path / "peers") as (server, states):
        shutil.rmtree(store.path)  # the laptop is gone
        second = Machine(tmp_path / "second", server, "second")
        made = await second.clone()
        assert (made.device, made.why_read_only, made.given_up) == (2, None, ("device 'here'",))
        async with second.opened() as volume:
            newest = states[max(states)]
            assert [found.version for found in volume.versions.all()][-len(states) :] == list(states)
            assert {path: await read(volume, path) for path in newest} == newest
            await write_file(volume, b"/new", LONG[0] + b"written on the clone")
            for name, value in (POLICIES | {KEEP: b"all"}).items():
                volume.xattrs.set(inode_of(volume, b"/deep"), name, value)
            version = (await volume.commit()).version
            await synced(volume)
        shutil.rmtree(second.path)
        third = Machine(tmp_path / "third", server, "third")
        assert (await third.clone()).given_up == ("device 'second'",)
        async with third.opened() as volume:
            assert volume.versions.newest.version == version
            assert await read(volume, b"/new") == LONG[0] + b"written on the clone"
            assert {path: await read(volume, path) for path in newest} == newest
            below = inode_of(volume, b"/deep/0").ino
            assert {name: volume.overlay.policies.held(below, name).value for name in POLICIES} == POLICIES
            assert volume.xattrs.get(inode_of(volume, b"/deep"), KEEP) == b"all"
            with pytest.raises(Refused):
                volume.protection.going(inode_of(volume, b"/deep").ino, b"0")
            assert damage(volume) == []


async def test_a_clone_that_may_only_read_says_so_and_changes_nothing_for_the_writer(
    store: Store, tmp_path: Path
) -> None:
    async with held(store, tmp_path / "peers") as (server, states):
        reader = Machine(tmp_path / "reader", server, "reader")
        made = await reader.clone(lost=False)
        assert made.given_up == ()
        assert "device 'here' writes to this drive" in str(made.why_read_only)
        async with reader.opened() as volume:
            assert volume.parts.why_read_only == made.why_read_only
            with pytest.raises(ReadOnlyDrive, match="--former-device-lost"):
                await volume.commit()
            assert await read(volume, b"/long") == LONG[-1]
        async with store.opened() as volume:
            await write_file(volume, b"/still", b"it goes on")
            assert (await volume.commit()).version == max(states) + 1


async def test_a_writer_that_is_connected_hears_of_a_reader_and_goes_on(store: Store, tmp_path: Path) -> None:
    async with held(store, tmp_path / "peers") as (server, _):
        writer = Machine(tmp_path / "writer", server, "writer")
        await writer.clone()
        async with writer.opened() as volume:
            await synced(volume)
            await Machine(tmp_path / "reader", server, "reader").clone(lost=False)
            with trio.fail_after(20):
                while len(volume.parts.chain.devices) < 3:
                    await trio.sleep(0.01)
            await write_file(volume, b"/new", b"goes on")
            await volume.commit()
            await synced(volume)
        async with writer.opened() as volume:
            assert not volume.read_only
            assert await read(volume, b"/new") == b"goes on"
            assert damage(volume) == []


async def test_a_writer_that_is_given_up_writes_no_more_and_the_peer_takes_nothing_of_it(
    store: Store, tmp_path: Path
) -> None:
    async with held(store, tmp_path / "peers") as (server, _):
        first = Machine(tmp_path / "first", server, "first")
        second = Machine(tmp_path / "second", server, "second")
        await first.clone()
        async with first.opened() as volume:
            await synced(volume)
            await write_file(volume, b"/late", b"not committed when the drive was taken over")
            assert (await second.clone()).given_up == ("device 'first'",)
            with trio.fail_after(20):
                while volume.journaling.read_only_because is None:
                    await trio.sleep(0.01)
            with pytest.raises(ReadOnlyDrive, match="declared lost"):
                volume.check_writable()
        async with first.opened() as volume:
            assert volume.read_only
            assert await read(volume, b"/late") == b"not committed when the drive was taken over"
        async with second.opened() as volume:
            assert not volume.read_only
            assert find(volume.overlay.live, b"/late") is None
            assert await read(volume, b"/long") == LONG[-1]
            await write_file(volume, b"/new", b"of the second")
            await synced(volume)


async def test_a_clone_that_was_killed_goes_on_whatever_it_had_done(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each of its steps in turn; it is one device in the end."""
    async with held(store, tmp_path / "peers") as (server, states):
        machine = Machine(tmp_path / "clone", server)
        for module, name in STEPS:
            with monkeypatch.context() as patch:
                patch.setattr(module, name, _killed)
                with pytest.raises(RuntimeError, match="killed"):
                    await machine.clone()
            assert machine.marker is not None
            with pytest.raises(NotAStore):
                folder.inspect(machine.path)
        made = await machine.clone()
        assert made.device == 2
        async with machine.opened() as volume:
            assert await read(volume, b"/long") == LONG[-1]
            assert volume.versions.newest.version == max(states)


async def test_an_older_peer_that_is_asked_for_all_at_once_is_asked_one_by_one(store: Store, tmp_path: Path) -> None:
    async with held(store, tmp_path / "peers", lacks=(Method.STATE,)) as (server, states):
        clone = Machine(tmp_path / "clone", server)
        with pytest.raises(NotHeld, match="holds no drive 0909"):
            await clone_module.clone(replace(clone.wanted(), drive=b"\x09" * 32), *clone.given)
        assert (await clone.clone()).device == 2
        async with clone.opened() as volume:
            assert volume.versions.newest.version == max(states)


STEPS = (
    (clone_module, "bring"),
    (clone_module, "enrol"),
    (asking, "offer"),
    (cloning, "finish"),
    (Journal, "create"),
    (folder, "write_format"),
)


def _killed(*args: object, **kwargs: object) -> None:
    raise RuntimeError("killed")


async def test_what_is_wrong_is_said_before_anything_is_made(store: Store, tmp_path: Path) -> None:
    async with held(store, tmp_path / "peers") as (server, _):
        stranger = Machine(tmp_path / "clone", server, root=RootSeed(b"\x63" * 32))
        with pytest.raises(NotHeld, match="right card"):
            await stranger.clone()
        with pytest.raises(Refused, match="a store already"):
            await Machine(store.path, server).clone()
        known = server.known
        server.known = known._replace(address=known.address._replace(key=SigningKeyPair(b"\x07" * 32).public_key))
        with pytest.raises(Misbehaved, match="another"):
            await Machine(tmp_path / "clone", server).clone()
        server.scope.cancel()
        with pytest.raises(Unreachable, match="can't be reached"):
            await Machine(tmp_path / "clone", server).clone()
        assert not (tmp_path / "clone").exists()


async def test_attack_m07_a_peer_can_put_no_device_into_the_chain_and_no_other_drive_in_its_place(
    store: Store, tmp_path: Path
) -> None:
    async with held(store, tmp_path / "peers") as (server, _):
        (drive,) = server.peer.drives.values()
        assert drive.chain is not None
        true = drive.chain
        strangers = RootSeed(b"\x63" * 32)
        other = first_chain(replace(DRIVE, root=strangers))
        forged = true.make(true.records[0].body, strangers.signing())
        for chain, words in (
            (replace(true, records=(*true.records, forged)), "breaks its rules"),
            (replace(other, state=replace(other.state, root_key=true.root_key)), "another drive"),
            (replace(true, records=true.records[1:]), "breaks its rules"),
        ):
            drive.chain = chain
            with pytest.raises(Corrupt, match=words):
                await Machine(tmp_path / "clone", server).clone()
            assert not (tmp_path / "clone").exists()
        drive.chain = true
