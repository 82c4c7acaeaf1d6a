"""Proofs: what verifies is true, and a changed bit does not verify."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import BadRequest, Corrupt
from hyperfs.log import flat_tree, heads
from hyperfs.log.log import Log
from hyperfs.log.manifest import default_v1
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash
from hyperfs.log.proof import (
    BlockProof,
    BlockRequest,
    HashRequest,
    Request,
    SeekRequest,
    TreeProof,
    UpgradeProof,
    UpgradeRequest,
    byte_offset,
    missing_nodes,
    prove,
    upgrade_indexes,
)
from hyperfs.log.verify_proof import Verified, verify_proof

SIGNER = SigningKeyPair(b"\x07" * 32)
MANIFEST = default_v1(SIGNER.public_key)


class Missing(Exception):
    """The asker does not have the node."""


class Side(NamedTuple):
    """A whole log in memory: the prover's, or what the asker has of it."""

    blocks: list[bytes]
    nodes: dict[int, Node]
    tree: MerkleTree
    fork: int
    signature: bytes

    def get_node(self, index: int) -> Node:
        if index not in self.nodes:
            raise Missing(index)
        return self.nodes[index]

    def prove(self, request: Request) -> TreeProof:
        return prove(self.get_node, self.blocks.__getitem__, self.tree.length, self.fork, self.signature, request)

    def verify(self, proof: TreeProof) -> Verified:
        return verify_proof(proof, self.tree.roots, self.fork, self.get_node, check_signature)


def check_signature(tree_hash: bytes, length: int, fork: int, signature: bytes) -> bool:
    return heads.check_signature(MANIFEST, tree_hash, length, fork, signature)


def block(i: int) -> bytes:
    return b"%d." % i + bytes([i & 255]) * (i * 11 % 20)


def whole(length: int, fork: int = 0) -> Side:
    blocks = [block(i) for i in range(length)]
    tree = MerkleTree()
    nodes = {n.index: n for n in tree.extend([len(b) for b in blocks], [leaf_hash(b) for b in blocks])}
    return Side(blocks, nodes, tree, fork, heads.sign_head(MANIFEST, SIGNER, tree, fork).signature)


def roots_only(length: int, fork: int = 0) -> Side:
    """An asker who has a verified head and no block."""
    full = whole(length, fork)
    return full._replace(blocks=[], nodes={node.index: node for node in full.tree.roots})


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[Side, Side, Request]:
    """(prover, asker, a request that makes sense between them)."""
    length = draw(st.integers(1, 90))
    known = draw(st.integers(0, length))
    prover, asker = whole(length), roots_only(known)
    upgrade = None
    if known < length and draw(st.booleans()):
        upgrade = UpgradeRequest(known, draw(st.integers(1, length - known)))
    end = upgrade.start + upgrade.length if upgrade else known
    block_request = hash_request = seek = None
    kind = draw(st.sampled_from(["block", "hash", "seek", "block+seek", "none"]))
    if end and "block" in kind:
        index = draw(st.integers(0, end - 1))
        missing = missing_nodes(asker.nodes.__contains__, 2 * index, known)
        block_request = BlockRequest(index, missing)
    elif end and kind == "hash":
        index = draw(st.sampled_from([n for n in prover.nodes if flat_tree.right_span(n) < 2 * end]))
        assume(not flat_tree.left_span(index) < 2 * known <= flat_tree.right_span(index))
        hash_request = HashRequest(index, missing_nodes(asker.nodes.__contains__, index, known))
    if end and "seek" in kind:
        if block_request and block_request.block < known:
            root = next(r for r in asker.tree.roots if flat_tree.contains(r.index, 2 * block_request.block))
            start = byte_offset(prover.get_node, length, root.index)
            seek = SeekRequest(draw(st.integers(start, start + root.size - 1)))
        elif upgrade and not block_request:
            seek = SeekRequest(draw(st.integers(0, prover.tree.byte_length)))
    assume(block_request or hash_request or upgrade)
    return prover, asker, Request(block_request, hash_request, seek, upgrade)


def true_of(prover: Side, asker: Side, proof: TreeProof, verified: Verified) -> bool:
    """Whether everything that was proved is so in the prover's log."""
    lengths = {asker.tree.length, prover.tree.length}
    return (
        verified.tree.length in lengths
        and all(prover.nodes[root.index] == root for root in verified.tree.roots)
        and all(node.hash == prover.nodes[node.index].hash for node in verified.nodes)
        and (verified.block is None or prover.blocks[verified.block[0]] == verified.block[1])
        and verified.fork == prover.fork
    )


