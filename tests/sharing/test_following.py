"""A drive is read by a link, and what its owner writes is seen there."""

from functools import partial
from pathlib import Path

import pytest
import trio

from hyperfs.cloning import clone as clone_module
from hyperfs.errors import ReadOnlyDrive, Refused
from hyperfs.sharing import making
from hyperfs.volume import prune as pruning
from hyperfs.volume.by_link import ENDED, WARNING
from hyperfs.volume.enrolling import enrol
from hyperfs.volume.volume import Volume
from tests.cloning.conftest import Machine as Clone
from tests.cloning.conftest import synced
from tests.syncing.conftest import Server
from tests.volume.conftest import Store, inode_of, read_file, unlink, write_file

from .conftest import LONG, Machine, link_of, no_progress, owned, read, until_version, written


async def warned(volume: Volume, kind: str) -> str:
    while kind not in volume.warnings:
        await trio.sleep(0.01)
    return volume.warnings[kind]


async def test_a_link_opens_the_drive_and_what_is_written_later_is_seen(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        other = Machine(tmp_path / "reader", link_of(side))
        await other.bring()
        async with other.opened() as (volume, _):
            assert await read(volume, b"/short") == b"one"
            assert await read(volume, b"/long") == LONG
            version = await written(side, b"/new", LONG[::-1])
            await until_version(volume, version)
            assert await read(volume, b"/new") == LONG[::-1]
            version = await written(side, b"/short", b"two")
            await until_version(volume, version)
            assert await read(volume, b"/short") == b"two"
            assert [found.version for found in volume.versions.all()] == list(range(1, version + 1))
            with pytest.raises(ReadOnlyDrive, match="a link lets you read"):
                await volume.commit()
            with pytest.raises(Refused, match="pass on the link"):
                making.link_to(volume, [])
        shown = other.shown[-1]
        assert shown.version == version
        assert inode_of(side.volume, b"/short").ino in shown.inodes


async def test_a_file_that_is_open_when_its_owner_removes_it_is_read_to_its_end(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        other = Machine(tmp_path / "reader", link_of(side))
        await other.bring()
        async with other.opened() as (volume, _):
            inode = inode_of(volume, b"/long")
            volume.opened(inode, False)
            unlink(side.volume, b"/long")
            await until_version(volume, await written(side, b"/new", b"new"))
            assert volume.overlay.live.dentry(1, b"long") is None
            found = await volume.returning.complete(lambda: volume.files.read_soon(inode, 0, inode.size))
            assert found == LONG
            volume.released(inode, False)
            volume.forgotten(inode.ino)
            assert inode.ino not in volume.overlay.orphans


async def test_what_came_is_there_without_the_peer_and_what_comes_meanwhile_is_fetched_later(
    store: Store, tmp_path: Path
) -> None:
    servers: dict[str, Server] = {}
    async with owned(store, tmp_path / "peers", servers) as side:
        other = Machine(tmp_path / "reader", link_of(side))
        await other.bring()
        async with other.opened() as (volume, _):
            assert await read(volume, b"/long") == LONG
    async with other.opened() as (volume, reader):
        assert read_file(volume, b"/long") == LONG
        assert reader.connected_to is None
        async with owned(store, tmp_path / "peers", servers) as side:
            version = await written(side, b"/new", LONG[::-1])
            await until_version(volume, version)
            assert await read(volume, b"/new") == LONG[::-1]


async def test_what_its_owner_has_let_go_since_is_not_waited_for(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        other = Machine(tmp_path / "reader", link_of(side))
        await other.bring()
        for path, data in ((b"/long", LONG[::-1]), (b"/short", b"two")):
            store.clock.forward(60)
            await written(side, path, data)
        await pruning.prune(side.volume, 1, False, no_progress)
        version = await written(side, b"/new", b"new")
        assert side.volume.parts.catalog.cleared.ranges(side.log)
        drive = side.servers["cloud"].drive(side.volume)
        for _ in range(33):
            store.clock.forward(86_400)
            drive.sweep(store.clock())
        assert 0 not in side.servers["cloud"].held(side.volume, side.log)
        async with other.opened() as (volume, _):
            await until_version(volume, version)
            assert await read(volume, b"/new") == b"new"
            assert await read(volume, b"/long") == LONG[::-1]
            kept = [found.version for found in side.volume.versions.all()]
            assert [found.version for found in volume.versions.all()] == kept


async def test_a_device_that_is_taken_out_ends_the_link_for_what_comes_then(store: Store, tmp_path: Path) -> None:
    servers: dict[str, Server] = {}
    async with owned(store, tmp_path / "peers", servers) as side:
        other = Machine(tmp_path / "reader", link_of(side))
        await other.bring()
    async with trio.open_nursery() as nursery:
        await nursery.start(servers["cloud"].serve)
        clone = Clone(tmp_path / "clone", servers["cloud"])
        async with other.opened() as (volume, _):
            await clone.clone()
            async with clone.opened() as second:
                await write_file(second, b"/secret", LONG)
                await second.commit()
                await synced(second)
            assert await warned(volume, WARNING) == ENDED
            assert volume.overlay.live.dentry(1, b"secret") is None
            assert await read(volume, b"/short") == b"one"
        again = Machine(tmp_path / "later", other.link)
        await again.bring()
        for machine in (other, again):
            async with machine.opened() as (volume, _):
                assert volume.warnings[WARNING] == ENDED
                assert volume.overlay.live.dentry(1, b"secret") is None
                assert await read(volume, b"/short") == b"one"
        nursery.cancel_scope.cancel()


async def test_another_device_that_begins_to_write_under_the_same_key_is_followed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `hyperfs recover`: the former logs are closed, and nobody is taken out."""
    servers: dict[str, Server] = {}
    async with owned(store, tmp_path / "peers", servers) as side:
        other = Machine(tmp_path / "reader", link_of(side))
        await other.bring()
    monkeypatch.setattr(clone_module, "enrol", partial(enrol, revokes=False))
    async with trio.open_nursery() as nursery:
        await nursery.start(servers["cloud"].serve)
        clone = Clone(tmp_path / "clone", servers["cloud"])
        async with other.opened() as (volume, _):
            await clone.clone()
            async with clone.opened() as second:
                await write_file(second, b"/new", LONG[::-1])
                version = (await second.commit()).version
                await synced(second)
            await until_version(volume, version)
            assert await read(volume, b"/new") == LONG[::-1]
            assert WARNING not in volume.warnings
        nursery.cancel_scope.cancel()
