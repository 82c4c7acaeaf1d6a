"""Operations on directory streams."""

import pyfuse3
from pyfuse3 import ReaddirToken, RequestContext

from hyperfs.errors import NotADirectory
from hyperfs.fuse.attributes import entry_of
from hyperfs.fuse.guard import guarded
from hyperfs.fuse.past import PAST_BIT, VERSIONS_NAME
from hyperfs.fuse.state import FolderHandle, State


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
        folder = self.state.folder(fh)
        if folder.number & PAST_BIT:
            self._read_past(folder, start_id, token)
        else:
            self._read_live(folder, start_id, token)

    def _read_live(self, folder: FolderHandle, start: int, token: ReaddirToken) -> None:
        volume = self.state.volume
        if start == 0:
            parent = volume.overlay.inode(folder.number).parent or folder.number
            names = [(name, dentry[0]) for name, dentry in volume.overlay.live.dentries(folder.number)]
            folder.entries = [(b".", folder.number), (b"..", parent), *names]
            if self.state.show_versions:
                folder.entries.append((VERSIONS_NAME, 0))
            folder.read_at_ns = self._changed_ns(folder.number)
        changed = self._changed_ns(folder.number) != folder.read_at_ns
        for position in range(start, len(folder.entries)):
            name, ino = folder.entries[position]
            if changed and ino and position > 1:
                # The kernel keeps what a listing says: a name that went since must not come back by it.
                dentry = volume.overlay.live.dentry(folder.number, name)
                if dentry is None:
                    continue
                ino = dentry[0]
            entry = self._live_entry(folder.number, ino)
            if not pyfuse3.readdir_reply(token, name, entry, position + 1):
                return
            if not ino:
                self.state.past.given(self.state.past.versions_of(folder.number))

    def _changed_ns(self, directory: int) -> int:
        """When a name in the directory last came or went; no program can set this time."""
        return self.state.volume.overlay.inode(directory).ctime_ns

    def _live_entry(self, directory: int, ino: int) -> pyfuse3.EntryAttributes:
        if not ino:
            return self.state.past.attributes(self.state.past.versions_of(directory))
        return entry_of(self.state.volume.overlay.inode(ino))

    def _read_past(self, folder: FolderHandle, start: int, token: ReaddirToken) -> None:
        past = self.state.past
        if start == 0:
            folder.past_entries = list(past.entries(past.node(folder.number)))
        for position in range(start, len(folder.past_entries)):
            listed = folder.past_entries[position]
            if not pyfuse3.readdir_reply(token, listed.name, listed.entry, position + 1):
                return
            past.given(listed.node)

    @guarded
    async def releasedir(self, fh: int) -> None:
        folder = self.state.remove_folder(fh)
        self.state.past.drop_unknown(listed.node for listed in folder.past_entries)

    @guarded
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        folder = self.state.folder(fh)
        if not folder.number & PAST_BIT:
            await self.state.volume.fsync(None)
