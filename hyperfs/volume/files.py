"""Bytes of files: read, write, resize, and the way of dirty bytes into chunks.

Which rule guards what: `Inode.dirty` and the extents change only between awaits of the trio thread. Bytes on
their way into chunks are in `Inode.flushing` and still readable; whoever would cut extents under them waits for
`_flush_lock`, which every flush holds from taking the bytes to naming their extents.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import trio

from hyperfs.chunks import extents as arithmetic
from hyperfs.chunks.extents import Extent
from hyperfs.errors import FileTooBig, InvalidArgument
from hyperfs.volume.buffer import DirtyBytes, Run, lay_over
from hyperfs.volume.content import Content, Region, Stored
from hyperfs.volume.inode import INLINE_MAX_BYTES, Inode
from hyperfs.volume.overlay import Overlay

SMALL_FILE_BYTES: Final = 64 << 10
"""A file of at most this many bytes is always one chunk."""
STREAM_BYTES: Final = 4 << 20
"""A file with this many dirty bytes sends them on while it is still being written."""
DIRTY_LIMIT_BYTES: Final = 64 << 20
"""Past this, writers wait for the bytes of others to reach their chunks."""
LARGE_READ_BYTES: Final = 256 << 10
"""From this size on a hand-over to a thread (some 90 us) is worth its cost."""
BATCH_BYTES: Final = 8 << 20
RETRY_SECONDS: Final = 1.0
WIDEN_MOST_BYTES: Final = 1 << 20
WIDEN_FACTOR: Final = 4
"""An edit takes in the chunks it touches when that multiplies its bytes by no more than this."""
SHORT_TAIL_BYTES: Final = 32 << 10
"""What is appended is chunked together with a last extent of at most this many bytes."""
MAX_FILE_BYTES: Final = (1 << 63) - 1


class Taken(NamedTuple):
    """The runs of one file on their way into chunks, and whether its last bytes may wait for more.

    `size` is the file's when they were taken: all of it is in chunks once they are.
    """

    inode: Inode
    runs: list[Run]
    streaming: bool
    size: int


class Files:
    """File contents of the live tree."""

    def __init__(self, overlay: Overlay, content: Content) -> None:
        self._overlay = overlay
        self._content = content
        self._dirty: dict[int, Inode] = {}  # files with dirty bytes
        self._flush_lock = trio.Lock()
        self._room = trio.Condition()
        self._streams = trio.Event()  # set when some file has enough for a streaming flush
        self._gate: trio.Event | None = None  # while a commit takes its last bytes, writers wait for this
        self._failure: OSError | None = None  # why the newest streaming flush failed
        self.dirty_bytes = 0

    # Reading

    def read(self, inode: Inode, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file. Holes read as zeros."""
        size = min(size, inode.size - offset)
        if size <= 0:
            return b""
        if inode.inline is not None:
            base = inode.inline[offset : offset + size]
            if len(base) < size:
                base += bytes(size - len(base))
        else:
            base = self._content.read(self._overlay.extents(inode, offset, offset + size), offset, size)
        if inode.dirty is None and not inode.flushing:
            return base
        target = bytearray(base)
        lay_over(target, offset, inode.flushing)
        if inode.dirty is not None:
            inode.dirty.overlay(target, offset)
        return bytes(target)

    async def read_soon(self, inode: Inode, offset: int, size: int) -> bytes:
        """As read; what is large and lies in chunks only is decoded in a worker thread, beside other reads."""
        size = min(size, inode.size - offset)
        # Dirty bytes could become chunks while the thread reads the extents of before: then both would miss them.
        if size < LARGE_READ_BYTES or inode.inline is not None or inode.dirty is not None or inode.flushing:
            return self.read(inode, offset, size)
        extents = self._overlay.extents(inode, offset, offset + size)
        return await trio.to_thread.run_sync(self._content.read, extents, offset, size)

    # Writing

    async def write(self, inode: Inode, offset: int, data: bytes | memoryview) -> int:
        """Takes all of `data`; it is in memory when this returns. Raises NoSpace before it takes any."""
        end = offset + len(data)
        if end > MAX_FILE_BYTES:
            raise FileTooBig(f"a file has at most {MAX_FILE_BYTES} bytes")
        while self._gate is not None:
            await self._gate.wait()
        if self._failure is not None and self.dirty_bytes > DIRTY_LIMIT_BYTES:
            # What was taken before is kept and tried again; more would only fill the memory.
            raise OSError(self._failure.errno, "the store does not take what was written before")
        self._content.check_room(self.dirty_bytes + len(data))
        self._put(inode, offset, data)
        if end > inode.size:
            self._overlay.resize(inode, end)
        inode.mtime_ns = inode.ctime_ns = self._overlay.now_ns()
        self._overlay.touch(inode)
        if self.dirty_bytes > DIRTY_LIMIT_BYTES:
            await self._wait_for_room()
        return len(data)

    def _put(self, inode: Inode, offset: int, data: bytes | memoryview) -> None:
        dirty = inode.dirty
        if dirty is None:
            dirty = inode.dirty = DirtyBytes()
            self._dirty[inode.ino] = inode
        before = dirty.nbytes
        dirty.write(offset, data)
        self.dirty_bytes += dirty.nbytes - before
        if dirty.nbytes >= STREAM_BYTES:
            self._streams.set()

    def restore_bytes(self, inode: Inode, offset: int, data: bytes) -> None:
        """Replay: bytes that the journal holds. The size comes with the inode's own record."""
        self._put(inode, offset, data)
        if inode.dirty is not None:
            inode.dirty.unjournaled = []

    async def resize(self, inode: Inode, size: int) -> None:
        """Truncates or extends with a hole."""
        if size < 0:
            raise InvalidArgument("a negative size")
        if size > MAX_FILE_BYTES:
            raise FileTooBig(f"a file has at most {MAX_FILE_BYTES} bytes")
        while self._gate is not None:
            await self._gate.wait()
        if size < inode.size:
            await self.wait_flushed(inode)
            self._cut(inode, size)
        self._overlay.resize(inode, size)
        inode.mtime_ns = inode.ctime_ns = self._overlay.now_ns()
        self._overlay.touch(inode)

    def _cut(self, inode: Inode, size: int) -> None:
        if inode.dirty is not None:
            before = inode.dirty.nbytes
            inode.dirty.truncate(size)
            self.dirty_bytes -= before - inode.dirty.nbytes
            self._drop_if_clean(inode)
        if inode.inline is not None:
            inode.inline = inode.inline[:size]
            inode.stored = len(inode.inline)
        else:
            self._replace(inode, size, max(size, inode.size), [])
        inode.durable_size = min(inode.durable_size, size)
        self._overlay.void_bytes(inode, size)

    def discard(self, inode: Inode) -> None:
        """The file is gone and nobody has it open: its dirty bytes go too."""
        if inode.dirty is not None:
            self.dirty_bytes -= inode.dirty.nbytes
            inode.dirty = None
        self._dirty.pop(inode.ino, None)

    def _drop_if_clean(self, inode: Inode) -> None:
        if inode.dirty is not None and not inode.dirty:
            inode.dirty = None
            self._dirty.pop(inode.ino, None)

    def _replace(self, inode: Inode, start: int, end: int, new: list[Extent]) -> None:
        """The extents of [start, end) become `new`; what straddles a border is trimmed."""
        old = self._overlay.extents(inode, start, end)
        kept = arithmetic.cut(old, start, end)
        result = {e.offset: e for e in [*kept, *new]}
        for extent in old:
            if extent.offset not in result:
                self._overlay.set_extent(inode, extent.offset, None)
        unchanged = set(old)
        for offset, extent in result.items():
            if extent not in unchanged:
                self._overlay.set_extent(inode, offset, extent)
        inode.stored += sum(e.length for e in result.values()) - sum(e.length for e in old)

    # Into chunks

    async def wait_flushed(self, inode: Inode) -> None:
        """Returns when no bytes of the file are on their way into chunks."""
        while inode.flushing:
            async with self._flush_lock:
                pass

    async def flush(self, inodes: Iterable[Inode]) -> None:
        """All dirty bytes of these files, as they are now, get into chunks. Not durable yet."""
        waiting = list(inodes)
        while waiting:
            async with self._flush_lock:
                batch: list[Taken] = []
                size = 0
                while waiting and size < BATCH_BYTES:
                    taken = self._take(waiting.pop(), streaming=False)
                    if taken is not None:
                        batch.append(taken)
                        size += sum(len(run) for _, run in taken.runs)
                await self._store(batch)

    async def flush_all(self) -> None:
        """All bytes that are dirty now, of all files."""
        await self.flush(reversed(list(self._dirty.values())))

    async def drain(self) -> None:
        """Returns when no byte is dirty or on its way. Only while the gate is closed: else it need not end.

        A flush that was under way when the gate closed may still give back the tail of what it took.
        """
        while self.dirty_bytes:
            async with self._flush_lock:
                pass
            await self.flush_all()

    async def run(self) -> None:
        """Streams large files into chunks while they are written; runs for as long as the volume is open."""
        while True:
            await self._streams.wait()
            self._streams = trio.Event()
            while (inode := self._largest()) is not None:
                try:
                    async with self._flush_lock:
                        taken = self._take(inode, streaming=inode.dirty is not None and inode.writers > 0)
                        await self._store([] if taken is None else [taken])
                    self._failure = None
                except OSError as error:
                    self._failure = error
                async with self._room:
                    self._room.notify_all()
                if self._failure is not None:
                    await trio.sleep(RETRY_SECONDS)

    def _largest(self) -> Inode | None:
        inode = max(self._dirty.values(), key=lambda i: i.dirty.nbytes if i.dirty else 0, default=None)
        if inode is None or inode.dirty is None:
            return None
        if inode.dirty.nbytes < STREAM_BYTES and self.dirty_bytes <= DIRTY_LIMIT_BYTES:
            return None
        return inode

    async def _wait_for_room(self) -> None:
        self._streams.set()
        async with self._room:
            while self.dirty_bytes > DIRTY_LIMIT_BYTES and self._failure is None:
                await self._room.wait()

    def close_gate(self) -> None:
        """From now on writers wait: the commit takes the last bytes and freezes."""
        self._gate = trio.Event()

    def open_gate(self) -> None:
        if self._gate is not None:
            self._gate.set()
            self._gate = None

    def _take(self, inode: Inode, streaming: bool) -> Taken | None:
        """Takes the file's dirty bytes; tiny files are settled at once. Holding `_flush_lock`."""
        dirty = inode.dirty
        if dirty is None:
            return None
        if inode.orphan_extents is not None and not inode.users:
            self.discard(inode)
            return None
        if inode.size <= INLINE_MAX_BYTES:
            inode.inline, old = self.read(inode, 0, inode.size), inode.inline
            self.discard(inode)
            if old is None:
                self._replace(inode, 0, MAX_FILE_BYTES, [])
            inode.stored = len(inode.inline)
            self._overlay.void_bytes(inode, 0)
            self._overlay.touch(inode)
            return None
        if inode.inline is not None:
            # They become dirty bytes and stay inline too, until their extents are named.
            before = dirty.nbytes
            dirty.fill(0, inode.inline)
            self.dirty_bytes += dirty.nbytes - before
        runs = dirty.take_front(BATCH_BYTES) if streaming else dirty.take()
        self._drop_if_clean(inode)
        inode.flushing = tuple((start, memoryview(run)) for start, run in runs)
        return Taken(inode, runs, streaming, inode.size)

    async def _store(self, batch: list[Taken]) -> None:
        if not batch:
            return
        try:
            regions = [(taken, region) for taken in batch for region in self._regions(taken)]
            stored = await self._content.store([region for _, region in regions])
        except BaseException:
            for taken in batch:
                self._give_back(taken)
            raise
        safe = {taken.inode.ino: taken.size for taken in batch}
        for (taken, region), found in zip(regions, stored, strict=True):
            ino = taken.inode.ino
            safe[ino] = min(safe[ino], self._name_extents(taken.inode, region, found))
        for taken in batch:
            self.dirty_bytes -= sum(len(run) for _, run in taken.runs)
            self._stored(taken.inode, safe[taken.inode.ino])

    def _stored(self, inode: Inode, safe: int) -> None:
        """What was taken is in chunks: a record may give the file at least the size `safe`."""
        inode.flushing = ()
        inode.durable_size = max(inode.durable_size, safe)
        self._overlay.void_bytes(inode, 0)
        self._overlay.touch(inode)

    def _name_extents(self, inode: Inode, region: Region, found: Stored) -> int:
        """Returns where the region's tail begins that got no chunk and is dirty again; without one, no bound."""
        if inode.inline is not None:
            inode.stored -= len(inode.inline)
            inode.inline = None
        end = found.extents[-1].end if found.extents else region.offset
        self._replace(inode, region.offset, end, found.extents)
        if not len(found.rest):
            return MAX_FILE_BYTES
        if inode.dirty is None:
            inode.dirty = DirtyBytes()
            self._dirty[inode.ino] = inode
        before = inode.dirty.nbytes
        inode.dirty.fill(end, found.rest)
        self.dirty_bytes += inode.dirty.nbytes - before
        return end

    def _give_back(self, taken: Taken) -> None:
        """After a failure the bytes are dirty again, under whatever was written since."""
        inode = taken.inode
        size = sum(len(run) for _, run in taken.runs)
        inode.flushing = ()
        if inode.dirty is None:
            inode.dirty = DirtyBytes()
            self._dirty[inode.ino] = inode
        before = inode.dirty.nbytes
        for start, run in taken.runs:
            inode.dirty.fill(start, run)
        self.dirty_bytes += inode.dirty.nbytes - before - size

    def _regions(self, taken: Taken) -> Iterator[Region]:
        """The stretches of the file that get new chunks: its runs, widened where that is cheap."""
        inode, runs, streaming, _ = taken
        if inode.size <= SMALL_FILE_BYTES:
            yield Region(0, [self.read(inode, 0, inode.size)], final=True)
            return
        ranges = [self._widened(inode, start, start + len(run)) for start, run in runs]
        position = 0
        while position < len(ranges):
            low, high = ranges[position]
            last = position
            while last + 1 < len(ranges) and ranges[last + 1][0] <= high:
                last += 1
                high = max(high, ranges[last][1])
            goes_on = high >= inode.size or (inode.dirty is not None and inode.dirty.first == high)
            final = not (streaming and last == len(ranges) - 1 and goes_on)
            parts: list[bytes | bytearray] = [run for _, run in runs[position : last + 1]]
            if low != runs[position][0] or sum(map(len, parts)) != high - low:
                parts = [self.read(inode, low, high - low)]
            yield Region(low, parts, final)
            position = last + 1

    def _widened(self, inode: Inode, start: int, end: int) -> tuple[int, int]:
        """[start, end) with the extents that it touches, and the short one that it goes on, if that is cheap."""
        most = max(4096, min(WIDEN_MOST_BYTES, WIDEN_FACTOR * (end - start)))
        touched = self._overlay.extents(inode, max(0, start - 1), end)
        if touched and touched[0].end == start and touched[0].length > min(most, SHORT_TAIL_BYTES):
            touched = touched[1:]
        if not touched or inode.inline is not None:
            return start, end
        low, high = min(start, touched[0].offset), max(end, touched[-1].end)
        if high - low > most:
            return start, end
        return low, high
