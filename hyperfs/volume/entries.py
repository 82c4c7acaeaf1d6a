"""The values of trie entries: encode beside decode, one place for all kinds but the inode's. Pure.

    dentry   inode number u64, kind u8
    extent   chunk id, skip, length, chunk length; hint: where the chunk lies
    xattr    0 and the bytes; or, past 1 KiB, 1 and an extent from 0 on, with its hint
    place    log u32, block u64, slot u32; those of its bases
    gone     last version u64, when i64, by u64, rule u8

Format: docs/formats/inode.md, extent.md, place-and-gone.md. Integers are little-endian.
"""

import struct
from typing import Final, NamedTuple

from hyperfs.chunks import extents
from hyperfs.chunks.extents import Extent, Place
from hyperfs.errors import Corrupt
from hyperfs.volume import keys

Entry = tuple[bytes, bytes]
Dentry = tuple[int, int]
"""(inode number, kind): kind is the file type as in d_type, the upper 4 bits of st_mode."""

XATTR_INLINE_BYTES: Final = 1024
"""A longer attribute goes to content, so that no leaf of the trie is bloated by it."""
_DENTRY: Final = struct.Struct("<QB")
_NO_NAMES: Final = (b"", b".", b"..")
_GONE: Final = struct.Struct("<QqQB")
_INLINE: Final = b"\0"
_CHUNK: Final = b"\1"


class Gone(NamedTuple):
    """Why versions up to `last` can't be had any more, and since when (ns since the epoch).

    `by` is the folder whose rule it was, 0 for the drive's; `rule` one of the numbers on the page.
    """

    last: int
    when_ns: int
    by: int
    rule: int


def kind_of_key(key: bytes) -> int:
    """The kind of entry that a trie key files: one of the numbers in `keys`."""
    return key[keys.PREFIX_BYTES - 1]


def encode_dentry(dentry: Dentry) -> Entry:
    return _DENTRY.pack(*dentry), b""


def decode_dentry(value: bytes, where: str = "") -> Dentry:
    """Raises Corrupt when the value is no dentry."""
    if len(value) != _DENTRY.size:
        raise Corrupt("directory entry has an impossible length", where)
    ino, kind = _DENTRY.unpack(value)
    return ino, kind


def is_name(name: bytes) -> bool:
    """Whether a directory may have an entry of that name, however long."""
    return name not in _NO_NAMES and b"/" not in name and b"\0" not in name


def encode_extent(extent: Extent) -> Entry:
    return extents.encode_value(extent), extents.encode_hint(extent)


def encode_xattr(value: bytes | Extent) -> Entry:
    """An attribute's entry: its bytes, or the extent (offset 0) that holds them."""
    if isinstance(value, Extent):
        return _CHUNK + extents.encode_value(value), extents.encode_hint(value)
    return _INLINE + value, b""


def decode_xattr(value: bytes, hint: bytes) -> bytes | Extent:
    """Raises Corrupt."""
    match value[:1]:
        case b"\0":
            return value[1:]
        case b"\1":
            return extents.decode(0, value[1:], hint)
    raise Corrupt("extended attribute of an unknown form", f"form {value[:1]!r}")


def extent_in(key: bytes, entry: Entry | None) -> Extent | None:
    """The extent that an entry is or holds, if it holds one. Raises Corrupt."""
    if entry is None:
        return None
    kind = kind_of_key(key)
    if kind == keys.EXTENT:
        return extents.decode(keys.extent_offset(key), *entry)
    if kind == keys.XATTR and entry[0][:1] == _CHUNK:
        found = decode_xattr(*entry)
        assert isinstance(found, Extent)
        return found
    return None


# Place and gone are facts: their entries have no hint.


def encode_place(place: Place) -> bytes:
    return extents.encode_place(place)


def decode_place(value: bytes, where: str = "") -> Place:
    """Raises Corrupt when the value is no place."""
    try:
        return extents.decode_place(value)
    except Corrupt as error:
        raise Corrupt(error.what, where) from error


def encode_gone(gone: Gone) -> bytes:
    return _GONE.pack(*gone)


def decode_gone(value: bytes, where: str = "") -> Gone:
    """Raises Corrupt when the value is no such mark."""
    if len(value) != _GONE.size:
        raise Corrupt("a mark of what is gone has an impossible length", where)
    return Gone(*_GONE.unpack(value))
