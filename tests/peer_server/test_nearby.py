"""Whom a cloud peer announces itself to on the local network."""

from hyperfs.crypto.keys import BoxKeyPair, SigningKeyPair
from hyperfs.lan.names import secret_of_device
from hyperfs.log.merkle import hash32
from hyperfs.peer.memory_store import MemoryStore
from hyperfs.peer.peer import Peer
from hyperfs.peer_server.running import secrets_of
from tests.peer.conftest import Owner

SEED = b"\x21" * 32
LAPTOP = BoxKeyPair(hash32(b"box transport drive laptop"))


def test_devices_that_are_in_a_drive_are_told_and_others_are_not(owner: Owner) -> None:
    peer = Peer(MemoryStore(), SigningKeyPair(SEED))
    assert secrets_of(SEED, peer) == []
    drive = peer.admit(owner.id)
    assert secrets_of(SEED, peer) == []
    drive.offer_chain(owner.chain.encode())
    assert secrets_of(SEED, peer) == [secret_of_device(LAPTOP, peer.key)]
    drive.offer_chain(owner.revoke().encode())
    assert secret_of_device(LAPTOP, peer.key) not in secrets_of(SEED, peer)
