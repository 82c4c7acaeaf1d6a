"""What a cloud peer answers in `hyperfs/1`, and to whom."""

import errno
import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperfs.crypto.keys import BoxKeyPair
from hyperfs.log.control_codec import Record, decode_records, encode_records
from hyperfs.log.heads import check_signature
from hyperfs.log.manifest import default_v1
from hyperfs.log.merkle import hash32
from hyperfs.log.receipt import check
from hyperfs.peer.blockstore import OWN, BlockStore
from hyperfs.peer.desk import NOT_HERE, Desk, Reply, Visitor
from hyperfs.peer.drive import HeldDrive
from hyperfs.peer.invites import Invite, name_of
from hyperfs.peer.peer import Peer
from hyperfs.replication import dialogue_bodies as bodies
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.dialogue_bodies import Found, Outcome
from hyperfs.replication.dialogue_codec import Method, Status
from hyperfs.replication.invitation import proof, verifier
from hyperfs.replication.state_bodies import DriveState, RootState, StateWanted

from .conftest import CONTENT, DAY, METADATA, NOW, PEER_KEY, Owner, key, upload

HASH = b"\x0a" * 64
ID, SECRET, CHALLENGE = b"\x01" * 8, b"\x02" * 16, b"\x03" * 32


def visitor(name: str = "drive laptop") -> Visitor:
    secret = BoxKeyPair(hash32(b"box transport " + name.encode())).secret()
    return Visitor(CurveKeyPair(secret).public_key, HASH)


def stranger() -> Visitor:
    return visitor("nobody")


@pytest.fixture
def desk(peer: Peer) -> Desk:
    return Desk(peer, default_quota_bytes=10**9)


def ask(desk: Desk, who: Visitor, method: Method, body: Any) -> Reply:
    return desk.answer(who, method, body.encode(), NOW)


def offer(owner: Owner, records: Sequence[Record], start: int = 0) -> bodies.Offer:
    previous = owner.chain.records[start - 1].hash() if start else bytes(32)
    return bodies.Offer(owner.id, start, previous, encode_records(records, 1 << 20)[0])


def questions(owner: Owner) -> dict[Method, Any]:
    log = owner.discovery_key(CONTENT)
    return {
        Method.CHAIN: bodies.ChainFrom(owner.id, 0),
        Method.OFFER: offer(owner, owner.chain.records),
        Method.HEADS: bodies.OfDrive(owner.id),
        Method.RECEIPT: bodies.ReceiptWanted(owner.id, log, CHALLENGE, 0),
        Method.AUDIT: bodies.Audit(owner.id, log, 0, CHALLENGE, (0,)),
        Method.SPACE: bodies.OfDrive(owner.id),
    }


def invite(store: BlockStore, **changes: Any) -> None:
    found = Invite(verifier(ID, SECRET), NOW + DAY)._replace(**changes)
    store.write(OWN, name_of(ID), found.encode())


def pairing(drive: bytes, secret: bytes = SECRET) -> bodies.Pair:
    return bodies.Pair(ID, proof(verifier(ID, secret), HASH, drive), drive)


def test_a_stranger_and_one_who_asks_for_what_is_not_held_get_the_same_words(
    desk: Desk, drive: HeldDrive, owner: Owner
) -> None:
    upload(owner, drive, CONTENT)
    nobody = stranger()
    for method, body in questions(owner).items():
        there = ask(desk, nobody, method, body)
        absent = ask(desk, visitor(), method, body._replace(drive=b"\x09" * 32))
        assert there == absent
        assert (there.status, there.body.decode()) == (Status.NOT_HERE, NOT_HERE)
    assert not nobody.is_trusted


def test_a_device_of_the_roster_is_answered_everything(desk: Desk, drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT)
    who = visitor()
    for method, body in questions(owner).items():
        assert ask(desk, who, method, body).status == Status.OK, method
    assert who.is_trusted


def test_a_revoked_device_is_a_stranger(desk: Desk, drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT)
    who = visitor()
    assert ask(desk, who, Method.SPACE, bodies.OfDrive(owner.id)).status == Status.OK
    drive.offer_chain(owner.revoke().encode())
    for method, body in questions(owner).items():
        if method != Method.CHAIN:
            assert ask(desk, who, method, body).status == Status.NOT_HERE


