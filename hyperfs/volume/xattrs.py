"""Extended attributes of the live tree."""

from typing import Final

from hyperfs.policy import attributes
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import Overlay

VALUE_MAX_BYTES: Final = 65_536
"""The kernel's own limit."""
HAS_XATTRS: Final = 1
"""Inode flag: it has, or once had, an attribute. Without it most questions need no look-up."""


class Xattrs:
    """Get, set, list. Which names may be set is for the callers to say."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def get(self, inode: Inode, name: bytes) -> bytes | None:
        return self._overlay.tree_of(inode).xattr(inode.ino, name)

    def names(self, inode: Inode) -> list[bytes]:
        """In order of bytes."""
        if not inode.flags & HAS_XATTRS:
            return []
        return sorted(self._overlay.tree_of(inode).xattr_names(inode.ino))

    def set(self, inode: Inode, name: bytes, value: bytes | None) -> None:
        """None removes. Raises InvalidArgument for a policy's wrong value; then nothing has changed."""
        if value is not None:
            attributes.check(name, value)
        inode.flags |= HAS_XATTRS
        inode.ctime_ns = self._overlay.now_ns()
        self._overlay.set_xattr(inode.ino, name, value)
        self._overlay.touch(inode)
