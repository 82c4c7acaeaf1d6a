"""What the channel of one log says: Hypercore's messages, byte for byte. Encode beside decode.

The handshake goes with the opening of the channel; the rest by type, 0 to 9. What follows the fields that are known is
ignored, as npm's decoders do: a later version may add some. A signature is bytes here: its form is the manifest's.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final, NamedTuple

from hyperfs.errors import Corrupt
from hyperfs.log import compact
from hyperfs.log.manifest import REPLICATE_INITIATOR, REPLICATE_RESPONDER, Manifest, decode_manifest
from hyperfs.log.proof import BlockRequest, HashRequest, Request, SeekRequest, TreeProof, UpgradeRequest
from hyperfs.replication import proof_codec

PROTOCOL: Final = "hypercore/alpha"
ALIASES: Final = {"hypercore": PROTOCOL}

NOT_AVAILABLE: Final = 1
INVALID_REQUEST: Final = 2
"""Reasons of a NoData; 0: none is given."""

WORD_BITS: Final = 32
_MOST_NAME_BYTES: Final = 255


def capability(is_initiator: bool, log_key: bytes, handshake_hash: bytes) -> bytes:
    """Proof that a side knows a log's key, good for this connection and this side only. 32 bytes."""
    role = REPLICATE_INITIATOR if is_initiator else REPLICATE_RESPONDER
    return blake2b(role + log_key, key=handshake_hash, digest_size=32).digest()


class Handshake(NamedTuple):
    """`seeks`: understands requests for the place of a byte. Hypercore 11 does."""

    capability: bytes
    seeks: bool = True


class Synchronize(NamedTuple):
    """Where the sender stands. `remote_length`: the receiver's length as the sender knows it, of the same fork."""

    fork: int
    length: int
    remote_length: int
    can_upgrade: bool
    """The sender can prove its length on top of the receiver's."""
    uploading: bool = True
    downloading: bool = True
    has_manifest: bool = True
    allow_push: bool = False


class Ask(NamedTuple):
    """`id` from 1; 0 asks for the whole tree's signature because the other's data contradicted it."""

    id: int
    fork: int
    request: Request
    manifest: bool = False
    priority: int = 0


class Cancel(NamedTuple):
    id: int


class Data(NamedTuple):
    """The answer to an Ask. `id` 0: to none, a push or a proof that the log has forked."""

    id: int
    proof: TreeProof
    manifest: Manifest | None = None


class NoData(NamedTuple):
    id: int
    reason: int = 0


class Want(NamedTuple):
    """The sender would like to hear which of these blocks the receiver has; `any`: whether one of them."""

    start: int
    length: int
    any: bool = False


class Unwant(NamedTuple):
    start: int
    length: int
    any: bool = False


class Bitfield(NamedTuple):
    """Which blocks from `start` the sender has and lacks: bits, the lowest of each byte first, in words of 4 bytes."""

    start: int
    bits: bytes


class Range(NamedTuple):
    """The sender has these blocks, or (`drop`) has them no more."""

    start: int
    length: int
    drop: bool = False


class Extension(NamedTuple):
    """`name` "": the same as the last one's in this direction."""

    name: str
    message: bytes


Message = Synchronize | Ask | Cancel | Data | NoData | Want | Unwant | Bitfield | Range | Extension


def encode_handshake(handshake: Handshake) -> bytes:
    return compact.uint(handshake.seeks) + handshake.capability


def decode_handshake(payload: bytes) -> Handshake:
    reader = compact.Reader(payload, "handshake of a log's channel")
    flags = reader.uint()
    return Handshake(reader.take(32), bool(flags & 1))


def encode(message: Message) -> tuple[int, bytes]:
    """(type, payload)."""
    kind = _TYPES.index(type(message))
    return kind, _ENCODERS[kind](message)


def decode(kind: int, payload: bytes) -> Message | None:
    """None for a type that is not known, which npm ignores too. Corrupt for bytes that say nothing."""
    if not 0 <= kind < len(_TYPES):
        return None
    return _DECODERS[kind](compact.Reader(payload, _TYPES[kind].__name__))


def _flags(*bits: object) -> int:
    return sum(1 << place for place, bit in enumerate(bits) if bit)


def _uints(*values: int) -> bytes:
    return b"".join(map(compact.uint, values))


def _encode_synchronize(sync: Synchronize) -> bytes:
    flags = _flags(sync.can_upgrade, sync.uploading, sync.downloading, sync.has_manifest, sync.allow_push)
    return _uints(flags, sync.fork, sync.length, sync.remote_length)


