"""Evidence: what somebody signed and can't have signed honestly. Kept for good, and anybody can check it. Pure.

    evidence  = "hfsevid\\n" u32 format, u32 kind, drive{32}, body
    1, two histories of a log:   public key{32}, statement, statement     of one fork and length, with different trees
    2, a fork not permitted:     public key{32}, statement
    3, two histories of a chain: u64 at, signer{32}, record, signer{32}, record
    statement = uint fork, uint length, uint n, node{n}, uint m, node{m}, signature{64}
    node      = uint index, uint size, hash{32}

A statement is Hypercore's proof of an upgrade from nothing: the n roots of the tree of the first `length` blocks, and
the m nodes that lead on to the length that is signed. `signer` is the public key that signed the record.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.log import heads
from hyperfs.log.compact import Reader, uint
from hyperfs.log.control_codec import Record, decode_record
from hyperfs.log.manifest import default_v1
from hyperfs.log.merkle import MerkleTree, Node
from hyperfs.log.proof import TreeProof, UpgradeProof
from hyperfs.log.verify_proof import Verified, verify_proof

EVIDENCE_FORMAT: Final = 1

_MAGIC: Final = b"hfsevid\n"
_HEAD: Final = Struct("<8sII32s")
_AT: Final = Struct("<Q")
_NODE_BYTES: Final = 34


class Statement(NamedTuple):
    """What a log's key signed, and which tree of the first upgrade.length blocks it thereby names."""

    fork: int
    upgrade: UpgradeProof

    def verified(self, public_key: bytes) -> Verified:
        """Corrupt unless the log's key signed it."""
        manifest = default_v1(public_key)

        def is_signed(tree_hash: bytes, length: int, fork: int, signature: bytes) -> bool:
            return heads.check_signature(manifest, tree_hash, length, fork, signature)

        return verify_proof(TreeProof(self.fork, upgrade=self.upgrade), (), self.fork, _nothing_known, is_signed)

    def prefix_hash(self) -> bytes:
        """The tree hash at upgrade.length. For a verified one."""
        return MerkleTree(self.upgrade.nodes).hash()


class ForkedLog(NamedTuple):
    drive: bytes
    public_key: bytes
    held: Statement
    offered: Statement


class UnpermittedFork(NamedTuple):
    drive: bytes
    public_key: bytes
    offered: Statement


class ForkedChain(NamedTuple):
    """Two records that both follow the same one, with the keys that signed them."""

    drive: bytes
    at: int
    held_signer: bytes
    held: Record
    offered_signer: bytes
    offered: Record


Evidence = ForkedLog | UnpermittedFork | ForkedChain

_KINDS: Final[dict[type[Evidence], int]] = {ForkedLog: 1, UnpermittedFork: 2, ForkedChain: 3}


def proves(evidence: Evidence) -> bool:
    """Whether it shows what it says. A fork that was not permitted shows it only beside the control chain."""
    try:
        match evidence:
            case ForkedLog(_, key, held, offered):
                same = held.fork == offered.fork and held.upgrade.length == offered.upgrade.length
                held.verified(key)
                offered.verified(key)
                return same and held.prefix_hash() != offered.prefix_hash()
            case UnpermittedFork(_, key, offered):
                offered.verified(key)
                return offered.fork > 0
            case ForkedChain(_, at, key, held_record, other_key, other):
                same = held_record.sequence == other.sequence == at and held_record.previous == other.previous
                signed = held_record.signed_by(key) and other.signed_by(other_key)
                return same and signed and held_record != other
    except Corrupt:
        return False


def in_words(evidence: Evidence) -> str:
    """For the peer's owner."""
    match evidence:
        case ForkedLog(_, key, held, _):
            length = held.upgrade.length
            return f"the log key {key.hex()[:16]} has signed two histories, different within the first {length} blocks"
        case UnpermittedFork(_, key, offered):
            return f"the log key {key.hex()[:16]} has signed fork {offered.fork}, which the root has not permitted"
        case ForkedChain(_, at):
            return f"two control chains part at record {at}"


def encode(evidence: Evidence) -> bytes:
    head = _HEAD.pack(_MAGIC, EVIDENCE_FORMAT, _KINDS[type(evidence)], evidence.drive)
    match evidence:
        case ForkedLog(_, key, held, offered):
            return head + key + _encode_statement(held) + _encode_statement(offered)
        case UnpermittedFork(_, key, offered):
            return head + key + _encode_statement(offered)
        case ForkedChain(_, at, key, record, other_key, other):
            return head + _AT.pack(at) + key + record.encode() + other_key + other.encode()


def decode(data: bytes) -> Evidence:
    """As it stands, nothing verified: see `proves`. Corrupt, FormatTooNew."""
    reader = Reader(data, "evidence")
    magic, version, kind, drive = _HEAD.unpack(reader.take(_HEAD.size))
    if magic != _MAGIC:
        raise Corrupt("this is no evidence")
    if version > EVIDENCE_FORMAT:
        raise FormatTooNew("evidence", version, EVIDENCE_FORMAT)
    found = _decode_body(kind, drive, reader)
    reader.end()
    if encode(found) != data:
        raise Corrupt("evidence is not in its one encoding")
    return found


def _decode_body(kind: int, drive: bytes, reader: Reader) -> Evidence:
    match kind:
        case 1:
            return ForkedLog(drive, reader.take(32), _decode_statement(reader), _decode_statement(reader))
        case 2:
            return UnpermittedFork(drive, reader.take(32), _decode_statement(reader))
        case 3:
            at: int = _AT.unpack(reader.take(8))[0]
            held_signer, held = reader.take(32), decode_record(reader)
            return ForkedChain(drive, at, held_signer, held, reader.take(32), decode_record(reader))
        case _:
            raise Corrupt(f"evidence of impossible kind {kind}")


def _encode_statement(statement: Statement) -> bytes:
    fork, upgrade = statement
    nodes = b"".join(_encode_nodes(found) for found in (upgrade.nodes, upgrade.additional))
    return uint(fork) + uint(upgrade.length) + nodes + upgrade.signature


def _encode_nodes(nodes: Sequence[Node]) -> bytes:
    return uint(len(nodes)) + b"".join(uint(index) + uint(size) + digest for index, size, digest in nodes)


def _decode_statement(reader: Reader) -> Statement:
    fork, length = reader.uint(), reader.uint()
    nodes, additional = _decode_nodes(reader), _decode_nodes(reader)
    return Statement(fork, UpgradeProof(0, length, nodes, additional, reader.take(64)))


def _decode_nodes(reader: Reader) -> tuple[Node, ...]:
    return tuple(Node(reader.uint(), reader.uint(), reader.take(32)) for _ in range(reader.count(_NODE_BYTES)))


def _nothing_known(index: int) -> Node:
    raise Corrupt(f"a statement leads to node {index}")
