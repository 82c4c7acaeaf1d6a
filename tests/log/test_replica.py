"""A log of another's, in parts: what is kept is proved, what is had is durable, what is absent is said to be."""

import errno
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import BadRequest, Corrupt, NotResident, SyncFailed
from hyperfs.log.flat_tree import full_roots
from hyperfs.log.log import Log
from hyperfs.log.merkle import MerkleTree
from hyperfs.log.proof import BlockProof, BlockRequest, HashRequest, Request, SeekRequest, UpgradeRequest
from hyperfs.log.replica import Replica
from hyperfs.store.files import Disk
from tests.faults.faulty_disk import Plan

from .replicating import block_of, bring, grow, upgrade_of

COUNT = 300


def content(i: int) -> bytes:
    return b"%d:" % i + bytes([i & 255]) * (i * 37 % 600)


@pytest.fixture
def source(log: Log) -> Log:
    log.append([content(i) for i in range(COUNT)])
    log.flush()
    return log


@pytest.fixture
def there(tmp_path: Path) -> Disk:
    (tmp_path / "there").mkdir()
    return Disk(tmp_path / "there")


@pytest.fixture
def replica(there: Disk, signer: SigningKeyPair) -> Iterator[Replica]:
    replica = Replica(there, "log", signer.public_key, 0)
    yield replica
    replica.close()


def reopened(replica: Replica, there: Disk, signer: SigningKeyPair) -> Replica:
    replica.close()
    return Replica(there, "log", signer.public_key, 0)


def test_nothing_is_made_before_something_is_kept(replica: Replica, there: Disk) -> None:
    assert replica.head() is None
    assert replica.sync() is None
    assert not replica.has(0)
    assert list(replica.ranges()) == []
    assert replica.missing(8) == 0
    assert there.listdir() == []
    with pytest.raises(BadRequest):
        replica.proof(Request(upgrade=UpgradeRequest(0, 1)))


def test_what_was_kept_is_had_after_the_sync_and_not_before(
    source: Log, replica: Replica, there: Disk, signer: SigningKeyPair
) -> None:
    bring(source, replica, 7, 200, 8)
    assert replica.head() is None
    assert not replica.has(7)
    assert replica.sync() == source.head()
    assert list(replica.ranges()) == [(7, 9), (200, 201)]
    bring(source, replica, 9)
    again = reopened(replica, there, signer)
    assert list(again.ranges()) == [(7, 9), (200, 201)]
    assert again.head() == source.head()
    assert again.get_verified(200) == content(200)
    for absent in (6, 9, 299, 300, 1 << 40):
        with pytest.raises(NotResident):
            again.get_verified(absent)


def test_blocks_in_any_order_make_the_very_files_of_the_log(
    source: Log, replica: Replica, disk: Disk, there: Disk, signer: SigningKeyPair
) -> None:
    order = list(range(COUNT))
    random.Random(5).shuffle(order)
    for number, block in enumerate(order):
        bring(source, replica, block)
        if number % 50 == 0:
            replica.sync()
    replica.sync()
    for name in ("blocks", "tree"):
        assert there.read_all(f"log/{name}").rstrip(b"\0") == disk.read_all(f"log/{name}").rstrip(b"\0")
    whole = Log.open(there, "log", signer.public_key)
    assert list(whole.verify()) == []
    assert whole.head() == source.head()
    whole.close()


def test_it_grows_with_the_log_and_serves_it_on(
    source: Log, replica: Replica, tmp_path: Path, signer: SigningKeyPair
) -> None:
    bring(source, replica, *range(0, COUNT, 3))
    replica.sync()
    source.append([content(i) for i in range(COUNT, COUNT + 41)])
    source.flush()
    grow(source, replica)
    replica.sync()
    bring(source, replica, COUNT + 40, 1)
    replica.sync()
    third = Replica(Disk(tmp_path), "third", signer.public_key, 0)
    bring(replica, third, 3, COUNT + 40, 0)
    third.sync()
    assert list(third.ranges()) == [(0, 1), (3, 4), (COUNT + 40, COUNT + 41)]
    assert third.get_verified(COUNT + 40) == content(COUNT + 40)
    with pytest.raises(NotResident):
        block_of(replica, third, 2)
    third.close()


