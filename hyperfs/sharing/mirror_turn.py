"""One turn of mirroring: names first, then what has lost its last name goes, then bytes come."""

import stat
from typing import Final

import trio

from hyperfs.sharing.mirror_scope import Shared, Touched
from hyperfs.sharing.mirror_things import Things
from hyperfs.sharing.mirrored import Mirrored, Twin
from hyperfs.values import ROOT_INO
from hyperfs.volume.inode import Inode
from hyperfs.volume.namespace import kind_of
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import CHANGES_LIMIT_BYTES, Volume

SLICE: Final = 100
"""Names or inodes between two checkpoints."""
_DIRECTORY: Final = stat.S_IFDIR >> 12


class Turn:
    """Names and directories are given by the source's numbers; an Inode is one of `into`."""

    def __init__(self, source: Volume, into: Volume, mirrored: Mirrored, shared: Shared, old: Tree | None) -> None:
        self._into = into
        self._overlay = into.overlay
        self._live = into.overlay.live
        self._mirrored = mirrored
        self._shared = shared
        self._old = old
        self.things = Things(source, into, mirrored, shared.tree, old)
        self._loose: dict[int, Inode] = {}  # by number: what has lost its last name, and gets another one or goes
        self._lost: dict[tuple[int, bytes], Inode] = {}  # files, by the name that they lost
        self._went: list[int] = []
        self._waiting: list[int] = []  # directories all of whose names are to be looked at
        self._steps = 0

    async def all(self) -> None:
        """Compares everything."""
        self._mirrored.put(self._shared.folder, Twin(ROOT_INO))
        self._waiting.append(self._shared.folder)
        await self.things.describe(self._shared.folder)
        await self._walk()
        await self._remove()
        for _ in self._mirrored.tidy():
            await self._step()
        await self.things.bring()

    async def some(self, touched: Touched) -> None:
        """Compares these."""
        for directory, name in touched.names:
            await self._step()
            self._lose(directory, name)
        for directory, name in sorted(touched.names):
            await self._step()
            entry = self._shared.entry(directory, name)
            if entry is not None:
                await self._gain(directory, name, entry[0])
        await self._walk()
        await self._remove()
        await self._forget()
        for ino in sorted(touched.inodes):
            await self._step()
            await self.things.describe(ino)
        await self.things.bring()

    async def _step(self) -> None:
        self._steps += 1
        if not self._steps % SLICE:
            await trio.lowlevel.checkpoint()

    async def _walk(self) -> None:
        """Makes the names in the waiting directories equal, and what they name; so on in those that are new."""
        while self._waiting:
            directory = self._waiting.pop()
            into = self._inode(directory)
            assert into is not None, directory
            for name in [name for name, _ in self._live.dentries(into.ino)]:
                self._lose(directory, name)
            for name, (ino, kind) in self._shared.entries(directory):
                await self._step()
                if await self._gain(directory, name, ino):
                    continue
                await self.things.describe(ino)
                if kind == _DIRECTORY and self._old is None:
                    self._waiting.append(ino)
            await self._commit_part()

    async def _commit_part(self) -> None:
        """Much becomes a version bit by bit, where it hangs together."""
        if not self._loose and self._live.active.nbytes > CHANGES_LIMIT_BYTES:
            await self.things.bring()
            self._mirrored.reached = None
            await self._into.committer.commit()

    # Names that go

    def _inode(self, source: int) -> Inode | None:
        """What stands for an inode of the folder."""
        twin = self._mirrored.twin(source)
        return None if twin is None else self._overlay.inode(twin.ino)

    def _lose(self, directory: int, name: bytes) -> None:
        """Takes a name away that means something else now, or nothing."""
        into = self._inode(directory)
        found = None if into is None else self._live.dentry(into.ino, name)
        if into is None or found is None:
            return
        wanted = self._shared.entry(directory, name)
        twin = None if wanted is None else self._mirrored.twin(wanted[0])
        gone = None if self._old is None else self._old.dentry(directory, name)
        if gone is not None:
            self._went.append(gone[0])
        if twin is None or twin.ino != found[0]:
            self._take(into, name, self._overlay.inode(found[0]))

    def _take(self, directory: Inode, name: bytes, inode: Inode) -> None:
        self._overlay.set_dentry(directory.ino, name, None)
        if inode.is_directory:
            directory.nlink -= 1
            self._loose[inode.ino] = inode
        else:
            inode.nlink -= 1
            self._overlay.touch(inode)
            if inode.is_file:
                self._lost[directory.ino, name] = inode
            if not inode.nlink:
                self._loose[inode.ino] = inode
        self._overlay.touch(directory)

    async def _remove(self) -> None:
        """What has no name any more, and all below it."""
        while self._loose:
            ino, inode = next(reversed(self._loose.items()))
            below = next(self._live.dentries(ino), None) if inode.is_directory else None
            if below is not None:
                name, (child, _) = below
                self._take(inode, name, self._overlay.inode(child))
            else:
                del self._loose[ino]
                inode.nlink = 0
                self._overlay.remove_inode(inode)
                self._into.forgotten(ino)
            await self._step()

    async def give_up(self) -> None:
        """In the middle: what is there hangs together, and is not taken for what it was to be."""
        self._mirrored.reached = None
        await self._remove()

    async def _forget(self) -> None:
        """What stood for something that has gone: by the names that went, and by what lay below them."""
        assert self._old is not None
        while self._went:
            await self._step()
            source = self._went.pop()
            if self._mirrored.twin(source) is None and self._mirrored.forget(source):
                self._went += [ino for _, (ino, _) in self._old.dentries(source)]

    # Names that come

    async def _gain(self, directory: int, name: bytes, ino: int) -> bool:
        """Gives the name to what stands for an inode; whether that was made for it."""
        into = self._inode(directory)
        if into is None:
            return False  # it is new itself: all of its names come with it
        found, inode = self._live.dentry(into.ino, name), self._inode(ino)
        if inode is None:
            await self._make(into, name, ino)
            return True
        if found is None or found[0] != inode.ino:
            self._give(into, name, inode)
        return False

    def _give(self, directory: Inode, name: bytes, inode: Inode) -> None:
        if inode.is_directory:
            if inode.ino not in self._loose:
                self._take_from_parent(inode)
            directory.nlink += 1
        else:
            inode.nlink += 1
        inode.parent = directory.ino
        self._loose.pop(inode.ino, None)
        self._enter(directory, name, inode)

    def _take_from_parent(self, inode: Inode) -> None:
        """Of a directory that hangs where nobody has looked: in one that goes, or will be looked at."""
        parent = self._overlay.inode(inode.parent)
        name = next(name for name, found in self._live.dentries(parent.ino) if found[0] == inode.ino)
        self._take(parent, name, inode)

    async def _make(self, directory: Inode, name: bytes, source: int) -> None:
        """A new inode with a name, and with all that it is but bytes and the names in it."""
        past = self._shared.tree.inode(source)
        assert past is not None, source
        inode = self._overlay.new_inode(past.mode, past.uid, past.gid, directory.ino)
        inode.nlink = 2 if past.is_directory else 1
        if past.is_directory:
            directory.nlink += 1
            self._overlay.directories += 1
            self._waiting.append(source)
        else:
            self._overlay.files += 1
        if past.is_symlink:
            inode.inline, inode.size, inode.stored = past.inline, past.size, past.stored
            self._live.active.add_bytes(past.size)
        if past.is_file:
            # It goes on with the history of what it replaced, and is stored against the bytes of what lost its name.
            before = self._mirrored.twin(past.predecessor) if past.predecessor else None
            inode.predecessor = before.ino if before is not None else 0
            inode.replaces = self._lost.get((directory.ino, name))
        self._enter(directory, name, inode)
        self._mirrored.put(source, Twin(inode.ino))
        await self.things.describe(source)

    def _enter(self, directory: Inode, name: bytes, inode: Inode) -> None:
        self._overlay.set_dentry(directory.ino, name, (inode.ino, kind_of(inode.mode)))
        self._overlay.touch(directory)
        self._overlay.touch(inode)
