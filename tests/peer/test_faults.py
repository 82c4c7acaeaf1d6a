"""A full or failing disk of a cloud peer: an error to whoever asks, never a false receipt, and it goes on."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperfs.errors import HyperfsError, NoSpace
from hyperfs.log.receipt import SignedReceipt
from hyperfs.peer.drive import HeldDrive, Offered
from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer.peer import Peer
from tests import tally
from tests.faults.faulty_disk import Plan

from .conftest import CONTENT, DAY, METADATA, NOW, PEER_KEY, Owner, upload

LONG = os.environ.get("HYPERFS_ALL") == "1"
STRIDE = 1 if LONG else 5
CHALLENGE = b"\x03" * 32


class Life:
    """The same steps each time; what fails is done once more. What was promised, in order."""

    def __init__(self, folder: Path, plan: Plan, owner: Owner) -> None:
        self.folder, self.plan, self.owner = folder, plan, owner
        self.errors: list[Exception] = []
        self.receipts: list[SignedReceipt] = []
        self.records = 0
        self.peer: Peer | None = None

    def run(self) -> None:
        owner = self.owner
        self.twice(self.open)
        self.twice(lambda: self.held.offer_chain(owner.chain.encode()))
        for blocks in ((3, 4, 5), (6, 7, 49), (0, 1)):
            self.twice(lambda blocks=blocks: upload(owner, self.held, CONTENT, *blocks))
            self.twice(self.receipt)
        self.twice(lambda: upload(owner, self.held, METADATA))
        self.twice(self.reopen)
        self.twice(lambda: self.held.sweep(NOW + DAY))
        self.twice(self.receipt)
        if self.peer is not None:
            self.peer.close()

    def twice(self, step: Callable[[], object]) -> None:
        for _ in range(2):
            try:
                step()
            except (OSError, HyperfsError) as error:
                self.errors.append(error)
                continue
            return

    def open(self) -> None:
        store = FolderStore(self.folder, self.plan.disk)
        try:
            self.peer = Peer(store, PEER_KEY, floor_bytes=0)
            self.peer.admit(self.owner.id)
        except BaseException:
            store.close()
            raise

    def reopen(self) -> None:
        if self.peer is not None:
            self.peer.close()
            self.peer = None
        self.open()
        if self.held.chain is None:
            self.held.offer_chain(self.owner.chain.encode())

    @property
    def held(self) -> HeldDrive:
        assert self.peer is not None
        return self.peer.drives[self.owner.id]

    def receipt(self) -> None:
        assert self.peer is not None
        self.receipts.append(self.peer.receipt(self.owner.id, self.owner.discovery_key(CONTENT), CHALLENGE, NOW))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("applied", [False, True])
def test_whichever_operation_fails_no_receipt_is_false(owner: Owner, tmp_path: Path, error: int, applied: bool) -> None:
    at = 0
    while True:
        folder = tmp_path / f"{at}"
        plan = Plan(fail_at=at, error=error, applied=applied)
        life = Life(folder, plan, owner)
        life.run()
        if not plan.failed:
            break
        assert life.errors, f"nobody was told of {plan.failed}"
        assert len(life.receipts) >= 3, life.errors
        plan.cut_power()
        peer = Peer(FolderStore(folder), PEER_KEY, floor_bytes=0)
        assert peer.broken == {}
        drive = peer.drives[owner.id]
        assert drive.chain == owner.chain, plan.failed
        for number in (CONTENT, METADATA):
            assert drive.lend(owner.discovery_key(number)).scrub(0, 100) == [], plan.failed
        here = list(drive.lend(owner.discovery_key(CONTENT)).ranges())
        for signed in life.receipts:
            for start, end in signed.receipt.ranges:
                assert any(low <= start and end <= high for low, high in here), plan.failed
        upload(owner, drive, CONTENT)
        assert list(drive.lend(owner.discovery_key(CONTENT)).ranges()) == [(0, 50)]
        peer.close()
        tally.add("faults of a cloud peer's disk", 1)
        at += STRIDE
    assert at > 50


def test_a_full_disk_says_so_and_takes_more_when_there_is_room(owner: Owner, tmp_path: Path) -> None:
    plan = Plan(error=errno.ENOSPC, times=1 << 60)
    store = FolderStore(tmp_path / "peer", plan.disk)
    drive = Peer(store, PEER_KEY, floor_bytes=0).admit(owner.id)
    drive.offer_chain(owner.chain.encode())
    upload(owner, drive, CONTENT, 1, 2)
    plan.fail_at = plan.count
    with pytest.raises(NoSpace, match="disk is full"):
        upload(owner, drive, CONTENT, 3)
    owner.clear(METADATA, (1, 2))
    with pytest.raises(NoSpace, match="disk is full"):
        drive.offer_chain(owner.chain.encode())
    plan.fail_at = None
    assert list(drive.lend(owner.discovery_key(CONTENT)).ranges()) == [(1, 3)]
    assert drive.offer_chain(owner.chain.encode()) is Offered.NEWER
    upload(owner, drive, CONTENT, 3)
    assert list(drive.lend(owner.discovery_key(CONTENT)).ranges()) == [(1, 4)]
    drive.close()
    store.close()
