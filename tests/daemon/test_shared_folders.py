"""Shared folders beside a drive that is open: kept equal, synced to its peers, ended; while peers are away, too."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from hyperfs.crypto.keys import BoxKeyPair
from hyperfs.daemon import requests, shared_folder, shared_folders
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.shared_folder import SharedFolder
from hyperfs.daemon.shared_folders import SharedFolders
from hyperfs.errors import Corrupt, FormatTooNew, NotADirectory, NotFound, Refused
from hyperfs.policy.attributes import PLACES
from hyperfs.sharing import link as links
from hyperfs.sharing.folder_store import ENDED, ROOM, ShareRecord, decode_record, keys_of, stores_in
from hyperfs.syncing import settings
from hyperfs.volume.volume import Volume
from tests.sharing.conftest import Machine, read, until_version
from tests.syncing.conftest import Server, _nobody_waits
from tests.volume.conftest import (
    Store,
    damage,
    empty_store,
    inode_of,
    make_folder,
    rename,
    rmdir,
    store,
    unlink,
    write_file,
)

__all__ = ["_nobody_waits", "empty_store", "store"]

long = pytest.mark.skipif(os.environ.get("HYPERFS_ALL") != "1", reason="part of the long tests")
SECRET = b"nobody but the owner may ever read this"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_folder, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(shared_folder, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(shared_folder, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(shared_folders, "TELL_AGAIN_SECONDS", 0.05)


async def silent(what: str, done: int, of: int) -> None:
    await trio.lowlevel.checkpoint()


class Owner:
    """A drive with its shared folders, and one peer."""

    def __init__(self, drive: Drive, server: Server) -> None:
        self.drive = drive
        self.volume: Volume = drive.volume
        self.server = server

    @property
    def shared(self) -> SharedFolders:
        assert self.drive.shared is not None
        return self.drive.shared

    async def ask(self, name: str, **params: Any) -> Any:
        return await requests.answer(self.drive, name, params, silent)

    async def write(self, path: bytes, data: bytes) -> None:
        await write_file(self.volume, path, data)
        await self.volume.commit()

    async def synced(self) -> None:
        await self.ask("sync", wait=True)

    def only(self) -> SharedFolder:
        (found,) = self.shared.all()
        return found

    async def until(self, true: Callable[[], object]) -> None:
        """The test's timeout is the bound."""
        while not true():
            await trio.sleep(0.01)


@asynccontextmanager
async def owning(store: Store, server: Server) -> AsyncIterator[Owner]:
    async with store.opened(memory_index=False) as volume, trio.open_nursery() as nursery:
        if volume.drive_id not in server.peer.drives:
            server.peer.admit(volume.drive_id).offer_chain(volume.parts.chain.encode())
            await nursery.start(server.serve)
            await settings.remember(volume, server.name, server.known)
        elif not server.is_serving:
            await nursery.start(server.serve)
        drive = Drive(volume, store.path)
        drive.shared = SharedFolders(drive)
        for run in (drive.peers.run, drive.shared.run):
            nursery.start_soon(run)
        yield Owner(drive, server)
        nursery.cancel_scope.cancel()


@pytest.fixture
def server(store: Store) -> Server:
    return Server("cloud", store.clock)


async def test_a_reader_of_a_folder_sees_it_live_and_nothing_of_the_rest(
    store: Store, server: Server, tmp_path: Path
) -> None:
    async with owning(store, server) as owner:
        make_folder(owner.volume, b"private")
        await owner.write(b"private/secret", SECRET)
        make_folder(owner.volume, b"top")
        make_folder(owner.volume, b"top/f")
        await owner.write(b"top/f/one", b"1" * 300_000)
        made = await owner.ask("share", path="top/f")
        assert (made["bytes"], made["link"]) == (300_000, (await owner.ask("share", path="top/f"))["link"])
        await owner.synced()
        reader = Machine(tmp_path / "reader", links.parse(made["link"]))
        await reader.bring()
        async with reader.opened() as (volume, _):
            assert await read(volume, b"one") == b"1" * 300_000
            rename(owner.volume, b"top/f", b"private/moved")
            await owner.write(b"private/moved/two", b"2")
            folder = owner.only().drive
            assert folder is not None
            length = folder.volume.content.log.length
            await owner.synced()
            await until_version(volume, folder.volume.versions.newest.version)
            assert await read(volume, b"two") == b"2"
            assert folder.volume.content.log.length == length, "a tiny file stays in its inode"
            assert damage(folder.volume) == []
            assert_only(volume, {b"one", b"two"})


