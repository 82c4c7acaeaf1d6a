"""What a malicious peer, device or thief may try on what a cloud peer stores; each tries it and sees it fail.

The letters are those of the threat model (docs/threat-model.md). In all of them what the peer had acknowledged
before is still there and still proved afterwards.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperfs.crypto.keys import LOG_CONTENT
from hyperfs.errors import BadRequest, Contradiction, Corrupt, FormatTooNew, HyperfsError, Refused
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import (
    CLOSED,
    REVOKED,
    ROOT,
    LogEntry,
    LogOpened,
    Roster,
    Succession,
    sign_record,
    succession_message,
)
from hyperfs.log.heads import Head
from hyperfs.log.log import Log
from hyperfs.log.merkle import Node, hash32
from hyperfs.log.proof import (
    MAX_LENGTH,
    BlockProof,
    BlockRequest,
    Request,
    TreeProof,
    UpgradeProof,
    UpgradeRequest,
)
from hyperfs.log.receipt import check
from hyperfs.peer import rules
from hyperfs.peer.blockstore import BlockStore, Place
from hyperfs.peer.drive import MOST_CHAIN_BYTES, HeldDrive, Offered
from hyperfs.peer.evidence import ForkedChain, ForkedLog, UnpermittedFork, proves
from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer.peer import Peer
from hyperfs.store.files import Disk
from tests.log.replicating import block_of, bring, grow, upgrade_of

from .conftest import CONTENT, DAY, METADATA, NOW, PEER_KEY, Owner, box, device, key, upload

CHALLENGE = b"\x03" * 32


class Standing:
    """What the peer had before an attack, to be compared with after."""

    def __init__(self, drive: HeldDrive, owner: Owner) -> None:
        self.drive = drive
        self.logs = [owner.discovery_key(number) for number in (METADATA, CONTENT)]
        self.before = self._look()

    def _look(self) -> list[tuple[Head | None, list[tuple[int, int]]]]:
        found = []
        for log in self.logs:
            lent = self.drive.lend(log, 0)
            found.append((lent.head(), list(lent.ranges())))
            for start, end in lent.ranges():
                assert lent.scrub(start, end) == []
        return found

    def holds(self) -> bool:
        return self._look() == self.before


@pytest.fixture
def standing(drive: HeldDrive, owner: Owner) -> Iterator[Standing]:
    upload(owner, drive, METADATA)
    upload(owner, drive, CONTENT)
    found = Standing(drive, owner)
    yield found
    assert found.holds()


def proofs_of(owner: Owner, drive: HeldDrive) -> TreeProof:
    """The proof of one more block, as the honest device would give it."""
    owner.append(CONTENT, 1)
    return block_of(owner.logs[CONTENT], drive.lend(owner.discovery_key(CONTENT)), 50)


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit >> 3] + bytes([data[bit >> 3] ^ 1 << (bit & 7)]) + data[(bit >> 3) + 1 :]


def test_attack_m01_no_bit_of_what_comes_can_be_flipped(standing: Standing, drive: HeldDrive, owner: Owner) -> None:
    good = proofs_of(owner, drive)
    lent = drive.lend(owner.discovery_key(CONTENT))
    block, upgrade = good.block, good.upgrade
    assert block is not None
    assert upgrade is not None
    bad = [good._replace(block=block._replace(value=flipped(block.value, bit))) for bit in range(0, 64, 5)]
    bad += [
        good._replace(upgrade=upgrade._replace(signature=flipped(upgrade.signature, bit))) for bit in range(0, 512, 37)
    ]
    for part, nodes in (("nodes", upgrade.nodes), ("additional", upgrade.additional)):
        for at, node in enumerate(nodes):
            for worse in (node._replace(hash=flipped(node.hash, 3)), node._replace(size=node.size + 1)):
                bad.append(good._replace(upgrade=upgrade._replace(**{part: (*nodes[:at], worse, *nodes[at + 1 :])})))
    for proof in bad:
        with pytest.raises(Corrupt):
            lent.check_proof(proof)
    lent.keep(lent.check_proof(good))


def test_attack_m01_a_bit_flipped_on_the_peers_disk_is_never_served_nor_attested(owner: Owner, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "peer")
    drive = Peer(store, PEER_KEY, floor_bytes=0).admit(owner.id)
    drive.offer_chain(owner.chain.encode())
    upload(owner, drive, CONTENT)
    log = owner.discovery_key(CONTENT)
    path = tmp_path / "peer" / "drives" / owner.id.hex() / "logs" / log.hex() / "0" / "blocks"
    data = bytearray(path.read_bytes())
    data[owner.logs[CONTENT].block_range(33)[0]] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="do not fit the signed tree"):
        drive.audit(log, [33])
    assert drive.damaged == [(Place(owner.id, log, 0), 33)]
    found = drive.receipt(log, CHALLENGE, PEER_KEY, NOW).receipt
    assert found.ranges == ((0, 33), (34, 50))
    upload(owner, drive, CONTENT, 33)
    assert drive.receipt(log, CHALLENGE, PEER_KEY, NOW).receipt.ranges == ((0, 50),)
    drive.close()
    store.close()


def test_attack_m02_a_valid_block_fits_in_no_other_place(standing: Standing, drive: HeldDrive, owner: Owner) -> None:
    owner.append(CONTENT, 2)
    owner.append(METADATA, 2)
    lent = drive.lend(owner.discovery_key(CONTENT))
    good = block_of(owner.logs[CONTENT], lent, 50)
    assert good.block is not None
    for other in (
        good._replace(block=good.block._replace(block=51)),
        good._replace(block=good.block._replace(value=owner.logs[CONTENT].get(51))),
        good._replace(block=good.block._replace(value=owner.logs[METADATA].get(20))),
        good._replace(fork=0, block=good.block._replace(block=3)),
    ):
        with pytest.raises(Corrupt):
            lent.check_proof(other)
    theirs = block_of(owner.logs[METADATA], drive.lend(owner.discovery_key(METADATA)), 20)
    with pytest.raises(HyperfsError):
        lent.check_proof(theirs)


def test_attack_m03_a_shorter_log_takes_nothing_away(
    standing: Standing, drive: HeldDrive, owner: Owner, tmp_path: Path
) -> None:
    """Who hides the tail offers an old head with an old chain: both are refused. A peer that was itself put back to an
    old state says so in its receipts, by their length."""
    old = Log.create(Disk(tmp_path), "old", owner.signer(CONTENT), CONTENT)
    old.append([owner.logs[CONTENT].get(block) for block in range(30)])
    old.flush()
    lent = drive.lend(owner.discovery_key(CONTENT))
    before = old.proof(Request(upgrade=UpgradeRequest(0, 30)))
    with pytest.raises(Corrupt):
        lent.check_proof(before)
    drive.witness(owner.discovery_key(CONTENT), before)  # no contradiction: only older
    assert drive.offer_chain(owner.chain.encode()) is Offered.SAME
    owner.record(LogOpened(LogEntry(3, 1, LOG_CONTENT, key("log 3").public_key)))
    assert drive.offer_chain(owner.chain.encode()) is Offered.NEWER
    assert drive.offer_chain(Chain.parse_records(owner.chain.records[:1]).encode()) is Offered.OLDER
    assert drive.chain == owner.chain
    receipt = drive.receipt(owner.discovery_key(CONTENT), CHALLENGE, PEER_KEY, NOW)
    assert receipt.receipt.length == 50
    old.close()


def test_attack_m04_two_histories_of_a_log_are_found_out_and_proved(
    standing: Standing, drive: HeldDrive, owner: Owner, tmp_path: Path, store: BlockStore
) -> None:
    """The device's key signs another history (restored from an image, or stolen): the peer keeps the first."""
    other = Log.create(Disk(tmp_path), "other", owner.signer(CONTENT), CONTENT)
    other.append([owner.logs[CONTENT].get(block) for block in range(40)])
    other.append([b"another past %d" % block for block in range(30)])
    other.flush()
    lent = drive.lend(owner.discovery_key(CONTENT))
    with pytest.raises(Corrupt, match="signature"):
        lent.check_proof(upgrade_of(other, lent))
    with pytest.raises(Contradiction, match="two histories, different within the first 50 blocks"):
        drive.witness(owner.discovery_key(CONTENT), other.proof(Request(upgrade=UpgradeRequest(0, 50))))
    drive.witness(owner.discovery_key(CONTENT), other.proof(Request(upgrade=UpgradeRequest(0, 40))))
    (found,) = HeldDrive(store, owner.id, 0).dossier.found
    assert isinstance(found, ForkedLog)
    assert proves(found)
    other.close()