def test_a_revoked_device_may_read_that_it_was_and_nothing_later(desk: Desk, drive: HeldDrive, owner: Owner) -> None:
    out = owner.revoke().records
    later = owner.record(out[-1].body, by_root=True)
    drive.offer_chain(later.encode())
    total, data = bodies.ChainPart.decode(ask(desk, visitor(), Method.CHAIN, bodies.ChainFrom(owner.id, 0)).body)
    assert (total, tuple(decode_records(data))) == (len(out), out)
    assert ask(desk, stranger(), Method.CHAIN, bodies.ChainFrom(owner.id, 0)).status == Status.NOT_HERE


def test_who_exchanges_a_log_may_read_chain_and_heads_and_nothing_else(
    desk: Desk, peer: Peer, drive: HeldDrive, owner: Owner
) -> None:
    upload(owner, drive, METADATA, 0)
    reader = stranger()
    reader.logs = frozenset({owner.discovery_key(METADATA)})
    answers = {method: ask(desk, reader, method, body).status for method, body in questions(owner).items()}
    assert {method for method, status in answers.items() if status == Status.OK} == {Method.CHAIN, Method.HEADS}
    assert set(answers.values()) == {Status.OK, Status.NOT_HERE}
    elsewhere = stranger()
    elsewhere.logs = frozenset({b"\1" * 32})
    assert ask(desk, elsewhere, Method.CHAIN, questions(owner)[Method.CHAIN]).status == Status.NOT_HERE
    peer.only_listed = True
    for method, body in questions(owner).items():
        assert ask(desk, reader, method, body)[:2] == ask(desk, stranger(), method, body)[:2]


def test_an_invite_lets_a_drive_in_and_its_chain(desk: Desk, peer: Peer, owner: Owner, store: BlockStore) -> None:
    invite(store)
    who = visitor()
    reply = ask(desk, who, Method.PAIR, pairing(owner.id))
    assert bodies.Paired.decode(reply.body).quota_bytes == 10**9
    assert [event.what for event in reply.events] == ["paired"]
    assert who.is_trusted
    assert peer.drives[owner.id].settings.quota_bytes == 10**9
    for method, body in questions(owner).items():
        is_allowed = method in (Method.CHAIN, Method.OFFER, Method.SPACE)
        if method != Method.OFFER:
            assert (ask(desk, who, method, body).status == Status.OK) == is_allowed, method
    reply = ask(desk, who, Method.OFFER, offer(owner, owner.chain.records))
    assert (bodies.OfferTaken.decode(reply.body), reply.grown) == (bodies.OfferTaken(Outcome.NEWER, 1), owner.id)
    assert ask(desk, who, Method.HEADS, bodies.OfDrive(owner.id)).status == Status.OK


def test_an_invite_may_have_its_own_quota(desk: Desk, peer: Peer, owner: Owner, store: BlockStore) -> None:
    for quota in (5000, None):
        invite(store, quota_bytes=quota, is_default_quota=False)
        assert ask(desk, stranger(), Method.PAIR, pairing(owner.id)).status == Status.OK
        assert peer.drives[owner.id].settings.quota_bytes == quota


def test_attack_n08_one_wrong_guess_on_line_and_the_code_is_worth_nothing(
    desk: Desk, peer: Peer, owner: Owner, store: BlockStore
) -> None:
    invite(store)
    who = stranger()
    replies = [ask(desk, who, Method.PAIR, pairing(owner.id, secret)) for secret in (b"\x09" * 16, SECRET)]
    assert [reply.status for reply in replies] == [Status.REFUSED, Status.REFUSED]
    assert replies[0].body == replies[1].body
    assert b"Ask for a new one" in replies[0].body
    assert replies[0].events[0].level == "warning"
    assert peer.drives == {}
    assert not who.is_trusted