@settings(max_examples=300, deadline=None)
@given(exchanges())
def test_every_honest_answer_verifies(exchange: tuple[Side, Side, Request]) -> None:
    prover, asker, request = exchange
    proof = prover.prove(request)
    verified = asker.verify(proof)
    assert true_of(prover, asker, proof, verified)
    assert all(prover.nodes[node.index] == node for node in verified.nodes)
    if request.block:
        assert verified.block == (request.block.block, prover.blocks[request.block.block])
    if request.upgrade:
        assert verified.tree.hash() == prover.tree.hash()
        assert verified.signature == prover.signature


def flips(value: Any, rebuild: Callable[[Any], TreeProof]) -> Iterator[Callable[[int], TreeProof]]:
    """For every number and byte string in a proof: what gives the proof with one bit of it flipped."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int):
        yield lambda bit: rebuild(value ^ 1 << bit % 50)
    elif isinstance(value, bytes):
        if value:

            def flip(bit: int) -> TreeProof:
                changed = bytearray(value)
                changed[bit // 8 % len(changed)] ^= 1 << bit % 8
                return rebuild(bytes(changed))

            yield flip
    else:
        make = type(value)._make if hasattr(value, "_make") else tuple
        for at, inner in enumerate(value):

            def put(new: Any, at: int = at) -> TreeProof:
                return rebuild(make([*value[:at], new, *value[at + 1 :]]))

            yield from flips(inner, put)


@settings(max_examples=300, deadline=None)
@given(exchanges(), st.integers(0, 1 << 20), st.integers(0, 511))
def test_no_changed_bit_proves_anything_untrue(exchange: tuple[Side, Side, Request], which: int, bit: int) -> None:
    prover, asker, request = exchange
    proof = prover.prove(request)
    changes = list(flips(proof, lambda changed: changed))
    changed = changes[which % len(changes)](bit)
    try:
        verified = asker.verify(changed)
    except (Corrupt, Missing):
        return
    # Only the place sought may move, within what the proof proves: every other bit is held by a hash.
    assert proof.seek is not None
    assert changed._replace(seek=proof.seek) == proof
    assert changed.seek is not None
    assert true_of(prover, asker, changed, verified)
    place = changed.seek.nodes[0]
    start = byte_offset(prover.get_node, prover.tree.length, place.index)
    assert start <= changed.seek.bytes <= start + place.size


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 60), st.data())
def test_blocks_and_ways_of_other_places_prove_nothing(length: int, data: st.DataObject) -> None:
    prover, asker = whole(length), roots_only(length)
    one, other = data.draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True))
    proofs = [
        prover.prove(Request(BlockRequest(i, missing_nodes(asker.nodes.__contains__, 2 * i, length)))).block
        for i in (one, other)
    ]
    assert proofs[0]
    assert proofs[1]
    for swapped in (
        BlockProof(one, proofs[1].value, proofs[0].nodes),
        BlockProof(one, proofs[1].value, proofs[1].nodes),
        BlockProof(other, proofs[0].value, proofs[0].nodes),
        BlockProof(one, proofs[0].value, proofs[0].nodes[:-1]),
        BlockProof(
            one,
            proofs[0].value,
            (*proofs[0].nodes, proofs[1].nodes[0] if proofs[1].nodes else Node(0, 0, b"")),
        ),
    ):
        if swapped in proofs:
            continue
        with pytest.raises((Corrupt, Missing)):
            asker.verify(TreeProof(0, swapped))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(0, 59), st.integers(0, 1))
def test_another_signer_or_fork_upgrades_nothing(length: int, known: int, fork: int) -> None:
    assume(known < length)
    prover, asker = whole(length, fork), roots_only(known, fork)
    proof = prover.prove(Request(upgrade=UpgradeRequest(known, length - known)))
    assert proof.upgrade
    forged = SigningKeyPair(b"\x09" * 32)
    signature = heads.sign_head(MANIFEST, forged, prover.tree, fork).signature
    for bad in (
        proof._replace(upgrade=proof.upgrade._replace(signature=signature)),
        proof._replace(fork=fork + 1),
        proof._replace(upgrade=proof.upgrade._replace(signature=b"")),
    ):
        with pytest.raises(Corrupt, match="signature"):
            asker.verify(bad)
    assert asker.verify(proof).fork == fork


def test_a_new_fork_is_taken_from_its_beginning() -> None:
    prover, asker = whole(9, fork=3), roots_only(20)
    proof = prover.prove(Request(BlockRequest(4), upgrade=UpgradeRequest(0, 9)))
    with pytest.raises(Corrupt, match="an upgrade from 0"):
        asker.verify(proof)
    with pytest.raises(Corrupt, match="of fork 0 to one of fork 3"):
        roots_only(5).verify(prover.prove(Request(upgrade=UpgradeRequest(5, 4))))
    verified = verify_proof(proof, (), asker.fork, asker.get_node, check_signature)
    assert (verified.fork, verified.tree.length, verified.block) == (3, 9, (4, block(4)))


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_an_upgrade_needs_no_node_twice_and_none_too_many(start: int, more: int) -> None:
    end = start + more
    at = start
    for index in upgrade_indexes(start, end):
        assert flat_tree.left_span(index) == 2 * at
        at = flat_tree.right_span(index) // 2 + 1
    assert at == end
    assert len(list(upgrade_indexes(start, end))) <= 2 * max(end, 1).bit_length()


@pytest.mark.parametrize(
    "request_",
    [
        Request(BlockRequest(10)),
        Request(BlockRequest(-1)),
        Request(hash=HashRequest(15)),
        Request(BlockRequest(0), HashRequest(0)),
        Request(BlockRequest(0, 60)),
        Request(BlockRequest(0, -1)),
        Request(BlockRequest(9, 2)),
        Request(upgrade=UpgradeRequest(0, 11)),
        Request(upgrade=UpgradeRequest(4, 0)),
        Request(upgrade=UpgradeRequest(-1, 5)),
        Request(hash=HashRequest(3), upgrade=UpgradeRequest(2, 5)),
        Request(BlockRequest(5), seek=SeekRequest(3), upgrade=UpgradeRequest(2, 5)),
        Request(BlockRequest(5, 2), seek=SeekRequest(1 << 40)),
        Request(BlockRequest(5, 2), seek=SeekRequest(-1)),
        Request(BlockRequest(5, 2), seek=SeekRequest(0)),
    ],
)
def test_requests_without_sense_are_refused(request_: Request) -> None:
    with pytest.raises(BadRequest):
        whole(10).prove(request_)


def test_an_empty_log_proves_nothing() -> None:
    assert whole(0).prove(Request(BlockRequest(0))) == TreeProof(0)


@pytest.mark.parametrize(
    "upgrade",
    [
        UpgradeProof(0, 1 << 60, (), (), bytes(64)),
        UpgradeProof(0, 1 << 51, (Node((1 << 52) - 1, 1 << 60, bytes(32)),), (), bytes(64)),
        UpgradeProof(0, 2, (Node(1, -1, bytes(32)),), (), bytes(64)),
        UpgradeProof(0, 2, (Node(1, 1, bytes(31)),), (), bytes(64)),
        UpgradeProof(0, 2, (Node(-1, 1, bytes(32)),), (), bytes(64)),
        UpgradeProof(0, 200, tuple(Node(2 * i, 1, bytes(32)) for i in range(200)), (), bytes(64)),
        UpgradeProof(0, 0, (), (), bytes(64)),
        UpgradeProof(0, 1, (), (Node(0, 1, bytes(32)),), bytes(64)),
    ],
)
def test_attack_m13_absurd_upgrades_are_refused(upgrade: UpgradeProof) -> None:
    with pytest.raises(Corrupt):
        roots_only(0).verify(TreeProof(0, upgrade=upgrade))


def test_attack_m13_absurd_ways_are_refused() -> None:
    asker = roots_only(8)
    long = tuple(Node(2 * i, 1, bytes(32)) for i in range(65))
    for bad in (
        TreeProof(0, BlockProof(0, b"x", long)),
        TreeProof(0, BlockProof(1 << 60, b"x", ())),
        TreeProof(0, BlockProof(-1, b"x", ())),
    ):
        with pytest.raises(Corrupt):
            asker.verify(bad)


def test_a_log_answers_from_its_signed_head(log: Log) -> None:
    log.append([block(i) for i in range(100)])
    log.flush()
    log.append([b"unsigned"])
    proof = log.proof(Request(BlockRequest(70), upgrade=UpgradeRequest(0, 100)))
    verified = verify_proof(proof, (), 0, log.node, log.check_signature)
    assert verified.block == (70, block(70))
    assert verified.tree.length == 100
    with pytest.raises(BadRequest):
        log.proof(Request(BlockRequest(100)))
    later = log.proof(Request(BlockRequest(70, 3)))
    assert log.check_proof(later).block == (70, block(70))