def assert_only(volume: Volume, names: set[bytes]) -> None:
    """Of all that the link opens: every block of its logs, opened."""
    parts = volume.parts
    assert {name for _, (name, _) in enumerate(volume.overlay.live.dentries(1))} == names
    opened = b""
    for version in range(1, volume.versions.newest.version + 1):
        tree = volume.versions.whole_tree(version)
        for key, value in tree.facts(b"").items():
            opened += key + value
    assert b"one" in opened
    for word in (b"private", b"secret", b"moved", SECRET):
        assert word not in opened
    assert len(parts.chain.devices) == 1


async def test_what_is_local_or_a_file_or_without_a_peer_is_refused(store: Store, server: Server) -> None:
    async with owning(store, server) as owner:
        await owner.write(b"file", b"x")
        make_folder(owner.volume, b"f")
        with pytest.raises(NotADirectory, match="'file' is a file"):
            await owner.ask("share", path="file")
        with pytest.raises(NotFound):
            await owner.ask("share", path="nothing")
        with pytest.raises(NotFound, match="'f' is not shared"):
            await owner.ask("stop_sharing", path="f")
        owner.volume.xattrs.set(inode_of(owner.volume, b"f"), PLACES, b"local-only")
        with pytest.raises(Refused, match=r"may not go to all of the drive's peers \(cloud\)"):
            await owner.ask("share", path="f")
        owner.volume.xattrs.set(inode_of(owner.volume, b"f"), PLACES, None)
        await settings.remember(owner.volume, "cloud", None)
        with pytest.raises(Refused, match="this drive has none"):
            await owner.ask("share", path="f")
        assert list(stores_in(store.path)) == []


async def test_goes_on_after_a_restart_and_takes_in_what_came_between(store: Store, server: Server) -> None:
    async with owning(store, server) as owner:
        make_folder(owner.volume, b"f")
        await owner.write(b"f/one", b"1" * 1000)
        made = await owner.ask("share", path="f")
        await owner.synced()
    async with store.opened() as volume:
        apart = Drive(volume, store.path)
        (facts,) = (await requests.answer(apart, "list_shared", {}, silent))["folders"]
        assert (facts["path"], facts["link"]) == ("f", None)
        assert "while the drive is not mounted" in facts["trouble"]
        with pytest.raises(Refused, match="folders are shared while their drive is mounted"):
            await requests.answer(apart, "stop_sharing", {"path": "f"}, silent)
        rename(volume, b"f/one", b"f/renamed")
        await volume.commit()
        half = store.path / ROOM / ("0" * 32)
        half.mkdir()
    async with owning(store, server) as owner:
        await owner.synced()
        (facts,) = (await owner.ask("list_shared"))["folders"]
        assert (facts["path"], facts["files"], facts["trouble"]) == ("f", 1, None)
        assert (facts["behind_bytes"], links.parse(facts["link"]).drive.hex()) == ({"cloud": 0}, made["drive"])
        drive = owner.only().drive
        assert drive is not None
        assert [name for name, _ in drive.volume.overlay.live.dentries(1)] == [b"renamed"]
        assert not half.exists(), "what a kill left of a making is gone"