def test_attack_m04_two_control_chains_are_found_out_and_proved(
    standing: Standing, drive: HeldDrive, owner: Owner, store: BlockStore
) -> None:
    laptop = key("drive laptop")
    one, other = (
        owner.chain.append(owner.chain.make(LogOpened(LogEntry(3, 1, LOG_CONTENT, key(name).public_key)), laptop, 1))
        for name in ("one", "other")
    )
    drive.offer_chain(one.encode())
    with pytest.raises(Contradiction, match="two control chains part at record 1, signed by device 1 here"):
        drive.offer_chain(other.encode())
    assert drive.chain == one
    (found,) = HeldDrive(store, owner.id, 0).dossier.found
    assert isinstance(found, ForkedChain)
    assert proves(found)


def test_attack_m07_nobody_but_the_root_adds_a_device_or_a_root(
    standing: Standing, drive: HeldDrive, owner: Owner
) -> None:
    laptop, thief = key("drive laptop"), key("thief")
    grown = owner.roster._replace(devices=(owner.laptop, device(2, "thief")))
    consent = thief.sign(succession_message(owner.id, thief.public_key, box("thief")))
    for body in (grown, Succession(thief.public_key, box("thief"), consent)):
        for signer, number in ((laptop, 1), (thief, ROOT), (thief, 1)):
            record = sign_record(signer, number, 1, owner.chain.last_hash, body)
            forged = Chain((*owner.chain.records, record), record.hash(), owner.chain.state).encode()
            with pytest.raises((Refused, Corrupt), match=r"root|signed"):
                drive.offer_chain(forged)
    assert drive.chain == owner.chain


