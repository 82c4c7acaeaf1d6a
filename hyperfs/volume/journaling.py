"""fsync: the changes since the last record go to the journal, and 0 is returned when they are on the disk.

Order: content blocks are synced first, then the record that names them is written, then the journal is synced.
A record holds all metadata that changed before it, so a rename that was fsynced can't come without the file
that it renamed.
"""

from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Final, NamedTuple

import trio

from hyperfs.errors import ReadOnlyDrive, SyncFailed
from hyperfs.store.journal import Journal
from hyperfs.volume import journal_items as items
from hyperfs.volume.content import Content
from hyperfs.volume.files import Files
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import Overlay, Unjournaled
from hyperfs.volume.sync_pace import SyncPace

SMALL_BYTES: Final = 64 << 10
"""An fsynced file with at most so many bytes that nothing durable holds puts them into the journal; one sync then does.
They stay dirty too: of a file that is appended to or edited here and there, many such fsyncs become one chunk."""
DIRECT_BYTES: Final = 2 * SMALL_BYTES
"""A longer record is always written in a worker thread."""

PLACED_BYTES: Final = 1 << 20
"""Of files that were put in their place, a record carries this much at most."""


class Taken(NamedTuple):
    """What one record is made of: changed things, files whose bytes ride along, new content blocks."""

    changed: Unjournaled
    files: list[Inode]
    blocks: items.BlocksItem | None


