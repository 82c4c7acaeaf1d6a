"""What a journal record says: a list of items, each one fact of the live state. Pure.

Items state values, not operations, so replaying a record twice, or on a commit that holds it already, changes
nothing. Format: docs/formats/journal.md. Integers are little-endian.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from hyperfs.chunks import extents
from hyperfs.chunks.extents import Extent
from hyperfs.errors import Corrupt

_HEAD: Final = struct.Struct("<BQ")
_LENGTH: Final = struct.Struct("<H")
_LONG: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_DENTRY: Final = struct.Struct("<QB")
_BLOCK: Final = struct.Struct("<I32s")

INODE: Final = 1
INODE_GONE: Final = 2
DENTRY: Final = 3
DENTRY_GONE: Final = 4
EXTENT: Final = 5
EXTENT_GONE: Final = 6
XATTR: Final = 7
XATTR_GONE: Final = 8
FACT: Final = 9
FACT_GONE: Final = 10
BYTES: Final = 11
BLOCKS: Final = 12
NEXT_INO: Final = 13
BYTES_VOID: Final = 14


class InodeItem(NamedTuple):
    ino: int
    record: bytes | None


class DentryItem(NamedTuple):
    parent: int
    name: bytes
    dentry: tuple[int, int] | None


class ExtentItem(NamedTuple):
    ino: int
    offset: int
    extent: Extent | None


class XattrItem(NamedTuple):
    ino: int
    name: bytes
    value: bytes | None


class FactItem(NamedTuple):
    key: bytes
    value: bytes | None


class BytesItem(NamedTuple):
    """File bytes that were fsynced and are in no chunk yet."""

    ino: int
    offset: int
    data: bytes


class BytesVoidItem(NamedTuple):
    """What BytesItems of earlier records say of the file from `start` on holds no more.

    It was cut off, or is in chunks or in the inode's own record now and may have changed on the way there.
    """

    ino: int
    start: int


class BlocksItem(NamedTuple):
    """Blocks of a log past its newest signed head, which were synced before this record was."""

    log: int
    first: int
    sizes: tuple[int, ...]
    leaf_hashes: tuple[bytes, ...]


class NextInoItem(NamedTuple):
    next_ino: int


Item = InodeItem | DentryItem | ExtentItem | XattrItem | FactItem | BytesItem | BytesVoidItem | BlocksItem | NextInoItem


def encode(item: Item) -> bytes:
    """One item's bytes."""
    match item:
        case InodeItem(ino, None):
            return _HEAD.pack(INODE_GONE, ino)
        case InodeItem(ino, bytes() as record):
            return _HEAD.pack(INODE, ino) + _LENGTH.pack(len(record)) + record
        case DentryItem(parent, name, dentry):
            head = _HEAD.pack(DENTRY if dentry else DENTRY_GONE, parent) + _LENGTH.pack(len(name)) + name
            return head + _DENTRY.pack(*dentry) if dentry else head
        case ExtentItem(ino, offset, None):
            return _HEAD.pack(EXTENT_GONE, ino) + _U64.pack(offset)
        case ExtentItem(ino, offset, Extent() as extent):
            hint = extents.encode_hint(extent)
            value = extents.encode_value(extent) + _LENGTH.pack(len(hint)) + hint
            return _HEAD.pack(EXTENT, ino) + _U64.pack(offset) + value
        case BytesItem(ino, offset, data):
            return _HEAD.pack(BYTES, ino) + _U64.pack(offset) + _LONG.pack(len(data)) + data
        case BlocksItem(log, first, sizes, hashes):
            listed = b"".join(_BLOCK.pack(size, leaf) for size, leaf in zip(sizes, hashes, strict=True))
            return _HEAD.pack(BLOCKS, log) + _U64.pack(first) + _LONG.pack(len(sizes)) + listed
        case BytesVoidItem(ino, start):
            return _HEAD.pack(BYTES_VOID, ino) + _U64.pack(start)
        case NextInoItem(next_ino):
            return _HEAD.pack(NEXT_INO, next_ino)
        case XattrItem(ino, name, value):
            head = _HEAD.pack(XATTR_GONE if value is None else XATTR, ino) + _LENGTH.pack(len(name)) + name
            return head if value is None else head + _LONG.pack(len(value)) + value
        case FactItem(key, value):
            head = _HEAD.pack(FACT_GONE if value is None else FACT, 0) + _LENGTH.pack(len(key)) + key
            return head if value is None else head + _LONG.pack(len(value)) + value
    raise AssertionError(item)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, layout: struct.Struct) -> tuple[int, ...]:
        if self.position + layout.size > len(self.data):
            raise Corrupt("journal item is cut short")
        values = layout.unpack_from(self.data, self.position)
        self.position += layout.size
        return values

    def take_bytes(self, length: int) -> bytes:
        end = self.position + length
        if end > len(self.data):
            raise Corrupt("journal item is cut short")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def short(self) -> bytes:
        return self.take_bytes(self.take(_LENGTH)[0])

    def long(self) -> bytes:
        return self.take_bytes(self.take(_LONG)[0])


def decode(data: bytes) -> Iterator[Item]:
    """The items of a record's payload. Raises Corrupt at the first that is none."""
    reader = _Reader(data)
    while reader.position < len(data):
        kind, number = reader.take(_HEAD)
        yield _item(reader, kind, number)


def _item(reader: _Reader, kind: int, number: int) -> Item:
    match kind:
        case 1:
            return InodeItem(number, reader.short())
        case 2:
            return InodeItem(number, None)
        case 3 | 4:
            name = reader.short()
            if kind == DENTRY_GONE:
                return DentryItem(number, name, None)
            ino, entry_kind = reader.take(_DENTRY)
            return DentryItem(number, name, (ino, entry_kind))
        case 5 | 6:
            offset = reader.take(_U64)[0]
            if kind == EXTENT_GONE:
                return ExtentItem(number, offset, None)
            value = reader.take_bytes(extents.VALUE_BYTES)
            return ExtentItem(number, offset, extents.decode(offset, value, reader.short()))
        case 7 | 8:
            name = reader.short()
            return XattrItem(number, name, reader.long() if kind == XATTR else None)
        case 9 | 10:
            if number:
                raise Corrupt("journal item of a fact has a number", f"{number}")
            key = reader.short()
            return FactItem(key, reader.long() if kind == FACT else None)
        case 11:
            offset = reader.take(_U64)[0]
            return BytesItem(number, offset, reader.long())
        case 12:
            return _blocks(reader, number)
        case 13:
            return NextInoItem(number)
        case 14:
            return BytesVoidItem(number, reader.take(_U64)[0])
    raise Corrupt("journal item of an unknown kind", f"kind {kind}")


def _blocks(reader: _Reader, log: int) -> BlocksItem:
    first = reader.take(_U64)[0]
    count = reader.take(_LONG)[0]
    listed = reader.take_bytes(count * _BLOCK.size)
    pairs = list(_BLOCK.iter_unpack(listed))
    return BlocksItem(log, first, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))
