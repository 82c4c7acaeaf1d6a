"""POSIX ACLs: the attributes that hold them, and the arithmetic between an ACL and a mode. Pure.

The value is Linux's own, as getxattr(2) shows it, so what a program copies out of one filesystem fits another:
a version (u32, 2), then entries of tag, permissions (u16 each) and id (u32), little-endian, in order of tags.
The rules are those of acl(5) and of the kernel's own filesystems.
"""

import stat
import struct
from typing import Final, NamedTuple

from hyperfs.errors import InvalidArgument

ACCESS: Final = b"system.posix_acl_access"
"""Who may do what with the inode; kept only where the mode alone does not say it."""
DEFAULT: Final = b"system.posix_acl_default"
"""Of a directory: the access ACL that what is made in it gets."""

_HEADER: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_VERSION: Final = 2

OWNER: Final = 0x01
USER: Final = 0x02
GROUP_OWNER: Final = 0x04
GROUP: Final = 0x08
MASK: Final = 0x10
OTHER: Final = 0x20
_TAGS: Final = frozenset((OWNER, USER, GROUP_OWNER, GROUP, MASK, OTHER))
_SHIFTS: Final = {OWNER: 6, GROUP_OWNER: 3, MASK: 3, OTHER: 0}
_ALL: Final = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO


class Entry(NamedTuple):
    """`id` is a uid or gid, by `tag`; of the others it means nothing and is kept."""

    tag: int
    permissions: int
    id: int


Acl = tuple[Entry, ...]


def encode(acl: Acl) -> bytes:
    return _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in acl)


def decode(value: bytes) -> Acl:
    """Raises InvalidArgument. Whether the entries make sense together was the kernel's to check."""
    if len(value) < _HEADER.size or (len(value) - _HEADER.size) % _ENTRY.size:
        raise InvalidArgument("an ACL of an impossible length")
    if _HEADER.unpack_from(value) != (_VERSION,):
        raise InvalidArgument("an ACL of an unknown version")
    acl = tuple(Entry(*fields) for fields in _ENTRY.iter_unpack(value[_HEADER.size :]))
    if any(entry.tag not in _TAGS or entry.permissions > stat.S_IRWXO for entry in acl):
        raise InvalidArgument("an ACL with an entry that there is not")
    return acl


def _class_tags(acl: Acl) -> tuple[int, int, int]:
    """The tags whose permissions are the mode's three classes: with a mask, the group's bits are the mask's."""
    return OWNER, MASK if any(entry.tag == MASK for entry in acl) else GROUP_OWNER, OTHER


def mode_of(acl: Acl, mode: int) -> int:
    """The mode with the permissions that an access ACL gives it."""
    tags, mode = _class_tags(acl), mode & ~_ALL
    for entry in acl:
        if entry.tag in tags:
            mode |= entry.permissions << _SHIFTS[entry.tag]
    return mode


def is_more_than_a_mode(acl: Acl) -> bool:
    return any(entry.tag in (USER, GROUP, MASK) for entry in acl)


def after_chmod(acl: Acl, mode: int) -> Acl:
    """The access ACL of an inode that got a mode: the group's bits go to the mask."""
    tags = _class_tags(acl)
    return tuple(_with(entry, mode >> _SHIFTS[entry.tag]) if entry.tag in tags else entry for entry in acl)


def inherited(default: Acl, mode: int) -> Acl:
    """The access ACL of what is made with a mode in a directory with a default ACL: what both allow."""
    tags = _class_tags(default)
    return tuple(
        _with(entry, entry.permissions & mode >> _SHIFTS[entry.tag]) if entry.tag in tags else entry
        for entry in default
    )


def _with(entry: Entry, permissions: int) -> Entry:
    return entry._replace(permissions=permissions & stat.S_IRWXO)

