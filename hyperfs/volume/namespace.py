"""Names: create, link, unlink, rename. POSIX's rules about what may replace what; who may do it is the kernel's.

Each function is one operation: it reads all that it needs before it changes anything, so an error (or a block
that is not here) leaves the tree as it was.
"""

import stat
from typing import Final

from hyperfs.errors import (
    Exists,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NotADirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    TooManyLinks,
)
from hyperfs.values import NAME_MAX_BYTES
from hyperfs.volume.entries import Dentry, is_name
from hyperfs.volume.inode import TARGET_MAX_BYTES, Inode
from hyperfs.volume.overlay import Overlay

NOREPLACE: Final = 1
EXCHANGE: Final = 2
LINK_MAX: Final = 65_000  # as ext4's; a count that a program may rely on not to wrap


def kind_of(mode: int) -> int:
    """The d_type of a mode."""
    return stat.S_IFMT(mode) >> 12


def check_name(name: bytes) -> None:
    """Raises NameTooLong or InvalidArgument when no entry may have this name."""
    if len(name) > NAME_MAX_BYTES:
        raise NameTooLong(f"a name has at most {NAME_MAX_BYTES} bytes, this one {len(name)}")
    if not is_name(name):
        raise InvalidArgument(f"{name!r} can't be a name")


