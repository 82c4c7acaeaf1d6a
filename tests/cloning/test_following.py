"""A clone that may only read shows what the device that writes does, as it comes to the peer."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from hyperfs.daemon.following import is_follower
from hyperfs.errors import ReadOnlyDrive
from hyperfs.store.files import Disk
from hyperfs.syncing.peers import Peers
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.volume import Volume
from tests.volume.conftest import Store, damage, inode_of, read_file, write_file

from .conftest import LONG, Cloud, Machine, held, read, synced


async def until_version(volume: Volume, version: int) -> None:
    with trio.fail_after(60):
        while volume.versions.newest.version < version:
            await trio.sleep(0.01)


async def written(volume: Volume, path: bytes, data: bytes) -> int:
    """A version with this file, which the peer has."""
    await write_file(volume, path, data)
    version = (await volume.commit()).version
    await synced(volume)
    return version


@asynccontextmanager
async def two(store: Store, tmp_path: Path) -> AsyncIterator[tuple[Cloud, Machine, Machine]]:
    """A writer and a reader of one drive, at one peer."""
    async with held(store, tmp_path / "peers") as (server, _):
        writer = Machine(tmp_path / "writer", server, "writer")
        await writer.clone()
        reader = Machine(tmp_path / "reader", server, "reader")
        async with writer.opened() as volume:
            await synced(volume)
        assert "device 'writer' writes" in str((await reader.clone(lost=False)).why_read_only)
        yield server, writer, reader


async def test_what_is_written_is_seen_by_who_reads_and_stays_without_the_peer(store: Store, tmp_path: Path) -> None:
    async with two(store, tmp_path) as (server, writer, reader):
        async with reader.opened() as follower, writer.opened() as volume:
            assert is_follower(follower)
            assert not is_follower(volume)
            assert await read(follower, b"/long") == LONG[-1]
            await until_version(follower, await written(volume, b"/new", LONG[0] + b"new"))
            assert await read(follower, b"/new") == LONG[0] + b"new"
            version = await written(volume, b"/long", b"short now")
            await until_version(follower, version)
            assert await read(follower, b"/long") == b"short now"
            kept = [found.version for found in volume.versions.all()]
            assert [found.version for found in follower.versions.all()] == kept
            with pytest.raises(ReadOnlyDrive, match="device 'writer' writes to this drive"):
                follower.check_writable()
            assert reader.shown[-1].version == version
            assert inode_of(volume, b"/long").ino in reader.shown[-1].inodes
        server.scope.cancel()
        async with reader.opened(completes=False) as follower:
            assert follower.versions.newest.version == version
            assert read_file(follower, b"/new") == LONG[0] + b"new"
            assert damage(follower) == []


async def test_what_came_while_it_was_away_is_shown_at_the_next_mount(store: Store, tmp_path: Path) -> None:
    async with two(store, tmp_path) as (_, writer, reader):
        async with reader.opened():
            pass
        async with writer.opened() as volume:
            version = await written(volume, b"/new", LONG[1])
        async with reader.opened() as follower:
            await until_version(follower, version)
            assert await read(follower, b"/new") == LONG[1]


async def test_who_takes_the_drive_over_is_followed_then(store: Store, tmp_path: Path) -> None:
    """Its logs are new, and so is the key under which it writes."""
    async with two(store, tmp_path) as (server, _, reader):
        async with reader.opened() as follower:
            other = Machine(tmp_path / "other", server, "other")
            assert (await other.clone()).given_up == ("device 'writer'",)
            async with other.opened() as volume:
                await until_version(follower, await written(volume, b"/by another", LONG[2]))
            assert await read(follower, b"/by another") == LONG[2]
            with pytest.raises(ReadOnlyDrive, match="device 'other' writes to this drive"):
                follower.check_writable()
        async with reader.opened() as follower:
            assert read_file(follower, b"/by another") == LONG[2]
            assert damage(follower) == []


async def test_a_version_of_which_only_word_had_come_is_fetched_and_without_the_peer_the_one_before_is_shown(
    store: Store, tmp_path: Path
) -> None:
    """As a kill leaves it between the head of a log and the blocks that it signs."""
    async with two(store, tmp_path) as (server, writer, reader):
        async with reader.opened() as follower, writer.opened() as volume:
            before = await written(volume, b"/new", b"one")
            version = await written(volume, b"/new", b"two")
            await until_version(follower, version)
            number = volume.parts.metadata_number
            log = follower.parts.logs[number]
            start, size = log.block_range(log.signed_length - 1)
            blocks = reader.path / log_folder(follower.parts.chain.logs[number]) / "blocks"
        with open(blocks, "r+b") as file:
            os.pwrite(file.fileno(), bytes(size), start)
        server.scope.cancel()
        async with reader.opened(completes=False) as follower:
            assert follower.versions.newest.version == before
            assert "an older one is shown" in follower.warnings["newest"]
            assert read_file(follower, b"/new") == b"one"
    assert Disk(reader.path).exists("clone")


async def test_of_two_peers_one_is_followed_and_the_other_one_when_that_is_gone(store: Store, tmp_path: Path) -> None:
    async with two(store, tmp_path) as (server, writer, reader), reader.opened() as follower:
        peers = follower.returning.elsewhere
        assert isinstance(peers, Peers)
        leads = peers.home.leads
        assert leads is not None
        await synced(follower)
        peers.add(server.known._replace(name="again"))
        with trio.fail_after(60):
            while leads.leader is None or not all(peer.is_connected for peer in peers.all()):
                await trio.sleep(0.01)
        leader = next(peer for peer in peers.all() if peer.link and peer.link.client.session is leads.leader)
        (waits,) = (peer for peer in peers.all() if peer is not leader)
        assert waits.link is not None
        assert all(shown.taking is None for shown in waits.link.feeding.logs.values())
        peers.remove(leader.name)
        async with writer.opened() as volume:
            await until_version(follower, await written(volume, b"/new", b"one"))
        (other,) = peers.all()
        assert other.link is not None
        assert leads.leader is other.link.client.session
