"""Codes of invites: what was typed wrong is found, and only who has one can make a proof of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import BadRequest
from hyperfs.replication import invitation
from hyperfs.replication.address import Address, Endpoint
from hyperfs.replication.invitation import Invitation, parse

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "dialogue.json").read_text())
ADDRESS = Address(bytes(range(32)), Endpoint("cloud.example", 4780))
INVITATION = Invitation(ADDRESS, bytes(range(8)), bytes(range(64, 80)))


@given(st.binary(min_size=32, max_size=32), st.integers(1, 65_535), st.binary(min_size=24, max_size=24))
def test_every_code_comes_back(key: bytes, port: int, random: bytes) -> None:
    invite = Invitation(Address(key, Endpoint("cloud.example", port)), random[:8], random[8:])
    code = invite.code()
    assert parse(code) == invite
    assert parse(code.lower().replace("-", " ").replace("0", "o").replace("1", "l")) == invite


def test_the_golden_code_and_proof() -> None:
    golden = GOLDEN["invitation"]
    found = parse(golden["code"])
    assert found == INVITATION
    assert found.code() == golden["code"]
    verifier = invitation.verifier(found.id, found.secret)
    assert verifier.hex() == golden["verifier"]
    assert invitation.proof(verifier, b"\x02" * 64, b"\x03" * 32).hex() == golden["proof"]


@given(st.data())
def test_one_wrong_symbol_and_two_exchanged_are_found(data: st.DataObject) -> None:
    code = INVITATION.code()
    at, other = (data.draw(st.integers(0, len(code) - 1)) for _ in range(2))
    symbols = list(code)
    symbols[at], symbols[other] = symbols[other], symbols[at]
    if data.draw(st.booleans()):
        symbols[at] = data.draw(st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
    if "".join(symbols).replace("-", "") == code.replace("-", ""):
        return
    with pytest.raises(BadRequest):
        parse("".join(symbols))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a mistake"),
        ("HELLO-U", "'U' is in no code"),
        (INVITATION.code()[:-6], "a mistake"),
        (INVITATION.code()[:-1], "missing"),
        ("0" * 2000, "far shorter"),
    ],
)
def test_what_is_no_code_is_refused_with_words(text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        parse(text)


def test_a_later_version_is_named() -> None:
    data = b"\x02" + bytes(60)
    text = invitation.crockford.encode(data + invitation._checksum(data))
    with pytest.raises(BadRequest, match="update hyperfs"):
        parse(text)


def test_a_proof_is_for_one_connection_and_drive_and_a_repr_tells_no_secret() -> None:
    verifier = invitation.verifier(INVITATION.id, INVITATION.secret)
    connections, drives = [b"\1" * 64, b"\2" * 64], [b"\1" * 32, b"\2" * 32]
    assert len({invitation.proof(verifier, hash_, drive) for hash_ in connections for drive in drives}) == 4
    assert INVITATION.secret.hex() not in repr(INVITATION)
