"""What a lying peer says of a drive is not believed."""

import pytest

from hyperfs.cloning.asking import checked_heads
from hyperfs.crypto.keys import LOG_METADATA, SigningKeyPair
from hyperfs.errors import Corrupt
from hyperfs.log.control import Chain
from hyperfs.log.heads import sign_head
from hyperfs.log.manifest import default_v1, discovery_key
from hyperfs.log.merkle import MerkleTree, leaf_hash
from hyperfs.replication.dialogue_bodies import LogHead
from hyperfs.volume.creating import first_chain
from tests.volume.conftest import DEVICE_KEYS, DRIVE

CHAIN: Chain = first_chain(DRIVE)
SIGNER = DEVICE_KEYS.log_signer(LOG_METADATA, 0)


def told(signer: SigningKeyPair = SIGNER, length: int = 3) -> LogHead:
    tree = MerkleTree()
    tree.extend([1] * length, [leaf_hash(b"x")] * length)
    manifest = default_v1(signer.public_key)
    head = sign_head(manifest, signer, tree, 0)
    return LogHead(discovery_key(manifest.key()), 0, length, length, head.tree_hash, head.signature)


def test_a_signed_head_is_taken_and_one_of_nothing_passed_over() -> None:
    assert checked_heads(CHAIN, (told(),))[1].length == 3
    assert checked_heads(CHAIN, (told()._replace(length=0, signature=bytes(64)),)) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        told()._replace(length=4),
        told()._replace(tree_hash=bytes(32)),
        told()._replace(fork=1),
        told()._replace(signature=bytes(64)),
    ],
)
def test_attack_m01_a_head_that_its_owner_did_not_sign_is_refused(wrong: LogHead) -> None:
    with pytest.raises(Corrupt, match="its owner did not sign"):
        checked_heads(CHAIN, (wrong,))


def test_attack_m06_a_log_that_the_roster_does_not_have_is_refused() -> None:
    with pytest.raises(Corrupt, match="the drive doesn't have"):
        checked_heads(CHAIN, (told(SigningKeyPair(b"\x09" * 32)),))


def test_attack_m04_two_heads_of_one_log_are_refused() -> None:
    with pytest.raises(Corrupt, match="log 1"):
        checked_heads(CHAIN, (told(), told(length=2)))
