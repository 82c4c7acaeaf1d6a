"""The bodies of `hyperfs/1`: what each method asks and answers. Encode beside decode.

Records of a control chain go as they stand in its file, one after the other. Ids, keys and hashes have 32 bytes,
signatures 64; `log` is a log's discovery key. What follows the fields that are known is ignored.
"""

from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple, Self

from hyperfs.crypto.keys import SIGNATURE_BYTES
from hyperfs.errors import Corrupt
from hyperfs.log import compact
from hyperfs.log.heads import Signer
from hyperfs.replication.dialogue_codec import MOST_BODY_BYTES
from hyperfs.replication.invitation import ID_BYTES, PROOF_BYTES

HASH_BYTES: Final = 32
MOST_AUDITED: Final = 64
MOST_RECORDS_BYTES: Final = MOST_BODY_BYTES - 4096
"""Of a control chain in one body, but a single record may be longer."""
_ROOT_PROOF: Final = b"hyperfs/v1/root-proof\0"
_AUDIT: Final = b"hyperfs/v1/audit\0"


class Pair(NamedTuple):
    """`proof`: see invitation.proof."""

    invite: bytes
    proof: bytes
    drive: bytes

    def encode(self) -> bytes:
        return self.invite + self.proof + self.drive

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "pairing")
        return cls(reader.take(ID_BYTES), reader.take(PROOF_BYTES), reader.take(HASH_BYTES))


class Paired(NamedTuple):
    """`quota_bytes` None: as much as there is room for."""

    quota_bytes: int | None

    def encode(self) -> bytes:
        return _encode_quota(self.quota_bytes)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(_decode_quota(compact.Reader(body, "answer to a pairing")))


class Part(NamedTuple):
    """`part` is to be held, or not any more, as a part of `drive`."""

    drive: bytes
    part: bytes

    def encode(self) -> bytes:
        return self.drive + self.part

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "drive and a part of it")
        return cls(reader.take(HASH_BYTES), reader.take(HASH_BYTES))


class ProveRoot(NamedTuple):
    """Which drives have this root? The signature proves that it is the asker's, on this connection."""

    root_key: bytes
    signature: bytes

    def encode(self) -> bytes:
        return self.root_key + self.signature

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "proof of a root")
        return cls(reader.take(HASH_BYTES), reader.take(SIGNATURE_BYTES))

    @classmethod
    def sign(cls, root: Signer, handshake_hash: bytes) -> Self:
        return cls(root.public_key, root.sign(root_message(handshake_hash)))


def root_message(handshake_hash: bytes) -> bytes:
    """What the root signs."""
    return _ROOT_PROOF + handshake_hash


class Drives(NamedTuple):
    """Ids, ascending."""

    drives: tuple[bytes, ...]

    def encode(self) -> bytes:
        return compact.uint(len(self.drives)) + b"".join(self.drives)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "list of drives")
        return cls(tuple(reader.take(HASH_BYTES) for _ in range(reader.count(HASH_BYTES))))


class ChainFrom(NamedTuple):
    """The records from `start` on, as many as fit into an answer."""

    drive: bytes
    start: int

    def encode(self) -> bytes:
        return self.drive + compact.uint(self.start)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "request for a control chain")
        return cls(reader.take(HASH_BYTES), reader.uint())


class ChainPart(NamedTuple):
    """`total`: how many records there are in all."""

    total: int
    records: bytes

    def encode(self) -> bytes:
        return compact.uint(self.total) + self.records

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "part of a control chain")
        return cls(reader.uint(), reader.rest())


class Offer(NamedTuple):
    """Records from `start` on; `previous` is the hash of the record before, zeros for the first."""

    drive: bytes
    start: int
    previous: bytes
    records: bytes

    def encode(self) -> bytes:
        return self.drive + compact.uint(self.start) + self.previous + self.records

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "offer of a control chain")
        return cls(reader.take(HASH_BYTES), reader.uint(), reader.take(HASH_BYTES), reader.rest())


class Outcome(IntEnum):
    """What an offered chain is to the one that is there."""

    NEWER = 1
    SAME = 2
    OLDER = 3
    APART = 4
    """It does not join on: the record before `start` is missing there, or another. Offer from the beginning: then where
    they part is found, and both are evidence."""


class OfferTaken(NamedTuple):
    """`total`: how many records are there now."""

    outcome: Outcome
    total: int

    def encode(self) -> bytes:
        return compact.uint(self.outcome) + compact.uint(self.total)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "answer to an offer")
        outcome = reader.uint()
        if outcome not in Outcome.__members__.values():
            raise Corrupt(f"an offer has come out as {outcome}, which says nothing")
        return cls(Outcome(outcome), reader.uint())