def test_an_unsynced_upgrade_is_not_told(source: Log, replica: Replica) -> None:
    bring(source, replica, 0)
    old = replica.sync()
    source.append([b"more"])
    source.flush()
    bring(source, replica, COUNT)
    assert replica.head() == old
    assert not replica.has(COUNT)
    with pytest.raises(BadRequest):
        replica.proof(Request(upgrade=UpgradeRequest(0, COUNT + 1)))
    assert replica.sync() == source.head()
    assert replica.has(COUNT)


def test_a_node_or_a_place_alone_is_served_and_not_kept(source: Log, replica: Replica) -> None:
    bring(source, replica, *range(COUNT))
    replica.sync()
    for request in (Request(hash=HashRequest(5, 1)), Request(BlockRequest(3, 6), seek=SeekRequest(40))):
        proof = source.proof(request)
        assert replica.proof(request) == proof
        with pytest.raises(BadRequest):
            replica.check_proof(proof)


def test_a_proof_that_leads_past_what_is_known_is_refused(source: Log, replica: Replica) -> None:
    grow(source, replica)
    replica.sync()
    for nodes in (0, 1):
        proof = source.proof(Request(block=BlockRequest(20, nodes)))
        with pytest.raises(Corrupt):
            replica.check_proof(proof)
    far = BlockProof(1 << 51, b"far", ())
    with pytest.raises(Corrupt):
        replica.check_proof(source.proof(Request(block=BlockRequest(0)))._replace(block=far))
    with pytest.raises(Corrupt):
        source.check_proof(source.proof(Request(block=BlockRequest(0)))._replace(block=far))


def test_a_node_past_the_last_complete_one_is_no_node(disk: Disk, signer: SigningKeyPair) -> None:
    short = Log.create(disk, "short", signer)
    short.append([b"a", b"b", b"c"])
    short.flush()
    for index in (3, 5, 7):
        with pytest.raises(IndexError):
            short.node(index)
    short.close()


def test_clearing_gives_the_bytes_back_and_keeps_the_tree(
    source: Log, replica: Replica, there: Disk, signer: SigningKeyPair
) -> None:
    bring(source, replica, *range(COUNT))
    replica.sync()
    replica.clear(10, 20)
    replica.clear(250, 1 << 60)
    again = reopened(replica, there, signer)
    assert list(again.ranges()) == [(0, 10), (20, 250)]
    low, high = source.byte_range(10, 20)
    assert not any(there.read_all("log/blocks")[low:high])
    assert again.damaged(0, COUNT) == []
    assert again.proof(Request(block=BlockRequest(9, 8))) == source.proof(Request(block=BlockRequest(9, 8)))
    bring(source, again, 15)
    again.sync()
    assert again.get_verified(15) == content(15)


def test_clearing_neighbours_in_turn_frees_the_page_that_they_share(
    disk: Disk, there: Disk, replica: Replica, signer: SigningKeyPair
) -> None:
    log = Log.create(disk, "pages", signer)
    log.append([bytes([65 + i]) * 1024 for i in range(64)])
    log.flush()
    bring(log, replica, *range(64))
    replica.sync()
    before = replica.size_on_disk()
    for block in (17, 19, 16, 18):
        replica.clear(block, block + 1)
    assert before - replica.size_on_disk() == 4096
    assert replica.damaged(0, 64) == []
    assert list(replica.ranges()) == [(0, 16), (20, 64)]
    log.close()


def test_a_damaged_block_is_found_forgotten_and_taken_again(source: Log, replica: Replica, there: Disk) -> None:
    bring(source, replica, *range(COUNT))
    replica.sync()
    offset = source.block_range(33)[0]
    file = there.open("log/blocks")
    file.pwrite(b"#", offset)
    with pytest.raises(Corrupt):
        replica.get_verified(33)
    assert replica.damaged(0, COUNT) == [33]
    bring(source, replica, 33)
    replica.sync()
    assert replica.damaged(0, COUNT) == []
    file.pwrite(b"#", offset)
    replica.forget(33, 34)
    assert list(replica.ranges()) == [(0, 33), (34, COUNT)]
    file.close()


def test_a_damaged_sector_of_have_is_found_again_from_the_blocks(
    source: Log, replica: Replica, there: Disk, signer: SigningKeyPair
) -> None:
    bring(source, replica, *range(5, 60), 299)
    replica.sync()
    file = there.open("log/have")
    file.pwrite(b"\xff\xff", 100)
    file.close()
    again = reopened(replica, there, signer)
    assert list(again.ranges()) == [(5, 60), (299, 300)]
    assert list(reopened(again, there, signer).ranges()) == [(5, 60), (299, 300)]


