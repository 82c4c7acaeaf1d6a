"""A commit: the layer of changes becomes a version.

The order is the whole of crash safety:

    1. every dirty byte is in a chunk, and the content head that covers it is signed and synced
    2. the trie's new nodes and, last in its batch, the commit block are appended; blocks and tree are synced
    3. the metadata head that covers them is signed and synced: now the version exists
    4. the derived index learns of it, and the journal's segments are free

A kill before 3 leaves the former version and the whole journal; a kill after it leaves records that the commit
already holds, which it says by their sequence number. A failure leaves the frozen layer where it is: it stays
readable, and the next attempt folds it first.
"""

import errno
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from hyperfs.volume.catalog import Catalog
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.commit_writer import CommitWriter, Frozen
from hyperfs.volume.content import Content
from hyperfs.volume.cutting import Region
from hyperfs.volume.files import Files
from hyperfs.volume.fold import LongXattrs, fold, freeze_records, long_values
from hyperfs.volume.journaling import Journaling
from hyperfs.volume.layer import Layer
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.regions import calm
from hyperfs.volume.reserve import Reserve

T = TypeVar("T")


class Committer:
    """Makes versions, one at a time (`_lock`). Knows the newest one."""

    def __init__(
        self,
        *,
        overlay: Overlay,
        files: Files,
        content: Content,
        journaling: Journaling,
        writer: CommitWriter,
        nodes: Nodes,
        catalog: Catalog,
        newest: Commit,
        reserve: Reserve,
    ) -> None:
        self._reserve = reserve
        self._overlay = overlay
        self._files = files
        self._content = content
        self._journaling = journaling
        self._writer = writer
        self._log = writer.log
        self._nodes = nodes
        self._catalog = catalog
        self._lock = trio.Lock()
        self._frozen: Frozen | None = None
        self.newest = newest
        self.changed_files = 0
        """In all versions made here: files that others had, and that they changed or lost."""
        self.made = trio.Event()
        """Set, and another one in its place, when there is a new version and the index knows it."""

    @property
    def pending(self) -> bool:
        """Whether there is anything that no version holds."""
        live = self._overlay.live
        return bool(live.active) or live.frozen is not None or self._files.dirty_bytes > 0

    async def commit(self, always: bool = False) -> Commit:
        """Makes a version of the present state, if it differs from the newest; returns the newest, durable.

        `always` makes one even if nothing differs, which `.versions` then does not list. Raises OSError when the
        disk fails or is full: then nothing is lost and the next call tries again.
        """
        async with self._lock:
            await self._commit(None, always)
            return self.newest

    def lend_reserve(self) -> bool:
        """Gives the reserve's space to work that makes room; False if it was given before."""
        return self._reserve.release()

    async def restore_reserve(self) -> None:
        """After a commit: if it took the reserve and there is room again, it is put back."""
        if self._reserve.released:
            await trio.to_thread.run_sync(self._reserve.restore)

    async def commit_change(self, ino: int) -> None:
        """Returns when no change of the inode that had come before the call waits for a version."""
        async with self._lock:
            if ino in self._overlay.live.active.inodes or self._frozen is not None:
                await self._commit(None)

    async def commit_while(self, waits: Callable[[], bool]) -> None:
        """Returns when `waits` says no, or nothing is left to commit. Raises OSError when the disk fails."""
        while waits():
            async with self._lock:
                if waits() and not await self._commit(None):
                    return

    async def commit_or(self, note: Callable[[int], None]) -> Commit:
        """As commit, with a last change that wants to know the version's number.

        When there is nothing to commit the newest version is the present one: `note` is called with its
        number and what it changes waits for the next commit.
        """
        async with self._lock:
            if not await self._commit(note):
                note(self.newest.version)
            return self.newest

    async def _commit(self, note: Callable[[int], None] | None, always: bool = False) -> bool:
        """Finishes what is frozen, then freezes and finishes the rest; whether there was a rest."""
        if self._frozen is not None:
            await self._finish(self._frozen)
        if not self.pending and not always:
            return False
        await self._finish(await self._with_reserve(lambda: self._freeze(note)))
        return True

    async def commit_noting(self, note: Callable[[int], None]) -> Commit:
        """As commit with `always`, and `note` makes the last change of the version, whose number it is called with.

        While it runs no bytes are on their way: every reference to a block that is in the new version or will be made
        from what was known until then is made.
        """
        async with self._lock:
            await self._commit(note, always=True)
            return self.newest

    async def commit_before(self, change: Callable[[], None]) -> Commit:
        """Makes a version of the state right before `change`, and none of its effects are in it.

        What `change` raises goes up, and the version comes with the next commit.
        """
        async with self._lock:
            if self._frozen is not None:
                await self._finish(self._frozen)
            if not self.pending:
                change()
                return self.newest
            frozen = await self._with_reserve(self._freeze)
            change()  # no await since the freeze: nobody can have come between
            await self._finish(frozen)
            return self.newest

    async def _freeze(self, note: Callable[[int], None] | None = None) -> Frozen:
        """Takes the last dirty bytes while writers wait, then begins a new layer. The state is one instant's."""
        await self._files.flushing.flush_all(calm())
        async with self._journaling.lock:
            self._files.close_gate()
            try:
                await self._files.flushing.drain()
                if note is not None:
                    note(self.newest.version + 1)
                overlay = self._overlay
                layer = overlay.live.freeze()
                self._content.freeze()
                self._frozen = Frozen(
                    freeze_records(layer, self.newest.version + 1),
                    self._journaling.freeze(),
                    (overlay.files, overlay.directories, overlay.file_bytes),
                    overlay.next_ino,
                    layer.only_facts,
                    layer.began_ns,
                )
            finally:
                self._files.open_gate()
        return self._frozen

    async def _with_reserve(self, step: Callable[[], Awaitable[T]]) -> T:
        """Takes a step that changes nothing when it fails; on a full disk once more, in the room kept for this."""
        try:
            return await step()
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._reserve.release():
                raise
        return await step()

    async def _finish(self, frozen: Frozen) -> None:
        await self._with_reserve(lambda: self._fold_in(frozen))

    async def _fold_in(self, frozen: Frozen) -> None:
        overlay = self._overlay
        layer = overlay.live.frozen
        assert layer is not None
        long_xattrs = await self._store_long(layer)
        await self._content.flush_head()
        folded = await fold(
            layer, frozen.records, long_xattrs, self._nodes.load, overlay.live.root, self.newest.next_ino
        )
        first = self._log.length
        try:
            commit, changes = await self._writer.write(self.newest, frozen, folded)
            await trio.to_thread.run_sync(self._log.flush)
        except BaseException:
            self._log.rollback(max(first, self._log.signed_length))
            raise
        self.newest = commit
        self.changed_files += layer.changed_files(commit.version)
        overlay.live.settle(commit.root)
        self._journaling.settled()
        self._frozen = None
        self._catalog.apply(changes)
        made, self.made = self.made, trio.Event()
        made.set()
        self._content.folded()
        await self._journaling.folded(frozen.journal_sequence)

    async def _store_long(self, layer: Layer) -> LongXattrs:
        values = long_values(layer)
        regions = [Region(0, [value], final=True) for value in values.values()]
        stored = await self._content.store(regions) if regions else []
        return {key: found.extents[0] for key, found in zip(values, stored, strict=True)}
