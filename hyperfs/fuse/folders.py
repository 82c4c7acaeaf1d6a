"""Operations on directory streams."""

from collections.abc import Iterator

import pyfuse3
from pyfuse3 import ReaddirToken, RequestContext

from hyperfs.errors import NotADirectory, NotFound, NotResident
from hyperfs.fuse.attributes import entry_of
from hyperfs.fuse.guard import guarded
from hyperfs.fuse.listing import Item, Listing
from hyperfs.fuse.past import VERSIONS_NAME
from hyperfs.fuse.state import FolderHandle, State
from hyperfs.fuse.views import PAST_BIT


class Reply:
    """What one answer to readdir holds."""

    __slots__ = ("_token", "holds_some")

    def __init__(self, token: ReaddirToken) -> None:
        self._token = token
        self.holds_some = False

    def takes(self, name: bytes, entry: pyfuse3.EntryAttributes, next_position: int) -> bool:
        """Whether there was room for it."""
        taken = bool(pyfuse3.readdir_reply(self._token, name, entry, next_position))
        self.holds_some |= taken
        return taken


class FolderOperations(pyfuse3.Operations):
    """Handlers: a few lines each, no rules of their own."""

    state: State

    @guarded
    async def opendir(self, inode: int, ctx: RequestContext) -> int:
        if not inode & PAST_BIT and not self.state.volume.overlay.inode(inode).is_directory:
            raise NotADirectory(f"inode {inode}")
        return self.state.add_folder(FolderHandle(inode))

    @guarded
    async def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        folder, reply = self.state.folder(fh), Reply(token)
        try:
            if folder.number & PAST_BIT:
                await self._read_past(folder, start_id, reply)
            else:
                self._read_live(folder, start_id, reply)
        except NotResident:
            # What a reply holds can't be taken out of it: run again, this would list it twice. The kernel asks on.
            if not reply.holds_some:
                raise

    def _read_live(self, folder: FolderHandle, start: int, reply: Reply) -> None:
        volume = self.state.volume
        if start == 0:
            folder.listing = self._live_listing(folder.number)
            folder.read_at_ns = self._changed_ns(folder.number)
        changed = self._changed_ns(folder.number) != folder.read_at_ns
        position = start
        while (item := folder.listing.at(position)) is not None:
            name, ino = item
            position += 1
            if changed and ino and position > 2:
                # The kernel keeps what a listing says: a name that went since must not come back by it.
                dentry = volume.overlay.live.dentry(folder.number, name)
                if dentry is None:
                    continue
                ino = dentry[0]
            entry = self._live_entry(folder.number, ino)
            if not reply.takes(name, entry, position):
                return
            if not ino:
                self.state.past.given(self.state.past.versions_of(folder.number))

    def _live_listing(self, directory: int) -> Listing:
        """`.` and `..`, the names in order, and `.versions` where it is shown."""
        overlay = self.state.volume.overlay
        last = (VERSIONS_NAME, 0)
        special = [(b".", directory), (b"..", overlay.inode(directory).parent or directory)]

        def after(item: Item | None) -> Iterator[Item]:
            if item == last:
                return
            if item is None:
                yield from special
            name = b"" if item is None or item in special else item[0]
            for found, dentry in overlay.live.dentries(directory, name):
                yield found, dentry[0]
            if self.state.show_versions:
                yield last

        return Listing(after)

    def _changed_ns(self, directory: int) -> int:
        """When a name in the directory last came or went; no program can set this time."""
        return self.state.volume.overlay.inode(directory).ctime_ns

    def _live_entry(self, directory: int, ino: int) -> pyfuse3.EntryAttributes:
        if not ino:
            return self.state.past.attributes(self.state.past.versions_of(directory))
        return entry_of(self.state.volume.overlay.inode(ino))

    async def _read_past(self, folder: FolderHandle, start: int, reply: Reply) -> None:
        past = self.state.past
        directory = past.node(folder.number)
        if start == 0:
            folder.listing = await past.listing(directory)
        await past.made_up.prepare(directory)
        position = start
        while (item := folder.listing.at(position)) is not None:
            position += 1
            try:
                listed = past.listed(directory, *item)
            except NotFound:
                continue  # it came back meanwhile, or was let go
            if not reply.takes(listed.name, listed.entry, position):
                return
            past.given(listed.node)

    @guarded
    async def releasedir(self, fh: int) -> None:
        self.state.remove_folder(fh)

    @guarded
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        folder = self.state.folder(fh)
        if not folder.number & PAST_BIT:
            await self.state.volume.fsync(None)