class Journaling:
    """Group commit of fsyncs. `lock` keeps records in the order in which their states were read; a commit that
    freezes holds it too."""

    def __init__(self, overlay: Overlay, journal: Journal, content: Content, files: Files) -> None:
        self._overlay = overlay
        self._journal = journal
        self._content = content
        self._files = files
        self.lock = trio.Lock()
        self._pace = SyncPace()
        self._asked = 0
        self._done = 0
        self._riding: dict[int, Inode] = {}  # files whose bytes the next record carries
        self._placed: dict[int, Inode] = {}  # put in their place with unsaved bytes: see `placed`
        self._folding = Unjournaled()  # what the commit under way will make durable, if it succeeds
        self.read_only_because: str | None = None

    @property
    def last_sequence(self) -> int:
        return self._journal.last_sequence

    async def fsync(self, inode: Inode | None) -> None:
        """Returns when the inode's bytes, and all names and attributes, are durable. None: names only."""
        if self.read_only_because:
            raise ReadOnlyDrive(self.read_only_because)
        if inode is not None and inode.orphan_extents is None:
            await self._settle_bytes(inode)
        self._asked += 1
        mine = self._asked
        try:
            self.lock.acquire_nowait()  # without a turn of the loop, which costs as much as the record
        except trio.WouldBlock:
            await self.lock.acquire()
        try:
            if self._done < mine:
                await self._write_record()
        finally:
            self.lock.release()

    def placed(self, inode: Inode) -> None:
        """The file was put in its place: renamed to its name, or written anew from its start and closed.

        Nobody asked for its bytes to be durable. But a record that somebody else's fsync makes holds the name, and
        takes away what stood there, so it brings the bytes: a crash leaves the old or the new, never an empty file.
        """
        if inode.dirty is not None or inode.flushing:
            self._placed[inode.ino] = inode

    async def _settle_bytes(self, inode: Inode) -> None:
        if inode.flushing:
            await self._files.flushing.wait_flushed(inode)
        if inode.dirty is None:
            return
        if inode.dirty.unjournaled_bytes > SMALL_BYTES:
            await self._files.flushing.flush([inode])
        else:
            self._riding[inode.ino] = inode

    async def _write_record(self) -> None:
        await self._settle_others()
        covers = self._asked
        taken = self._take()
        payload = b"".join(map(items.encode, self._items(taken)))
        try:
            seconds = await self._make_durable(payload)
        except SyncFailed as error:
            # The kernel may have dropped the pages: what the next sync says of them means nothing.
            self.read_only_because = f"a sync of the store failed ({error}); remount to go on"
            raise
        except BaseException:
            self._give_back(taken)
            raise
        self._done = covers
        self._pace.took(seconds, shared=self._asked > covers)

    async def _make_durable(self, payload: bytes) -> float:
        """Returns how many seconds the disk took. A disk that is slow to take a record, or a further segment of the
        journal, keeps nobody waiting but those who asked for it: it is written in a worker thread."""
        if self._content.has_unsynced:
            await trio.to_thread.run_sync(self._content.sync_blocks)
        elif len(payload) <= DIRECT_BYTES and self._pace.direct and self._journal.has_room(len(payload)):
            return self._write(payload)
        return await trio.to_thread.run_sync(self._write, payload)

    def _write(self, payload: bytes) -> float:
        """Under `lock`; see `_make_durable`."""
        start = perf_counter()
        if payload:
            self._journal.append(payload)
        self._journal.mark_durable(self._journal.sync())
        return perf_counter() - start

    async def _settle_others(self) -> None:
        while True:
            if self._placed:
                await self._settle_placed()
            elif moving := next((i for i in self._riding.values() if i.flushing), None):
                # A commit has taken bytes that were to ride: they must be in chunks before we name them.
                await self._files.flushing.wait_flushed(moving)
            else:
                return

    async def _settle_placed(self) -> None:
        """Few bytes ride in the record; many get into chunks, in one go."""
        placed = list(self._placed.values())
        if sum(inode.dirty.nbytes for inode in placed if inode.dirty is not None) > PLACED_BYTES:
            await self._files.flushing.flush(placed)
        for inode in placed:
            if inode.orphan_extents is None:
                await self._settle_bytes(inode)
            self._placed.pop(inode.ino, None)

    def _take(self) -> Taken:
        """Everything that no record holds; from then on it counts as held."""
        overlay = self._overlay
        changed, overlay.unjournaled = overlay.unjournaled, Unjournaled()
        changed.join(self._folding)
        self._folding = Unjournaled()
        riding, self._riding = self._riding, {}
        # An unlinked file's bytes are nobody's any more.
        files = [i for i in riding.values() if i.dirty is not None and i.orphan_extents is None]
        changed.inodes.update(inode.ino for inode in files)
        return Taken(changed, files, self._content.take_unjournaled_blocks())

    def _give_back(self, taken: Taken) -> None:
        """The record was not written, or not surely: the next one says it all again."""
        self._overlay.unjournaled.join(taken.changed)
        if taken.blocks is not None:
            self._content.give_back_blocks(taken.blocks)
        for inode in taken.files:
            if inode.dirty is not None:
                inode.dirty.unjournaled = [(start, start + len(run)) for start, run in inode.dirty.runs]
                self._riding[inode.ino] = inode  # its size has been reckoned with them

    def _items(self, taken: Taken) -> Iterator[items.Item]:
        if taken.blocks is not None:
            yield taken.blocks
        if taken.changed:
            yield items.NextInoItem(self._overlay.next_ino)
        # Before the bytes: it speaks of those in earlier records only.
        for ino, start in taken.changed.void.items():
            yield items.BytesVoidItem(ino, start)
            yield from self._still_dirty(ino, start)
        for inode in taken.files:
            if inode.dirty is not None:
                yield from (items.BytesItem(inode.ino, at, data) for at, data in inode.dirty.take_unjournaled())
        yield from self._metadata(taken.changed)

    def _still_dirty(self, ino: int, start: int) -> Iterator[items.Item]:
        """Bytes that an earlier record holds and that a stream of the file into chunks has not come to yet."""
        inode = self._overlay.table.get(ino)
        if inode is not None and inode.dirty is not None and inode.orphan_extents is None:
            yield from (items.BytesItem(ino, at, data) for at, data in inode.dirty.journaled(start))

    def _metadata(self, changed: Unjournaled) -> Iterable[items.Item]:
        # A commit may have settled since something changed: then its value is in the version, and in no layer.
        live, table = self._overlay.live, self._overlay.table
        for ino in changed.inodes:
            inode = table.get(ino) or live.inode(ino)
            if inode is None or not inode.nlink:
                yield items.InodeItem(ino, None)
            else:
                yield items.InodeItem(ino, inode.encode(size=durable_size(inode)))
        for parent, name in changed.dentries:
            yield items.DentryItem(parent, name, live.dentry(parent, name))
        for ino, offset in changed.extents:
            yield items.ExtentItem(ino, offset, live.extent(ino, offset))
        for ino, name in changed.xattrs:
            yield items.XattrItem(ino, name, live.xattr(ino, name))
        for key in changed.facts:
            yield items.FactItem(key, live.fact(key))

    def freeze(self) -> int:
        """A commit takes over: returns the sequence number through which its state includes the journal.

        The caller holds `lock`: a record that was read before the freeze and written after it would be replayed
        on top of the version, and take names and sizes back to what they were.

        What no record holds stays on a list of its own, for an fsync that comes before the commit is durable.
        """
        self._placed.clear()  # all bytes are in chunks now
        self._folding, self._overlay.unjournaled = self._overlay.unjournaled, Unjournaled()
        return self._journal.last_sequence

    def settled(self) -> None:
        """The commit is durable, and the live tree goes on from it: what it holds needs no record."""
        self._folding = Unjournaled()

    async def folded(self, sequence: int) -> None:
        """After `settled`: the segments of what the commit holds are free. If a cancellation comes before that, the
        next commit frees them."""
        async with self.lock:
            self._journal.recycle(sequence)


def durable_size(inode: Inode) -> int:
    """The size to journal: never past bytes that are neither in chunks nor in the journal.

    Else a crash would leave a file that has its size and zeros in the place of its bytes.
    """
    size = inode.size
    if not inode.is_file:
        return size
    if inode.inline is not None:
        inode.durable_size = max(inode.durable_size, len(inode.inline))
    starts = [start for start, run in inode.flushing if start + len(run) > inode.durable_size]
    if inode.dirty is not None:
        first = inode.dirty.first_unjournaled_past(inode.durable_size)
        if first is not None:
            starts.append(first)
    if starts:
        size = min(size, max(inode.durable_size, min(starts)))
    inode.durable_size = size
    return size
