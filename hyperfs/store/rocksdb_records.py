"""The record headers of RocksDB's logs and manifests, looked at before RocksDB does.

RocksDB (9.8, its issue 13333) goes round for ever at a record whose type says "recycled" in a file that is not,
so one flipped bit would hang the process at opening. We never recycle logs: any type but the four plain ones is
damage. Lengths are walked just as RocksDB walks them, so no header that it would read is missed; checksums are
its own business.

    file = blocks of 32 KiB;  block = records, then zeros where under 7 bytes remain
    record = checksum (4) length (u16, little-endian) type (1) bytes
"""

import struct
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 32 << 10
_HEADER: Final = struct.Struct("<4xHB")
_LAST_PLAIN_TYPE: Final = 4
_ZERO: Final = 0
"""What a preallocated and never written stretch reads as; RocksDB then goes on in the next block."""


def damaged_record(folder: Path) -> str | None:
    """Where the first record of a type that we never write is, in words; None when there is none."""
    for path in sorted([*folder.glob("*.log"), *folder.glob("MANIFEST-*")]):
        with path.open("rb") as file:
            at = 0
            while block := file.read(_BLOCK_BYTES):
                found = _damaged_in(block)
                if found is not None:
                    return f"{path.name} at byte {at + found}"
                at += len(block)
    return None


def _damaged_in(block: bytes) -> int | None:
    at = 0
    while at + _HEADER.size <= len(block):
        length, kind = _HEADER.unpack_from(block, at)
        if kind > _LAST_PLAIN_TYPE:
            return at
        if kind == _ZERO and length == 0:
            return None
        at += _HEADER.size + length
    return None
