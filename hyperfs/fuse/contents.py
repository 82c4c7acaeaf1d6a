"""Operations on bytes: open, read, write, fsync, release."""

import errno
import os

import pyfuse3
from pyfuse3 import FileInfo, FUSEError, RequestContext

from hyperfs.fuse.guard import guarded
from hyperfs.fuse.past import refuse_change
from hyperfs.fuse.state import Handle, State
from hyperfs.fuse.views import PAST_BIT
from hyperfs.fuse.warming import SMALL_BYTES
from hyperfs.volume.inode import Inode


class ContentOperations(pyfuse3.Operations):
    """Handlers: a few lines each, no rules of their own."""

    state: State

    @guarded
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        state, writing = self.state, flags & os.O_ACCMODE != os.O_RDONLY
        if inode & PAST_BIT:
            if writing or flags & os.O_TRUNC:
                refuse_change()
            node = state.past.node(inode)
            handle = Handle(state.past.inode(node), past=node, pid=ctx.pid)
            state.volume.reading[node.version] += 1
            return FileInfo(fh=state.add(handle))
        opened = state.volume.overlay.inode(inode)
        if (writing or flags & os.O_TRUNC) and state.volume.protection.on:
            state.volume.protection.writing(opened)
        handle = Handle(opened, writing, anew=bool(flags & os.O_TRUNC and opened.size), pid=ctx.pid)
        if state.volume.returning.elsewhere.places:
            state.volume.uses.opened(inode, ctx.pid)
        state.volume.opened(opened, writing)  # before anything is awaited: an unlink meanwhile leaves it its bytes
        try:
            if writing or flags & os.O_TRUNC:
                await self._begin_change(opened, flags)
        except BaseException:
            state.volume.released(opened, writing)
            raise
        return FileInfo(fh=state.add(handle))

    async def _begin_change(self, inode: Inode, flags: int) -> None:
        volume = self.state.volume
        await volume.room_for_change()
        await volume.before_change(inode)
        if flags & os.O_TRUNC:
            await volume.files.resize(inode, 0)
            volume.written()

    @guarded
    async def read(self, fh: int, off: int, size: int) -> bytes:
        handle = self.state.handle(fh)
        handle.reads(off, size)
        if handle.past is not None:
            data = await self.state.past.read(handle.past, handle.inode, off, size)
        else:
            data = await self._read_file(handle, off, size)
        if handle.is_cold and handle.goes_on:
            self.state.absences.goes_on(handle, off + size)
        return data

    async def _read_file(self, handle: Handle, off: int, size: int) -> bytes:
        if size <= SMALL_BYTES and not handle.goes_on and not handle.is_cold:
            self.state.warming.scattered_read(handle.inode, off)
        return await self.state.volume.files.read_soon(handle.inode, off, size, handle.goes_on)

    @guarded
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        volume = self.state.volume
        if not volume.has_room_for_change:
            await volume.room_for_change()
        # With the writeback cache the kernel keeps a file's times, and tells them beside the bytes, in any order:
        # the time at which bytes arrive here would take the place of the time at which a program wrote them.
        written = await volume.files.write(self.state.handle(fh).inode, off, buf, keep_times=True)
        volume.written()
        return written

    @guarded
    async def flush(self, fh: int) -> None:
        """Nothing waits for a close: errors of writes were told with the write, errors of syncs with the sync.

        The kernel takes this answer as "never ask again", and still writes back what it holds when a file is closed.
        """
        raise FUSEError(errno.ENOSYS)

    @guarded
    async def release(self, fh: int) -> None:
        handle = self.state.remove(fh)
        if handle.past is not None:
            self.state.volume.read_out(handle.past.version)
        else:
            if handle.anew:
                self.state.volume.journaling.placed(handle.inode)
            self.state.volume.released(handle.inode, handle.writing)

    @guarded
    async def fsync(self, fh: int, datasync: bool) -> None:
        handle = self.state.handle(fh)
        if handle.past is None:
            await self.state.volume.fsync(handle.inode)
