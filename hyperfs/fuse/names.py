"""Operations on names: lookup, make, link, unlink, rename. And on `.versions`: snapshots by mkdir and rmdir."""

import stat
from collections.abc import Sequence

import pyfuse3
from pyfuse3 import EntryAttributes, FileInfo, RequestContext

from hyperfs.errors import NotFound, NotPermitted
from hyperfs.fuse.attributes import entry_of, nothing
from hyperfs.fuse.guard import guarded
from hyperfs.fuse.past import VERSIONS_NAME, refuse_change
from hyperfs.fuse.past_node import PastNode
from hyperfs.fuse.state import Handle, State
from hyperfs.fuse.views import PAST_BIT
from hyperfs.volume.inode import Inode

_NOTHING = nothing()
_NOTHING_YET = nothing(0)
WRITE_FLAGS = 3  # O_ACCMODE


class NameOperations(pyfuse3.Operations):
    """Handlers: a few lines each, no rules of their own."""

    state: State

    @guarded
    async def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        state = self.state
        if parent_inode & PAST_BIT:
            return await self._lookup_past(parent_inode, name)
        if name == VERSIONS_NAME:
            state.volume.overlay.inode(parent_inode)
            return self._give(state.past.versions_of(parent_inode))
        if name in (b".", b".."):
            inode = state.volume.overlay.inode(parent_inode)
            return entry_of(inode if name == b"." else state.volume.overlay.inode(inode.parent or inode.ino))
        try:
            return entry_of(state.volume.names.lookup(parent_inode, name))
        except NotFound:
            return _NOTHING

    async def _lookup_past(self, parent: int, name: bytes) -> EntryAttributes:
        past = self.state.past
        node = past.node(parent)
        if name == b".":
            return self._give(node)
        if name == b".." and node.is_versions:
            return self.state.attributes(node.directory)
        await past.made_up.prepare(node)
        try:
            return self._give(past.lookup(node, name))
        except NotFound:
            if not await past.made_up.look_again(node):
                return _NOTHING_YET
        try:
            return self._give(past.lookup(node, name))
        except NotFound:
            return _NOTHING_YET

    def _give(self, node: PastNode) -> EntryAttributes:
        """An answer that makes the kernel know the node."""
        entry = self.state.past.attributes(node)
        self.state.past.given(node)
        return entry

    def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:  # type: ignore[override]  # the stub is wrong
        for number, count in inode_list:
            if number & PAST_BIT:
                self.state.past.forget(number, count)
            elif number in self.state.volume.overlay.orphans:
                self.state.volume.forgotten(number)

    async def _changeable(self, parent: int, name: bytes) -> None:
        """Refuses changes in the past, and of the name `.versions`. Waits until there is room for one."""
        if parent & PAST_BIT:
            refuse_change()
        if name == VERSIONS_NAME:
            raise NotPermitted("the name .versions belongs to the drive")
        if not self.state.volume.has_room_for_change:
            await self.state.volume.room_for_change()

    async def _before_change(self, parent: int, name: bytes) -> None:
        """Before a name goes, while a version waits: what has it may be in none yet."""
        volume = self.state.volume
        dentry = volume.overlay.live.dentry(parent, name)
        if dentry is not None and dentry[0] in volume.overlay.live.active.inodes:
            inode = volume.overlay.inode(dentry[0])
            if not inode.is_directory:
                await volume.before_change(inode)

    async def _make(self, parent: int, name: bytes, mode: int, ctx: RequestContext, rdev: int = 0) -> Inode:
        """Something new, with what its directory's default ACL or the caller's umask leaves of its mode."""
        await self._changeable(parent, name)
        volume = self.state.volume
        born = volume.permissions.of_new(parent, mode, ctx.umask)
        inode = volume.names.make(parent, name, born.mode, ctx.uid, ctx.gid, rdev)
        volume.permissions.give(inode, born)
        volume.settled()
        return inode

    @guarded
    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        inode = await self._make(parent_inode, name, stat.S_IFREG | stat.S_IMODE(mode), ctx)
        self.state.volume.opened(inode, True)
        return FileInfo(fh=self.state.add(Handle(inode, True))), entry_of(inode)

    @guarded
    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        return entry_of(await self._make(parent_inode, name, mode, ctx, rdev))

    @guarded
    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        past, volume = self.state.past, self.state.volume
        if parent_inode & PAST_BIT and past.node(parent_inode).is_versions:
            node = past.node(parent_inode)
            # What the kernel still holds can't be waited for here: it holds this request's locks.
            await volume.make_snapshot(node.directory, name, write_back=False)
            return self._give(past.lookup(node, name))
        return entry_of(await self._make(parent_inode, name, stat.S_IFDIR | (mode & ~stat.S_IFMT(mode)), ctx))

    @guarded
    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        await self._changeable(parent_inode, name)
        inode = self.state.volume.names.symlink(parent_inode, name, target, ctx.uid, ctx.gid)
        self.state.volume.settled()
        return entry_of(inode)

    @guarded
    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        if inode & PAST_BIT:
            node = self.state.past.node(inode)
            return node.target or self.state.past.inode(node).inline or b""
        return self.state.volume.overlay.inode(inode).inline or b""

    @guarded
    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext
    ) -> EntryAttributes:
        await self._changeable(new_parent_inode, new_name)
        linked = self.state.inode(inode)
        self.state.volume.names.link(linked, new_parent_inode, new_name)
        self.state.volume.settled()
        return entry_of(linked)

    @guarded
    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        volume = self.state.volume
        await self._changeable(parent_inode, name)
        if volume.making.version_waits:
            await self._before_change(parent_inode, name)
        if volume.protection.on:
            volume.protection.going(parent_inode, name)
        volume.unlinked(volume.names.unlink(parent_inode, name))

    @guarded
    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        past, volume = self.state.past, self.state.volume
        if parent_inode & PAST_BIT and past.node(parent_inode).is_versions:
            await volume.delete_snapshot(past.node(parent_inode).directory, name)
            return
        await self._changeable(parent_inode, name)
        if volume.protection.on:
            volume.protection.going(parent_inode, name)
        volume.unlinked(volume.names.rmdir(parent_inode, name))

    @guarded
    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        await self._changeable(parent_inode_old, name_old)
        await self._changeable(parent_inode_new, name_new)
        volume = self.state.volume
        for parent, name in ((parent_inode_old, name_old), (parent_inode_new, name_new)):
            if volume.making.version_waits:
                await self._before_change(parent, name)
        if volume.protection.on:
            volume.protection.renaming(parent_inode_old, name_old, parent_inode_new, name_new, flags)
        replaced = volume.names.rename(parent_inode_old, name_old, parent_inode_new, name_new, flags)
        volume.renamed(volume.names.lookup(parent_inode_new, name_new), replaced)