def test_attack_m09_another_format_is_refused_by_name(standing: Standing, drive: HeldDrive, owner: Owner) -> None:
    data = bytearray(owner.chain.encode())
    data[8] = 2
    with pytest.raises(FormatTooNew, match="control chain"):
        drive.offer_chain(bytes(data[:-32]) + hash32(bytes(data[:-32])))
    receipt = bytearray(drive.receipt(owner.discovery_key(CONTENT), CHALLENGE, PEER_KEY, NOW).encode())
    for version, error in ((0, Corrupt), (2, FormatTooNew)):
        receipt[8] = version
        with pytest.raises(error):
            check(bytes(receipt), PEER_KEY.public_key, owner.id, owner.discovery_key(CONTENT), CHALLENGE, NOW)


def test_attack_m10_a_receipt_names_nothing_that_is_not_on_the_disk(drive: HeldDrive, owner: Owner) -> None:
    log = owner.discovery_key(CONTENT)
    lent = drive.lend(log)
    bring(owner.logs[CONTENT], lent, 1, 2)
    lent.close()  # as a kill would: nothing was synced
    with pytest.raises(Refused, match="nothing"):
        drive.receipt(log, CHALLENGE, PEER_KEY, NOW)
    upload(owner, drive, CONTENT, 4)
    assert drive.receipt(log, CHALLENGE, PEER_KEY, NOW).receipt.ranges == ((4, 5),)


def test_attack_m11_an_old_receipt_answers_no_new_challenge(standing: Standing, drive: HeldDrive, owner: Owner) -> None:
    log = owner.discovery_key(CONTENT)
    old = drive.receipt(log, CHALLENGE, PEER_KEY, NOW).encode()
    check(old, PEER_KEY.public_key, owner.id, log, CHALLENGE, NOW)
    with pytest.raises(Refused, match="played again"):
        check(old, PEER_KEY.public_key, owner.id, log, b"\x04" * 32, NOW)


def test_attack_m12_a_stolen_device_key_deletes_nothing_that_is_missed_in_time(
    drive: HeldDrive, owner: Owner, store: BlockStore
) -> None:
    """The thief clears everything, and the peer's clock is set forward by years; the device is revoked on day 29."""
    upload(owner, drive, METADATA)
    upload(owner, drive, CONTENT)
    standing = Standing(drive, owner)
    owner.clear(CONTENT, (0, 50))
    owner.clear(METADATA, (0, 20))
    drive.offer_chain(owner.chain.encode())
    drive.sweep(NOW)
    drive.sweep(NOW + 3000 * DAY)
    for day in range(28):
        drive.sweep(NOW + day * DAY)
    assert standing.holds()
    owner.revoke()
    drive.offer_chain(owner.chain.encode())
    for day in range(28, 100):
        drive.sweep(NOW + day * DAY)
    drive.close()
    again = HeldDrive(store, owner.id, 0)
    again.sweep(NOW + 101 * DAY)
    standing.drive = again
    assert standing.holds()
    assert again.receipt(owner.discovery_key(CONTENT), CHALLENGE, PEER_KEY, NOW).receipt.ranges == ((0, 50),)
    again.close()


