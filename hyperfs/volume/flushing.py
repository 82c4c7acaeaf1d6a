"""The way of dirty bytes into chunks.

Bytes on their way are in `Inode.flushing` and still readable. `_flush_lock` is held from taking bytes to naming
their extents: whoever would cut extents under them waits for it.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import trio

from hyperfs.errors import Corrupt, NotResident
from hyperfs.volume.buffer import DirtyBytes
from hyperfs.volume.content import Content, Stored
from hyperfs.volume.cutting import Region
from hyperfs.volume.dirty import DirtyFiles
from hyperfs.volume.inode import INLINE_MAX_BYTES, Inode
from hyperfs.volume.overlay import MAX_FILE_BYTES, Overlay, replace_extents
from hyperfs.volume.reading import read_live
from hyperfs.volume.regions import Effort, Regions, Taken, hurried

STREAM_BYTES: Final = 4 << 20
"""A file with this many dirty bytes sends them on while it is still being written."""
SCATTERED_BYTES: Final = 32 << 20
SCATTERED_RUN_BYTES: Final = 64 << 10
"""Where its runs are shorter on average, SCATTERED_BYTES wait: a run takes in the chunk that it is written into,
and all that come to lie in one chunk are stored with it at once."""
DIRTY_LIMIT_BYTES: Final = 64 << 20
"""Past this, writers wait for the bytes of others to reach their chunks."""
BATCH_BYTES: Final = 8 << 20
BATCH_RUNS: Final = 512
"""Of a file with many small runs at most so many go at a time: each may take in a chunk."""
REGIONS_BYTES: Final = 16 << 20
"""So many bytes of regions, and one region, are in memory at a time."""
PARTS_MOST: Final = 3 * DIRTY_LIMIT_BYTES // BATCH_BYTES
RETRY_SECONDS: Final = 1.0
class _Asked(NamedTuple):
    """A file whose dirty bytes below `end` are wanted in chunks. Of many only a part goes at a time: joined, compressed
    and sealed they are in memory several times. Who writes below `end` meanwhile can put off its end `parts` times."""

    inode: Inode
    end: int
    parts: int

    @property
    def is_large(self) -> bool:
        dirty = self.inode.dirty
        return dirty is not None and (dirty.nbytes > BATCH_BYTES or dirty.count > BATCH_RUNS)

    @property
    def is_left(self) -> bool:
        first = self.inode.dirty.first if self.inode.dirty is not None else None
        return first is not None and first < self.end


class Flushing:
    """Cuts dirty bytes into regions, gets them into chunks, names their extents."""

    def __init__(self, overlay: Overlay, content: Content, dirty: DirtyFiles) -> None:
        self._overlay = overlay
        self._content = content
        self._dirty = dirty
        self._regions = Regions(overlay, content)
        self._flush_lock = trio.Lock()
        self._room = trio.Event()  # set, and replaced, when bytes have left memory or will not
        self._streams = trio.Event()  # set when some file has enough for a streaming flush
        self._failure: OSError | None = None  # why the newest streaming flush failed

    def check(self) -> None:
        """Raises OSError when bytes pile up because the store does not take them."""
        if self._failure is not None and self._dirty.nbytes > DIRTY_LIMIT_BYTES:
            # What was taken before is kept and tried again; more would only fill the memory.
            raise OSError(self._failure.errno, "the store does not take what was written before")

    async def written(self, dirty: DirtyBytes) -> None:
        """After a write that left its file with these dirty bytes: streams them, or has the writer wait."""
        if _are_enough(dirty):
            self._streams.set()
        if self._dirty.nbytes > DIRTY_LIMIT_BYTES:
            await self.wait_for_room()

    def _read(self, inode: Inode, offset: int, size: int) -> bytes:
        return read_live(self._overlay, self._content, inode, offset, size)

    async def wait_flushed(self, inode: Inode) -> None:
        """Returns when no bytes of the file are on their way into chunks."""
        while inode.flushing:
            async with self._flush_lock:
                pass

    async def flush(self, inodes: Iterable[Inode], effort: Effort | None = None) -> None:
        """All dirty bytes of these files, as they are now, get into chunks. Not durable yet."""
        effort = effort or hurried()
        waiting = [_Asked(i, i.dirty.end if i.dirty is not None else 0, PARTS_MOST) for i in inodes]
        while waiting:
            async with self._flush_lock:
                batch: list[Taken] = []
                parts: list[_Asked] = []
                size = 0
                while waiting and size < BATCH_BYTES:
                    asked = waiting.pop()
                    in_part = asked.is_large and asked.parts > 0
                    taken = self._take(asked.inode, in_part, effort)
                    if taken is not None:
                        batch.append(taken)
                        size += sum(len(run) for _, run in taken.runs)
                    if in_part:
                        parts.append(asked._replace(parts=asked.parts - 1))
                await self._store(batch)
                waiting += [asked for asked in parts if asked.is_left]

    async def flush_all(self, effort: Effort | None = None) -> None:
        """All bytes that are dirty now, of all files."""
        await self.flush(reversed(self._dirty.files), effort)

    async def drain(self) -> None:
        """Returns when no byte is dirty or on its way. Only while the gate is closed: else it need not end.

        A flush that was under way when the gate closed may still give back the tail of what it took.
        """
        while self._dirty.nbytes:
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
                    await self._send_on(inode)
                    self._failure = None
                except OSError as error:
                    self._failure = error
                self._wake_writers()
                if self._failure is not None:
                    await trio.sleep(RETRY_SECONDS)
            if self._dirty.nbytes <= DIRTY_LIMIT_BYTES:
                self._wake_writers()  # a file was cut or removed; what is on its way wakes them when it has arrived

    async def _send_on(self, inode: Inode) -> None:
        """A part of the file's dirty bytes; of scattered ones all that there are, from the first on, part by part: what
        is written behind the place of the next part waits for the next time."""
        since: int | None = 0
        scattered = inode.dirty is not None and _is_scattered(inode.dirty)
        while since is not None:
            async with self._flush_lock:
                taken = self._take(inode, scattered or self._goes_on(inode), hurried(), since)
                await self._store([] if taken is None else [taken])
            last = taken.runs[-1] if taken is not None and taken.runs and scattered else None
            since = last[0] + len(last[1]) if last is not None else None

    def _largest(self) -> Inode | None:
        return self._dirty.largest() if self._dirty.nbytes > DIRTY_LIMIT_BYTES else self._dirty.largest(_are_enough)

    def _goes_on(self, inode: Inode) -> bool:
        """Whether a tail without a sure cut may wait for more. Of a few bytes nothing may be left but a tail, and many
        such files would fill the memory for ever."""
        return inode.dirty is not None and inode.writers > 0 and inode.dirty.nbytes >= STREAM_BYTES

    async def wait_for_room(self) -> None:
        """Returns when a writer may go on: there is room for dirty bytes, or none will come.

        Bytes go by `run` and by others' `flush`; either may find that the other took them.
        """
        while self._dirty.nbytes > DIRTY_LIMIT_BYTES and self._failure is None:
            self._streams.set()
            await self._room.wait()

    def _wake_writers(self) -> None:
        self._room.set()
        self._room = trio.Event()

    def _tiny(self, inode: Inode) -> bytes | None:
        """All bytes of a file that keeps them in its record; None for any other, and where some can't be read."""
        if inode.size > INLINE_MAX_BYTES or self._overlay.policies.places(inode.ino) is not None:
            return None  # metadata goes to every peer
        try:
            return self._read(inode, 0, inode.size)
        except (Corrupt, NotResident):
            return None  # its dirty bytes can be saved all the same

    def _take(self, inode: Inode, streaming: bool, effort: Effort, since: int = 0) -> Taken | None:
        """Takes the file's dirty bytes, or of a `streaming` one a part of those from `since` on; tiny files are settled
        at once. Holding `_flush_lock`."""
        if inode.dirty is None:
            return None
        tiny = self._tiny(inode)
        if tiny is not None:
            inode.inline, old = tiny, inode.inline
            self._dirty.discard(inode)
            if old is None:
                replace_extents(self._overlay, inode, 0, MAX_FILE_BYTES, [])
            inode.stored = len(inode.inline)
            self._overlay.void_bytes(inode, 0)
            self._overlay.touch(inode)
            return None
        if inode.inline is not None:
            # They become dirty bytes and stay inline too, until their extents are named.
            self._dirty.fill(inode, 0, inode.inline)
        loose = list(inode.dirty.unjournaled)
        runs = self._dirty.take(inode, BATCH_BYTES if streaming else None, BATCH_RUNS, since)
        if not runs:
            return None
        inode.flushing = tuple((start, memoryview(run)) for start, run in runs)
        size = inode.size if inode.dirty is None or inode.dirty.first is None else inode.dirty.first
        return Taken(inode, runs, streaming, size, loose, effort)

    async def _store(self, batch: list[Taken]) -> None:
        if not batch:
            return
        safe = {taken.inode.ino: taken.size for taken in batch}
        try:
            for regions in self._groups(batch):
                level = batch[0].effort.level(sum(region.length for _, region in regions))
                stored = await self._content.store([region for _, region in regions], level)
                for (taken, region), found in zip(regions, stored, strict=True):
                    ino = taken.inode.ino
                    safe[ino] = min(safe[ino], self._name_extents(taken, region, found))
        except BaseException:
            # Of some the extents may be named already: then the same bytes lie over them.
            for taken in batch:
                taken.inode.flushing = ()
                self._dirty.give_back(taken.inode, taken.runs, taken.loose)
            self._wake_writers()  # they have the bytes streamed: nobody else may come for them
            raise
        for taken in batch:
            self._dirty.settle(taken.runs)
            self._stored(taken.inode, safe[taken.inode.ino])
        self._wake_writers()

    def _groups(self, batch: list[Taken]) -> Iterator[list[tuple[Taken, Region]]]:
        """The regions of what was taken, as many at a time as may be in memory. What is stored together may share a
        block, so files that may not be at the same places never are."""
        alike: dict[bytes | None, list[Taken]] = {}
        for taken in batch:
            alike.setdefault(self._overlay.policies.places(taken.inode.ino), []).append(taken)
        for some in alike.values():
            yield from self._groups_of(some)

    def _groups_of(self, batch: list[Taken]) -> Iterator[list[tuple[Taken, Region]]]:
        group: list[tuple[Taken, Region]] = []
        size = 0
        for taken in batch:
            for region in self._regions.of(taken):
                group.append((taken, region))
                size += region.length
                if size >= REGIONS_BYTES:
                    yield group
                    group, size = [], 0
        if group:
            yield group

    def _stored(self, inode: Inode, safe: int) -> None:
        """What was taken is in chunks: a record may give the file at least the size `safe`."""
        inode.flushing = ()
        self._overlay.predecessors.settled(inode)
        inode.durable_size = max(inode.durable_size, safe)
        self._overlay.void_bytes(inode, 0)
        self._overlay.touch(inode)

    def _name_extents(self, taken: Taken, region: Region, found: Stored) -> int:
        """Returns where the region's tail begins that got no chunk and is dirty again; without one, no bound."""
        inode = taken.inode
        if inode.inline is not None:
            inode.stored -= len(inode.inline)
            inode.inline = None
        end = found.extents[-1].end if found.extents else region.offset
        replace_extents(self._overlay, inode, region.offset, end, found.extents)
        if not len(found.rest):
            return MAX_FILE_BYTES
        self._dirty.fill(inode, end, found.rest, taken.loose)
        return end


def _is_scattered(dirty: DirtyBytes) -> bool:
    return dirty.nbytes < dirty.count * SCATTERED_RUN_BYTES


def _are_enough(dirty: DirtyBytes) -> bool:
    """Whether the file's bytes are sent on while it is being written."""
    return dirty.nbytes >= (SCATTERED_BYTES if _is_scattered(dirty) else STREAM_BYTES)
