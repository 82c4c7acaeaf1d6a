"""Modes and ACLs of the live tree: each follows from the other. Who may change them is the kernel's to say."""

import stat
from typing import NamedTuple

from hyperfs.volume import acl
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.xattrs import HAS_XATTRS, Xattrs


class Born(NamedTuple):
    """The permissions of something new: its mode, and the attributes that it gets from its directory."""

    mode: int
    attributes: tuple[tuple[bytes, bytes], ...] = ()


class Permissions:
    """Synchronous: nothing runs between the change of a mode and that of its ACL."""

    def __init__(self, overlay: Overlay, xattrs: Xattrs) -> None:
        self._overlay = overlay
        self._xattrs = xattrs

    def chmod(self, inode: Inode, mode: int) -> None:
        """Sets the permissions; `mode`'s type is not looked at. The caller touches the inode."""
        access = self._get(inode, acl.ACCESS)
        if access is not None:
            self._xattrs.set(inode, acl.ACCESS, acl.encode(acl.after_chmod(acl.decode(access), mode)))
        inode.mode = stat.S_IFMT(inode.mode) | stat.S_IMODE(mode)

    def set_access(self, inode: Inode, value: bytes, keep_setgid: bool) -> None:
        """Sets the access ACL and the mode that follows from it. Raises InvalidArgument."""
        access = acl.decode(value)
        inode.mode = acl.mode_of(access, inode.mode)
        if not keep_setgid:
            inode.mode &= ~stat.S_ISGID
        if acl.is_more_than_a_mode(access):
            self._xattrs.set(inode, acl.ACCESS, value)
        else:
            self.remove(inode, acl.ACCESS)
            inode.ctime_ns = self._overlay.now_ns()
            self._overlay.touch(inode)

    def set_default(self, directory: Inode, value: bytes) -> None:
        """Sets what is handed down. Raises InvalidArgument."""
        acl.decode(value)
        self._xattrs.set(directory, acl.DEFAULT, value)

    def remove(self, inode: Inode, name: bytes) -> None:
        """Takes an ACL away, if there is one; the mode stays."""
        if self._get(inode, name) is not None:
            self._xattrs.set(inode, name, None)

    def of_new(self, parent: int, mode: int, umask: int) -> Born:
        """What something new gets in a directory: a default ACL stands in the umask's place."""
        default = self._get(self._overlay.inode(parent), acl.DEFAULT)
        if default is None:
            return Born(mode & ~umask)
        access = acl.inherited(acl.decode(default), mode)
        attributes = [(acl.ACCESS, acl.encode(access))] if acl.is_more_than_a_mode(access) else []
        if stat.S_ISDIR(mode):
            attributes.append((acl.DEFAULT, default))
        return Born(acl.mode_of(access, mode), tuple(attributes))

    def give(self, inode: Inode, born: Born) -> None:
        """The attributes that `of_new` found, to what was made with its mode."""
        for name, value in born.attributes:
            self._xattrs.set(inode, name, value)

    def _get(self, inode: Inode, name: bytes) -> bytes | None:
        return self._xattrs.get(inode, name) if inode.flags & HAS_XATTRS else None