def test_attack_m12_a_device_clears_only_its_own_logs(standing: Standing, drive: HeldDrive, owner: Owner) -> None:
    phone = device(2, "phone")
    owner.record(owner.roster._replace(devices=(owner.laptop, phone)), by_root=True)
    drive.offer_chain(owner.chain.encode())
    honest = owner.chain
    owner.clear(CONTENT, (0, 5), by_root=True)
    body = owner.chain.records[-2].body
    owner.chain = honest
    record = sign_record(key("phone"), 2, len(honest.records), honest.last_hash, body)
    with pytest.raises(Refused, match="device 2 speaks for log 2"):
        drive.offer_chain(Chain((*honest.records, record), record.hash(), honest.state).encode())


def huge_proofs(owner: Owner, drive: HeldDrive) -> Iterator[TreeProof]:
    good = proofs_of(owner, drive)
    block, upgrade = good.block, good.upgrade
    assert block is not None
    assert upgrade is not None
    node = Node(2 * MAX_LENGTH, 1 << 60, b"\0" * 32)
    yield good._replace(upgrade=upgrade._replace(length=1 << 63))
    yield good._replace(upgrade=upgrade._replace(start=1 << 63))
    yield good._replace(upgrade=upgrade._replace(length=0))
    yield good._replace(upgrade=upgrade._replace(nodes=(node,) * 1000))
    yield good._replace(upgrade=upgrade._replace(additional=(node,)))
    yield good._replace(upgrade=upgrade._replace(additional=(Node((1 << 60) - 1, 5, b"\0" * 32),)))
    yield good._replace(block=block._replace(block=1 << 62))
    yield good._replace(block=BlockProof(50, b"x", (node,) * 100))
    yield good._replace(block=BlockProof(50, b"x", (Node(101, 1 << 60, b"\0" * 32),)))
    yield TreeProof(0, upgrade=UpgradeProof(50, 1, (), (), b""))
    yield TreeProof(0)


def test_attack_m13_absurd_proofs_are_refused(standing: Standing, drive: HeldDrive, owner: Owner) -> None:
    lent = drive.lend(owner.discovery_key(CONTENT))
    absurd = list(huge_proofs(owner, drive))
    for proof in absurd[:-1]:
        with pytest.raises((Corrupt, Refused)):
            lent.check_proof(proof)
    assert lent.check_proof(absurd[-1]).nodes == ()  # says nothing, and changes nothing
    with pytest.raises((BadRequest, Corrupt)):
        lent.proof(Request(block=BlockRequest(1, 1 << 60)))
    with pytest.raises(BadRequest):
        lent.proof(Request(upgrade=UpgradeRequest(0, 1 << 60)))


def test_attack_m13_a_log_of_absurd_length_is_refused_though_its_key_signs_it(
    standing: Standing, drive: HeldDrive, owner: Owner
) -> None:
    entry = owner.chain.logs[CONTENT]
    with pytest.raises(Refused, match="at most"):
        rules.check_growth(owner.chain, entry, 50, rules.MOST_BLOCKS + 1)
    lent = drive.lend(owner.discovery_key(CONTENT))
    tops = tuple(Node(2 * start + (1 << 40) - 1, 1, b"\1" * 32) for start in range(1 << 40, 1 << 42, 1 << 40))
    with pytest.raises(Refused, match="blocks: a log has at most"):
        lent.check_proof(TreeProof(0, upgrade=UpgradeProof(50, 1, (), tops, bytes(64))))


def test_attack_m13_a_control_chain_of_absurd_size_is_not_read(standing: Standing, drive: HeldDrive) -> None:
    with pytest.raises(Refused, match="at most"):
        drive.offer_chain(bytes(2 * MOST_CHAIN_BYTES + 1))


