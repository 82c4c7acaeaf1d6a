"""Another device's log that comes block by block, the nodes of its tree with them."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Corrupt, NotResident
from hyperfs.log.evicted import Evicted
from hyperfs.log.log import Log
from hyperfs.log.proof import BlockRequest, HashRequest, Request, TreeProof
from hyperfs.log.replica import Replica
from hyperfs.log.sparse import SparseLog
from hyperfs.store.files import Disk
from hyperfs.values import BlockRef

from .replicating import grow

COUNT = 700


def content(i: int) -> bytes:
    return b"\1%d:" % i + bytes([i & 255]) * (i * 37 % 600)


@pytest.fixture
def source(log: Log) -> Log:
    log.append([content(i) for i in range(COUNT)])
    log.flush()
    return log


@pytest.fixture
def there(tmp_path: Path, source: Log, signer: SigningKeyPair) -> Disk:
    """A folder with the log's head and roots alone."""
    (tmp_path / "there").mkdir()
    disk = Disk(tmp_path / "there")
    head = Replica(disk, "log", signer.public_key, 0)
    grow(source, head)
    head.sync()
    head.close()
    return disk


def opened(there: Disk, signer: SigningKeyPair) -> SparseLog:
    log = SparseLog.open(there, "log", signer.public_key, None, 7)
    log.evicted = Evicted()
    log.evicted.add(0, log.signed_length)
    return log


@pytest.fixture
def sparse(there: Disk, signer: SigningKeyPair) -> Iterator[SparseLog]:
    log = opened(there, signer)
    yield log
    log.close()


def proof_of(source: Log, sparse: SparseLog, block: int) -> TreeProof:
    return source.proof(Request(block=BlockRequest(block, sparse.missing(2 * block))))


def fetch(source: Log, sparse: SparseLog, *blocks: int) -> None:
    for block in blocks:
        sparse.put_back(block, sparse.take(proof_of(source, sparse, block)))


def test_a_block_that_has_not_come_is_not_resident_however_it_is_asked_for(sparse: SparseLog) -> None:
    assert sparse.signed_length == COUNT
    for ask in (sparse.get, sparse.block_range, lambda block: sparse.node(2 * block)):
        with pytest.raises(NotResident) as absent:
            ask(300)
        assert absent.value.blocks == (BlockRef(7, 300),)
    assert sparse.is_gone(300)
    assert not sparse.holds(300)
    with pytest.raises(IndexError):
        sparse.block_range(COUNT)


def test_a_block_that_came_is_read_and_stays_after_a_sync(
    source: Log, there: Disk, sparse: SparseLog, signer: SigningKeyPair
) -> None:
    fetch(source, sparse, 3, 300, 699)
    sparse.sync_blocks()
    sparse.close()
    again = opened(there, signer)
    assert [again.get(block) for block in (3, 300, 699)] == [content(block) for block in (3, 300, 699)]
    assert again.block_range(300) == source.block_range(300)
    assert again.missing(2 * 301) == 0
    assert list(again.verify()) == []
    with pytest.raises(NotResident):
        again.get(4)
    again.close()


def test_all_blocks_in_any_order_make_the_log_whole(source: Log, sparse: SparseLog) -> None:
    fetch(source, sparse, *(block * 239 % COUNT for block in range(COUNT)))
    assert [sparse.get(block) for block in range(COUNT)] == [content(block) for block in range(COUNT)]
    assert [sparse.block_range(block) for block in range(COUNT)] == [source.block_range(b) for b in range(COUNT)]


def test_a_block_with_a_flipped_bit_or_another_ones_proof_is_not_taken(source: Log, sparse: SparseLog) -> None:
    proof = proof_of(source, sparse, 9)
    assert proof.block is not None
    flipped = bytes([proof.block.value[0] ^ 1]) + proof.block.value[1:]
    for block in (proof.block._replace(value=flipped), proof.block._replace(block=10)):
        with pytest.raises(Corrupt):
            sparse.take(proof._replace(block=block))
    with pytest.raises(NotResident):
        sparse.node(18)


def test_a_node_without_its_block_is_not_taken(source: Log, sparse: SparseLog) -> None:
    """Of such a node only the sum of sizes is proved: kept, it could put later blocks in a wrong place."""
    with pytest.raises(Corrupt, match="something else came"):
        sparse.take(source.proof(Request(hash=HashRequest(18, sparse.missing(18)))))


def test_a_damaged_node_comes_again_with_its_block(source: Log, there: Disk, signer: SigningKeyPair) -> None:
    sparse = opened(there, signer)
    fetch(source, sparse, 40)
    sparse.sync_blocks()
    sparse.close()
    tree = there.open("log/tree")
    tree.pwrite(b"\xff" * 40, 40 * 80)
    tree.pwrite(b"\xff" * 40, 40 * 82)
    tree.close()
    again = opened(there, signer)
    with pytest.raises(NotResident):
        again.get(40)
    fetch(source, again, 40)
    assert again.get(40) == content(40)
    again.close()


def test_places_of_what_is_not_here_are_guessed_and_those_of_what_is_are_right(
    source: Log, sparse: SparseLog
) -> None:
    assert sparse.bytes_about(0, COUNT) == (0, source.byte_length)
    guessed = [sparse.bytes_about(block, block + 1) for block in range(COUNT)]
    assert all(before[1] == after[0] for before, after in pairwise(guessed))
    fetch(source, sparse, 300)
    assert sparse.size_about(300) == len(content(300))
    assert sparse.bytes_about(300, COUNT) == source.byte_range(300, COUNT - 1 + 1)


def test_a_whole_log_is_a_sparse_one_that_lacks_nothing(source: Log, disk: Disk, signer: SigningKeyPair) -> None:
    whole = SparseLog.open(disk, "log", signer.public_key, None, 7)
    assert [whole.get(block) for block in range(COUNT)] == [content(block) for block in range(COUNT)]
    assert whole.missing(2 * 44) == 0
    whole.close()


def test_what_leaves_among_blocks_that_never_came_takes_nothing_of_others_along(
    source: Log, sparse: SparseLog
) -> None:
    fetch(source, sparse, *range(290, 311))
    marks = sparse.evicted
    assert marks is not None
    for block in range(290, 311):
        marks.remove(block, block + 1)
    marks.add(300, 301)
    sparse.punch(300, 301, marks.around(300))
    assert [sparse.get(block) for block in (299, 301)] == [content(block) for block in (299, 301)]
    marks.add(290, 311)
    sparse.punch(290, 299, marks.around(290))
    with pytest.raises(NotResident):
        sparse.get(295)
