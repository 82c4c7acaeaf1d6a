"""A drive on a new device: its versions and files come from a peer, block by block; and who may write to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from hyperfs.errors import Contradiction, Corrupt, NotAStore, ReadOnlyDrive, Refused, Unreachable
from hyperfs.log.control_codec import CLOSED, REVOKED
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.volume import cloning
from hyperfs.volume.chains import take_newer
from hyperfs.volume.enrolling import enrol
from hyperfs.volume.opening import open_volume
from hyperfs.volume.paths import find
from hyperfs.volume.volume import Volume

from .conftest import DEVICE_KEYS, DRIVE, Store, damage, make_folder, read_file, write_file
from .twin_peer import ADDRESS, FromPeer, TwinPeer, clone, new_keys

LONG = [Random(number).randbytes(300_000) for number in range(4)]
KEYS = new_keys()


async def fill(store: Store) -> dict[int, dict[bytes, bytes]]:
    """Writes some versions; what each of them has."""
    states: dict[int, dict[bytes, bytes]] = {}
    now: dict[bytes, bytes] = {}
    async with store.opened() as volume:
        make_folder(volume, b"/deep")
        for number, text in enumerate(LONG):
            now |= {b"/long": text, b"/deep/%d" % number: text[::-1], b"/small": b"%d" % number}
            for path, data in now.items():
                await write_file(volume, path, data)
            store.clock.forward(10)
            states[(await volume.commit()).version] = dict(now)
    return states


@asynccontextmanager
async def cloned(store: Store, path: Path, lost: bool, whole_metadata: bool = True) -> AsyncIterator[Volume]:
    """A clone of what stands in the store, open, with the store as its peer."""
    peer = TwinPeer(store.path)
    clone(peer, path, DRIVE.root, KEYS, lost, whole_metadata)
    async with opened(path, peer) as volume:
        yield volume


@asynccontextmanager
async def opened(path: Path, peer: TwinPeer) -> AsyncIterator[Volume]:
    volume = open_volume(path, KEYS, Store(path).options())
    with closing(FromPeer(peer, volume.parts.logs)) as places:
        volume.returning.elsewhere = places
        async with volume.running():
            yield volume


async def read(volume: Volume, path: bytes) -> bytes:
    async def look() -> bytes:
        return read_file(volume, path)

    return await volume.returning.complete(look)


async def test_everything_is_there_and_comes_when_it_is_read(store: Store, tmp_path: Path) -> None:
    states = await fill(store)
    newest = states[max(states)]
    async with cloned(store, tmp_path / "clone", lost=True) as volume:
        assert volume.parts.residence.cold_bytes > 300_000
        assert [found.version for found in volume.versions.all()][-len(states) :] == list(states)
        assert {path: await read(volume, path) for path in newest} == newest
        assert damage(volume) == []


async def test_what_was_read_stays_and_is_read_again_without_the_peer(store: Store, tmp_path: Path) -> None:
    newest = (await fill(store)).popitem()[1]
    async with cloned(store, tmp_path / "clone", lost=True) as volume:
        assert await read(volume, b"/long") == newest[b"/long"]
        version = volume.versions.newest.version
    again = open_volume(tmp_path / "clone", KEYS, Store(tmp_path / "clone").options())
    async with again.running() as volume:
        assert volume.versions.newest.version == version
        assert await read(volume, b"/long") == newest[b"/long"]
        with pytest.raises(Unreachable):
            await read(volume, b"/deep/0")
        assert damage(volume) == []


async def test_where_the_former_device_is_lost_the_clone_writes_and_goes_on_counting(
    store: Store, tmp_path: Path
) -> None:
    newest = (await fill(store)).popitem()[1]
    async with cloned(store, tmp_path / "clone", lost=True) as volume:
        before = volume.versions.newest
        await write_file(volume, b"/new", b"of the clone")
        made = await volume.commit()
        assert (made.version, made.device) == (before.version + 1, 2)
        assert made.parents[0].log == 1
    async with opened(tmp_path / "clone", TwinPeer(store.path)) as volume:
        assert await read(volume, b"/new") == b"of the clone"
        assert await read(volume, b"/long") == newest[b"/long"]
        assert damage(volume) == []


async def test_a_second_clone_has_what_the_first_one_wrote(store: Store, tmp_path: Path) -> None:
    await fill(store)
    async with cloned(store, tmp_path / "clone", lost=True) as volume:
        await write_file(volume, b"/new", LONG[1] + b"of the clone")
        await read(volume, b"/long")
        await volume.commit()
    peer = TwinPeer(tmp_path / "clone")
    keys = new_keys()
    clone(peer, tmp_path / "second", DRIVE.root, keys, lost=True)
    second = open_volume(tmp_path / "second", keys, Store(tmp_path / "second").options())
    with closing(FromPeer(peer, second.parts.logs)) as places:
        second.returning.elsewhere = places
        async with second.running() as volume:
            assert await read(volume, b"/new") == LONG[1] + b"of the clone"
            assert await read(volume, b"/long") == LONG[-1]
            await write_file(volume, b"/third", b"3")
            assert (await volume.commit()).device == 3


async def test_two_writers_without_a_merge_are_impossible(store: Store, tmp_path: Path) -> None:
    """With the former device in use a clone can't write; where it was given up, it is the former that can't."""
    await fill(store)
    async with cloned(store, tmp_path / "reader", lost=False) as volume:
        assert volume.read_only
        with pytest.raises(ReadOnlyDrive, match=r"device 'here' writes to this drive.*--former-device-lost"):
            volume.check_writable()
        assert volume.parts.why_read_only is not None
        assert await read(volume, b"/long") == LONG[-1]
    async with store.opened() as volume:
        await write_file(volume, b"/still", b"the former goes on")

    peer = TwinPeer(store.path)
    chain = clone(peer, tmp_path / "writer", DRIVE.root, KEYS, lost=True)
    async with opened(tmp_path / "writer", peer) as volume:
        await write_file(volume, b"/new", b"the clone writes")
    async with store.opened() as volume:
        await write_file(volume, b"/late", b"the former does not know yet")
        take_newer(volume, chain)
        with pytest.raises(ReadOnlyDrive, match="declared lost"):
            volume.check_writable()
    former = store.open()
    async with former.running() as volume:
        assert volume.read_only
        with pytest.raises(ReadOnlyDrive, match="declared lost"):
            await volume.commit()
        assert read_file(volume, b"/still") == b"the former goes on"
        assert read_file(volume, b"/late") == b"the former does not know yet"
        with pytest.raises(Contradiction):
            take_newer(volume, peer.chain)


async def test_what_the_former_device_wrote_after_it_was_given_up_is_passed_over(store: Store, tmp_path: Path) -> None:
    await fill(store)
    peer = TwinPeer(store.path)
    last = peer.heads()
    async with store.opened() as volume:
        await write_file(volume, b"/late", b"after the theft")
    path = tmp_path / "clone"
    cloning.begin(path, cloning.Marker(peer.chain.drive_id, ADDRESS, True), b"")
    for number in peer.chain.logs:
        peer.bring(number, Disk(path), number == 1)
    chain = enrol(peer.chain, DRIVE.root, KEYS, "clone", last)
    cloning.finish(path, chain, KEYS, [1], 1 << 20)
    async with opened(path, peer) as volume:
        assert find(volume.overlay.live, b"/late") is None
        assert await read(volume, b"/small") == b"3"
        await write_file(volume, b"/new", b"goes on from the head at which the log was closed")
        parent = (await volume.commit()).parents[0]
        assert (parent.length, parent.tree_hash) == (last[1].length, last[1].tree_hash)
    async with opened(path, peer) as volume:
        assert await read(volume, b"/new")
        assert damage(volume) == []


def test_giving_up_a_device_revokes_it_closes_its_logs_and_begins_an_epoch(store: Store) -> None:
    peer = TwinPeer(store.path)
    heads = peer.heads()
    chain = enrol(peer.chain, DRIVE.root, KEYS, "new", heads)
    assert chain.devices[1].state == REVOKED
    assert [(chain.logs[n].state, chain.logs[n].length) for n in (1, 2)] == [(CLOSED, heads[n].length) for n in (1, 2)]
    assert max(chain.epochs) == 2
    assert set(chain.sealed_copies(KEYS.box().public_key)) == {1, 2}
    assert set(chain.sealed_copies(DEVICE_KEYS.box().public_key)) == {1}
    assert max(enrol(peer.chain, DRIVE.root, KEYS, "new").epochs) == 1


async def test_a_third_device_reads_logs_of_which_nothing_was_ever_signed(store: Store, tmp_path: Path) -> None:
    await fill(store)
    peer = TwinPeer(store.path)
    reader = clone(peer, tmp_path / "reader", DRIVE.root, new_keys(), lost=False)
    peer.chain = replace(reader)
    path = tmp_path / "clone"
    cloning.begin(path, cloning.Marker(reader.drive_id, ADDRESS, True), b"")
    for number in (1, 2):
        peer.bring(number, Disk(path), number == 1)
    chain = enrol(reader, DRIVE.root, KEYS, "clone", TwinPeer(store.path).heads())
    cloning.finish(path, chain, KEYS, [1], 1 << 20)
    peer.chain = TwinPeer(store.path).chain
    async with opened(path, peer) as volume:
        assert not volume.read_only
        assert await read(volume, b"/long") == LONG[-1]
        await write_file(volume, b"/new", b"x")
        assert damage(volume) == []


async def test_a_log_of_another_device_without_its_head_is_no_empty_one(store: Store, tmp_path: Path) -> None:
    await fill(store)
    async with cloned(store, tmp_path / "clone", lost=False) as volume:
        name = volume.parts.logs[1].discovery_key.hex()
    (tmp_path / "clone" / "logs" / name / "heads").unlink()
    with pytest.raises(NotAStore, match="heads of log 1"):
        open_volume(tmp_path / "clone", KEYS, Store(tmp_path / "clone").options())


def test_a_folder_in_which_a_clone_was_begun_is_gone_on_with_or_refused(store: Store, tmp_path: Path) -> None:
    path, marker = tmp_path / "clone", cloning.Marker(bytes(32), ADDRESS, False)
    assert not cloning.was_begun(path)
    cloning.begin(path, marker, b"")
    assert cloning.was_begun(path)
    cloning.go_on(path, marker)
    with pytest.raises(Refused, match="another clone was begun"):
        cloning.go_on(path, replace(marker, former_lost=True))
    with pytest.raises(Refused, match="not empty"):
        cloning.begin(path, marker, b"")
    with pytest.raises(NotAStore, match="half a store"):
        folder.inspect(path)
    with pytest.raises(Refused, match="a store already"):
        cloning.was_begun(store.path)


def test_a_marker_has_one_form(tmp_path: Path) -> None:
    marker = cloning.Marker(bytes(range(32)), ADDRESS, True)
    assert cloning.decode_marker(marker.encode()) == marker
    for data in (b"", marker.encode() + b"x", marker.encode().replace(b"lost", b"gone"), b"\xff" * 9):
        with pytest.raises(Corrupt):
            cloning.decode_marker(data)
    with pytest.raises(ValueError, match="no address"):
        replace(marker, address="two words").encode()