def test_attack_m13_who_fills_the_chain_can_not_stop_the_revocation(
    standing: Standing, drive: HeldDrive, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperfs.peer.drive.MOST_CHAIN_BYTES", 2000)
    honest = owner.chain
    for number in itertools.count(3):
        owner.record(LogOpened(LogEntry(number, 1, LOG_CONTENT, key(f"thief's {number}").public_key)))
        if len(owner.chain.encode()) > 2000:
            break
        drive.offer_chain(owner.chain.encode())
        honest = owner.chain
    with pytest.raises(Refused, match="at most 2000"):
        drive.offer_chain(owner.chain.encode())
    owner.chain = honest
    devices = (owner.laptop._replace(state=REVOKED),)
    owner.record(owner.roster._replace(devices=devices, logs=tuple(owner.chain.logs.values())), by_root=True)
    assert len(owner.chain.encode()) > 2000
    assert drive.offer_chain(owner.chain.encode()) is Offered.NEWER


def test_attack_m14_what_was_cleared_can_not_be_brought_back_by_replay(drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT)
    lent = drive.lend(owner.discovery_key(CONTENT))
    replayed = owner.logs[CONTENT].proof(Request(block=BlockRequest(12)))
    before = owner.chain.encode()
    owner.clear(CONTENT, (10, 20))
    drive.offer_chain(owner.chain.encode())
    for day in range(31):
        drive.sweep(NOW + day * DAY)
    assert list(lent.ranges()) == [(0, 10), (20, 50)]
    with pytest.raises(Refused, match="block 12 of log 2 was cleared by its owner"):
        lent.check_proof(replayed)
    assert drive.offer_chain(before) is Offered.OLDER
    with pytest.raises(Refused):
        lent.check_proof(replayed)


def test_attack_d01_a_revoked_devices_late_blocks_are_not_taken(
    standing: Standing, drive: HeldDrive, owner: Owner
) -> None:
    owner.revoke()
    drive.offer_chain(owner.chain.encode())
    owner.append(CONTENT, 5)
    lent = drive.lend(owner.discovery_key(CONTENT))
    with pytest.raises(Refused, match="device 1 is revoked: its log 2 takes nothing past 50 blocks"):
        lent.check_proof(block_of(owner.logs[CONTENT], lent, 52))


def test_attack_d01_a_revoked_devices_log_ends_where_the_root_closed_it(
    drive: HeldDrive, owner: Owner, tmp_path: Path
) -> None:
    """It was revoked at its 50 blocks; the peer has 30 of them. Neither more nor another past is taken."""
    signer = owner.signer(CONTENT)
    early = Log.create(Disk(tmp_path), "early", signer, CONTENT)
    early.append([owner.logs[CONTENT].get(block) for block in range(30)])
    early.flush()
    lent = drive.lend(owner.discovery_key(CONTENT))
    grow(early, lent)
    lent.sync()
    head = owner.logs[CONTENT].head()
    devices = (owner.laptop._replace(state=REVOKED),)
    logs = tuple(
        entry._replace(state=CLOSED, fork=head.fork, length=head.length, tree_hash=head.tree_hash)
        if entry.number == CONTENT
        else entry
        for entry in owner.chain.logs.values()
    )
    owner.record(Roster(owner.roster.root_key, owner.roster.recovery_key, devices, logs), by_root=True)
    drive.offer_chain(owner.chain.encode())
    early.append([b"backdated %d" % block for block in range(20)])
    early.flush()
    with pytest.raises(Refused, match="closed with another tree of 50 blocks"):
        lent.check_proof(upgrade_of(early, lent))
    early.append([b"late"])
    early.flush()
    with pytest.raises(Refused, match="was closed at 50 blocks"):
        lent.check_proof(upgrade_of(early, lent))
    upload(owner, drive, CONTENT)
    assert list(lent.ranges()) == [(0, 50)]
    early.close()


def test_attack_forged_wipe_by_a_stolen_device_key_is_refused_named_and_proved(
    standing: Standing, drive: HeldDrive, owner: Owner, tmp_path: Path, store: BlockStore
) -> None:
    """In Hypercore the log's key alone signs fork 1, and every peer drops what it had."""
    wipe = Log.create(Disk(tmp_path), "wipe", owner.signer(CONTENT), CONTENT)
    wipe.append([b"x"])
    wipe.flush()
    wipe.truncate(0)
    wipe.append([b"nothing left"])
    wipe.flush()
    log = owner.discovery_key(CONTENT)
    lent = drive.lend(log)
    proof = wipe.proof(Request(upgrade=UpgradeRequest(0, 1)))
    says = "which the drive's root has not permitted: what is here stays. .* that device's key may be stolen"
    with pytest.raises(Refused, match=says):
        lent.check_proof(proof)
    with pytest.raises(Refused, match=says):
        drive.lend(log, 1)
    with pytest.raises(Refused, match=says):
        drive.witness(log, proof)
    (found,) = HeldDrive(store, owner.id, 0).dossier.found
    assert isinstance(found, UnpermittedFork)
    assert proves(found)
    forged = proof._replace(upgrade=proof.upgrade._replace(signature=bytes(64)))  # type: ignore[union-attr]
    with pytest.raises(Corrupt):
        drive.witness(log, forged)
    wipe.close()
