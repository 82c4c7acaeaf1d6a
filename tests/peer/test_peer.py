"""The peer as a whole: drives side by side, who may have what, one that is broken, its own key."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from hyperfs.crypto.keys import BoxKeyPair
from hyperfs.errors import Corrupt, Refused
from hyperfs.log.merkle import hash32
from hyperfs.log.receipt import check
from hyperfs.peer import identity
from hyperfs.peer.blockstore import OWN, BlockStore
from hyperfs.peer.drive import CONTROL, HeldDrive
from hyperfs.peer.peer import Peer
from hyperfs.replication.curve import CurveKeyPair, is_of

from .conftest import CONTENT, NOW, PEER_KEY, Owner, upload

CHALLENGE = b"\x03" * 32


def test_drives_lie_side_by_side_and_come_back(peer: Peer, store: BlockStore, tmp_path: Path, owner: Owner) -> None:
    other = Owner(tmp_path / "other", "other")
    other.append(CONTENT, 7)
    for each in (owner, other):
        drive = peer.admit(each.id)
        drive.offer_chain(each.chain.encode())
        upload(each, drive, CONTENT)
    for drive in peer.drives.values():
        drive.close()
    again = Peer(store, PEER_KEY, floor_bytes=0)
    for each, length in ((owner, 50), (other, 7)):
        log = each.discovery_key(CONTENT)
        found = again.receipt(each.id, log, CHALLENGE, NOW)
        assert check(found.encode(), again.key, each.id, log, CHALLENGE, NOW).ranges == ((0, length),)
    with pytest.raises(Refused, match="not held here"):
        again.receipt(b"\x05" * 32, owner.discovery_key(CONTENT), CHALLENGE, NOW)
    other.close()


def who(name: bytes) -> Callable[[bytes], bool]:
    """Whose secret it is, as the wire tells it from the key of the handshake."""
    secret = BoxKeyPair(hash32(b"box transport " + name)).secret()
    return partial(is_of, CurveKeyPair(secret).public_key)


def test_who_knows_a_logs_key_may_have_its_ciphertext(peer: Peer, drive: HeldDrive, owner: Owner) -> None:
    stranger, laptop = who(b"stranger"), who(b"drive laptop")
    log = owner.discovery_key(CONTENT)
    assert peer.lend(log, stranger, True).discovery_key == log
    for remote in (stranger, laptop):
        with pytest.raises(Refused, match="not served"):
            peer.lend(log, remote, False)
    with pytest.raises(Refused, match="not served"):
        peer.lend(b"\x01" * 32, laptop, True)


def test_only_listed_serves_devices_of_the_roster_alone(peer: Peer, drive: HeldDrive, owner: Owner) -> None:
    stranger, laptop = who(b"stranger"), who(b"drive laptop")
    log = owner.discovery_key(CONTENT)
    peer.only_listed = True
    assert peer.lend(log, laptop, True).discovery_key == log
    with pytest.raises(Refused, match="not served"):
        peer.lend(log, stranger, True)
    owner.revoke()
    drive.offer_chain(owner.chain.encode())
    with pytest.raises(Refused, match="not served"):
        peer.lend(log, laptop, True)


def test_a_broken_drive_is_named_and_the_others_are_served(
    peer: Peer, drive: HeldDrive, store: BlockStore, owner: Owner, tmp_path: Path
) -> None:
    other = Owner(tmp_path / "other", "other")
    peer.admit(other.id).offer_chain(other.chain.encode())
    store.write(owner.id, CONTROL, b"rubbish")
    again = Peer(store, PEER_KEY, floor_bytes=0)
    assert list(again.broken) == [owner.id]
    assert "damaged" in again.broken[owner.id]
    assert list(again.drives) == [other.id]
    with pytest.raises(Refused, match="can't be served"):
        again.admit(owner.id)
    assert store.read(owner.id, CONTROL) == b"rubbish"
    assert again.sweep(NOW) == {}
    other.close()


def test_the_peers_key_is_made_once_and_never_replaced(store: BlockStore) -> None:
    first = identity.key_pair(store, b"\x01" * 32)
    assert identity.key_pair(store, b"\x02" * 32).public_key == first.public_key
    data = store.read(OWN, identity.NAME) or b""
    store.write(OWN, identity.NAME, data[:-1] + b"\0")
    with pytest.raises(Corrupt, match="put it back"):
        identity.key_pair(store, b"\x02" * 32)


def test_a_sweep_that_fails_for_one_drive_sweeps_the_others(
    peer: Peer, drive: HeldDrive, owner: Owner, tmp_path: Path, store: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Owner(tmp_path / "other", "other")
    peer.admit(other.id).offer_chain(other.chain.encode())
    write = store.write

    def failing(to: bytes, name: str, data: bytes) -> None:
        if to == owner.id:
            raise OSError(5, "Input/output error")
        write(to, name, data)

    monkeypatch.setattr(store, "write", failing)
    assert list(peer.sweep(NOW)) == [owner.id]
    assert peer.drives[other.id].holds.clock.wall_ns == NOW
    other.close()
