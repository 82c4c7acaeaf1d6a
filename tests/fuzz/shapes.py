"""From one string of bytes, as fuzzers make them, to the arguments of decoders that take more than one.

Where a format ends in a checksum, a seal or a signature, the shape puts a right one on whatever it is given: a fuzzer
never guesses one, and an owner of the keys (a device that has turned bad, a bug of ours) needs no guess.
"""

from hashlib import blake2b
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyperfs.crypto.journal_cipher import JournalCipher
from hyperfs.crypto.keys import EpochKeys, SigningKeyPair
from hyperfs.crypto.seal import BlockHeader
from hyperfs.errors import Corrupt
from hyperfs.log import control_codec
from hyperfs.log.compact import Reader, uint
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import Record, Roster, sign_record
from hyperfs.log.merkle import Node
from hyperfs.log.proof import BlockProof, HashProof, SeekProof, TreeProof, UpgradeProof
from hyperfs.store.journal_records import HEADER, MAGIC

KEYS: Final = EpochKeys(1, bytes(range(32)), bytes(range(32, 64)))
LOG_KEY: Final = bytes(range(64, 96))
SIGNER: Final = SigningKeyPair(bytes(32))
DEVICE: Final = SigningKeyPair(bytes([1]) * 32)
CIPHER: Final = JournalCipher(KEYS.journal_key)
NONCE: Final = bytes(12)
MOST_RECORDS: Final = 64


class Fields:
    """Reads numbers and pieces; past the end all is zero, so that short inputs say something too."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def piece(self, size: int) -> bytes:
        found = self.data[self.at : self.at + size]
        self.at += size
        return found.ljust(size, b"\0")

    def number(self, size: int = 1) -> int:
        return int.from_bytes(self.piece(size), "little")

    def rest(self) -> bytes:
        return self.data[self.at :]

    @property
    def is_left(self) -> bool:
        return self.at < len(self.data)


def join(first: bytes, second: bytes) -> bytes:
    """Two strings as one; the first has at most 65,535 bytes."""
    return len(first).to_bytes(2, "little") + first + second


def split(data: bytes) -> tuple[bytes, bytes]:
    """The inverse of `join`. Corrupt for what it did not make."""
    end = 2 + int.from_bytes(data[:2], "little")
    if len(data) < max(2, end):
        raise Corrupt("no two strings")
    return data[2:end], data[end:]


def summed(data: bytes) -> bytes:
    """With the checksum in its last 32 bytes made right: head slots, key files and the control file end so."""
    return data[:-32] + blake2b(data[:-32], digest_size=32).digest()


# The seal


def sealed(header: BlockHeader, payload: bytes) -> bytes:
    """A block with any header at all and a seal that holds."""
    key = KEYS.block_key(LOG_KEY, header.realm, header.kind, header.index >> 20)
    encoded = header.encode()
    return encoded + NONCE + AESGCM(key).encrypt(NONCE, payload, encoded)


def seal_made_right(data: bytes) -> bytes:
    """A block out of a header, in 56 bytes, and its payload. Corrupt where there can be no such header."""
    return sealed(BlockHeader.parse(data[:56].ljust(84, b"\0")), data[56:])


# The journal


def journal_segment(data: bytes) -> bytes:
    """Records with any numbers, sealed right. Eight bytes each, then a payload of up to 255 bytes."""
    fields, tag = Fields(data), bytes(16)
    parts: list[bytes] = []
    while fields.is_left and len(parts) < MOST_RECORDS:
        kind, segment, sequence, durable, broken, size = (fields.number() for _ in range(6))
        previous = bytes(16) if broken & 1 else tag
        aad = HEADER.pack(MAGIC, kind, broken, 0, size, segment, sequence, durable, previous)
        encrypted = CIPHER.encrypt(segment, NONCE, aad, fields.piece(size))
        tag = encrypted[-16:]
        parts.append(aad + NONCE + encrypted)
    return b"".join(parts)


def journal_seed(*payloads: bytes) -> bytes:
    return b"".join(
        bytes((1, 1, number, number - 1, 0, len(payload))) + payload for number, payload in enumerate(payloads, 1)
    )


# The control chain


def signed_again(records: list[Record]) -> bytes:
    """The file of these records, each in its place and signed by keys that are known here."""
    made: list[Record] = []
    for record in records[:MOST_RECORDS]:
        body = record.body
        if isinstance(body, Roster):
            devices = tuple(device._replace(signing_key=DEVICE.public_key) for device in body.devices[:1])
            body = body._replace(root_key=SIGNER.public_key, devices=devices + body.devices[1:])
        signer = DEVICE if record.signer else SIGNER
        previous = made[-1].hash() if made else bytes(32)
        made.append(sign_record(signer, record.signer, len(made), previous, body))
    return control_codec.encode_file(made)


def chain_seed(file: bytes) -> bytes:
    """The records of a control file, for `signed_again`: without their succession, which takes a key of its own."""
    return b"".join(
        record.encode() for record in Chain.parse(file).records if not isinstance(record.body, control_codec.Succession)
    )


def records_in(data: bytes) -> list[Record]:
    """Raises what `decode_record` does."""
    reader = Reader(data, "records")
    found: list[Record] = []
    while len(found) < MOST_RECORDS:
        try:
            reader.end()
        except Corrupt:
            found.append(control_codec.decode_record(reader))
        else:
            break
    return found


# Proofs


def _nodes(nodes: tuple[Node, ...]) -> bytes:
    return uint(len(nodes)) + b"".join(uint(node.index) + uint(node.size) + node.hash for node in nodes)


def _read_nodes(reader: Reader) -> tuple[Node, ...]:
    return tuple(Node(reader.uint(), reader.uint(), reader.take(32)) for _ in range(reader.count(34)))


def encode_proof(proof: TreeProof) -> bytes:
    """A form of our own for fuzzers: the wire's is not written yet."""
    parts = [uint(proof.fork)]
    if proof.block:
        value = proof.block.value
        parts += [b"\1", uint(proof.block.block), uint(len(value)), value, _nodes(proof.block.nodes)]
    if proof.hash:
        parts += [b"\2", uint(proof.hash.node), _nodes(proof.hash.nodes)]
    if proof.seek:
        parts += [b"\3", uint(proof.seek.bytes), uint(proof.seek.padding), _nodes(proof.seek.nodes)]
    if proof.upgrade:
        start, length, nodes, additional, signature = proof.upgrade
        parts += [b"\4", uint(start), uint(length), _nodes(nodes), _nodes(additional), signature]
    return b"".join(parts)


def decode_proof(data: bytes) -> TreeProof:
    """Raises Corrupt."""
    reader = Reader(data, "proof")
    proof = TreeProof(reader.uint())
    while True:
        try:
            reader.end()
        except Corrupt:
            proof = _with_part(proof, reader)
        else:
            return proof


def _with_part(proof: TreeProof, reader: Reader) -> TreeProof:
    match reader.uint():
        case 1:
            return proof._replace(block=BlockProof(reader.uint(), reader.buffer(), _read_nodes(reader)))
        case 2:
            return proof._replace(hash=HashProof(reader.uint(), _read_nodes(reader)))
        case 3:
            at, padding = reader.uint(), reader.uint()
            return proof._replace(seek=SeekProof(at, _read_nodes(reader), padding))
        case 4:
            start, length, nodes = reader.uint(), reader.uint(), _read_nodes(reader)
            return proof._replace(upgrade=UpgradeProof(start, length, nodes, _read_nodes(reader), reader.take(64)))
    raise Corrupt("no such part of a proof")
