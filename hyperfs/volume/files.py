"""Bytes of files: read, write, resize.

Which rule guards what: `Inode.dirty` and the extents change only between awaits of the trio thread; see `flushing`
for bytes on their way into chunks.
"""

from functools import partial

import trio

from hyperfs.errors import FileTooBig, InvalidArgument
from hyperfs.volume.content import Content
from hyperfs.volume.dirty import DirtyFiles
from hyperfs.volume.flushing import Flushing
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import MAX_FILE_BYTES, Overlay, replace_extents
from hyperfs.volume.read_ahead import LARGE_READ_BYTES
from hyperfs.volume.reading import read_live


class Files:
    """File contents of the live tree."""

    def __init__(self, overlay: Overlay, content: Content) -> None:
        self._overlay = overlay
        self._content = content
        self._dirty = DirtyFiles()
        self.flushing = Flushing(overlay, content, self._dirty)
        self._gate: trio.Event | None = None  # while a commit takes its last bytes, writers wait for this

    @property
    def dirty_bytes(self) -> int:
        """Bytes that no chunk holds yet."""
        return self._dirty.nbytes

    # Reading

    def read(self, inode: Inode, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file. Holes read as zeros."""
        return read_live(self._overlay, self._content, inode, offset, size)

    async def read_soon(self, inode: Inode, offset: int, size: int, goes_on: bool = False) -> bytes:
        """As read; what is large and lies in chunks only is decoded in worker threads, beside other reads. `goes_on`:
        it begins where its reader's last one ended, and so the next will."""
        size = min(size, inode.size - offset)
        # Dirty bytes could become chunks while a thread reads the extents of before: then both would miss them.
        if size < LARGE_READ_BYTES or inode.inline is not None or inode.dirty is not None or inode.flushing:
            return self.read(inode, offset, size)
        extents = self._overlay.extents(inode, offset, offset + size)
        if not goes_on:
            return await self._content.read_soon(extents, offset, size)
        ahead = self._content.ahead
        ahead.begin(inode.ino, offset + size, size, inode.size, partial(self._overlay.extents, inode))
        found = await ahead.take(inode.ino, offset, size, extents)
        return found if found is not None else await self._content.read_soon(extents, offset, size)

    # Writing

    async def write(self, inode: Inode, offset: int, data: bytes | memoryview, keep_times: bool = False) -> int:
        """Takes all of `data`; it is in memory when this returns. Raises NoSpace before it takes any.

        `keep_times` leaves the times to the caller, who knows better when the bytes were written.
        """
        end = offset + len(data)
        if end > MAX_FILE_BYTES:
            raise FileTooBig(f"a file has at most {MAX_FILE_BYTES} bytes")
        while self._gate is not None:
            await self._gate.wait()
        self.flushing.check()
        self._content.check_room(self.dirty_bytes + len(data))
        dirty = self._dirty.put(inode, offset, data)
        if end > inode.size:
            self._overlay.resize(inode, end)
        if not keep_times:
            inode.mtime_ns = inode.ctime_ns = self._overlay.now_ns()
        self._overlay.touch(inode)
        await self.flushing.written(dirty)
        return len(data)

    def restore_bytes(self, inode: Inode, offset: int, data: bytes) -> None:
        """Replay: bytes that the journal holds. The size comes with the inode's own record."""
        self._dirty.put(inode, offset, data)
        if inode.dirty is not None:
            inode.dirty.unjournaled = []

    async def resize(self, inode: Inode, size: int, keep_times: bool = False) -> None:
        """Truncates or extends with a hole. `keep_times` as for `write`."""
        if size < 0:
            raise InvalidArgument("a negative size")
        if size > MAX_FILE_BYTES:
            raise FileTooBig(f"a file has at most {MAX_FILE_BYTES} bytes")
        while self._gate is not None:
            await self._gate.wait()
        if size < inode.size:
            await self.flushing.wait_flushed(inode)
            self._cut(inode, size)
        self._overlay.resize(inode, size)
        if not keep_times:
            inode.mtime_ns = inode.ctime_ns = self._overlay.now_ns()
        self._overlay.touch(inode)

    def _cut(self, inode: Inode, size: int) -> None:
        self._dirty.truncate(inode, size)
        if inode.inline is not None:
            inode.inline = inode.inline[:size]
            inode.stored = len(inode.inline)
        else:
            if not size and inode.stored:
                self._overlay.predecessors.emptied(inode, self._overlay.extents(inode, 0, inode.size))
            replace_extents(self._overlay, inode, size, max(size, inode.size), [])
        inode.durable_size = min(inode.durable_size, size)
        self._overlay.void_bytes(inode, size)

    def discard(self, inode: Inode) -> None:
        """The file is gone and nobody has it open: its dirty bytes go too."""
        self._dirty.discard(inode)

    def close_gate(self) -> None:
        """From now on writers wait: the commit takes the last bytes and freezes."""
        self._gate = trio.Event()

    def open_gate(self) -> None:
        if self._gate is not None:
            self._gate.set()
            self._gate = None
