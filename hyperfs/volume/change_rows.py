"""Rows of the derived index that say what versions changed: encode beside decode. Pure.

    e version                      -> (sealed) what the version changed, as a list: VersionChanges
    h ino, 2^64-1 - version        -> flags u8: how an inode, or what is below a directory, changed in that version
    w directory, hash of name (8), 2^64-1 - version
                                   -> (sealed) a name that went from a directory: Went
    f                              -> version u64: up to it, all versions have their rows

Numbers in keys are big-endian. Names stand in no key, only their keyed hash, and values that hold names are sealed
(AES-256-SIV) with the row's key beside them: the index holds no plaintext of names. A row that does not open counts
as absent.
"""

import struct
import zlib
from hashlib import blake2b
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from hyperfs.crypto.keys import derive
from hyperfs.errors import IndexDamaged

VERSION_PREFIX: Final = b"e"
INODE_PREFIX: Final = b"h"
WENT_PREFIX: Final = b"w"
FILLED_KEY: Final = b"f"

DELETED: Final = 1
TRASHED: Final = 2
MOVED: Final = 3

_LAST: Final = (1 << 64) - 1
_U64: Final = struct.Struct(">Q")
_PAIR: Final = struct.Struct(">QQ")
_HASH_BYTES: Final = 8
_TAG_BYTES: Final = 16
_LIST: Final = struct.Struct("<QBIIII")
_NAME: Final = struct.Struct("<QQBB")
_INO: Final = struct.Struct("<Q")
_WENT: Final = struct.Struct("<QBBqq")


class Name(NamedTuple):
    """A name in a directory, and the inode that it means. `kind`: as d_type."""

    directory: int
    name: bytes
    ino: int
    kind: int


class VersionChanges(NamedTuple):
    """What differs in `version` from `before`, the kept version before it (0: from nothing).

    A name that went and one that came for the same inode are a rename. `content` and `attributes` hold inodes that both
    versions have. `many`: it is more than a row holds, and the lists are empty: compare the two trees.
    """

    version: int
    before: int
    many: bool
    went: tuple[Name, ...] = ()
    came: tuple[Name, ...] = ()
    content: frozenset[int] = frozenset()
    attributes: frozenset[int] = frozenset()


class Touched(NamedTuple):
    """An inode, or what is below a directory, changed in a version: `flags` as in `changes`."""

    version: int
    flags: int


class Went(NamedTuple):
    """A name that a directory lost in a version, of `time_ns`.

    `how`: DELETED, TRASHED (moved into a trash folder) or MOVED. `began_ns`: the time of the first version of the
    burst of deletions that ended with this one; other than `time_ns` only for directories, whose contents went first.
    """

    directory: int
    name: bytes
    version: int
    ino: int
    kind: int
    how: int
    time_ns: int
    began_ns: int


