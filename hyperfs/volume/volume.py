"""The volume: an open drive, as everything above it sees it.

It joins the parts (names, files, journal, commits, versions) and holds the rules that need several of them:
when a version is due, what a handle keeps alive, what a snapshot waits for. One trio thread owns all of it.
"""

import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import trio

from hyperfs.errors import Exists, NotADirectory, NotFound, ReadOnlyDrive
from hyperfs.policy.scanning import Scans
from hyperfs.values import BlockRef
from hyperfs.volume import keys
from hyperfs.volume.brake import Brake
from hyperfs.volume.changes import Changes
from hyperfs.volume.commit import Committer
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.content import Content
from hyperfs.volume.files import Files
from hyperfs.volume.inode import Inode
from hyperfs.volume.journaling import Journaling
from hyperfs.volume.namespace import Namespace
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.parts import Parts
from hyperfs.volume.permissions import Permissions
from hyperfs.volume.protection import Protection
from hyperfs.volume.returning import Returning
from hyperfs.volume.standing import Standing
from hyperfs.volume.survey import Surveyed
from hyperfs.volume.uses import Uses
from hyperfs.volume.version_maker import VersionMaker
from hyperfs.volume.versions import Snapshot, Versions, snapshot_fact
from hyperfs.volume.xattrs import Xattrs

JOURNAL_LIMIT_BYTES: Final = 16 << 20
"""A journal longer than this is folded into a version at once."""
JOURNAL_MOST_BYTES: Final = 64 << 20
"""At this length an fsync waits for the version. A record that is being written comes on top."""
CHANGES_LIMIT_BYTES: Final = 32 << 20
"""Changes that no version holds, in memory, past which whoever makes more waits for one: some 15,000 new files. As
much again may be in a commit under way."""
LOOKED_SECONDS: Final = 600.0
LOOKED_MOST: Final = 1000

