"""Records of the control chain, and the file `control` that holds them: bytes to values and back, no rules.

A record is a header of 48 bytes (type u16, signer u16, body length u32, sequence u64, hash of the record
before), the body, and an Ed25519 signature over a domain string, header and body. All integers little-endian.
What a record may say after those before it is decided in control_rules.py. The page is
docs/formats/control-chain.md.
"""

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from hyperfs.crypto.keys import verify_signature
from hyperfs.errors import Corrupt, FormatTooNew, Refused
from hyperfs.log.compact import Reader, uint
from hyperfs.log.heads import Signer
from hyperfs.log.merkle import hash32

CONTROL_FORMAT: Final = 1
ROOT: Final = 0
"""Signer number of the root key; devices have their roster number, from 1."""

ACTIVE, REVOKED = 1, 2
OPEN, CLOSED = 1, 2

_DOMAIN: Final = b"hyperfs/v1/control-record\0"
_SUCCESSION_DOMAIN: Final = b"hyperfs/v1/root-succession\0"
_MAGIC: Final = b"hfsctrl\n"
_FILE: Final = Struct("<8sII")
_HEADER: Final = Struct("<HHIQ32s")
_COUNT: Final = Struct("<H")
_DEVICE: Final = Struct("<HBB32s32s32sH")
_LOG: Final = Struct("<IHBB32sQQ32s")
_EPOCH: Final = Struct("<I4sHH")
_COPY: Final = Struct("<32sH")
_CLOSED: Final = Struct("<IQQ32s")
_CLEAR: Final = Struct("<IQQ32s")
_DEED: Final = Struct("<Q")
_NO_HEAD: Final = (0, 0, bytes(32))


class Device(NamedTuple):
    """A device of the drive. Its number is never given out again; its keys never change."""

    number: int
    name: bytes
    signing_key: bytes
    box_key: bytes
    transport_key: bytes
    state: int = ACTIVE


class LogEntry(NamedTuple):
    """A log of the drive, of kind LOG_METADATA or LOG_CONTENT (crypto/keys.py).

    A closed one takes nothing past the head that it was closed at; the head of an open one is zero here.
    """

    number: int
    device: int
    kind: int
    public_key: bytes
    state: int = OPEN
    fork: int = 0
    length: int = 0
    tree_hash: bytes = bytes(32)


class Roster(NamedTuple):
    """All devices and logs that the drive ever had, in order of numbers. Signed by the root named in it."""

    root_key: bytes
    recovery_key: bytes
    devices: tuple[Device, ...]
    logs: tuple[LogEntry, ...]


class Succession(NamedTuple):
    """A new root key. Signed by the old one; `consent` is the new key's signature over this drive's."""

    root_key: bytes
    recovery_key: bytes
    consent: bytes


class SealedCopy(NamedTuple):
    """Epoch key and drive key, sealed to an X25519 public key: a device's, or the recovery key."""

    recipient: bytes
    sealed: bytes


class Epoch(NamedTuple):
    """`key_id` is what blocks name the epoch's key by; `ciphers` those that may seal in it, ascending."""

    number: int
    key_id: bytes
    ciphers: tuple[int, ...]
    copies: tuple[SealedCopy, ...]


class LogOpened(NamedTuple):
    log: LogEntry


class LogClosed(NamedTuple):
    number: int
    fork: int
    length: int
    tree_hash: bytes


class Clear(NamedTuple):
    """Blocks [start, end) of a log whose head is this one; ranges ascending, apart, not empty."""

    log: int
    fork: int
    length: int
    tree_hash: bytes
    ranges: tuple[tuple[int, int], ...]


class ClearIntent(NamedTuple):
    clear: Clear


class ClearDeed(NamedTuple):
    """`intent` is the sequence of the record that announced it. No ranges: all of it that was left to do."""

    intent: int
    clear: Clear


Body = Roster | Succession | Epoch | LogOpened | LogClosed | ClearIntent | ClearDeed

_TYPES: Final[dict[type[Body], int]] = {
    Roster: 1,
    Succession: 2,
    Epoch: 3,
    LogOpened: 4,
    LogClosed: 5,
    ClearIntent: 6,
    ClearDeed: 7,
}
_NEWEST_TYPE: Final = 7


