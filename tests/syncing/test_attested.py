"""What a peer's word counts for, and when."""

from pathlib import Path

import pytest

from hyperfs.errors import Contradiction, IndexDamaged
from hyperfs.log.receipt import DAY_NS, MOST_VALID_NS, Receipt, SignedReceipt, sign_receipt
from hyperfs.store.memory import MemoryIndex
from hyperfs.syncing.attested import Attested, Word, decode_row, encode_rows, judge
from hyperfs.syncing.runs import NONE, Runs
from hyperfs.volume.catalog import Catalog
from tests.peer.conftest import NOW, PEER_KEY, key
from tests.replication.sides import own_log

DRIVE, LOG, CHALLENGE = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32


def signed(*ranges: tuple[int, int], issued_ns: int = NOW, **more: object) -> SignedReceipt:
    made = Receipt(
        DRIVE, PEER_KEY.public_key, CHALLENGE, issued_ns, issued_ns + MOST_VALID_NS, LOG, 0, 100, b"\x04" * 32, ranges
    )
    return sign_receipt(PEER_KEY, made._replace(**more))  # type: ignore[arg-type]


def attested(catalog: Catalog) -> Attested:
    return Attested(catalog, "cloud", PEER_KEY.public_key, DRIVE)


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(MemoryIndex())


def test_a_word_counts_once_it_was_audited_until_it_expires(catalog: Catalog) -> None:
    found = attested(catalog)
    assert found.runs(LOG, NOW) == NONE
    found.keep(LOG, Word((signed((0, 5)),)))
    assert found.runs(LOG, NOW) == NONE
    found.keep(LOG, Word((signed((0, 5)), signed((7, 9))), NOW))
    assert found.runs(LOG, NOW) == Runs([(0, 5), (7, 9)])
    assert found.runs(LOG, NOW + 30 * DAY_NS - 1) != NONE
    assert found.runs(LOG, NOW + 30 * DAY_NS) == NONE
    assert found.runs(LOG, NOW - DAY_NS) == NONE


def test_it_is_remembered_and_what_is_damaged_or_anothers_is_not(catalog: Catalog) -> None:
    attested(catalog).keep(LOG, Word((signed((0, 5)), signed((7, 9))), NOW))
    again = attested(catalog)
    again.load([LOG], NOW)
    assert again.runs(LOG, NOW) == Runs([(0, 5), (7, 9)])
    [(row, value), _] = encode_rows("cloud", LOG, Word((signed((0, 5)), signed((7, 9))), NOW))
    for bad in (value[:-1], value[:-1] + bytes([value[-1] ^ 1]), b"", value[:9]):
        catalog.apply([(row, bad)])
        again = attested(catalog)
        again.load([LOG], NOW)
        assert again.word(LOG) is None
    catalog.apply([(row, value)])
    for other in (Attested(catalog, "cloud", key("other").public_key, DRIVE), Attested(catalog, "nas", b"", DRIVE)):
        other.load([LOG], NOW)
        assert other.word(LOG) is None


def test_fewer_pages_leave_none_of_those_before(catalog: Catalog) -> None:
    found = attested(catalog)
    found.keep(LOG, Word((signed((0, 5)), signed((7, 9))), NOW))
    found.keep(LOG, Word((signed((0, 2)),), NOW))
    again = attested(catalog)
    again.load([LOG], NOW)
    assert again.runs(LOG, NOW) == Runs([(0, 2)])
    again.forget_all()
    assert list(catalog.rows(b"q", b"q")) == []


def test_a_row_that_is_too_short_is_damaged() -> None:
    with pytest.raises(IndexDamaged):
        decode_row(b"1234")


def test_a_tree_that_is_not_the_logs_is_a_contradiction(tmp_path: Path) -> None:
    log = own_log(tmp_path / "own", 20)
    head = log.head()
    good = signed((0, 20), length=20, tree_hash=head.tree_hash).receipt
    judge(log, good, is_ours=True)
    log.append([b"more"])
    log.flush()
    judge(log, good, is_ours=True)
    with pytest.raises(Contradiction, match="another history"):
        judge(log, good._replace(tree_hash=b"\x05" * 32), is_ours=True)
    for ahead in (good._replace(length=22), good._replace(fork=1)):
        with pytest.raises(Contradiction, match="older image"):
            judge(log, ahead, is_ours=True)
        judge(log, ahead, is_ours=False)
