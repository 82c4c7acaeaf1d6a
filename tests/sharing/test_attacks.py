"""Attacks on readers, who have a drive by a link: each tries it and sees it fail, with what the reader is told."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from hyperfs.daemon.exit_codes import CORRUPT, REFUSED, UNREACHABLE, exit_code_of
from hyperfs.errors import Corrupt, HyperfsError, NotHeld, Refused, Unreachable
from hyperfs.peer.folder_store import FolderStore
from hyperfs.sharing import knocking
from hyperfs.sharing.link import Link
from hyperfs.sharing.reader import HISTORY, PEER
from hyperfs.volume.volume import Volume
from tests.syncing.conftest import Server
from tests.volume.conftest import Store

from .conftest import LONG, Machine, link_of, owned, read, written


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knocking, "LET_IN_SECONDS", 0.5)


def by_way_of(link: Link, *servers: Server) -> Link:
    """The same link with other peers in it: whoever passes it on can do that."""
    assert link.opening is not None
    return replace(link, opening=replace(link.opening, addresses=tuple(s.known.address for s in servers)))


def twin_of(store: Store, path: Path) -> Store:
    """The same drive as it is now, to be written to as well: a device that was restored from an image, or stolen."""
    shutil.copytree(store.path, path)
    return Store(path, store.clock)


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[Server]:
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve)
        yield server
        nursery.cancel_scope.cancel()


async def refused(machine: Machine) -> HyperfsError:
    with pytest.raises(HyperfsError) as raised:
        await machine.bring()
    assert not (machine.path / "hyperfs").exists()
    return raised.value


async def warned(volume: Volume, kind: str) -> str:
    while kind not in volume.warnings:
        await trio.sleep(0.01)
    return volume.warnings[kind]


async def test_attack_m08_a_link_with_the_key_of_another_peer(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        link = link_of(side)
        assert link.opening is not None
        (address,) = link.opening.addresses
        forged = replace(link, opening=replace(link.opening, addresses=(address._replace(key=b"\1" * 32),)))
        error = await refused(Machine(tmp_path / "reader", forged))
        assert exit_code_of(error) == REFUSED
        assert "is not who it should be" in str(error)


async def test_attack_m08_a_link_with_another_key_of_the_drive(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        link = link_of(side)
        assert link.opening is not None
        forged = replace(link, opening=replace(link.opening, epochs={1: b"\1" * 32}))
        error = await refused(Machine(tmp_path / "reader", forged))
        assert type(error) is Corrupt
        assert "the link's key of epoch 1 is not the drive's" in str(error)


async def test_attack_m08_a_link_with_the_id_of_another_drive(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        server = side.servers["cloud"]
        server.peer.admit(b"\1" * 32)
        error = await refused(Machine(tmp_path / "reader", replace(link_of(side), drive=b"\1" * 32)))
        assert type(error) is NotHeld
        assert server.asked[-1] == 3


async def test_attack_m06_a_peer_that_serves_another_drive(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side, served(Server("other", store.clock)) as other:
        other.peer.admit(b"\1" * 32)
        error = await refused(Machine(tmp_path / "reader", by_way_of(link_of(side), other)))
        assert type(error) is NotHeld
        assert "does not give this drive to readers" in str(error)
        machine = Machine(tmp_path / "again", by_way_of(link_of(side), other, side.servers["cloud"]))
        await machine.bring()  # the next peer of the link has it
        async with machine.opened() as (volume, _):
            assert await read(volume, b"/short") == b"one"


async def test_attack_m05_a_peer_that_shows_an_old_state_to_a_new_reader(store: Store, tmp_path: Path) -> None:
    servers: dict[str, Server] = {}
    async with owned(store, tmp_path / "peers", servers):
        pass
    shutil.copytree(tmp_path / "peers" / "cloud", tmp_path / "old")
    async with owned(store, tmp_path / "peers", servers) as side:
        await written(side, b"/later", LONG)
        link = link_of(side)
    async with served(Server("cloud", store.clock, FolderStore(tmp_path / "old"))) as server:
        error = await refused(Machine(tmp_path / "reader", by_way_of(link, server)))
        assert exit_code_of(error) == UNREACHABLE
        assert "older state of the drive than the link was made of" in str(error)


async def test_attack_m05_a_peer_that_goes_back_behind_what_was_seen(store: Store, tmp_path: Path) -> None:
    servers: dict[str, Server] = {}
    async with owned(store, tmp_path / "peers", servers) as side:
        link = link_of(side)
    shutil.copytree(tmp_path / "peers" / "cloud", tmp_path / "old")
    machine = Machine(tmp_path / "reader", link)
    async with owned(store, tmp_path / "peers", servers) as side:
        machine.link = by_way_of(link, side.servers["cloud"])
        await written(side, b"/later", LONG)
        await machine.bring()
    async with served(Server("cloud", store.clock, FolderStore(tmp_path / "old"))) as server:
        machine.link = by_way_of(link, server)
        async with machine.opened() as (volume, reader):
            assert "older state of the drive than was seen before" in await warned(volume, PEER)
            assert reader.connected_to is None
            assert volume.overlay.live.dentry(1, b"later") is not None


@asynccontextmanager
async def two_histories(store: Store, tmp_path: Path) -> AsyncIterator[tuple[Link, Link, Server, Server]]:
    """A live link and one to a version, and two peers: one with the history that they saw, one with another."""
    twin = twin_of(store, tmp_path / "twin")
    async with owned(store, tmp_path / "peers") as side:
        link, strong = link_of(side), link_of(side, side.volume.versions.newest.version)
        async with owned(twin, tmp_path / "peers", name="other") as second:
            for number in range(3):
                await written(second, b"/planted %d" % number, LONG)
            yield link, strong, side.servers["cloud"], second.servers["other"]


async def test_attack_m04_a_history_that_was_rewritten_since_the_link_was_made(store: Store, tmp_path: Path) -> None:
    async with two_histories(store, tmp_path) as (link, strong, _, other):
        for number, given in enumerate((link, strong)):
            error = await refused(Machine(tmp_path / f"reader {number}", by_way_of(given, other)))
            assert exit_code_of(error) == CORRUPT
            assert "the drive's history was rewritten" in str(error)


async def test_attack_m04_another_history_than_was_seen_is_not_followed(store: Store, tmp_path: Path) -> None:
    async with two_histories(store, tmp_path) as (link, _, honest, other):
        machine = Machine(tmp_path / "reader", by_way_of(link, honest))
        await machine.bring()
        machine.link = by_way_of(link, other)
        async with machine.opened() as (volume, reader):
            said = await warned(volume, HISTORY)
            assert "another history of the drive than was seen before" in said
            assert reader.connected_to is None
            assert not [found for found in volume.overlay.live.dentries(1) if found[0].startswith(b"planted")]
            assert volume.overlay.live.dentry(1, b"short") is not None


async def test_attack_m02_a_version_that_is_not_the_links(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        newest = side.volume.versions.newest.version
        right, other = link_of(side, newest), link_of(side, newest - 1)
        machine = Machine(tmp_path / "reader", right)
        await machine.bring()
        machine.link = replace(right, tree=other.tree)
        with pytest.raises(Corrupt, match=f"was rewritten: .* in version {newest}"):
            async with machine.opened():
                pass
        machine.link = right
        async with machine.opened() as (volume, _):
            await written(side, b"/short", b"two")
            assert await read(volume, b"/short") == b"one"


async def test_a_peer_for_listed_devices_alone_serves_no_reader(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        side.servers["cloud"].peer.only_listed = True
        error = await refused(Machine(tmp_path / "reader", link_of(side)))
        assert isinstance(error, Refused)
        assert "--only-listed" in str(error)


async def test_attack_m01_a_block_that_was_changed(store: Store, tmp_path: Path) -> None:
    async with owned(store, tmp_path / "peers") as side:
        machine = Machine(tmp_path / "reader", link_of(side))
        await machine.bring()
        side.servers["cloud"].lie(side.volume, side.log)
        async with machine.opened() as (volume, _):
            with pytest.raises(Unreachable, match="did not give block"):
                await read(volume, b"/long")