class RowCodec:
    """Row keys and values under a drive's key."""

    def __init__(self, key: bytes) -> None:
        """`key`: the drive's for node ids, 32 bytes, which lasts as long as the drive."""
        halves = [derive(key, b"hyperfs/index/changes", bytes([number])) for number in (1, 2)]
        self._cipher = AESSIV(b"".join(halves))
        self._hash_key = derive(key, b"hyperfs/index/changes", b"\3")

    # What a version changed

    def version_row(self, changes: VersionChanges) -> tuple[bytes, bytes]:
        lists = (changes.went, changes.came, changes.content, changes.attributes)
        parts = [_LIST.pack(changes.before, changes.many, *map(len, lists))]
        for name in (*changes.went, *changes.came):
            parts += [_NAME.pack(name.directory, name.ino, name.kind, len(name.name)), name.name]
        parts += [_INO.pack(ino) for ino in (*sorted(changes.content), *sorted(changes.attributes))]
        key = version_key(changes.version)
        return key, self._seal(key, zlib.compress(b"".join(parts), 1))

    def version_changes(self, version: int, value: bytes) -> VersionChanges | None:
        """None for a row that does not open."""
        opened = self._open(version_key(version), value)
        if opened is None:
            return None
        data = zlib.decompress(opened)
        before, many, *counts = _LIST.unpack_from(data)
        at = _LIST.size
        names: list[Name] = []
        for _ in range(counts[0] + counts[1]):
            directory, ino, kind, length = _NAME.unpack_from(data, at)
            at += _NAME.size + length
            names.append(Name(directory, data[at - length : at], ino, kind))
        inos = [found[0] for found in _INO.iter_unpack(data[at:])]
        return VersionChanges(
            version,
            before,
            bool(many),
            tuple(names[: counts[0]]),
            tuple(names[counts[0] :]),
            frozenset(inos[: counts[2]]),
            frozenset(inos[counts[2] :]),
        )

    # Names that went

    def went_row(self, went: Went) -> tuple[bytes, bytes]:
        key = self.went_prefix(went.directory, went.name) + _U64.pack(_LAST - went.version)
        value = _WENT.pack(went.ino, went.kind, went.how, went.time_ns, went.began_ns) + went.name
        return key, self._seal(key, value)

    def went(self, key: bytes, value: bytes) -> Went | None:
        """None for a row that does not open."""
        opened = self._open(key, value)
        if opened is None:
            return None
        directory = int.from_bytes(key[1:9], "big")
        version = _LAST - int.from_bytes(key[-8:], "big")
        ino, kind, how, time_ns, began_ns = _WENT.unpack_from(opened)
        return Went(directory, opened[_WENT.size :], version, ino, kind, how, time_ns, began_ns)

    def went_prefix(self, directory: int, name: bytes | None = None) -> bytes:
        """Of the rows of a directory, or of one name in it: those newest first, though perhaps with another name's."""
        prefix = WENT_PREFIX + _U64.pack(directory)
        if name is None:
            return prefix
        return prefix + blake2b(name, digest_size=_HASH_BYTES, key=self._hash_key).digest()

    def _seal(self, key: bytes, data: bytes) -> bytes:
        return self._cipher.encrypt(data, [key])

    def _open(self, key: bytes, value: bytes) -> bytes | None:
        if len(value) <= _TAG_BYTES:
            return None
        try:
            return self._cipher.decrypt(value, [key])
        except InvalidTag:
            return None


def went_start(prefix: bytes, version: int) -> bytes:
    """The first row of a name, by its prefix, that may be of this version or an older one."""
    return prefix + _U64.pack(_LAST - version)


def version_key(version: int) -> bytes:
    return VERSION_PREFIX + _U64.pack(version)


def inode_row(ino: int, version: int, flags: int) -> tuple[bytes, bytes]:
    return INODE_PREFIX + _PAIR.pack(ino, _LAST - version), bytes([flags])


def inode_prefix(ino: int) -> bytes:
    """Of an inode's rows, newest first."""
    return INODE_PREFIX + _U64.pack(ino)


def inode_start(ino: int, version: int) -> bytes:
    """The first row of an inode that may be of this version or an older one."""
    return INODE_PREFIX + _PAIR.pack(ino, _LAST - version)


def behind_directory(directory: int) -> bytes:
    """Behind all rows of what went from it."""
    return WENT_PREFIX + _U64.pack(directory + 1)


def ino_of(key: bytes) -> int:
    """Of the key of an inode's row, or of what went from a directory."""
    return int.from_bytes(key[1:9], "big")


def touched(key: bytes, value: bytes) -> Touched:
    """Raises IndexDamaged."""
    if len(key) != 1 + _PAIR.size or len(value) != 1:
        raise IndexDamaged("the index has an entry of an impossible length")
    return Touched(_LAST - int.from_bytes(key[-8:], "big"), value[0])


def filled_row(version: int) -> tuple[bytes, bytes]:
    return FILLED_KEY, _U64.pack(version)


def filled(value: bytes | None) -> int:
    """Raises IndexDamaged."""
    if value is None:
        return 0
    if len(value) != _U64.size:
        raise IndexDamaged("the index has an entry of an impossible length")
    return int(_U64.unpack(value)[0])
