"""Trie keys: what a drive's metadata is filed under. Big-endian numbers, so that byte order is numeric order.

Keys begin with the inode number, so that an inode, its names, extents and attributes are neighbours: a small
file's edit touches one leaf, and a cold open reads one path. Inode 0 is no inode; its space holds the drive's
own facts. Format: docs/formats/inode.md, place-and-gone.md.
"""

import struct
from typing import Final

from hyperfs.errors import Corrupt

INODE: Final = 1
DENTRY: Final = 2
EXTENT: Final = 3
XATTR: Final = 4
PLACE: Final = 5
GONE: Final = 6
SNAPSHOT: Final = 7
SETTING: Final = 8
KEEP: Final = 9
REGION: Final = 10
PIN: Final = 11
POLICY: Final = 12
MIRROR: Final = 13

_PREFIX: Final = struct.Struct(">QB")
_EXTENT: Final = struct.Struct(">QBQ")
_GONE_VERSIONS: Final = struct.Struct(">QBBHQ")
_GONE_FILE: Final = struct.Struct(">QBBQHQ")
GONE_VERSIONS: Final = 1
GONE_FILE: Final = 2
PREFIX_BYTES: Final = _PREFIX.size
NO_INO: Final = 0


def inode_key(ino: int) -> bytes:
    return _PREFIX.pack(ino, INODE)


def dentry_key(parent: int, name: bytes) -> bytes:
    return _PREFIX.pack(parent, DENTRY) + name


def extent_key(ino: int, offset: int) -> bytes:
    return _EXTENT.pack(ino, EXTENT, offset)


def xattr_key(ino: int, name: bytes) -> bytes:
    return _PREFIX.pack(ino, XATTR) + name


def place_key(moved: bytes) -> bytes:
    """Where something that has moved lies now. `moved` is its id, 16 bytes: a chunk's or a trie node's."""
    return _PREFIX.pack(NO_INO, PLACE) + moved


def gone_versions_key(device: int, first: int) -> bytes:
    """Versions of a device that retention let go, from `first` on."""
    return _GONE_VERSIONS.pack(NO_INO, GONE, GONE_VERSIONS, device, first)


def gone_file_key(ino: int, device: int, first: int) -> bytes:
    """Versions in which one file's bytes are gone, from `first` on, by the rule of a folder."""
    return _GONE_FILE.pack(NO_INO, GONE, GONE_FILE, ino, device, first)


def decode_gone_file_key(key: bytes) -> tuple[int, int, int]:
    """(ino, device, first version). Raises Corrupt."""
    if len(key) != _GONE_FILE.size:
        raise Corrupt("a mark of a file that is gone has an impossible key", key.hex())
    _, _, _, ino, device, first = _GONE_FILE.unpack(key)
    return ino, device, first


def snapshot_key(directory: int, name: bytes) -> bytes:
    return _PREFIX.pack(NO_INO, SNAPSHOT) + directory.to_bytes(8, "big") + name


def setting_key(name: bytes) -> bytes:
    return _PREFIX.pack(NO_INO, SETTING) + name


def budget_key(device: int) -> bytes:
    """How much a device is to hold at most: a setting of its own."""
    return setting_key(b"local_budget:%d" % device)


def keep_key(ino: int) -> bytes:
    """The rule of retention that a folder or file has, or last had."""
    return _PREFIX.pack(NO_INO, KEEP) + ino.to_bytes(8, "big")


def policy_key(ino: int, name: bytes) -> bytes:
    """A policy of a file or folder, by the attribute's name without `user.hyperfs.`."""
    return _PREFIX.pack(NO_INO, POLICY) + ino.to_bytes(8, "big") + name


def decode_policy_key(key: bytes) -> tuple[int, bytes]:
    """(ino, name). Raises Corrupt."""
    if len(key) <= PREFIX_BYTES + 8:
        raise Corrupt("a policy has an impossible key", key.hex())
    return int.from_bytes(key[PREFIX_BYTES : PREFIX_BYTES + 8], "big"), key[PREFIX_BYTES + 8 :]


def mirror_key(id_: bytes) -> bytes:
    """Of a drive that mirrors a shared folder: what stands for one of its inodes. `id_` tells nothing, 16 bytes; b"" is
    the key of how far it has come."""
    return _PREFIX.pack(NO_INO, MIRROR) + id_


def region_key(ino: int) -> bytes:
    """A region of retention, by the folder or file that it begins with."""
    return _PREFIX.pack(NO_INO, REGION) + ino.to_bytes(8, "big")


def pin_key(version: int, ino: int) -> bytes:
    """Something in a version that is kept, since it was deleted after it."""
    return _PREFIX.pack(NO_INO, PIN) + version.to_bytes(8, "big") + ino.to_bytes(8, "big")


def prefix(ino: int, kind: int) -> bytes:
    """The prefix of all keys of one kind that belong to an inode."""
    return _PREFIX.pack(ino, kind)


def whole(ino: int) -> bytes:
    """The prefix of everything that belongs to an inode."""
    return ino.to_bytes(8, "big")


def extent_offset(key: bytes) -> int:
    """The file offset in an extent's key, in bytes. Raises Corrupt when the key is none."""
    if len(key) != _EXTENT.size:
        raise Corrupt("an extent's key has an impossible length", f"key {key.hex()}")
    return int.from_bytes(key[PREFIX_BYTES:], "big")