class Namespace:
    """The directory operations of the live tree. Synchronous: nothing runs between their steps."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._live = overlay.live

    def lookup(self, parent: int, name: bytes) -> Inode:
        """Raises NotFound, NotADirectory, NameTooLong."""
        if len(name) > NAME_MAX_BYTES:
            raise NameTooLong(f"a name has at most {NAME_MAX_BYTES} bytes")
        dentry = self._live.dentry(parent, name)
        if dentry is None:
            raise NotFound(f"no {name!r} in directory {parent}")
        return self._overlay.inode(dentry[0])

    def find(self, path: bytes, start: int) -> Inode:
        """Resolves a relative path without following symlinks. Raises NotFound, NotADirectory."""
        inode = self._overlay.inode(start)
        for name in filter(None, path.split(b"/")):
            if not inode.is_directory:
                raise NotADirectory(f"{path!r}")
            inode = self.lookup(inode.ino, name)
        return inode

    def make(self, parent: int, name: bytes, mode: int, uid: int, gid: int, rdev: int = 0) -> Inode:
        """Creates a file, directory, fifo, socket or device. Setgid directories pass on their group."""
        directory = self._directory_for(parent, name)
        is_directory = stat.S_ISDIR(mode)
        if directory.mode & stat.S_ISGID:
            gid = directory.gid
            if is_directory:
                mode |= stat.S_ISGID
        if is_directory and directory.nlink >= LINK_MAX:
            raise TooManyLinks(f"directory {parent} has {directory.nlink} links")
        inode = self._overlay.new_inode(mode, uid, gid, parent)
        inode.rdev = rdev
        inode.nlink = 2 if is_directory else 1
        if is_directory:
            directory.nlink += 1
            self._overlay.directories += 1
        else:
            self._overlay.files += 1
        self._enter(directory, name, inode)
        if stat.S_ISREG(mode):
            self._overlay.predecessors.made(parent, name, inode)
        return inode

    def symlink(self, parent: int, name: bytes, target: bytes, uid: int, gid: int) -> Inode:
        """A symlink; its target is the inode's inline bytes."""
        if not target:
            raise NotFound("a symlink's target can't be empty")
        if len(target) > TARGET_MAX_BYTES:
            raise NameTooLong(f"a symlink's target has at most {TARGET_MAX_BYTES} bytes")
        inode = self.make(parent, name, stat.S_IFLNK | 0o777, uid, gid)
        inode.inline = target
        inode.size = inode.stored = len(target)
        self._live.active.add_bytes(len(target))
        return inode

    def link(self, inode: Inode, parent: int, name: bytes) -> None:
        """Another name for a file. Raises NotPermitted for a directory."""
        directory = self._directory_for(parent, name)
        if inode.is_directory:
            raise NotPermitted("a directory has one name")
        if not inode.nlink:
            raise NotFound("the file has been unlinked")
        if inode.nlink >= LINK_MAX:
            raise TooManyLinks(f"the file has {inode.nlink} links")
        inode.nlink += 1
        self._overlay.policies.place(inode, parent)  # many programs make a file, link it and remove the first name
        inode.ctime_ns = self._overlay.now_ns()
        self._enter(directory, name, inode)

    def unlink(self, parent: int, name: bytes) -> Inode:
        """Takes a name away; the last one takes the file. Returns its inode."""
        directory, inode = self._entry(parent, name)
        if inode.is_directory:
            raise IsADirectory(f"{name!r}")
        self._leave(directory, name)
        self._drop_link(inode)
        self._overlay.predecessors.left(parent, name, inode)
        return inode

    def rmdir(self, parent: int, name: bytes) -> Inode:
        """Removes an empty directory."""
        directory, inode = self._entry(parent, name)
        self._check_empty(inode)
        self._leave(directory, name)
        directory.nlink -= 1
        inode.nlink = 0
        inode.ctime_ns = self._overlay.now_ns()
        self._overlay.remove_inode(inode)
        return inode

    def rename(self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int = 0) -> Inode | None:
        """Moves a name, over another one if need be. Returns the inode that was replaced, if any.

        `flags` are those of renameat2(2): NOREPLACE or EXCHANGE. Raises as POSIX says.
        """
        if flags not in (0, NOREPLACE, EXCHANGE):
            raise InvalidArgument(f"rename flags {flags:#x}")
        check_name(new_name)
        source, inode = self._entry(parent, name)
        target = self._live_directory(new_parent)
        found = self._live.dentry(new_parent, new_name)
        if found is None and not target.nlink:
            raise NotFound(f"directory {new_parent} was removed")
        if flags == EXCHANGE:
            if found is None:
                raise NotFound(f"no {new_name!r} to exchange with")
            self._exchange(source, name, inode, target, new_name, self._overlay.inode(found[0]))
            return None
        if found is not None and flags == NOREPLACE:
            raise Exists(f"{new_name!r}")
        replaced = None if found is None else self._overlay.inode(found[0])
        if replaced is inode:
            return None  # two names of one file: POSIX says do nothing
        if replaced is not None:
            self._check_replace(inode, replaced)
        elif inode.is_directory and source is not target and target.nlink >= LINK_MAX:
            raise TooManyLinks(f"directory {new_parent} has {target.nlink} links")
        self._move(source, name, inode, target, new_name, replaced)
        return replaced

    def _move(
        self, source: Inode, name: bytes, inode: Inode, target: Inode, new_name: bytes, replaced: Inode | None
    ) -> None:
        self._leave(source, name)
        if inode.is_directory:
            source.nlink -= 1
            target.nlink += 1
        if replaced is not None:
            if replaced.is_directory:
                target.nlink -= 1
                replaced.nlink = 0
                self._overlay.remove_inode(replaced)
            else:
                # Programs save by writing a new file over the old one: its history goes on there. What no
                # version holds has no history, only what it replaced.
                older = replaced.ino if replaced.born else replaced.predecessor
                inode.predecessor = older or inode.predecessor
                self._drop_link(replaced)
        if inode.is_file:
            if inode.born:
                self._overlay.predecessors.left(source.ino, name, inode)
            self._overlay.predecessors.renamed(inode, target.ino, new_name, replaced)
        self._overlay.policies.place(inode, target.ino, source.ino)
        inode.ctime_ns = self._overlay.now_ns()
        self._enter(target, new_name, inode)

    def _exchange(
        self, source: Inode, name: bytes, inode: Inode, target: Inode, new_name: bytes, other: Inode
    ) -> None:
        if inode is other:
            return
        if source is not target and inode.is_directory != other.is_directory:
            moved = 1 if inode.is_directory else -1
            source.nlink -= moved
            target.nlink += moved
        self._overlay.policies.place(inode, target.ino, source.ino)
        self._overlay.policies.place(other, source.ino, target.ino)
        inode.ctime_ns = other.ctime_ns = self._overlay.now_ns()
        self._enter(target, new_name, inode)
        self._enter(source, name, other)

    def _live_directory(self, ino: int) -> Inode:
        directory = self._overlay.inode(ino)
        if not directory.is_directory:
            raise NotADirectory(f"inode {ino}")
        return directory

    def _directory_for(self, parent: int, name: bytes) -> Inode:
        check_name(name)
        directory = self._live_directory(parent)
        if not directory.nlink:
            raise NotFound(f"directory {parent} was removed")
        if self._live.dentry(parent, name) is not None:
            raise Exists(f"{name!r}")
        return directory

    def _entry(self, parent: int, name: bytes) -> tuple[Inode, Inode]:
        directory = self._live_directory(parent)
        return directory, self.lookup(parent, name)

    def _enter(self, directory: Inode, name: bytes, inode: Inode) -> None:
        dentry: Dentry = (inode.ino, kind_of(inode.mode))
        self._overlay.set_dentry(directory.ino, name, dentry)
        directory.mtime_ns = directory.ctime_ns = self._overlay.now_ns()
        self._overlay.touch(directory)
        self._overlay.touch(inode)

    def _leave(self, directory: Inode, name: bytes) -> None:
        self._overlay.set_dentry(directory.ino, name, None)
        directory.mtime_ns = directory.ctime_ns = self._overlay.now_ns()
        self._overlay.touch(directory)

    def _drop_link(self, inode: Inode) -> None:
        inode.nlink -= 1
        inode.ctime_ns = self._overlay.now_ns()
        if inode.nlink:
            self._overlay.touch(inode)
        else:
            self._overlay.remove_inode(inode)

    def _check_empty(self, inode: Inode) -> None:
        if not inode.is_directory:
            raise NotADirectory(f"inode {inode.ino}")
        if next(self._live.dentries(inode.ino), None) is not None:
            raise NotEmpty(f"directory {inode.ino} has entries")

    def _check_replace(self, inode: Inode, replaced: Inode) -> None:
        if inode.is_directory:
            self._check_empty(replaced)
        elif replaced.is_directory:
            raise IsADirectory(f"inode {replaced.ino}")
