"""Invites of a cloud peer: one try, one drive, and until they expire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import Corrupt, FormatTooNew, Refused
from hyperfs.peer.blockstore import OWN, BlockStore
from hyperfs.peer.invites import UNKNOWN, Invite, Invites, decode, name_of
from hyperfs.replication.dialogue_bodies import Pair
from hyperfs.replication.invitation import proof, verifier

from .conftest import DAY, NOW

ID, SECRET, HASH, DRIVE, OTHER = b"\x01" * 8, b"\x02" * 16, b"\x03" * 64, b"\x04" * 32, b"\x05" * 32
INVITE = Invite(verifier(ID, SECRET), NOW + DAY)


def shown(secret: bytes = SECRET, drive: bytes = DRIVE, id_: bytes = ID) -> Pair:
    return Pair(id_, proof(verifier(id_, secret), HASH, drive), drive)


@pytest.fixture
def invites(store: BlockStore) -> Invites:
    store.write(OWN, name_of(ID), INVITE.encode())
    return Invites(store)


quotas = st.one_of(st.none(), st.integers(0, 10**18))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 10**18), quotas, st.sampled_from([None, DRIVE]))
def test_every_invite_comes_back(verified_by: bytes, expires: int, quota: int | None, drive: bytes | None) -> None:
    for invite in (Invite(verified_by, expires, quota, False, drive), Invite(verified_by, expires, None, True, drive)):
        assert decode(invite.encode()) == invite


def test_what_is_no_invite_is_corrupt_and_a_later_one_is_named() -> None:
    data = INVITE.encode()
    for wrong in (b"", data[:-1], data + b"x", data.replace(b"quota default", b"quota 007")):
        with pytest.raises(Corrupt):
            decode(wrong)
    with pytest.raises(FormatTooNew):
        decode(data.replace(b"format 1", b"format 2"))


def test_a_right_proof_is_good_for_one_drive_again_and_again(invites: Invites) -> None:
    assert invites.redeem(shown(), HASH, NOW) == INVITE
    invites.bind(shown(), INVITE)
    assert invites.redeem(shown(), HASH, NOW).drive == DRIVE
    with pytest.raises(Refused, match="not good here"):
        invites.redeem(shown(drive=OTHER), HASH, NOW)
    assert invites.redeem(shown(), HASH, NOW).drive == DRIVE


def test_attack_n08_a_wrong_guess_ends_the_invite(invites: Invites, store: BlockStore) -> None:
    with pytest.raises(Refused) as first:
        invites.redeem(shown(secret=b"\x09" * 16), HASH, NOW)
    assert store.read(OWN, name_of(ID)) is None
    with pytest.raises(Refused) as then:
        invites.redeem(shown(), HASH, NOW)
    assert str(first.value) == str(then.value) == UNKNOWN


def test_attack_n01_a_proof_of_another_connection_is_a_wrong_one(invites: Invites) -> None:
    with pytest.raises(Refused):
        invites.redeem(shown(), b"\x07" * 64, NOW)


def test_an_invite_that_is_over_or_unknown_is_refused_in_the_same_words(invites: Invites) -> None:
    for pair, now in ((shown(id_=b"\x08" * 8), NOW), (shown(), NOW + DAY)):
        with pytest.raises(Refused, match="not good here"):
            invites.redeem(pair, HASH, now)


def test_what_has_expired_or_is_damaged_is_tidied_away(invites: Invites, store: BlockStore) -> None:
    store.write(OWN, name_of(b"\x02" * 8), b"damaged")
    store.write(OWN, "identity", b"other")
    invites.tidy(NOW)
    assert store.names(OWN) == ["identity", name_of(ID)]
    invites.tidy(NOW + DAY)
    assert store.names(OWN) == ["identity"]