class Record(NamedTuple):
    signer: int
    sequence: int
    previous: bytes
    body: Body
    signature: bytes

    def encode(self) -> bytes:
        return _unsigned(self.signer, self.sequence, self.previous, self.body) + self.signature

    def hash(self) -> bytes:
        """BLAKE2b-256 of the whole record; of the first one it is the drive's id."""
        return hash32(self.encode())

    def signed_by(self, public_key: bytes) -> bool:
        return verify_signature(public_key, _DOMAIN + self.encode()[:-64], self.signature)


def sign_record(signer: Signer, signer_number: int, sequence: int, previous: bytes, body: Body) -> Record:
    message = _DOMAIN + _unsigned(signer_number, sequence, previous, body)
    return Record(signer_number, sequence, previous, body, signer.sign(message))


def succession_message(drive_id: bytes, root_key: bytes, recovery_key: bytes) -> bytes:
    """What the new root key signs to show that whoever names it has it."""
    return _SUCCESSION_DOMAIN + drive_id + root_key + recovery_key


def _unsigned(signer: int, sequence: int, previous: bytes, body: Body) -> bytes:
    encoded = encode_body(body)
    return _HEADER.pack(_TYPES[type(body)], signer, len(encoded), sequence, previous) + encoded


def encode_body(body: Body) -> bytes:
    match body:
        case Roster(root_key, recovery_key, devices, logs):
            parts = [root_key, recovery_key, _COUNT.pack(len(devices)), *map(_encode_device, devices)]
            return b"".join([*parts, _COUNT.pack(len(logs)), *map(_encode_log, logs)])
        case Succession(root_key, recovery_key, consent):
            return root_key + recovery_key + consent
        case Epoch(number, key_id, ciphers, copies):
            head = _EPOCH.pack(number, key_id, len(ciphers), len(copies)) + bytes(ciphers)
            return head + b"".join(_COPY.pack(to, len(sealed)) + sealed for to, sealed in copies)
        case LogOpened(log):
            return _encode_log(log)
        case LogClosed():
            return _CLOSED.pack(*body)
        case ClearIntent(clear):
            return _encode_clear(clear)
        case ClearDeed(intent, clear):
            return _DEED.pack(intent) + _encode_clear(clear)


def decode_record(reader: Reader) -> Record:
    """The next record; Corrupt for what encode could not have made, FormatTooNew for an unknown type."""
    kind, signer, size, sequence, previous = _HEADER.unpack(reader.take(_HEADER.size))
    if kind > _NEWEST_TYPE:
        raise FormatTooNew("a control record", kind, _NEWEST_TYPE)
    encoded = reader.take(size)
    inner = Reader(encoded, f"control record {sequence}")
    body = _decode_body(kind, inner)
    inner.end()
    if encode_body(body) != encoded:
        raise Corrupt(f"control record {sequence} is not in its one encoding")
    return Record(signer, sequence, previous, body, reader.take(64))


def encode_file(records: Iterable[Record]) -> bytes:
    encoded = [record.encode() for record in records]
    data = _FILE.pack(_MAGIC, CONTROL_FORMAT, len(encoded)) + b"".join(encoded)
    return data + blake2b(data, digest_size=32).digest()


def decode_file(data: bytes) -> list[Record]:
    """Records as they stand, nothing verified but the checksum and that they are well-formed."""
    body, checksum = data[:-32], data[-32:]
    if len(data) < _FILE.size + 32 or blake2b(body, digest_size=32).digest() != checksum:
        raise Corrupt("the control chain is damaged", "file control", "restore it from a copy or a peer")
    reader = Reader(body, "control chain")
    magic, version, count = _FILE.unpack(reader.take(_FILE.size))
    if magic != _MAGIC:
        raise Corrupt("this is no control chain", "file control")
    if version > CONTROL_FORMAT:
        raise FormatTooNew("the control chain", version, CONTROL_FORMAT)
    if version < CONTROL_FORMAT:
        raise Corrupt(f"the control chain has format {version}, which never was", "file control")
    records = [decode_record(reader) for _ in range(count)]
    reader.end()
    return records