def test_the_root_finds_its_drives_and_may_what_a_device_may(desk: Desk, drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT)
    who = stranger()
    reply = ask(desk, who, Method.DRIVES, bodies.ProveRoot.sign(owner.root, HASH))
    assert bodies.Drives.decode(reply.body).drives == (owner.id,)
    for method, body in questions(owner).items():
        assert ask(desk, who, method, body).status == Status.OK
    other = stranger()
    reply = ask(desk, other, Method.DRIVES, bodies.ProveRoot.sign(key("another root"), HASH))
    assert bodies.Drives.decode(reply.body).drives == ()
    assert not other.is_trusted


def test_a_root_gets_what_it_would_ask_for_next_in_the_same_answer(
    desk: Desk, drive: HeldDrive, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(owner, drive, CONTENT)
    root = bodies.ProveRoot.sign(owner.root, HASH)
    for wanted in (None, owner.id):
        who = stranger()
        told = RootState.decode(ask(desk, who, Method.STATE, StateWanted(root, wanted)).body)
        heads = bodies.LogHeads.decode(ask(desk, who, Method.HEADS, bodies.OfDrive(owner.id)).body)
        chain = bodies.ChainPart.decode(ask(desk, who, Method.CHAIN, bodies.ChainFrom(owner.id, 0)).body)
        assert told == RootState(bodies.Drives((owner.id,)), DriveState(owner.id, chain, heads))
    for none in (b"\x09" * 32, owner.id):  # the second when it is too long for one answer
        told = RootState.decode(ask(desk, stranger(), Method.STATE, StateWanted(root, none)).body)
        assert told == RootState(bodies.Drives((owner.id,)), None)
        monkeypatch.setattr("hyperfs.peer.desk.MOST_BODY_BYTES", 100)


def test_a_root_of_nothing_that_is_held_and_a_false_proof_get_no_state(
    desk: Desk, drive: HeldDrive, owner: Owner
) -> None:
    who = stranger()
    another = StateWanted(bodies.ProveRoot.sign(key("another root"), HASH), owner.id)
    assert RootState.decode(ask(desk, who, Method.STATE, another).body) == RootState(bodies.Drives(()), None)
    replayed = StateWanted(bodies.ProveRoot.sign(owner.root, b"\x0b" * 64), owner.id)
    assert ask(desk, who, Method.STATE, replayed).status == Status.REFUSED
    assert not who.is_trusted


def test_attack_n06_a_root_s_proof_of_another_connection_shows_nothing(
    desk: Desk, drive: HeldDrive, owner: Owner
) -> None:
    who = stranger()
    reply = ask(desk, who, Method.DRIVES, bodies.ProveRoot.sign(owner.root, b"\x0b" * 64))
    assert reply.status == Status.REFUSED
    assert ask(desk, who, Method.SPACE, bodies.OfDrive(owner.id)).status == Status.NOT_HERE


def test_a_chain_goes_in_parts_and_comes_back_in_parts(
    desk: Desk, drive: HeldDrive, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_RECORDS_BYTES", 600)
    for block in range(20):
        owner.clear(CONTENT, (block, block + 1))
    who, records = visitor(), owner.chain.records
    for start in range(1, len(records), 10):
        reply = ask(desk, who, Method.OFFER, offer(owner, records[start : start + 10], start))
        assert bodies.OfferTaken.decode(reply.body).outcome == Outcome.NEWER
    found: list[Record] = []
    while len(found) < len(records):
        reply = ask(desk, who, Method.CHAIN, bodies.ChainFrom(owner.id, len(found)))
        part = bodies.ChainPart.decode(reply.body)
        assert part.total == len(records)
        assert 0 < len(part.records) <= 600
        found += decode_records(part.records)
    assert tuple(found) == records
    assert len(drive.holds.waiting(drive.clears)) == 20


def test_an_offer_is_newer_the_same_older_or_apart(desk: Desk, drive: HeldDrive, owner: Owner) -> None:
    who = visitor()
    owner.clear(CONTENT, (0, 5))
    records = owner.chain.records
    wrong = offer(owner, records[2:], 2)._replace(previous=b"\x09" * 32)
    for offered, outcome, total in (
        (offer(owner, records[2:], 2), Outcome.APART, 1),
        (wrong, Outcome.APART, 1),
        (offer(owner, records[1:2], 1), Outcome.NEWER, 2),
        (wrong, Outcome.APART, 2),
        (offer(owner, records[2:], 2), Outcome.NEWER, 3),
        (offer(owner, records), Outcome.SAME, 3),
        (offer(owner, records[:1]), Outcome.OLDER, 3),
        (offer(owner, records[1:2], 1), Outcome.OLDER, 3),
    ):
        reply = ask(desk, who, Method.OFFER, offered)
        assert bodies.OfferTaken.decode(reply.body) == bodies.OfferTaken(outcome, total)
        assert (reply.grown is not None) == (outcome == Outcome.NEWER)


def test_attack_m04_two_chains_that_part_are_told_and_kept(desk: Desk, drive: HeldDrive, owner: Owner) -> None:
    before = owner.chain
    owner.clear(CONTENT, (0, 5))
    drive.offer_chain(owner.chain.encode())
    kept, owner.chain = owner.chain, before
    owner.clear(CONTENT, (5, 9))
    reply = ask(desk, visitor(), Method.OFFER, offer(owner, owner.chain.records))
    assert reply.status == Status.CONTRADICTION
    assert b"two control chains part at record 1" in reply.body
    assert len(drive.dossier.found) == 1
    assert drive.chain == kept


def test_records_that_are_not_signed_or_of_another_drive_are_refused(
    desk: Desk, drive: HeldDrive, owner: Owner, tmp_path: Any
) -> None:
    other = Owner(tmp_path / "other", "other")
    record = owner.clear(CONTENT, (0, 5)) and owner.chain.records[1]
    forged = record._replace(signature=bytes(64))
    for offered in (offer(owner, [forged], 1), offer(other, other.chain.records)._replace(drive=owner.id)):
        reply = ask(desk, visitor(), Method.OFFER, offered)
        assert reply.status in (Status.REFUSED, Status.BAD_REQUEST, Status.CONTRADICTION)
        assert drive.chain is not None
        assert len(drive.chain.records) == 1
    other.close()


def test_heads_receipts_and_space_are_what_is_held(desk: Desk, peer: Peer, drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT)
    who, log = visitor(), owner.discovery_key(CONTENT)
    (head,) = bodies.LogHeads.decode(ask(desk, who, Method.HEADS, bodies.OfDrive(owner.id)).body).heads
    own = owner.logs[CONTENT].head()
    assert (head.log, *head[1:5]) == (log, own.fork, own.length, own.byte_length, own.tree_hash)
    manifest = default_v1(owner.signer(CONTENT).public_key)
    assert check_signature(manifest, head.tree_hash, head.length, head.fork, head.signature)
    reply = ask(desk, who, Method.RECEIPT, bodies.ReceiptWanted(owner.id, log, CHALLENGE, 10))
    found = check(reply.body, PEER_KEY.public_key, owner.id, log, CHALLENGE, NOW)
    assert found.ranges == ((10, 50),)
    nothing = bodies.ReceiptWanted(owner.id, owner.discovery_key(METADATA), CHALLENGE, 0)
    assert ask(desk, who, Method.RECEIPT, nothing).status == Status.REFUSED
    drive.set_quota(12345)
    space = bodies.Space.decode(ask(desk, who, Method.SPACE, bodies.OfDrive(owner.id)).body)
    assert (space.used_bytes, space.quota_bytes) == (drive.used_bytes, 12345)


def test_an_audit_shows_that_the_bytes_were_read(desk: Desk, drive: HeldDrive, owner: Owner) -> None:
    upload(owner, drive, CONTENT, 0, 1, 2)
    who, log = visitor(), owner.discovery_key(CONTENT)
    asked = bodies.Audit(owner.id, log, 0, CHALLENGE, (2, 0, 7, 4000))
    found = bodies.Audited.decode(ask(desk, who, Method.AUDIT, asked).body).blocks
    own = owner.logs[CONTENT]
    assert found == (
        (Found.HERE, bodies.audit_digest(CHALLENGE, 2, own.get(2))),
        (Found.HERE, bodies.audit_digest(CHALLENGE, 0, own.get(0))),
        (Found.MISSING, b""),
        (Found.MISSING, b""),
    )
    assert ask(desk, who, Method.AUDIT, asked._replace(fork=9)).status == Status.REFUSED
    assert ask(desk, who, Method.AUDIT, asked._replace(blocks=tuple(range(65)))).status == Status.REFUSED


def test_an_audit_finds_what_the_disk_has_lost(desk: Desk, drive: HeldDrive, owner: Owner, tmp_path: Any) -> None:
    upload(owner, drive, CONTENT)
    blocks = list(tmp_path.glob(f"peer/drives/*/logs/{owner.discovery_key(CONTENT).hex()}/0/blocks"))
    if not blocks:
        pytest.skip("a store in memory has no disk that loses")
    data = blocks[0].read_bytes()
    blocks[0].write_bytes(data[:10] + bytes([data[10] ^ 1]) + data[11:])
    asked = bodies.Audit(owner.id, owner.discovery_key(CONTENT), 0, CHALLENGE, tuple(range(20)))
    for lost in (Found.DAMAGED, Found.MISSING):
        found = bodies.Audited.decode(ask(desk, visitor(), Method.AUDIT, asked).body).blocks
        assert sorted({what for what, _ in found}) == sorted({Found.HERE, lost})
    assert len(drive.damaged) == 1


def test_only_who_may_gets_a_log(peer: Peer, drive: HeldDrive, owner: Owner) -> None:
    desk, log = Desk(peer), owner.discovery_key(CONTENT)
    root = stranger()
    ask(desk, root, Method.DRIVES, bodies.ProveRoot.sign(owner.root, HASH))
    for only_listed, allowed in ((False, [True, True, True]), (True, [True, True, False])):
        peer.only_listed = only_listed
        assert [desk.lend(who, log) is not None for who in (visitor(), root, stranger())] == allowed
    assert desk.lend(visitor(), b"\x09" * 32) is None


def test_what_makes_no_sense_and_what_fails_are_answers(
    desk: Desk, drive: HeldDrive, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = visitor()
    assert desk.answer(who, 99, b"", NOW).status == Status.BAD_REQUEST
    for method in Method:
        assert desk.answer(who, method, b"", NOW).status == Status.BAD_REQUEST
    drive.set_quota(1)
    owner.clear(CONTENT, (0, 5))

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken(*arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for failing, status in ((full, Status.FULL), (broken, Status.REFUSED)):
        monkeypatch.setattr(type(desk._peer.store), "write", failing)
        reply = ask(desk, who, Method.OFFER, offer(owner, owner.chain.records))
        assert reply.status == status
    assert [event.level for event in reply.events] == ["error"]


EXAMPLES = 200 if os.environ.get("HYPERFS_ALL") == "1" else 25
EDGES = [(1 << bits) + more for bits in (31, 32, 52, 53, 63) for more in (-1, 0, 1)]
NUMBERS = st.one_of(st.integers(0, 80), st.sampled_from([*EDGES, (1 << 64) - 1]))


@pytest.mark.parametrize("reopen", ["folder"], indirect=True)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=NUMBERS, fork=NUMBERS, blocks=st.lists(NUMBERS, max_size=5), rest=st.binary(max_size=60))
def test_attack_m13_absurd_numbers_and_bytes_are_answered_like_any_others(
    desk: Desk, drive: HeldDrive, owner: Owner, start: int, fork: int, blocks: list[int], rest: bytes
) -> None:
    """Whatever a listed device asks, the peer answers, and does not fall over."""
    who, log = visitor(), owner.discovery_key(CONTENT)
    if drive.lend(log).head() is None:
        upload(owner, drive, CONTENT)
    for method, body in (
        (Method.CHAIN, bodies.ChainFrom(owner.id, start).encode()),
        (Method.OFFER, bodies.Offer(owner.id, start, bytes(32), rest).encode()),
        (Method.RECEIPT, bodies.ReceiptWanted(owner.id, log, CHALLENGE, start).encode()),
        (Method.AUDIT, bodies.Audit(owner.id, log, fork % 3, CHALLENGE, (start, *blocks)).encode()),
        (Method.AUDIT, bodies.Audit(owner.id, log, fork, CHALLENGE, (start,)).encode()),
        *((method, owner.id + rest) for method in Method),
        *((method, rest) for method in Method),
    ):
        reply = desk.answer(who, method, body, NOW)
        assert reply.status in Status
    assert drive.chain == owner.chain