class Volume:
    """An open drive. `run` must be running while it is used; `close` ends it with everything on disk."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        """What the volume is made of: for checks and reports."""
        self.drive_id = parts.drive_id
        self.device = parts.device
        self.read_only = parts.read_only
        self.overlay: Overlay = parts.overlay
        self.names: Namespace = parts.names
        self.files: Files = parts.files
        self.content: Content = parts.content
        self.xattrs = Xattrs(parts.overlay)
        self.permissions = Permissions(parts.overlay, self.xattrs)
        self.protection = Protection(parts.overlay)
        self.versions: Versions = parts.versions
        self.journaling: Journaling = parts.journaling
        self.committer: Committer = parts.committer
        self.changes = Changes(parts.catalog, parts.versions, parts.node_id_key, parts.read_only)
        free = None if not parts.keeps else lambda: parts.content.room().free
        self.returning = Returning(parts.residence, parts.logs, free)
        self.standing = Standing()
        self.uses = Uses(parts.catalog, parts.overlay.now_ns)
        self.scans = Scans()
        self.survey: Surveyed | None = None
        """The newest look at which blocks may be where; whoever surveys puts it here."""
        self.unwanted: set[BlockRef] = set()
        """What came back for a program that looks at everything: it may leave again."""
        self.warnings: dict[str, str] = dict(parts.warnings)
        self.making = VersionMaker(parts.committer, parts.journaling, parts.catalog, self.warnings)
        self.brake = Brake(parts, self._durable)
        self.collecting = trio.Lock()
        """Held by whoever reads the whole drive, to find what is needed or what is damaged."""
        self.reading: Counter[int] = Counter()
        """Old versions that somebody is in the middle of reading, which therefore stay."""
        self.regions_changed: dict[tuple[int, int, frozenset[int]], frozenset[int]] = {}
        """What retention has found out of versions, and need not find out again: see region_plan.py."""
        self._looked: dict[int, float] = {}  # by version, when somebody last looked for a name in it
        self._forgotten: set[int] = set()  # unlinked files that the kernel has forgotten and not closed yet

    # Life

    @asynccontextmanager
    async def running(self, is_copy: bool = False) -> AsyncIterator["Volume"]:
        """Runs the background work inside the block; closes the volume, committed and synced, behind it. `is_copy`: of
        something else, and whoever keeps it equal says when it is a version; the brake watches that."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.returning.serve)
                if not self.read_only:
                    await self.recover()
                    nursery.start_soon(self.files.flushing.run)
                    nursery.start_soon(self.changes.follow, lambda: self.committer.made)
                    if is_copy:
                        self.brake.retire()
                    else:
                        nursery.start_soon(self.making.run)
                        nursery.start_soon(self.brake.follow)
                yield self
                nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                if not self.read_only:
                    await self.committer.commit()
                if self.parts.keeps:
                    with suppress(OSError):  # a record that names too much is found out at the next opening
                        await self.parts.residence.settle()
        finally:
            self.parts.close()

    async def recover(self) -> None:
        """Makes a version of what the journal held; before anything is written, for the journal's own sake.

        Behind a torn tail its numbers have a gap, or a change that has no end: once a version names the last
        number, neither is ever read again.
        """
        if self.parts.replayed and self.journaling.read_only_because is None:
            await self.committer.commit(always=True)
            self.parts.replayed = False

    # Changes

    def check_writable(self) -> None:
        """Raises ReadOnlyDrive, with the reason."""
        if self.read_only:
            raise ReadOnlyDrive(self.parts.why_read_only or "the drive is mounted read-only")
        if self.journaling.read_only_because:
            raise ReadOnlyDrive(self.journaling.read_only_because)

    @property
    def has_room_for_change(self) -> bool:
        """Whether `room_for_change` would return at once, which is nearly always. Raises ReadOnlyDrive."""
        self.check_writable()
        return self.overlay.live.active.nbytes <= CHANGES_LIMIT_BYTES

    async def room_for_change(self) -> None:
        """To be awaited before anything of the tree changes. When commits are slower than changes, whoever makes them
        waits here with nothing in hand; when commits fail, it hears why (OSError). Raises ReadOnlyDrive.

        Commits without asking the kernel to write back: it may be holding the very request that waits here.
        """
        self.check_writable()
        if self.overlay.live.active.nbytes > CHANGES_LIMIT_BYTES:
            await self.committer.commit_while(lambda: self.overlay.live.active.nbytes > CHANGES_LIMIT_BYTES)

    async def before_change(self, inode: Inode) -> None:
        """To be awaited before a file changes, or a name of it: if it stood closed for a second, that state gets its
        version first. Most often it has one by then, or one is on its way and is waited for."""
        self.check_writable()
        if not self.making.version_waits or inode.ino not in self.overlay.live.active.inodes:
            return
        if self.making.is_settled(self.overlay.now_ns() - inode.ctime_ns):
            await self.committer.commit_change(inode.ino)

    def settled(self) -> None:
        """Something changed that is whole in itself: a name, attributes, a closed file."""
        self.making.settled()

    def written(self) -> None:
        """An open file changed."""
        self.making.written()

    def opened(self, inode: Inode, writing: bool) -> None:
        """A handle on the inode: while there is one, an unlinked file keeps its bytes."""
        inode.users += 1
        inode.writers += writing
        self.making.writers += writing

    def released(self, inode: Inode, writing: bool) -> None:
        """The end of a handle that `opened` counted."""
        inode.users -= 1
        inode.writers -= writing
        self.making.writers -= writing
        if inode.ino in self._forgotten:
            self.forgotten(inode.ino)
        elif writing and inode.ino in self.overlay.live.active.inodes:
            self.settled()

    def unlinked(self, inode: Inode) -> None:
        """After a name went. The file keeps its bytes until it is forgotten."""
        self.settled()

    def forgotten(self, ino: int) -> None:
        """The kernel knows the inode no more: a file without a name gives up its unsaved bytes."""
        orphan = self.overlay.orphans.get(ino)
        if orphan is None:
            return
        if orphan.users:
            self._forgotten.add(ino)  # the kernel may send this before the last close
            return
        self._forgotten.discard(ino)
        self.files.discard(orphan)
        self.overlay.forget(ino)

    def renamed(self, inode: Inode, replaced: Inode | None) -> None:
        """After a rename, over something or not."""
        self.journaling.placed(inode)
        if replaced is not None:
            self.unlinked(replaced)
        self.settled()

    @contextmanager
    def reads(self, version: int) -> Iterator[None]:
        """Keeps an old version inside the block: no prune lets go of it."""
        self.reading[version] += 1
        try:
            yield
        finally:
            self.read_out(version)

    def read_out(self, version: int) -> None:
        """One reader of an old version less."""
        self.reading[version] -= 1
        if self.reading[version] <= 0:
            del self.reading[version]

    def look(self, version: int) -> None:
        """Somebody looks for names in an old version, and may be about to open what he finds."""
        self._looked.pop(version, None)
        if len(self._looked) >= LOOKED_MOST:
            del self._looked[next(iter(self._looked))]
        self._looked[version] = trio.current_time()

    def looked_into(self) -> set[int]:
        """The versions in which somebody looked for names a moment ago."""
        since = trio.current_time() - LOOKED_SECONDS
        return {version for version, at in self._looked.items() if at >= since}

    async def fsync(self, inode: Inode | None) -> None:
        """Returns when the inode's bytes and every name are durable. None: only names and attributes."""
        if self.read_only:
            return  # nothing here waits to be durable
        self.check_writable()
        journal = self.parts.journal
        if journal.live_bytes > JOURNAL_MOST_BYTES:
            await self.committer.commit_while(lambda: journal.live_bytes > JOURNAL_MOST_BYTES)
        await self.journaling.fsync(inode)
        if journal.live_bytes > JOURNAL_LIMIT_BYTES:
            self.making.at_once()
        elif self.committer.pending:
            self.settled()

    async def _durable(self) -> None:
        """What was set of the drive itself is on the disk."""
        self.settled()
        await self.fsync(None)

    async def commit(self, write_back: bool = True) -> Commit:
        """Makes a version of everything written up to now; it is durable when this returns."""
        self.check_writable()
        if write_back and self.making.write_back is not None:
            await self.making.write_back()
        return await self.committer.commit()

    # Snapshots

    async def make_snapshot(self, directory: int, name: bytes, write_back: bool = True) -> Snapshot:
        """Keeps the present version under a name for a directory. Raises Exists, InvalidArgument."""
        self.check_writable()
        inode = self.overlay.inode(directory)
        if not inode.is_directory:
            raise NotADirectory("a snapshot is of a folder")
        if write_back and self.making.write_back is not None:
            await self.making.write_back()
        now = self.overlay.now_ns()
        snapshot_fact(directory, name, 0, now)  # refuses a name that can't be, before anything changes
        if self.overlay.live.fact(keys.snapshot_key(directory, name)) is not None:
            raise Exists(f"there is a snapshot {os.fsdecode(name)!r} already")

        def keep(version: int) -> None:
            self.overlay.set_fact(*snapshot_fact(directory, name, version, now))

        await self.committer.commit_or(keep)
        await self.journaling.fsync(None)
        self.settled()
        made = self.versions.snapshot(directory, name)
        assert made is not None
        return made

    async def delete_snapshot(self, directory: int, name: bytes) -> None:
        """Forgets the name; the version stays as long as retention keeps it. Raises NotFound."""
        self.check_writable()
        key = keys.snapshot_key(directory, name)
        if self.overlay.live.fact(key) is None:
            raise NotFound(f"no snapshot {os.fsdecode(name)!r} was made of this folder")
        self.overlay.set_fact(key, None)
        await self.journaling.fsync(None)
        self.settled()