async def test_ended_it_is_gone_here_and_at_the_peer_as_soon_as_that_is_there(store: Store, server: Server) -> None:
    async with owning(store, server) as owner:
        for name in (b"f", b"g"):
            make_folder(owner.volume, name)
            await owner.write(name + b"/one", b"1" * 1000)
            await owner.ask("share", path=name.decode())
        await owner.synced()
        assert len(server.peer.drives) == 3
        assert (await owner.ask("stop_sharing", path="f"))["not_told"] == []
        assert (len(server.peer.drives), len(list(stores_in(store.path)))) == (2, 1)
        await server.stop()
        unlink(owner.volume, b"g/one")
        rmdir(owner.volume, b"g")
        await owner.volume.commit()
        await owner.until(owner.shared.warnings)
        assert "is not there any more" in owner.shared.warnings()[0]
        assert (await owner.ask("stop_sharing", path="g"))["not_told"] == ["cloud"]
        (left,) = stores_in(store.path)
        assert sorted(path.name for path in left.path.iterdir()) == [ENDED, "share"]
        assert (await owner.ask("list_shared"))["folders"] == []
    async with owning(store, server) as owner:
        await owner.until(lambda: not list(stores_in(store.path)))
        assert list(server.peer.drives) == [owner.volume.drive_id]


@long
async def test_a_peer_that_has_lost_it_takes_it_in_again(store: Store, server: Server) -> None:
    async with owning(store, server) as owner:
        make_folder(owner.volume, b"f")
        await owner.write(b"f/one", b"1" * 1000)
        held = server.peer.drives[owner.volume.drive_id]
        made = await owner.ask("share", path="f")
        await owner.synced()
        drive = bytes.fromhex(made["drive"])
        server.peer.dismiss(held, drive)
        server.hang_up()
        await owner.until(lambda: drive in server.peer.drives and server.peer.drives[drive].used_bytes)


@long
async def test_another_device_s_folder_can_only_be_ended(store: Store, server: Server) -> None:
    """After a recovery, say: its keys followed from those of a device that is no more."""
    async with owning(store, server) as owner:
        make_folder(owner.volume, b"f")
        await owner.ask("share", path="f")
        await owner.synced()
    (found,) = stores_in(store.path)
    found.path.rename(found.path.with_name("f" * 32))
    async with owning(store, server) as owner:
        await owner.until(owner.shared.warnings)
        with pytest.raises(Refused, match="can't be shared at the moment: another device of the drive had shared it"):
            await owner.ask("share", path="f")
        assert (await owner.ask("stop_sharing", path="f"))["not_told"] == []
        assert list(server.peer.drives) == [owner.volume.drive_id]


def test_its_keys_follow_from_the_device_s_and_the_salt() -> None:
    one, two = keys_of(BoxKeyPair(bytes(32)), bytes(16)), keys_of(BoxKeyPair(bytes(32)), bytes(15) + b"\1")
    assert one == keys_of(BoxKeyPair(bytes(32)), bytes(16))
    found = [one.root.to_bytes(), one.secret, *(one.device.to_bytes()[at : at + 32] for at in range(0, 128, 32))]
    assert len(set(found)) == 6
    assert one.secret.hex() == "37987c1a2358009a916c5adabbadd52f272ab82fd0a3b650b54358c64342e5ef"
    assert one.root != two.root


def test_the_record_of_a_shared_folder_is_text() -> None:
    record = ShareRecord(281474976710663, 1_795_000_000_000_000_000, "Bilder/Käse 1".encode())
    text = b"hyperfs shared folder\nformat 1\nfolder 281474976710663\nmade 1795000000000000000\n"
    text += b"path Bilder/K%C3%A4se%201\n"
    assert record.encode() == text
    assert decode_record(text) == record
    with pytest.raises(FormatTooNew):
        decode_record(b"hyperfs shared folder\nformat 2\n")
    for bad in (b"", text[:-1], text.replace(b"%C3", b"%c3"), text.replace(b"folder 2", b"folder 02")):
        with pytest.raises(Corrupt):
            decode_record(bad)