def test_a_log_of_another_fork_is_not_opened(
    source: Log, replica: Replica, there: Disk, signer: SigningKeyPair
) -> None:
    bring(source, replica, 1)
    replica.sync()
    with pytest.raises(Corrupt, match="fork"):
        Replica(there, "log", signer.public_key, 1)
    source.truncate(5)
    with pytest.raises(Corrupt, match="fork"):
        replica.check_proof(source.proof(Request(block=BlockRequest(1))))
    with pytest.raises(Corrupt):
        replica.check_proof(source.proof(Request(upgrade=UpgradeRequest(0, 5))))


def test_the_hash_of_an_earlier_length(source: Log, replica: Replica) -> None:
    bring(source, replica, *range(COUNT))
    for length in (0, 1, 7, 128, 299, COUNT):
        roots = [source.node(index) for index in full_roots(length)]
        assert replica.prefix_hash(length) == MerkleTree(roots).hash()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("applied", [False, True])
def test_whatever_operation_fails_nothing_had_is_lost_and_nothing_else_is_had(
    source: Log, tmp_path: Path, signer: SigningKeyPair, error: int, applied: bool
) -> None:
    """Each operation of the disk fails in turn, once; what the failed syncs did not cover is then lost."""
    at = 0
    while True:
        folder = tmp_path / f"{at}"
        folder.mkdir()
        plan = Plan(fail_at=at, error=error, applied=applied)
        disk = plan.disk(folder)
        had = _life(source, lambda disk=disk: Replica(disk, "log", signer.public_key, 0))
        if not plan.failed:
            assert at > 20
            return
        plan.cut_power()
        replica = Replica(Disk(folder), "log", signer.public_key, 0)
        found = {block for low, high in replica.ranges() for block in range(low, high)}
        assert had <= found, plan.failed
        assert replica.damaged(0, COUNT) == [], plan.failed
        bring(source, replica, *range(40))
        replica.sync()
        assert replica.damaged(0, COUNT) == []
        replica.close()
        at += 1


def _life(source: Log, opened: Any) -> set[int]:
    """Brings blocks with syncs in between; the replica is opened anew after an error. What was had."""
    had: set[int] = set()
    replica = opened()
    for step in ((3, 4, 5), (0, 299), (4, 100), (150,)):
        for _ in range(2):
            try:
                bring(source, replica, *step)
                replica.sync()
            except (OSError, SyncFailed):
                replica.close()
                replica = opened()
                continue
            had |= set(step)
            break
    replica.close()
    return had


def test_every_flipped_bit_of_a_proof_is_refused(source: Log, replica: Replica) -> None:
    good = block_of(source, replica, 21)
    assert good.block is not None
    assert good.upgrade is not None
    bad = [
        good._replace(block=good.block._replace(value=b"?" + good.block.value[1:])),
        good._replace(block=good.block._replace(block=22)),
        good._replace(upgrade=good.upgrade._replace(signature=bytes(64))),
        good._replace(upgrade=good.upgrade._replace(length=good.upgrade.length - 1)),
    ]
    for position, node in enumerate(good.upgrade.nodes):
        nodes = list(good.upgrade.nodes)
        nodes[position] = node._replace(hash=bytes([node.hash[0] ^ 1]) + node.hash[1:])
        bad.append(good._replace(upgrade=good.upgrade._replace(nodes=tuple(nodes))))
        nodes[position] = node._replace(size=node.size + 1)
        bad.append(good._replace(upgrade=good.upgrade._replace(nodes=tuple(nodes))))
    for proof in bad:
        with pytest.raises(Corrupt):
            replica.check_proof(proof)
    assert upgrade_of(source, replica).upgrade is not None


def test_clearing_again_frees_what_a_kill_left(source: Log, replica: Replica, there: Disk) -> None:
    bring(source, replica, *range(COUNT))
    replica.sync()
    replica.forget(10, 20)  # as clear does first
    low, high = source.byte_range(10, 20)
    assert any(there.read_all("log/blocks")[low:high])
    replica.clear(10, 20)
    assert not any(there.read_all("log/blocks")[low:high])