def _decode_synchronize(reader: compact.Reader) -> Synchronize:
    flags = reader.uint()
    numbers = reader.uint(), reader.uint(), reader.uint()
    return Synchronize(*numbers, *(bool(flags >> place & 1) for place in range(5)))


def _encode_ask(ask: Ask) -> bytes:
    block, hash_, seek, upgrade = parts = ask.request
    flags = _flags(*parts, ask.manifest, ask.priority)
    fields = _uints(*(number for part in (block, hash_, seek, upgrade) for number in part or ()))
    return _uints(flags, ask.id, ask.fork) + fields + (compact.uint(ask.priority) if ask.priority else b"")


def _decode_ask(reader: compact.Reader) -> Ask:
    flags, number, fork = reader.uint(), reader.uint(), reader.uint()
    request = Request(
        BlockRequest(reader.uint(), reader.uint()) if flags & 1 else None,
        HashRequest(reader.uint(), reader.uint()) if flags & 2 else None,
        SeekRequest(reader.uint(), reader.uint()) if flags & 4 else None,
        UpgradeRequest(reader.uint(), reader.uint()) if flags & 8 else None,
    )
    return Ask(number, fork, request, bool(flags & 16), reader.uint() if flags & 32 else 0)


def _encode_data(data: Data) -> bytes:
    proof = data.proof
    flags = _flags(proof.block, proof.hash, proof.seek, proof.upgrade, data.manifest)
    parts = proof_codec.encode_parts(proof)
    return b"".join((_uints(flags, data.id, proof.fork), *parts, data.manifest.encode() if data.manifest else b""))


def _decode_data(reader: compact.Reader) -> Data:
    flags, number, fork = reader.uint(), reader.uint(), reader.uint()
    proof = proof_codec.decode_parts(reader, flags & 15, fork)
    return Data(number, proof, decode_manifest(reader.rest()) if flags & 16 else None)


def _encode_no_data(message: NoData) -> bytes:
    return _uints(message.id, 1, message.reason) if message.reason else _uints(message.id, 0)


def _decode_no_data(reader: compact.Reader) -> NoData:
    number = reader.uint()
    flags = reader.uint() if reader.left else 0
    return NoData(number, reader.uint() if flags & 1 else 0)


def _encode_want(want: Want | Unwant) -> bytes:
    return _uints(want.start, want.length) + (b"\1" if want.any else b"")


def _decode_want(reader: compact.Reader) -> tuple[int, int, bool]:
    return reader.uint(), reader.uint(), bool(reader.left and reader.uint() & 1)


def _encode_bitfield(bitfield: Bitfield) -> bytes:
    return _uints(bitfield.start, len(bitfield.bits) * 8 // WORD_BITS) + bitfield.bits


def _decode_bitfield(reader: compact.Reader) -> Bitfield:
    start = reader.uint()
    return Bitfield(start, reader.take(reader.count(WORD_BITS // 8) * (WORD_BITS // 8)))


def _encode_range(message: Range) -> bytes:
    is_one = message.length == 1
    return _uints(_flags(message.drop, is_one), message.start, *(() if is_one else (message.length,)))


def _decode_range(reader: compact.Reader) -> Range:
    flags, start = reader.uint(), reader.uint()
    return Range(start, 1 if flags & 2 else reader.uint(), bool(flags & 1))


def _encode_extension(message: Extension) -> bytes:
    return compact.buffer(message.name.encode()) + message.message


def _decode_extension(reader: compact.Reader) -> Extension:
    name = reader.buffer()
    if len(name) > _MOST_NAME_BYTES:
        raise Corrupt("an extension's name is too long")
    return Extension(compact.text(name, "an extension's name"), reader.rest())


# In the order of their types on the wire.
_TYPES: Final[tuple[type, ...]] = (
    Synchronize,
    Ask,
    Cancel,
    Data,
    NoData,
    Want,
    Unwant,
    Bitfield,
    Range,
    Extension,
)
_ENCODERS: Final[tuple[Callable[..., bytes], ...]] = (
    _encode_synchronize,
    _encode_ask,
    lambda cancel: compact.uint(cancel.id),
    _encode_data,
    _encode_no_data,
    _encode_want,
    _encode_want,
    _encode_bitfield,
    _encode_range,
    _encode_extension,
)
_DECODERS: Final[tuple[Callable[[compact.Reader], Message], ...]] = (
    _decode_synchronize,
    _decode_ask,
    lambda reader: Cancel(reader.uint()),
    _decode_data,
    _decode_no_data,
    lambda reader: Want(*_decode_want(reader)),
    lambda reader: Unwant(*_decode_want(reader)),
    _decode_bitfield,
    _decode_range,
    _decode_extension,
)
