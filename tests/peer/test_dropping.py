"""A drive that the peer's owner drops is gone with its parts and its blocks, also where that was interrupted."""

from collections.abc import Callable

import pytest

from hyperfs.errors import Refused
from hyperfs.log.proof import BlockRequest, Request, UpgradeRequest
from hyperfs.peer import dropping
from hyperfs.peer.blockstore import OWN, BlockStore
from hyperfs.peer.drive import CONTROL, HeldDrive
from hyperfs.peer.peer import Peer

from .conftest import CONTENT, PEER_KEY, Owner, upload

PART = b"\x07" * 32


def test_all_of_it_is_gone_and_others_stay(peer: Peer, store: BlockStore, drive: HeldDrive, owner: Owner) -> None:
    other = peer.admit(b"\x08" * 32)
    peer.admit_part(drive, 1, PART)
    upload(owner, drive, CONTENT)
    before = dropping.bytes_of(store, owner.id)
    assert before > 0
    assert peer.drop(owner.id) == (PART, owner.id)
    assert set(peer.drives) == {other.id}
    assert store.drives() == [other.id]
    assert (store.places(owner.id), dropping.bytes_of(store, owner.id)) == ([], 0)
    assert dropping.asked(store) == []
    with pytest.raises(Refused, match="not held here"):
        peer.drop(owner.id)


def test_what_is_on_its_way_to_it_is_not_taken_any_more(
    peer: Peer, store: BlockStore, drive: HeldDrive, owner: Owner
) -> None:
    """A session that was exchanging it has a proof in its hands."""
    lent = drive.lend(owner.discovery_key(CONTENT))
    proof = owner.logs[CONTENT].proof(Request(BlockRequest(0, 0), upgrade=UpgradeRequest(0, 50)))
    peer.drop(owner.id)
    with pytest.raises(Refused, match="not held here any more"):
        lent.check_proof(proof)
    lent.sync()
    assert (store.drives(), store.places(owner.id)) == ([], [])


def test_one_whose_records_are_damaged_can_be_dropped(
    peer: Peer, store: BlockStore, drive: HeldDrive, owner: Owner
) -> None:
    drive.close()
    store.write(owner.id, CONTROL, b"nonsense")
    again = Peer(store, PEER_KEY, floor_bytes=0)
    assert set(again.broken) == {owner.id}
    again.drop(owner.id)
    assert (again.broken, store.drives()) == ({}, [])


@pytest.mark.parametrize("step", range(6))
def test_killed_at_any_step_the_next_opening_ends_it(
    peer: Peer, store: BlockStore, drive: HeldDrive, owner: Owner, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.admit_part(drive, 1, PART)
    upload(owner, drive, CONTENT)
    left = [step]

    def dying(real: Callable[..., None]) -> Callable[..., None]:
        def call(*given: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            real(*given)

        return call

    with monkeypatch.context() as patched:
        for name in ("remove", "discard"):
            patched.setattr(store, name, dying(getattr(store, name)))
        with pytest.raises(KeyboardInterrupt):
            peer.drop(owner.id)
    again = Peer(store, PEER_KEY, floor_bytes=0)
    assert (again.drives, again.broken, store.drives()) == ({}, {}, [])
    assert (store.places(owner.id), dropping.asked(store)) == ([], [])
    assert not [name for name in store.names(OWN) if name.startswith("drop-")]
