"""The journal's records: what one is, how those of a segment are found, and which of them are replayed. Pure.

Format: docs/formats/journal.md. What writes them, and why the reader must be so strict, is in journal.py.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from hyperfs.errors import Corrupt

FOLDER: Final = "journal"
MAGIC: Final = b"HfJ1"
HEADER: Final = struct.Struct("<4sBBHIQQQ16s")  # magic, kind, zero, segments, length, segment, sequence, ...
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
FRAME_BYTES: Final = HEADER.size + NONCE_BYTES + TAG_BYTES
NO_TAG: Final = bytes(TAG_BYTES)
_MOST_WASTED: Final = 64
"""How many times a segment's bytes may be decrypted in vain: some tenths of a second."""


class Cipher(Protocol):
    """Seals one record. The key depends on the segment's id, which is never used twice."""

    def encrypt(self, segment_id: int, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes: ...

    def decrypt(self, segment_id: int, nonce: bytes, aad: bytes, sealed: bytes) -> bytes: ...


class Kind:
    """What a record holds. MORE: the change goes on in the next record; only whole changes are replayed.

    A NOTE holds nothing but its header's word on what is durable; behind a MORE it says that the change was
    given up.
    """

    CHANGE: Final = 1
    MORE: Final = 2
    NOTE: Final = 3


class Record(NamedTuple):
    """One record as read back. `durable` is the sequence number through which all was synced before it.

    `segments` files made the journal, whole and on the disk, when it was written.
    """

    segments: int
    segment: int
    sequence: int
    kind: int
    durable: int
    previous_tag: bytes
    tag: bytes
    payload: bytes


def read_records(data: bytes, cipher: Cipher) -> Iterator[Record]:
    """All records in a segment's bytes that open, wherever they lie.

    The search goes from magic to magic and not from length to length: a damaged length must not hide the
    records behind it, for they are the evidence that the damaged one was durable.

    Raises Corrupt where what looks like records and is none lies one in the other many times over: no writer and no
    damage leaves that, and to try them all would take minutes.
    """
    position, wasted = data.find(MAGIC), 0
    while position >= 0:
        end = _end_of(data, position)
        record = _record_at(data, position, end, cipher) if end <= len(data) else None
        if record is not None:
            yield record
            position = data.find(MAGIC, end)
            continue
        wasted += end - position if end <= len(data) else 0
        if wasted > _MOST_WASTED * len(data):
            raise Corrupt("a segment is full of what looks like records and is none", FOLDER)
        position = data.find(MAGIC, position + 1)


def _end_of(data: bytes, position: int) -> int:
    """Where the record at `position` ends by its own word: past the data if it can't be there."""
    if position + FRAME_BYTES > len(data):
        return len(data) + 1
    length: int = HEADER.unpack_from(data, position)[4]
    return position + FRAME_BYTES + length


def _record_at(data: bytes, position: int, end: int, cipher: Cipher) -> Record | None:
    aad = data[position : position + HEADER.size]
    _, kind, _, segments, _, segment, sequence, durable, previous = HEADER.unpack(aad)
    start = position + HEADER.size
    nonce = data[start : start + NONCE_BYTES]
    try:
        payload = cipher.decrypt(segment, nonce, aad, data[start + NONCE_BYTES : end])
    except Corrupt:
        return None
    return Record(segments, segment, sequence, kind, durable, previous, data[end - TAG_BYTES : end], payload)


def select_replay(records: list[Record], folded: int, lenient: bool = False) -> list[bytes]:
    """The payloads to replay on a commit that holds everything through `folded`, oldest first.

    `lenient` gives those before the first one that is missing, for a repair. Else raises Corrupt when a record that
    was durable is missing: a state older than the last fsync is wrong data.
    """
    by_sequence = {r.sequence: r for r in records if r.sequence > folded}
    durable = max((r.durable for r in records), default=0)
    payloads: list[bytes] = []
    change: list[bytes] = []
    previous: Record | None = None
    sequence = folded + 1
    while (record := by_sequence.get(sequence)) is not None:
        if previous is not None and record.previous_tag != previous.tag:
            break
        if record.kind == Kind.MORE:
            change.append(record.payload)
        elif record.kind == Kind.CHANGE:
            payloads.append(b"".join([*change, record.payload]))
            change = []
        else:
            change = []  # a change that was given up half-way
        previous = record
        sequence += 1
    if sequence <= durable and not lenient:
        raise Corrupt(
            f"journal record {sequence} is damaged or missing, and records through {durable} were synced",
            FOLDER,
            "changes that were fsynced would be lost: run `hyperfs verify`, or mount with --read-only "
            "to copy out what the last commit holds",
        )
    return payloads
