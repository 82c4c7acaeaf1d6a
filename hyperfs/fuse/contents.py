"""Operations on bytes: open, read, write, fsync, release."""

import os

import pyfuse3
from pyfuse3 import FileInfo, RequestContext

from hyperfs.fuse.guard import guarded
from hyperfs.fuse.past import PAST_BIT, refuse_change
from hyperfs.fuse.state import Handle, State


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
            return FileInfo(fh=state.add(Handle(state.past.inode(node), past=node)))
        opened = state.volume.overlay.inode(inode)
        if writing or flags & os.O_TRUNC:
            await state.volume.before_change(opened)
            if flags & os.O_TRUNC:
                await state.volume.files.resize(opened, 0)
                state.volume.written()
        state.volume.opened(opened, writing)
        return FileInfo(fh=state.add(Handle(opened, writing)))

    @guarded
    async def read(self, fh: int, off: int, size: int) -> bytes:
        handle = self.state.handle(fh)
        if handle.past is not None:
            return self.state.past.read(handle.past, handle.inode, off, size)
        return await self.state.volume.files.read_soon(handle.inode, off, size)

    @guarded
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        volume = self.state.volume
        volume.check_writable()
        written = await volume.files.write(self.state.handle(fh).inode, off, buf)
        volume.written()
        return written

    @guarded
    async def flush(self, fh: int) -> None:
        """Nothing waits for a close: errors of writes were told with the write, errors of syncs with the sync."""

    @guarded
    async def release(self, fh: int) -> None:
        handle = self.state.remove(fh)
        if handle.past is None:
            self.state.volume.released(handle.inode, handle.writing)

    @guarded
    async def fsync(self, fh: int, datasync: bool) -> None:
        handle = self.state.handle(fh)
        if handle.past is None:
            await self.state.volume.fsync(handle.inode)
