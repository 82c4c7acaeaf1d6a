"""What every block store of a cloud peer must do, run on each."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hyperfs.errors import BadRequest, Corrupt, FormatTooNew, NotAStore, NotResident, StoreLocked
from hyperfs.log.proof import BlockRequest, HashRequest, Request, UpgradeRequest
from hyperfs.peer.blockstore import OWN, BlockStore, Place
from hyperfs.peer.folder_store import FolderStore
from tests.log.replicating import bring, grow, upgrade_of

from .conftest import CONTENT, Owner, content

DRIVE = b"\x01" * 32
Reopen = Callable[[], BlockStore]


@pytest.fixture
def place(owner: Owner) -> Place:
    return Place(DRIVE, owner.discovery_key(CONTENT), 0)


@pytest.fixture
def public_key(owner: Owner) -> bytes:
    return owner.signer(CONTENT).public_key


def test_records_are_replaced_and_listed(reopen: Reopen) -> None:
    store = reopen()
    assert store.drives() == []
    assert store.read(OWN, "identity") is None
    store.write(OWN, "identity", b"one")
    store.write(DRIVE, "control", b"a")
    store.write(DRIVE, "control", b"bc")
    store.write(DRIVE, "drive", b"")
    store.close()
    store = reopen()
    assert store.read(OWN, "identity") == b"one"
    assert store.read(DRIVE, "control") == b"bc"
    assert store.read(DRIVE, "drive") == b""
    assert store.names(DRIVE) == ["control", "drive"]
    assert store.drives() == [DRIVE]
    assert store.names(b"\x02" * 32) == []
    store.close()


def test_a_record_that_was_discarded_is_gone_for_good(reopen: Reopen) -> None:
    store = reopen()
    store.write(OWN, "invite-00", b"one")
    store.write(OWN, "identity", b"two")
    store.discard(OWN, "invite-00")
    store.discard(OWN, "invite-00")
    store.discard(DRIVE, "control")
    store.close()
    store = reopen()
    assert store.read(OWN, "invite-00") is None
    assert store.names(OWN) == ["identity"]
    store.close()


def test_an_empty_place_is_nothing(store: BlockStore, place: Place, public_key: bytes) -> None:
    log = store.open(place, public_key, CONTENT)
    assert (log.head(), log.length, log.fork, log.discovery_key) == (None, 0, 0, place.log)
    assert log.sync() is None
    assert list(log.ranges()) == []
    with pytest.raises(BadRequest):
        log.proof(Request(upgrade=UpgradeRequest(0, 1)))
    log.close()
    assert store.places(DRIVE) == []
    assert store.size_of(place) == 0


def test_only_what_was_synced_is_had(reopen: Reopen, owner: Owner, place: Place, public_key: bytes) -> None:
    store = reopen()
    log = store.open(place, public_key, CONTENT)
    bring(owner.logs[CONTENT], log, 3, 4, 40)
    assert not log.has(3)
    assert log.head() is None
    assert log.sync() == owner.logs[CONTENT].head()
    bring(owner.logs[CONTENT], log, 7)
    assert list(log.ranges()) == [(3, 5), (40, 41)]
    assert list(log.ranges(4, 40)) == [(4, 5)]
    log.close()
    store.close()
    store = reopen()
    assert store.places(DRIVE) == [place]
    assert store.size_of(place) > 0
    log = store.open(place, public_key, CONTENT)
    assert log.length == 50
    assert list(log.ranges()) == [(3, 5), (40, 41)]
    proof = log.proof(Request(block=BlockRequest(40)))
    assert proof.block is not None
    assert proof.block.value == content(CONTENT, 40)
    for absent in (7, 49, 50):
        with pytest.raises((NotResident, BadRequest)):
            log.proof(Request(block=BlockRequest(absent)))
    log.close()
    store.close()


def test_it_proves_what_the_log_proves(store: BlockStore, owner: Owner, place: Place, public_key: bytes) -> None:
    log = store.open(place, public_key, CONTENT)
    source = owner.logs[CONTENT]
    bring(source, log, *range(50))
    log.sync()
    for request in (
        Request(block=BlockRequest(9, 3)),
        Request(hash=HashRequest(3, 2)),
        Request(upgrade=UpgradeRequest(0, 50)),
        Request(block=BlockRequest(45), upgrade=UpgradeRequest(40, 10)),
    ):
        assert log.proof(request) == source.proof(request)
    for length in (0, 1, 31, 50):
        assert log.prefix_hash(length) == log.prefix_hash(length)
    assert log.prefix_hash(50) == source.head().tree_hash
    assert log.missing(18) == 0
    log.close()


def test_it_refuses_what_does_not_hold(store: BlockStore, owner: Owner, place: Place, public_key: bytes) -> None:
    log = store.open(place, public_key, CONTENT)
    good = upgrade_of(owner.logs[CONTENT], log)
    assert good.upgrade is not None
    with pytest.raises(Corrupt):
        log.check_proof(good._replace(upgrade=good.upgrade._replace(signature=bytes(64))))
    with pytest.raises(Corrupt, match="fork"):
        log.check_proof(good._replace(fork=1))
    with pytest.raises(BadRequest):
        log.check_proof(owner.logs[CONTENT].proof(Request(hash=HashRequest(3, 2))))
    grow(owner.logs[CONTENT], log)
    log.sync()
    with pytest.raises(NotResident):
        log.prefix_hash(31)
    with pytest.raises(Corrupt, match="not known"):
        log.check_proof(owner.logs[CONTENT].proof(Request(block=BlockRequest(0))))
    log.close()


def test_clearing_and_forgetting(reopen: Reopen, owner: Owner, place: Place, public_key: bytes) -> None:
    store = reopen()
    log = store.open(place, public_key, CONTENT)
    bring(owner.logs[CONTENT], log, *range(50))
    log.sync()
    assert log.damaged(0, 50) == []
    log.clear(10, 20)
    log.clear(45, 1 << 50)
    log.forget(0, 1)
    log.close()
    store.close()
    store = reopen()
    log = store.open(place, public_key, CONTENT)
    assert list(log.ranges()) == [(1, 10), (20, 45)]
    assert log.head() == owner.logs[CONTENT].head()
    bring(owner.logs[CONTENT], log, 0, 12)
    log.sync()
    assert list(log.ranges()) == [(0, 10), (12, 13), (20, 45)]
    log.close()
    store.remove(place)
    assert store.places(DRIVE) == []
    assert store.size_of(place) == 0
    log = store.open(place, public_key, CONTENT)
    assert log.head() is None
    bring(owner.logs[CONTENT], log, 1)
    log.sync()
    assert list(log.ranges()) == [(1, 2)]
    log.close()
    store.close()


def test_what_was_kept_before_a_clear_is_not_had_by_a_sync_after_it(
    store: BlockStore, owner: Owner, place: Place, public_key: bytes
) -> None:
    log = store.open(place, public_key, CONTENT)
    bring(owner.logs[CONTENT], log, 1, 30)
    log.sync()
    bring(owner.logs[CONTENT], log, 12, 13, 31)
    log.clear(10, 20)
    log.sync()
    assert list(log.ranges()) == [(1, 2), (30, 32)]
    assert log.damaged(0, 50) == []
    bring(owner.logs[CONTENT], log, 12)
    log.sync()
    assert log.has(12)
    assert log.damaged(0, 50) == []
    log.close()


def test_forks_lie_apart(store: BlockStore, owner: Owner, place: Place, public_key: bytes) -> None:
    source = owner.logs[CONTENT]
    log = store.open(place, public_key, CONTENT)
    bring(source, log, 1, 2)
    log.sync()
    source.truncate(2)
    source.append([b"another"])
    source.flush()
    other = store.open(place._replace(fork=1), public_key, CONTENT)
    bring(source, other, 2)
    other.sync()
    assert store.places(DRIVE) == [place, place._replace(fork=1)]
    assert log.proof(Request(block=BlockRequest(2))) != other.proof(Request(block=BlockRequest(2)))
    log.close()
    other.close()


# Of the folder alone


def test_a_folder_of_something_else_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(NotAStore):
        FolderStore(tmp_path)


def test_attack_m09_a_folder_of_a_later_format_is_not_touched(tmp_path: Path) -> None:
    FolderStore(tmp_path / "peer").close()
    path = tmp_path / "peer" / "hyperfs-peer"
    assert path.read_bytes() == b"hyperfs peer\nformat 1\n"
    path.write_bytes(b"hyperfs peer\nformat 2\nand more\n")
    with pytest.raises(FormatTooNew):
        FolderStore(tmp_path / "peer")
    path.write_bytes(b"hyperfs pier\nformat 1\n")
    with pytest.raises(Corrupt):
        FolderStore(tmp_path / "peer")
    path.write_bytes(b"hyperfs peer\nformat 1\n")
    FolderStore(tmp_path / "peer").close()


def test_one_process_has_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(StoreLocked):
        FolderStore(tmp_path)
    store.close()
    FolderStore(tmp_path).close()


def test_all_of_it_is_for_its_owner_only(tmp_path: Path, owner: Owner, public_key: bytes, place: Place) -> None:
    store = FolderStore(tmp_path / "peer")
    store.write(DRIVE, "control", b"")
    log = store.open(place, public_key, CONTENT)
    bring(owner.logs[CONTENT], log, 1)
    log.sync()
    log.close()
    store.close()
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "peer").rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in (tmp_path / "peer").rglob("*") if path.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


@pytest.mark.parametrize("name", ["../own", "a/b", "", "A", ".."])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(ValueError, match="name"):
        store.write(DRIVE, name, b"")
    with pytest.raises(ValueError, match="name"):
        store.read(DRIVE, name)
    store.close()
