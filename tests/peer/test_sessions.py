"""A cloud peer's logs over the wire of `replication`: what a device sends is held, and what is held another gets."""

from pathlib import Path

import pytest

from hyperfs.errors import Contradiction, OverQuota, Refused
from hyperfs.log.log import Log
from hyperfs.log.receipt import check
from hyperfs.log.replica import Replica
from hyperfs.peer.drive import HeldDrive
from hyperfs.replication.replicating import Replicating
from hyperfs.store.files import Disk
from tests.replication.sides import connect, pump, serves

from .conftest import CONTENT, NOW, PEER_KEY, Owner

CHALLENGE = b"\x03" * 32


def held(drive: HeldDrive, owner: Owner, number: int = CONTENT) -> Replicating:
    lent = drive.lend(owner.discovery_key(number))
    return Replicating(lent, owner.logs[number].manifest, lent)


def test_what_a_device_sends_is_held_attested_and_given_to_the_next(
    drive: HeldDrive, owner: Owner, tmp_path: Path
) -> None:
    pump(connect([serves(log) for log in owner.logs.values()], [held(drive, owner, number) for number in owner.logs]))
    log = owner.discovery_key(CONTENT)
    signed = drive.receipt(log, CHALLENGE, PEER_KEY, NOW)
    found = check(signed.encode(), PEER_KEY.public_key, owner.id, log, CHALLENGE, NOW)
    assert (found.ranges, found.tree_hash) == (((0, 50),), owner.logs[CONTENT].head().tree_hash)
    drive.close()
    (tmp_path / "clone").mkdir()
    clone = Replica(Disk(tmp_path / "clone"), "log", owner.signer(CONTENT).public_key, 0)
    target = Replicating(clone, clone.manifest, clone)
    pump(connect([held(drive, owner)], [target], 2))
    assert target.is_whole
    assert [clone.get_verified(block) for block in range(50)] == [owner.logs[CONTENT].get(block) for block in range(50)]
    clone.close()


def test_what_is_over_the_quota_ends_the_connection_and_takes_nothing_away(drive: HeldDrive, owner: Owner) -> None:
    pump(connect([serves(owner.logs[CONTENT])], [held(drive, owner)]))
    drive.set_quota(drive.used_bytes + 100)
    owner.append(CONTENT, 100)
    pair = connect([serves(owner.logs[CONTENT])], [held(drive, owner)], 2)
    pump(pair)
    assert isinstance(pair[1].error, OverQuota)
    assert next(drive.lend(owner.discovery_key(CONTENT)).ranges()) == (0, 50)


def test_attack_d01_late_blocks_of_a_revoked_device_end_its_connection(drive: HeldDrive, owner: Owner) -> None:
    pump(connect([serves(owner.logs[CONTENT])], [held(drive, owner)]))
    owner.revoke()
    drive.offer_chain(owner.chain.encode())
    owner.append(CONTENT, 3)
    pair = connect([serves(owner.logs[CONTENT])], [held(drive, owner)], 2)
    pump(pair)
    assert isinstance(pair[1].error, Refused)
    assert "is revoked" in str(pair[1].error)
    assert list(drive.lend(owner.discovery_key(CONTENT)).ranges()) == [(0, 50)]


def test_attack_m04_another_history_that_comes_by_the_wire_is_proved(
    drive: HeldDrive, owner: Owner, tmp_path: Path
) -> None:
    pump(connect([serves(owner.logs[CONTENT])], [held(drive, owner)]))
    other = Log.create(Disk(tmp_path), "other", owner.signer(CONTENT), CONTENT)
    other.append([b"another past %d" % number for number in range(80)])
    other.flush()
    target = held(drive, owner)
    pump(connect([serves(other)], [target], 2))
    (proof,) = target.contradictions
    with pytest.raises(Contradiction, match="two histories"):
        drive.witness(owner.discovery_key(CONTENT), proof)
    assert len(drive.dossier.found) == 1
    other.close()
