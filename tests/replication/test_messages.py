"""Messages of a log's channel: npm's bytes, and round trips."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log.manifest import default_v1
from hyperfs.log.merkle import Node
from hyperfs.log.proof import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Request,
    SeekProof,
    SeekRequest,
    TreeProof,
    UpgradeProof,
    UpgradeRequest,
)
from hyperfs.replication.messages import (
    Ask,
    Bitfield,
    Cancel,
    Data,
    Extension,
    Handshake,
    Message,
    NoData,
    Range,
    Synchronize,
    Unwant,
    Want,
    capability,
    decode,
    decode_handshake,
    encode,
    encode_handshake,
)


def node(index: int, size: int, fill: int) -> Node:
    return Node(index, size, bytes([fill]) * 32)


UPGRADE = UpgradeProof(
    3, 300, (node(6, 20, 1), node(11, 70000, 2)), (node(608, 1 << 32, 3),), b"\x05" * 70
)
MANIFEST = default_v1(b"\x08" * 32)

# The very messages of tests/node/wire_vectors.js.
CASES: dict[str, list[Message]] = {
    "sync": [
        Synchronize(0, 0, 0, True, has_manifest=False),
        Synchronize(2, 70000, 253, False, uploading=False, allow_push=True),
    ],
    "request": [
        Ask(1, 0, Request(BlockRequest(5, 2))),
        Ask(300, 1, Request(hash=HashRequest(1023), seek=SeekRequest(99999, 8))),
        Ask(2, 0, Request(BlockRequest(9), upgrade=UpgradeRequest(3, 7)), manifest=True, priority=2),
    ],
    "cancel": [Cancel(7)],
    "data": [
        Data(1, TreeProof(0, BlockProof(5, b"a block", (node(8, 3, 1),)))),
        Data(2, TreeProof(1, None, HashProof(3, (node(3, 40, 4),)), SeekProof(9, (node(5, 9, 5),)))),
        Data(3, TreeProof(0, upgrade=UPGRADE), MANIFEST),
        Data(0, TreeProof(0, BlockProof(0, b"", ()), upgrade=UPGRADE)),
    ],
    "noData": [NoData(3), NoData(260, 2)],
    "want": [Want(0, 2097152), Want(64, 128, True)],
    "unwant": [Unwant(2097152, 2097152)],
    "bitfield": [Bitfield(32, bytes.fromhex("01000080" + "00000000" + "ffffffff"))],
    "range": [Range(0, 1000), Range(70000, 1, drop=True), Range(3, 2, drop=True)],
    "extension": [Extension("hyperfs", b"hello"), Extension("", b"")],
}
KINDS = list(CASES)


@pytest.mark.parametrize("kind", KINDS)
def test_messages_are_those_of_npm(npm: Any, kind: str) -> None:
    for message, wanted in zip(CASES[kind], npm["messages"][kind], strict=True):
        assert encode(message) == (KINDS.index(kind), bytes.fromhex(wanted))
        assert decode(KINDS.index(kind), bytes.fromhex(wanted)) == message


def test_capabilities_and_handshakes_are_those_of_npm(npm: Any) -> None:
    key, hash_ = bytes.fromhex(npm["capability"]["key"]), bytes.fromhex(npm["noise"]["hash"])
    assert capability(True, key, hash_).hex() == npm["capability"]["initiator"]
    assert capability(False, key, hash_).hex() == npm["capability"]["responder"]
    for seeks, wanted in zip((True, False), npm["capability"]["handshakes"], strict=True):
        handshake = Handshake(b"\x04" * 32, seeks)
        assert encode_handshake(handshake).hex() == wanted
        assert decode_handshake(bytes.fromhex(wanted)) == handshake


def test_attack_n06_a_capability_is_worth_nothing_elsewhere() -> None:
    key = b"\x01" * 32
    given_once = capability(True, key, b"\x02" * 64)
    assert given_once != capability(True, key, b"\x03" * 64)
    assert given_once != capability(False, key, b"\x02" * 64)
    assert given_once != capability(True, b"\x04" * 32, b"\x02" * 64)


uints = st.one_of(st.integers(0, 300), st.sampled_from([252, 253, 65535, 65536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1]))
bools = st.booleans()
nodes = st.lists(st.builds(Node, uints, uints, st.binary(min_size=32, max_size=32)), max_size=4).map(tuple)
proofs = st.builds(
    TreeProof,
    uints,
    st.none() | st.builds(BlockProof, uints, st.binary(max_size=400), nodes),
    st.none() | st.builds(HashProof, uints, nodes),
    st.none() | st.builds(SeekProof, uints, nodes, st.just(0)),
    st.none() | st.builds(UpgradeProof, uints, uints, nodes, nodes, st.binary(max_size=80)),
)
requests = st.builds(
    Request,
    st.none() | st.builds(BlockRequest, uints, uints),
    st.none() | st.builds(HashRequest, uints, uints),
    st.none() | st.builds(SeekRequest, uints, uints),
    st.none() | st.builds(UpgradeRequest, uints, uints),
)
every_message = st.one_of(
    st.builds(Synchronize, uints, uints, uints, bools, bools, bools, bools, bools),
    st.builds(Ask, uints, uints, requests, bools, uints),
    st.builds(Cancel, uints),
    st.builds(Data, uints, proofs, st.none() | st.just(MANIFEST)),
    st.builds(NoData, uints, uints),
    st.builds(Want, uints, uints, bools),
    st.builds(Unwant, uints, uints, bools),
    st.builds(Bitfield, uints, st.binary(max_size=40).map(lambda data: data[: len(data) & ~3])),
    st.builds(Range, uints, uints, bools),
    st.builds(Extension, st.text(max_size=20), st.binary(max_size=40)),
)


@settings(max_examples=300, deadline=None)
@given(every_message)
def test_a_message_comes_back_as_it_went(message: Message) -> None:
    assert decode(*encode(message)) == message


@settings(max_examples=200, deadline=None)
@given(every_message, st.integers(0, 500))
def test_a_message_that_is_cut_short_is_refused_or_says_less(message: Message, size: int) -> None:
    assume(message != NoData(message[0]))  # whose flags may be left out, for earlier versions had none
    kind, payload = encode(message)
    try:
        found = decode(kind, payload[: min(size, len(payload) - 1)])
    except (Corrupt, FormatTooNew):
        return
    assert found != message  # what may be left out at the end says something when it is there


def test_what_a_later_version_adds_is_ignored() -> None:
    assert decode(10, b"anything") is None
    kind, payload = encode(Range(5, 6))
    assert decode(kind, payload + b"more") == Range(5, 6)


def test_attack_m13_a_number_of_nodes_or_words_without_them_is_refused() -> None:
    with pytest.raises(Corrupt, match="announces 4294967295 items"):
        decode(3, b"\x02\x01\x00\x05\xfe\xff\xff\xff\xff")
    with pytest.raises(Corrupt, match="announces 65535 items"):
        decode(7, b"\x00\xfd\xff\xff" + bytes(100))
    with pytest.raises(Corrupt, match="name is too long"):
        decode(9, b"\xfd\x00\x01" + b"n" * 256)
