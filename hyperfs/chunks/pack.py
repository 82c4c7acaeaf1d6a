"""A pack: many small chunks in one block. docs/formats/chunk-and-pack.md is its page.

The plaintext is a directory followed by the payloads in the directory's order. The block's codec compresses
the whole, so entries are stored raw, or as a delta against a base; a reader takes any codec in an entry.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from hyperfs.chunks.codec import MAX_DECODED_BYTES, RAW, ZSTD_WITH_BASE, Bytes
from hyperfs.errors import Corrupt, FormatTooNew

PACK_FORMAT: Final = 1
ID_BYTES: Final = 16

_HEAD = struct.Struct("<B3xI")  # format, zero padding, number of entries
_ENTRY = struct.Struct("<16sBII")  # chunk id, codec, decoded length, stored length

HEAD_BYTES: Final = _HEAD.size
ENTRY_BYTES: Final = _ENTRY.size


class PackEntry(NamedTuple):
    """What goes in. `payload` is `decoded_length` raw bytes, or their encoding by `codec`."""

    chunk: bytes
    codec: int
    decoded_length: int
    payload: Bytes
    base: bytes | None = None


class PackSlot(NamedTuple):
    """What the directory says: the payload is `plaintext[start : start + stored_length]` of the pack."""

    chunk: bytes
    codec: int
    decoded_length: int
    start: int
    stored_length: int
    base: bytes | None


class Pack(NamedTuple):
    """A parsed pack. It owns its plaintext; payloads are slices of it."""

    plaintext: bytes
    slots: tuple[PackSlot, ...]

    def payload(self, slot: int) -> memoryview:
        """The stored bytes of entry `slot`, not copied. IndexError past the last."""
        entry = self.slots[slot]
        return memoryview(self.plaintext)[entry.start : entry.start + entry.stored_length]

    def find(self, chunk: bytes) -> int | None:
        """The slot that holds `chunk`, None if none does. Linear: the slot is normally known by a hint."""
        for number, entry in enumerate(self.slots):
            if entry.chunk == chunk:
                return number
        return None


def packed_size(entries: Sequence[PackEntry]) -> int:
    """The bytes that `build` gives for these entries."""
    bases = sum(ID_BYTES for entry in entries if entry.base is not None)
    return HEAD_BYTES + ENTRY_BYTES * len(entries) + bases + sum(len(entry.payload) for entry in entries)


def build(entries: Sequence[PackEntry]) -> bytes:
    """The plaintext; payloads are copied once. ValueError for what a reader would refuse."""
    if not entries:
        raise ValueError("a pack has at least one entry")
    decoded_bytes = sum(entry.decoded_length for entry in entries if entry.base is None)
    if max(packed_size(entries), decoded_bytes) > MAX_DECODED_BYTES:
        raise ValueError(f"a pack has at most {MAX_DECODED_BYTES} bytes, and its entries as many")
    parts: list[Bytes] = [_HEAD.pack(PACK_FORMAT, len(entries))]
    for entry in entries:
        problem = _problem(entry.codec, entry.decoded_length, len(entry.payload), entry.base is not None)
        if problem or len(entry.chunk) != ID_BYTES:
            raise ValueError(problem or "a chunk id has 16 bytes")
        parts.append(_ENTRY.pack(entry.chunk, entry.codec, entry.decoded_length, len(entry.payload)))
        if entry.base is not None:
            parts.append(entry.base)
    parts.extend([entry.payload for entry in entries])
    return b"".join(parts)


def parse(plaintext: bytes) -> Pack:
    """The directory; payloads stay where they are and are not decoded.

    Raises Corrupt for anything that `build` would not give, FormatTooNew for a later format. Allocates in
    proportion to len(plaintext).
    """
    if len(plaintext) < HEAD_BYTES:
        raise Corrupt(f"a pack of {len(plaintext)} bytes has no directory")
    found, count = _HEAD.unpack_from(plaintext)
    if found > PACK_FORMAT:
        raise FormatTooNew("a pack", found, PACK_FORMAT)
    if found != PACK_FORMAT or any(plaintext[1:4]):
        raise Corrupt(f"a pack's first bytes are {plaintext[:4].hex()}")
    if not 1 <= count <= (len(plaintext) - HEAD_BYTES) // (ENTRY_BYTES + 1):
        raise Corrupt(f"a pack of {len(plaintext)} bytes can't have {count} entries")
    entries, start = _parse_directory(plaintext, count)
    slots = []
    for chunk, codec, decoded_length, stored_length, base in entries:
        slots.append(PackSlot(chunk, codec, decoded_length, start, stored_length, base))
        start += stored_length
    if start != len(plaintext):
        raise Corrupt(f"a pack's directory describes {start} bytes, there are {len(plaintext)}")
    return Pack(plaintext, tuple(slots))


_Entry = tuple[bytes, int, int, int, bytes | None]


def _parse_directory(plaintext: bytes, count: int) -> tuple[list[_Entry], int]:
    """The entries, and the offset behind the last of them."""
    entries: list[_Entry] = []
    at, unpacked = HEAD_BYTES, 0
    for number in range(count):
        if at + ENTRY_BYTES > len(plaintext):
            raise Corrupt(f"a pack's directory ends in entry {number} of {count}")
        chunk, codec, decoded_length, stored_length = _ENTRY.unpack_from(plaintext, at)
        at += ENTRY_BYTES
        base = None
        if codec == ZSTD_WITH_BASE:
            base = plaintext[at : at + ID_BYTES]
            at += ID_BYTES
            if at > len(plaintext):
                raise Corrupt(f"a pack's directory ends in entry {number} of {count}")
        else:
            unpacked += decoded_length
        problem = _problem(codec, decoded_length, stored_length, base is not None)
        if problem:
            raise Corrupt(f"entry {number} of a pack: {problem}")
        if unpacked > MAX_DECODED_BYTES:
            raise Corrupt(f"a pack's entries come to over {MAX_DECODED_BYTES} bytes")
        entries.append((chunk, codec, decoded_length, stored_length, base))
    return entries, at


def _problem(codec: int, decoded_length: int, stored_length: int, has_base: bool) -> str | None:
    if codec > ZSTD_WITH_BASE:
        return f"codec {codec} is unknown"
    if has_base != (codec == ZSTD_WITH_BASE):
        return f"codec {codec} {'with' if has_base else 'without'} a base"
    if not 1 <= decoded_length <= MAX_DECODED_BYTES:
        return f"{decoded_length} bytes decoded"
    if stored_length < 1 or (codec == RAW and stored_length != decoded_length):
        return f"{stored_length} bytes stored for {decoded_length}"
    return None
