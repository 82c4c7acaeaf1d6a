"""One drive on a cloud peer: what it takes, keeps, promises and lets go."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hyperfs.errors import Contradiction, Corrupt, NoSpace, NotResident, OverQuota, Refused
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import LogClosed, LogEntry, LogOpened
from hyperfs.log.log import Log
from hyperfs.log.proof import BlockRequest, Request, UpgradeRequest
from hyperfs.log.receipt import check
from hyperfs.peer import holds
from hyperfs.peer.blockstore import BlockStore
from hyperfs.peer.drive import HOLDS, HeldDrive, Offered
from hyperfs.peer.memory_store import MemoryStore
from hyperfs.peer.peer import Peer
from hyperfs.store.files import Disk
from tests.log.replicating import block_of, bring, grow, upgrade_of

from .conftest import CONTENT, DAY, HOUR, METADATA, NOW, PEER_KEY, Owner, key, upload

CHALLENGE = b"\x03" * 32


def days(drive: HeldDrive, first: int, last: int) -> None:
    """A look each day, the first and the last as well, counted from NOW."""
    for day in range(first, last + 1):
        drive.sweep(NOW + day * DAY)


def held(drive: HeldDrive, owner: Owner, number: int = CONTENT) -> list[tuple[int, int]]:
    return list(drive.lend(owner.discovery_key(number)).ranges())


def test_a_chain_grows_and_never_goes_back(drive: HeldDrive, owner: Owner, reopen: Callable[[], BlockStore]) -> None:
    first = owner.chain.encode()
    assert drive.offer_chain(first) is Offered.SAME
    owner.clear(CONTENT, (1, 2))
    assert drive.offer_chain(owner.chain.encode()) is Offered.NEWER
    assert drive.offer_chain(owner.chain.encode()) is Offered.SAME
    assert drive.offer_chain(first) is Offered.OLDER
    assert drive.chain == owner.chain


def test_a_chain_that_is_none_changes_nothing(drive: HeldDrive, owner: Owner, tmp_path: Path) -> None:
    stranger = Chain.start(owner.roster._replace(root_key=key("stranger").public_key), key("stranger"))
    old = owner.chain
    owner.record(LogOpened(LogEntry(3, 1, CONTENT, key("log 3").public_key)))
    data = owner.chain.encode()
    with pytest.raises(Corrupt):
        drive.offer_chain(data[:-1] + b"\0")
    with pytest.raises(Corrupt, match="another drive"):
        drive.offer_chain(stranger.encode())
    unsigned = owner.chain.records[1]._replace(signature=bytes(64))
    forged = Chain((*old.records, unsigned), unsigned.hash(), old.state).encode()
    with pytest.raises(Refused, match="signed"):
        drive.offer_chain(forged)
    assert drive.chain == old
    assert drive.offer_chain(data) is Offered.NEWER


def test_everything_is_there_after_a_restart(drive: HeldDrive, owner: Owner, peer: Peer, store: BlockStore) -> None:
    upload(owner, drive, METADATA)
    upload(owner, drive, CONTENT, 3, 4, 9)
    drive.set_quota(10_000_000)
    owner.clear(CONTENT, (4, 5))
    drive.offer_chain(owner.chain.encode())
    drive.close()
    again = HeldDrive(store, owner.id, 0)
    assert again.chain == owner.chain
    assert again.settings.quota_bytes == 10_000_000
    assert again.holds == drive.holds
    assert again.used_bytes == drive.used_bytes > 0
    assert held(again, owner, METADATA) == [(0, 20)]
    assert held(again, owner) == [(3, 5), (9, 10)]
    again.close()


def test_nothing_is_taken_before_the_chain_or_outside_of_it(peer: Peer, owner: Owner) -> None:
    drive = peer.admit(owner.id)
    with pytest.raises(Refused, match="has not come yet"):
        drive.lend(owner.discovery_key(CONTENT))
    drive.offer_chain(owner.chain.encode())
    with pytest.raises(Refused, match="not in the drive's roster"):
        drive.lend(b"\x01" * 32)
    assert not drive.has_log(b"\x01" * 32)


def test_a_clear_is_done_after_thirty_days_and_not_an_hour_before(drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT)
    owner.clear(CONTENT, (10, 20))
    drive.offer_chain(owner.chain.encode())
    days(drive, 0, 29)
    for hour in range(24):
        drive.sweep(NOW + 29 * DAY + hour * HOUR)
    assert held(drive, owner) == [(0, 50)]
    drive.sweep(NOW + 30 * DAY)
    assert held(drive, owner) == [(0, 10), (20, 50)]
    assert drive.holds.clears == {}
    days(drive, 30, 31)
    assert held(drive, owner) == [(0, 10), (20, 50)]


def test_time_from_before_a_clear_came_is_not_counted_for_it(drive: HeldDrive, owner: Owner) -> None:
    """The last look was a day before; the next one, right after, counts that day: for what was here then."""
    upload(owner, drive, CONTENT)
    owner.clear(CONTENT, (10, 20))
    drive.offer_chain(owner.chain.encode())  # at NOW + 24 h - 1 s, say
    days(drive, 1, 30)
    assert held(drive, owner) == [(0, 50)]
    days(drive, 31, 31)
    assert held(drive, owner) == [(0, 10), (20, 50)]


def test_only_the_deed_counts(drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT)
    owner.clear(CONTENT, (10, 20))
    drive.offer_chain(Chain.parse_records(owner.chain.records[:-1]).encode())
    days(drive, 0, 40)
    assert held(drive, owner) == [(0, 50)]


def test_a_peer_that_is_off_holds_the_longer(drive: HeldDrive, owner: Owner, store: BlockStore) -> None:
    upload(owner, drive, CONTENT)
    owner.clear(CONTENT, (10, 20))
    drive.offer_chain(owner.chain.encode())
    drive.close()
    again = HeldDrive(store, owner.id, 0)
    again.sweep(NOW + 300 * DAY)
    assert held(again, owner) == [(0, 50)]
    days(again, 301, 329)
    assert held(again, owner) == [(0, 50)]
    days(again, 330, 330)
    assert held(again, owner) == [(0, 10), (20, 50)]
    again.close()


def test_a_damaged_record_of_holds_begins_to_count_anew(drive: HeldDrive, owner: Owner, store: BlockStore) -> None:
    upload(owner, drive, CONTENT)
    owner.clear(CONTENT, (10, 20))
    drive.offer_chain(owner.chain.encode())
    days(drive, 0, 29)
    drive.close()
    store.write(owner.id, HOLDS, b"rubbish")
    again = HeldDrive(store, owner.id, 0)
    days(again, 30, 59)
    assert held(again, owner) == [(0, 50)]
    days(again, 60, 60)
    assert held(again, owner) == [(0, 10), (20, 50)]
    again.close()


def test_a_receipt_says_what_is_synced_and_stays(drive: HeldDrive, owner: Owner) -> None:
    log = owner.discovery_key(CONTENT)
    with pytest.raises(Refused, match="nothing"):
        drive.receipt(log, CHALLENGE, PEER_KEY, NOW)
    upload(owner, drive, CONTENT, *range(5, 30))
    bring(owner.logs[CONTENT], drive.lend(log), 40)  # a receipt syncs what was kept
    signed = drive.receipt(log, CHALLENGE, PEER_KEY, NOW)
    found = check(signed.encode(), PEER_KEY.public_key, owner.id, log, CHALLENGE, NOW + DAY)
    assert found.ranges == ((5, 30), (40, 41))
    head = owner.logs[CONTENT].head()
    assert (found.fork, found.length, found.tree_hash) == (head.fork, head.length, head.tree_hash)
    assert found.expires_ns - found.issued_ns == 30 * DAY
    assert drive.receipt(log, CHALLENGE, PEER_KEY, NOW, 29).receipt.ranges == ((29, 30), (40, 41))
    owner.clear(CONTENT, (0, 7), (20, 25))
    drive.offer_chain(owner.chain.encode())
    assert drive.receipt(log, CHALLENGE, PEER_KEY, NOW).receipt.ranges == ((7, 20), (25, 30), (40, 41))


def test_an_audit_gives_the_blocks_from_the_disk(drive: HeldDrive, owner: Owner) -> None:
    log = owner.discovery_key(CONTENT)
    upload(owner, drive, CONTENT, *range(20))
    for proof, block in zip(drive.audit(log, [3, 17]), (3, 17), strict=True):
        assert owner.logs[CONTENT].check_proof(proof).block == (block, owner.logs[CONTENT].get(block))
    with pytest.raises(NotResident):
        drive.audit(log, [30])
    with pytest.raises(Refused, match="at most"):
        drive.audit(log, range(65))


def test_a_quota_holds_and_what_is_had_stays(drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT, *range(20))
    drive.set_quota(drive.used_bytes + 100)
    owner.append(CONTENT, 100)
    with pytest.raises(OverQuota, match="quota"):
        upload(owner, drive, CONTENT)
    assert held(drive, owner)[0] == (0, 20)
    drive.set_quota(None)
    upload(owner, drive, CONTENT)
    assert held(drive, owner) == [(0, 150)]
    drive.set_quota(0)
    owner.clear(CONTENT, (0, 20))
    assert drive.offer_chain(owner.chain.encode()) is Offered.NEWER
    days(drive, 0, 31)
    assert held(drive, owner) == [(20, 150)]


def test_the_last_of_the_disk_is_not_for_blocks(owner: Owner) -> None:
    store = MemoryStore(free=1 << 20)
    drive = Peer(store, PEER_KEY, floor_bytes=1 << 19).admit(owner.id)
    drive.offer_chain(owner.chain.encode())
    upload(owner, drive, CONTENT, 1)
    store.free = 1 << 19
    with pytest.raises(NoSpace, match="kept free"):
        upload(owner, drive, CONTENT, 2)
    owner.clear(CONTENT, (1, 2))
    assert drive.offer_chain(owner.chain.encode()) is Offered.NEWER


def test_a_closed_log_takes_what_it_was_closed_at_and_no_more(drive: HeldDrive, owner: Owner) -> None:
    head = owner.logs[CONTENT].head()
    grow(owner.logs[CONTENT], drive.lend(owner.discovery_key(CONTENT)))
    upload(owner, drive, METADATA, 1)
    owner.record(LogClosed(CONTENT, head.fork, head.length, head.tree_hash))
    meta = owner.logs[METADATA].head()
    owner.append(METADATA, 1)
    owner.record(LogClosed(METADATA, meta.fork, meta.length, meta.tree_hash))
    drive.offer_chain(owner.chain.encode())
    upload(owner, drive, CONTENT)
    assert held(drive, owner) == [(0, 50)]
    owner.append(CONTENT, 1)
    for number in (CONTENT, METADATA):
        lent = drive.lend(owner.discovery_key(number))
        with pytest.raises(Refused, match="was closed at"):
            lent.check_proof(upgrade_of(owner.logs[number], lent))


def test_a_fork_that_the_root_permits_is_taken_and_the_old_one_kept_thirty_days(drive: HeldDrive, owner: Owner) -> None:
    log = owner.discovery_key(CONTENT)
    upload(owner, drive, CONTENT)
    old = owner.logs[CONTENT].head()
    head = owner.logs[CONTENT].truncate(5)
    owner.record(LogClosed(CONTENT, head.fork, head.length, head.tree_hash), by_root=True)
    drive.offer_chain(owner.chain.encode())
    drive.sweep(NOW)
    upload(owner, drive, CONTENT)
    assert drive.lend(log).fork == 1
    assert held(drive, owner) == [(0, 5)]
    before = drive.lend(log, 0)
    assert before.head() == old
    assert list(before.ranges()) == [(0, 50)]
    days(drive, 0, 29)
    assert list(drive.lend(log, 0).ranges()) == [(0, 50)]
    days(drive, 30, 30)
    assert list(drive.lend(log, 0).ranges()) == []
    assert held(drive, owner) == [(0, 5)]


def test_a_log_whose_files_are_damaged_does_not_stop_the_others(drive: HeldDrive, owner: Owner, tmp_path: Path) -> None:
    """Only in a folder can anything be damaged: in memory this tries the same calls."""
    upload(owner, drive, METADATA)
    upload(owner, drive, CONTENT)
    lent = drive.lend(owner.discovery_key(CONTENT))
    assert lent.scrub(0, 50) == []
    lent.forget(7)
    assert drive.damaged == [(lent.place, 7)]
    assert held(drive, owner) == [(0, 7), (8, 50)]
    upload(owner, drive, CONTENT)
    assert held(drive, owner) == [(0, 50)]
    assert held(drive, owner, METADATA) == [(0, 20)]


def test_a_witness_of_the_same_history_finds_nothing(drive: HeldDrive, owner: Owner) -> None:
    log = owner.discovery_key(CONTENT)
    upload(owner, drive, CONTENT)
    for length in (1, 31, 50):
        drive.witness(log, owner.logs[CONTENT].proof(Request(upgrade=UpgradeRequest(0, length))))
    owner.append(CONTENT, 9)
    drive.witness(log, owner.logs[CONTENT].proof(Request(upgrade=UpgradeRequest(0, 50))))
    drive.witness(log, owner.logs[CONTENT].proof(Request(upgrade=UpgradeRequest(0, 59))))
    with pytest.raises(Corrupt, match="from nothing"):
        drive.witness(log, owner.logs[CONTENT].proof(Request(block=BlockRequest(1))))
    assert drive.dossier.found == []


def test_a_block_is_had_only_after_the_sync(drive: HeldDrive, owner: Owner) -> None:
    lent = drive.lend(owner.discovery_key(CONTENT))
    lent.keep(lent.check_proof(block_of(owner.logs[CONTENT], lent, 5)))
    assert not lent.has(5)
    lent.close()
    assert held(drive, owner) == []


def test_contradictions_are_kept_once(drive: HeldDrive, owner: Owner, store: BlockStore, tmp_path: Path) -> None:
    other = Owner(tmp_path / "other")
    for number in range(3):
        owner.chain = Chain.parse_records(owner.chain.records[:1])
        other.chain = Chain.parse_records(other.chain.records[:1])
        owner.record(LogOpened(LogEntry(3, 1, CONTENT, key("log 3").public_key)))
        other.record(LogOpened(LogEntry(3, 1, CONTENT, key(f"other log {number}").public_key)))
        drive.offer_chain(owner.chain.encode())
        with pytest.raises(Contradiction, match="part at record 1, signed by device 1"):
            drive.offer_chain(other.chain.encode())
    assert len(drive.dossier.found) == 1
    assert drive.chain == owner.chain
    again = HeldDrive(store, owner.id, 0)
    assert again.dossier.found == drive.dossier.found
    assert holds.decode(store.read(owner.id, HOLDS) or b"") == drive.holds
    other.close()


def test_a_log_from_another_hand_is_not_stored(drive: HeldDrive, owner: Owner, tmp_path: Path) -> None:
    forged = Log.create(Disk(tmp_path), "forged", key("thief"))
    forged.append([b"anything"])
    forged.flush()
    lent = drive.lend(owner.discovery_key(CONTENT))
    with pytest.raises(Corrupt, match="signature"):
        lent.check_proof(forged.proof(Request(block=BlockRequest(0), upgrade=UpgradeRequest(0, 1))))
    forged.close()