class OfDrive(NamedTuple):
    """Asks for the heads of its logs, or for its space."""

    drive: bytes

    def encode(self) -> bytes:
        return self.drive

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(compact.Reader(body, "request about a drive").take(HASH_BYTES))


class LogHead(NamedTuple):
    """The signature, bare, is for the asker to check, with the log's public key from the control chain; it covers all
    but the number of bytes."""

    log: bytes
    fork: int
    length: int
    byte_length: int
    tree_hash: bytes
    signature: bytes


class LogHeads(NamedTuple):
    heads: tuple[LogHead, ...]

    def encode(self) -> bytes:
        parts = [compact.uint(len(self.heads))]
        for log, fork, length, byte_length, tree_hash, signature in self.heads:
            parts += [log, *map(compact.uint, (fork, length, byte_length)), tree_hash, signature]
        return b"".join(parts)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "heads of logs")
        least = 2 * HASH_BYTES + SIGNATURE_BYTES + 3
        return cls(tuple(_decode_head(reader) for _ in range(reader.count(least))))


def _decode_head(reader: compact.Reader) -> LogHead:
    log = reader.take(HASH_BYTES)
    numbers = reader.uint(), reader.uint(), reader.uint()
    return LogHead(log, *numbers, reader.take(HASH_BYTES), reader.take(SIGNATURE_BYTES))


class ReceiptWanted(NamedTuple):
    """For the blocks from `start` on. The answer's body is the receipt."""

    drive: bytes
    log: bytes
    challenge: bytes
    start: int

    def encode(self) -> bytes:
        return self.drive + self.log + self.challenge + compact.uint(self.start)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "request for a receipt")
        return cls(reader.take(HASH_BYTES), reader.take(HASH_BYTES), reader.take(HASH_BYTES), reader.uint())


class Audit(NamedTuple):
    """Read these blocks, at most MOST_AUDITED, and show that you have. Blocks themselves go over the log's channel."""

    drive: bytes
    log: bytes
    fork: int
    challenge: bytes
    blocks: tuple[int, ...]

    def encode(self) -> bytes:
        numbers = (len(self.blocks), *self.blocks)
        parts = self.drive, self.log, compact.uint(self.fork), self.challenge, *map(compact.uint, numbers)
        return b"".join(parts)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "audit")
        drive, log, fork = reader.take(HASH_BYTES), reader.take(HASH_BYTES), reader.uint()
        challenge = reader.take(HASH_BYTES)
        return cls(drive, log, fork, challenge, tuple(reader.uint() for _ in range(reader.count(1))))


class Found(IntEnum):
    """Of an audited block."""

    MISSING = 0
    HERE = 1
    DAMAGED = 2


class Audited(NamedTuple):
    """For each block, in the order of the request: what was found, and where it is there, its audit_digest."""

    blocks: tuple[tuple[Found, bytes], ...]

    def encode(self) -> bytes:
        return compact.uint(len(self.blocks)) + b"".join(bytes([found]) + digest for found, digest in self.blocks)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "answer to an audit")
        return cls(tuple(_decode_audited(reader) for _ in range(reader.count(1))))


def _decode_audited(reader: compact.Reader) -> tuple[Found, bytes]:
    found = reader.uint()
    if found not in Found.__members__.values():
        raise Corrupt(f"an audit has found {found}, which says nothing")
    return Found(found), reader.take(HASH_BYTES) if found == Found.HERE else b""


def audit_digest(challenge: bytes, block: int, data: bytes) -> bytes:
    """What only who has the block's bytes, as sealed in the log, can say to this challenge."""
    return blake2b(_AUDIT + block.to_bytes(8, "little") + data, key=challenge, digest_size=HASH_BYTES).digest()


class Space(NamedTuple):
    """`free_bytes`: of the peer's disk, for all drives."""

    used_bytes: int
    quota_bytes: int | None
    free_bytes: int

    def encode(self) -> bytes:
        return compact.uint(self.used_bytes) + _encode_quota(self.quota_bytes) + compact.uint(self.free_bytes)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = compact.Reader(body, "space of a drive")
        return cls(reader.uint(), _decode_quota(reader), reader.uint())


def _encode_quota(quota_bytes: int | None) -> bytes:
    return b"\0" if quota_bytes is None else b"\1" + compact.uint(quota_bytes)


def _decode_quota(reader: compact.Reader) -> int | None:
    return reader.uint() if reader.uint() else None