def encode_records(records: Iterable[Record], most_bytes: int) -> tuple[bytes, int]:
    """Records one after the other, without a file around them, and how many: what fits, but the first in any case."""
    parts: list[bytes] = []
    size = 0
    for record in records:
        data = record.encode()
        if parts and size + len(data) > most_bytes:
            break
        parts.append(data)
        size += len(data)
    return b"".join(parts), len(parts)


def decode_records(data: bytes) -> list[Record]:
    """What encode_records made. Nothing is verified."""
    reader = Reader(data, "records of a control chain")
    records = []
    while reader.left:
        records.append(decode_record(reader))
    return records


def _encode_device(device: Device) -> bytes:
    number, name, signing, box, transport, state = device
    return _DEVICE.pack(number, state, 0, signing, box, transport, len(name)) + name


def _encode_log(log: LogEntry) -> bytes:
    number, device, kind, key, state, *head = log
    return _LOG.pack(number, device, kind, state, key, *head)


def _encode_clear(clear: Clear) -> bytes:
    *head, ranges = clear
    return _CLEAR.pack(*head) + encode_ranges(ranges)


def encode_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Each range by how far it is behind the last one, and its length: most numbers are small, and there are many."""
    parts, reach, count = [b""], 0, 0
    for start, end in ranges:
        if not reach <= start <= end:
            raise Refused(f"a range [{start}, {end}) behind block {reach}: ranges ascend")
        parts += (uint(start - reach), uint(end - start))
        reach, count = end, count + 1
    parts[0] = uint(count)
    return b"".join(parts)


def decode_ranges(reader: Reader) -> tuple[tuple[int, int], ...]:
    """Inverse of encode_ranges; Corrupt for what is cut short."""
    ranges, reach = [], 0
    for _ in range(reader.count(2)):
        start = reach + reader.uint()
        reach = start + reader.uint()
        ranges.append((start, reach))
    return tuple(ranges)


def _decode_body(kind: int, reader: Reader) -> Body:
    match kind:
        case 1:
            root_key, recovery_key = reader.take(32), reader.take(32)
            devices = tuple(_decode_device(reader) for _ in range(_count(reader)))
            return Roster(root_key, recovery_key, devices, tuple(_decode_log(reader) for _ in range(_count(reader))))
        case 2:
            return Succession(reader.take(32), reader.take(32), reader.take(64))
        case 3:
            number, key_id, ciphers, copies = _EPOCH.unpack(reader.take(_EPOCH.size))
            permitted = tuple(reader.take(ciphers))
            return Epoch(number, key_id, permitted, tuple(_decode_copy(reader) for _ in range(copies)))
        case 4:
            return LogOpened(_decode_log(reader))
        case 5:
            return LogClosed(*_CLOSED.unpack(reader.take(_CLOSED.size)))
        case 6:
            return ClearIntent(_decode_clear(reader))
        case 7:
            intent: int = _DEED.unpack(reader.take(_DEED.size))[0]
            return ClearDeed(intent, _decode_clear(reader))
        case _:
            raise Corrupt(f"control record of impossible type {kind}")


def _count(reader: Reader) -> int:
    count: int = _COUNT.unpack(reader.take(_COUNT.size))[0]
    return count


def _decode_device(reader: Reader) -> Device:
    number, state, _, signing, box, transport, size = _DEVICE.unpack(reader.take(_DEVICE.size))
    return Device(number, reader.take(size), signing, box, transport, state)


def _decode_log(reader: Reader) -> LogEntry:
    number, device, kind, state, key, *head = _LOG.unpack(reader.take(_LOG.size))
    return LogEntry(number, device, kind, key, state, *head)


def _decode_copy(reader: Reader) -> SealedCopy:
    recipient, size = _COPY.unpack(reader.take(_COPY.size))
    return SealedCopy(recipient, reader.take(size))


def _decode_clear(reader: Reader) -> Clear:
    log, fork, length, tree_hash = _CLEAR.unpack(reader.take(_CLEAR.size))
    return Clear(log, fork, length, tree_hash, decode_ranges(reader))
