"""Operations on attributes: getattr, setattr, access, extended attributes, statfs."""

import errno
import os
import stat

import pyfuse3
from pyfuse3 import EntryAttributes, FUSEError, RequestContext, SetattrFields, StatvfsData

from hyperfs.errors import AttributeTooBig, InvalidArgument, NoAttribute
from hyperfs.fuse.attributes import BLOCK_BYTES, entry_of
from hyperfs.fuse.guard import guarded
from hyperfs.fuse.past import refuse_change
from hyperfs.fuse.state import State
from hyperfs.fuse.views import PAST_BIT
from hyperfs.policy import attributes
from hyperfs.values import NAME_MAX_BYTES
from hyperfs.volume.acl import ACCESS, DEFAULT
from hyperfs.volume.inode import Inode
from hyperfs.volume.link_name import name_of
from hyperfs.volume.policy_words import computed
from hyperfs.volume.whereabouts import copies_now, resident_percent
from hyperfs.volume.xattrs import HAS_XATTRS, VALUE_MAX_BYTES

TRUSTED = b"trusted."
NAMESPACES = (b"user.", TRUSTED, b"security.")


class MetadataOperations(pyfuse3.Operations):
    """Handlers: a few lines each, no rules of their own."""

    state: State

    @guarded
    async def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        return self.state.attributes(inode)

    @guarded
    async def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        volume = self.state.volume
        changed = self.state.inode(inode)
        if not volume.has_room_for_change:
            await volume.room_for_change()
            changed = self.state.inode(inode)
        if fields.update_size:
            if volume.protection.on:
                volume.protection.writing(changed)
            if fh is None:
                await volume.before_change(changed)
            await volume.files.resize(changed, attr.st_size, keep_times=True)
        if fields.update_mode:
            volume.permissions.chmod(changed, attr.st_mode)
        if fields.update_uid:
            changed.uid = attr.st_uid
        if fields.update_gid:
            changed.gid = attr.st_gid
        if fields.update_atime:
            changed.atime_ns = attr.st_atime_ns
        if fields.update_mtime:
            changed.mtime_ns = attr.st_mtime_ns
        if fields.update_ctime:
            changed.ctime_ns = attr.st_ctime_ns
        elif not changed.is_file:  # a file's times are the kernel's: where it tells none, it has changed none
            changed.ctime_ns = volume.overlay.now_ns()
        volume.overlay.touch(changed)
        if changed.writers:
            volume.written()
        else:
            volume.settled()
        return entry_of(changed)

    @guarded
    async def access(self, inode: int, mode: int, ctx: RequestContext) -> bool:
        if inode & PAST_BIT and mode & os.W_OK:
            refuse_change()
        return True

    # Extended attributes

    def _of(self, number: int, name: bytes) -> Inode:
        """The inode whose attribute may be changed. Of ours, those that are policies; the others are computed."""
        _check_attribute(name)
        inode = self.state.inode(number)
        self.state.volume.check_writable()
        if attributes.is_ours(name) and name not in attributes.VALUES:
            raise FUSEError(errno.EOPNOTSUPP)
        return inode

    @guarded
    async def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        _check_attribute(name)
        if name in attributes.COMPUTED:
            value = await self._computed(inode, name)
        elif inode & PAST_BIT:
            value = self.state.past.xattr(self.state.past.node(inode), name)
        else:
            found = self.state.volume.overlay.inode(inode)
            value = self.state.volume.xattrs.get(found, name) if found.flags & HAS_XATTRS else None
        if value is None:
            raise FUSEError(errno.ENODATA)
        return value

    async def _computed(self, number: int, name: bytes) -> bytes | None:
        """Of what stands in the past: only its version, and how that is named."""
        if not number & PAST_BIT:
            volume, ino = self.state.volume, self.state.inode(number).ino
            if name == attributes.RESIDENT:
                return b"%d" % await resident_percent(volume, ino)
            if name == attributes.COPIES_NOW:
                return b"%d" % await copies_now(volume, ino)
            if name == attributes.LINK:
                return _encoded(name_of(volume, volume.versions.newest.version, volume.overlay.live, ino))
            return computed(volume, ino, name)
        node = self.state.past.node(number)
        if name == attributes.LINK and node.version:
            return _encoded(name_of(self.state.volume, node.version, self.state.past.tree(node), node.ino))
        return b"%d" % node.version if name == attributes.VERSION and node.version else None

    @guarded
    async def listxattr(self, inode: int, ctx: RequestContext) -> list[bytes]:
        if inode & PAST_BIT:
            node = self.state.past.node(inode)
            return [] if node.is_made_up else sorted(self.state.past.tree(node).xattr_names(node.ino))
        names = self.state.volume.xattrs.names(self.state.volume.overlay.inode(inode))
        return names if ctx.uid == 0 else [name for name in names if not name.startswith(TRUSTED)]

    @guarded
    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: RequestContext) -> None:
        if len(name) > NAME_MAX_BYTES:
            raise InvalidArgument("an attribute's name has at most 255 bytes")
        if len(value) > VALUE_MAX_BYTES:
            raise AttributeTooBig(f"an attribute has at most {VALUE_MAX_BYTES} bytes")
        self._of(inode, name)
        await self.state.volume.room_for_change()
        volume, changed = self.state.volume, self._of(inode, name)
        if name == ACCESS:
            volume.permissions.set_access(changed, value, _may_keep_setgid(changed, ctx))
        elif name == DEFAULT:
            volume.permissions.set_default(changed, value)
        else:
            volume.protection.setting(changed, name, value, ctx.uid)
            volume.xattrs.set(changed, name, value)
        volume.settled()

    @guarded
    async def removexattr(self, inode: int, name: bytes, ctx: RequestContext) -> None:
        self._of(inode, name)
        await self.state.volume.room_for_change()
        volume, changed = self.state.volume, self._of(inode, name)
        if volume.xattrs.get(changed, name) is not None:
            volume.protection.setting(changed, name, None, ctx.uid)
            volume.xattrs.set(changed, name, None)
            volume.settled()
        elif name not in (ACCESS, DEFAULT):  # to have no ACL is no error: programs set empty ones
            raise NoAttribute(f"no attribute {name!r}")

    @guarded
    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        room = self.state.volume.content.room()
        dirty = self.state.volume.files.dirty_bytes
        answer = StatvfsData()
        answer.f_bsize = answer.f_frsize = BLOCK_BYTES
        answer.f_blocks = room.total // BLOCK_BYTES
        answer.f_bfree = answer.f_bavail = max(0, room.free - dirty) // BLOCK_BYTES
        used = self.state.volume.overlay.files + self.state.volume.overlay.directories
        answer.f_files = used + (1 << 40)
        answer.f_ffree = answer.f_favail = 1 << 40
        answer.f_namemax = NAME_MAX_BYTES
        return answer


def _check_attribute(name: bytes) -> None:
    """Refuses the names that no Linux filesystem takes: outside of the namespaces, or with nothing behind one."""
    if not name.startswith(NAMESPACES) and name not in (ACCESS, DEFAULT):
        raise FUSEError(errno.EOPNOTSUPP)
    if name in NAMESPACES:
        raise FUSEError(errno.EINVAL)


def _may_keep_setgid(inode: Inode, ctx: RequestContext) -> bool:
    """Whether the caller belongs to the inode's group: who does not may not give it a setgid bit, nor keep one."""
    if not inode.mode & stat.S_ISGID or ctx.uid == 0 or ctx.gid == inode.gid:
        return True
    try:
        return inode.gid in pyfuse3.get_sup_groups(ctx.pid)
    except OSError:
        return False  # in a namespace of processes that we can't see


def _encoded(words: str | None) -> bytes | None:
    return None if words is None else words.encode()
