"""Requests, answers and notices of `hyperfs/1`: their bytes, and how many may be open."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.crypto.keys import SigningKeyPair, verify_signature
from hyperfs.errors import BadRequest, Corrupt, Misbehaved
from hyperfs.replication import dialogue_bodies as bodies
from hyperfs.replication import dialogue_codec as codec
from hyperfs.replication.dialogue import MOST_OPEN, Answered, Dialogue
from hyperfs.replication.dialogue_codec import Answer, Method, Notified, Request, Status
from hyperfs.replication.state_bodies import DriveState, RootState, StateWanted

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "dialogue.json").read_text())
DRIVE, LOG, CHALLENGE = (bytes([number]) * 32 for number in (1, 2, 3))
ROOT = SigningKeyPair(b"\x07" * 32)
PROOF = bodies.ProveRoot.sign(ROOT, b"\x09" * 64)
HEADS = bodies.LogHeads((bodies.LogHead(LOG, 0, 1000, 70_000, b"\x05" * 32, b"\x06" * 64),))

EXAMPLES = {
    "pair": bodies.Pair(b"\x01" * 8, b"\x02" * 32, DRIVE),
    "paired": bodies.Paired(1 << 40),
    "paired, no quota": bodies.Paired(None),
    "prove root": PROOF,
    "drives": bodies.Drives((DRIVE, LOG)),
    "chain from": bodies.ChainFrom(DRIVE, 300),
    "chain part": bodies.ChainPart(301, b"records"),
    "offer": bodies.Offer(DRIVE, 7, b"\x04" * 32, b"records"),
    "offer taken": bodies.OfferTaken(bodies.Outcome.APART, 7),
    "of drive": bodies.OfDrive(DRIVE),
    "log heads": HEADS,
    "receipt wanted": bodies.ReceiptWanted(DRIVE, LOG, CHALLENGE, 512),
    "audit": bodies.Audit(DRIVE, LOG, 0, CHALLENGE, (5, 300, 70_000)),
    "audited": bodies.Audited(
        (
            (bodies.Found.HERE, bodies.audit_digest(CHALLENGE, 5, b"block")),
            (bodies.Found.MISSING, b""),
            (bodies.Found.DAMAGED, b""),
        )
    ),
    "part": bodies.Part(DRIVE, LOG),
    "space": bodies.Space(5, 1 << 40, 1 << 41),
    "state wanted": StateWanted(PROOF, None),
    "state wanted, of one": StateWanted(PROOF, DRIVE),
    "root state": RootState(bodies.Drives((DRIVE, LOG)), None),
    "root state, of one": RootState(
        bodies.Drives((DRIVE,)), DriveState(DRIVE, bodies.ChainPart(301, b"some"), HEADS)
    ),
}
MESSAGES = {
    "request": Request(1, Method.CHAIN, b"body"),
    "answer": Answer(1, Status.NOT_HERE, b"words"),
    "notice": Notified(codec.Notice.LEAVING, b"words"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_body_comes_back_from_its_golden_bytes_and_more_may_follow(name: str) -> None:
    value = EXAMPLES[name]
    data = value.encode()
    assert data.hex() == GOLDEN["bodies"][name]
    assert type(value).decode(data) == value
    if name not in ("chain part", "offer"):  # they end with records
        assert type(value).decode(data + b"later") == value
    for end in range(len(data) - len(b"records") if "records" in repr(value) else len(data)):
        with pytest.raises(Corrupt):
            type(value).decode(data[:end])


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_comes_back_from_its_golden_bytes(name: str) -> None:
    kind, payload = codec.encode(MESSAGES[name])
    assert [kind, payload.hex()] == GOLDEN["messages"][name]
    assert codec.decode(kind, payload) == MESSAGES[name]


def test_what_is_not_known_is_none_and_what_is_too_long_is_corrupt() -> None:
    assert codec.decode(3, b"") is None
    kind, payload = codec.encode(Notified(1, bytes(codec.MOST_BODY_BYTES)))
    assert codec.decode(kind, payload) is not None
    kind, payload = codec.encode(Notified(1, bytes(codec.MOST_BODY_BYTES + 1)))
    with pytest.raises(Corrupt, match="at most"):
        codec.decode(kind, payload)
    with pytest.raises(Corrupt, match="says nothing"):
        bodies.OfferTaken.decode(b"\x09\x00")
    with pytest.raises(Corrupt, match="says nothing"):
        bodies.Audited.decode(b"\x01\x09")
    with pytest.raises(Corrupt, match="is there"):
        StateWanted.decode(PROOF.encode() + b"\x02")
    with pytest.raises(Corrupt, match="never was"):
        codec.decode_handshake(b"\x00")
    assert codec.decode_handshake(codec.encode_handshake() + b"later") == codec.VERSION


@given(st.text())
def test_words_are_one_line_that_moves_nothing(text: str) -> None:
    encoded = codec.encode_words(text)
    assert len(encoded) <= codec.MOST_WORDS_BYTES
    assert codec.decode_words(encoded).isprintable()
    assert not set(codec.decode_words((text + "\n\x1b[2J\u202e").encode(errors="replace"))) & set("\n\x1b\u202e")


def test_a_root_proves_itself_for_one_connection() -> None:
    found = EXAMPLES["prove root"]
    assert isinstance(found, bodies.ProveRoot)
    assert verify_signature(found.root_key, bodies.root_message(b"\x09" * 64), found.signature)
    assert not verify_signature(found.root_key, bodies.root_message(b"\x08" * 64), found.signature)


def sides() -> tuple[Dialogue, Dialogue]:
    return Dialogue(), Dialogue()


def bring(one: Dialogue, other: Dialogue) -> list[object]:
    return [event for message in one.take() for event in other.receive(*message)]


def test_questions_of_both_sides_are_answered_in_any_order() -> None:
    one, other = sides()
    first, second = one.ask(Method.SPACE, b"a"), one.ask(Method.CHAIN, b"b")
    back = other.ask(Method.HEADS, b"c")
    assert bring(one, other) == [Request(first, Method.SPACE, b"a"), Request(second, Method.CHAIN, b"b")]
    assert other.owes == 2
    other.answer(second, Status.OK, b"B")
    other.answer(first, Status.FULL, b"A")
    assert bring(other, one) == [
        Request(back, Method.HEADS, b"c"),
        Answered(Request(second, Method.CHAIN, b"b"), Status.OK, b"B"),
        Answered(Request(first, Method.SPACE, b"a"), Status.FULL, b"A"),
    ]
    assert other.owes == 0
    other.notify(codec.Notice.LEAVING, b"bye")
    assert bring(other, one) == [Notified(codec.Notice.LEAVING, b"bye")]


def test_one_question_more_than_the_credit_ends_the_connection() -> None:
    one, other = sides()
    ids = [one.ask(Method.SPACE, b"") for _ in range(MOST_OPEN)]
    with pytest.raises(BadRequest):
        one.ask(Method.SPACE, b"")
    bring(one, other)
    with pytest.raises(Misbehaved, match="at a time"):
        list(other.receive(*codec.encode(Request(100, Method.SPACE, b""))))
    other.answer(ids[0], Status.OK)
    bring(other, one)
    one.ask(Method.SPACE, b"")
    assert len(bring(one, other)) == 1


@pytest.mark.parametrize(
    "message", [Request(0, 8, b""), Request(1, 8, b""), Answer(1, 0, b""), Answer(7, 0, b"")], ids=repr
)
def test_numbers_that_are_not_free_or_not_open_end_the_connection(message: codec.Message) -> None:
    one, other = sides()
    list(one.receive(*codec.encode(Request(1, 8, b""))))
    other.ask(8, b"")
    with pytest.raises(Misbehaved):
        list(one.receive(*codec.encode(message)))


def test_a_body_that_is_too_long_is_not_sent() -> None:
    one, _ = sides()
    with pytest.raises(BadRequest, match="at most"):
        one.ask(Method.OFFER, bytes(codec.MOST_BODY_BYTES + 1))
