"""Drives that are held as parts of another one: who may have them admitted, in whose quota, and until when."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyperfs.errors import OverQuota, Refused
from hyperfs.peer import account
from hyperfs.peer.blockstore import BlockStore
from hyperfs.peer.desk import NOT_HERE, Desk
from hyperfs.peer.drive import HeldDrive
from hyperfs.peer.peer import Peer
from hyperfs.replication import dialogue_bodies as bodies
from hyperfs.replication.dialogue_codec import Method, Status

from .conftest import CONTENT, METADATA, PEER_KEY, Owner, upload
from .test_desk import ask, offer, stranger, visitor


@pytest.fixture
def desk(peer: Peer) -> Desk:
    return Desk(peer)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Owner]:
    """The drive of a shared folder."""
    owner = Owner(tmp_path / "folder", "folder")
    owner.append(METADATA, 20)
    owner.append(CONTENT, 50)
    yield owner
    owner.close()


def admitted(desk: Desk, peer: Peer, owner: Owner, folder: Owner) -> HeldDrive:
    who = visitor()
    assert ask(desk, who, Method.ADMIT, bodies.Part(owner.id, folder.id)).status == Status.OK
    assert ask(desk, who, Method.OFFER, offer(folder, folder.chain.records)).grown == folder.id
    return peer.drives[folder.id]


def test_a_device_of_a_drive_has_a_part_admitted_and_only_it_and_the_root_may(
    desk: Desk, peer: Peer, drive: HeldDrive, owner: Owner, folder: Owner
) -> None:
    body = bodies.Part(owner.id, folder.id)
    for who in (stranger(), visitor("folder laptop")):
        for method in (Method.ADMIT, Method.DISMISS):
            reply = ask(desk, who, method, body)
            assert (reply.status, reply.body.decode()) == (Status.NOT_HERE, NOT_HERE)
    assert folder.id not in peer.drives
    drive.set_quota(10**6)
    reply = ask(desk, visitor(), Method.ADMIT, body)
    assert bodies.Paired.decode(reply.body).quota_bytes == 10**6
    assert [event.what for event in reply.events] == ["part admitted"]
    assert ask(desk, visitor(), Method.ADMIT, body).status == Status.OK, "twice is once"
    part = admitted(desk, peer, owner, folder)
    upload(folder, part, CONTENT)
    assert ask(desk, visitor("folder laptop"), Method.HEADS, bodies.OfDrive(folder.id)).status == Status.OK
    assert ask(desk, visitor(), Method.HEADS, bodies.OfDrive(folder.id)).status == Status.NOT_HERE


def test_no_part_has_parts_and_nobody_s_drive_becomes_one(
    desk: Desk, peer: Peer, drive: HeldDrive, owner: Owner, folder: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted(desk, peer, owner, folder)
    below = bodies.Part(folder.id, b"\x07" * 32)
    assert ask(desk, visitor("folder laptop"), Method.ADMIT, below).status == Status.REFUSED
    peer.admit(b"\x08" * 32)
    for method in (Method.ADMIT, Method.DISMISS):
        for other in (b"\x08" * 32, owner.id):
            assert ask(desk, visitor(), method, bodies.Part(owner.id, other)).status == Status.REFUSED
    monkeypatch.setattr(account, "MOST_PARTS", 1)
    reply = ask(desk, visitor(), Method.ADMIT, bodies.Part(owner.id, b"\x09" * 32))
    assert (reply.status, reply.body) == (Status.REFUSED, b"1 drives are held here beside this one already")
    assert b"\x09" * 32 not in peer.drives


def test_all_of_them_have_one_quota_also_when_the_peer_was_started_again(
    desk: Desk, peer: Peer, drive: HeldDrive, owner: Owner, folder: Owner, reopen: Callable[[], BlockStore]
) -> None:
    part = admitted(desk, peer, owner, folder)
    upload(owner, drive, CONTENT)
    upload(folder, part, METADATA)
    drive.set_quota(drive.used_bytes + part.used_bytes)
    peer.close()
    again = Peer(reopen(), PEER_KEY, floor_bytes=0)
    with pytest.raises(OverQuota):
        upload(folder, again.drives[folder.id], CONTENT)
    space = ask(Desk(again), visitor(), Method.SPACE, bodies.OfDrive(owner.id))
    assert bodies.Space.decode(space.body).used_bytes == again.drives[owner.id].account.used_bytes
    assert again.drives[owner.id].account is again.drives[folder.id].account
    again.close()


def test_what_is_dismissed_is_gone_at_once_and_may_come_again(
    desk: Desk, peer: Peer, drive: HeldDrive, owner: Owner, folder: Owner, store: BlockStore
) -> None:
    part = admitted(desk, peer, owner, folder)
    upload(folder, part, CONTENT)
    reply = ask(desk, visitor(), Method.DISMISS, bodies.Part(owner.id, folder.id))
    assert (reply.status, reply.gone) == (Status.OK, folder.id)
    assert (store.names(folder.id), store.places(folder.id), list(peer.drives)) == ([], [], [owner.id])
    with pytest.raises(Refused, match="not held here any more"):
        upload(folder, part, METADATA)
    assert ask(desk, visitor("folder laptop"), Method.HEADS, bodies.OfDrive(folder.id)).status == Status.NOT_HERE
    assert ask(desk, visitor(), Method.DISMISS, bodies.Part(owner.id, folder.id)).status == Status.REFUSED
    upload(folder, admitted(desk, peer, owner, folder), CONTENT)


def test_a_stolen_device_s_shared_folder_takes_nothing_once_it_is_revoked(
    desk: Desk, peer: Peer, drive: HeldDrive, owner: Owner, folder: Owner
) -> None:
    part = admitted(desk, peer, owner, folder)
    upload(folder, part, METADATA)
    drive.offer_chain(owner.revoke().encode())
    with pytest.raises(Refused, match="belongs to device 1, which was taken out"):
        upload(folder, part, CONTENT)


def test_a_part_whose_drive_is_not_here_any_more_is_not_served(
    desk: Desk, peer: Peer, drive: HeldDrive, owner: Owner, folder: Owner, store: BlockStore
) -> None:
    admitted(desk, peer, owner, folder)
    for name in store.names(owner.id):
        store.discard(owner.id, name)
    again = Peer(store, PEER_KEY, floor_bytes=0)
    assert again.drives == {}
    assert "part of a drive that is not held" in again.broken[folder.id]
