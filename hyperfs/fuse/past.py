"""The past as inodes: `.versions` of any directory, its entries, and what stands in them.

Their numbers are made in `views.py`. Memory holds the views that the kernel knows something of, and nothing of the
inodes in them.
"""

import stat
from collections.abc import Callable, Iterator
from datetime import tzinfo
from functools import partial
from typing import Final

import trio
from pyfuse3 import EntryAttributes

from hyperfs.errors import BadWhen, NoSuchVersion, NotADirectory, NotFound, ReadOnlyVersion, StaleHandle
from hyperfs.fuse.attributes import LONG_SECONDS, fill
from hyperfs.fuse.listing import Item, Listing
from hyperfs.fuse.past_made_up import MadeUp
from hyperfs.fuse.past_node import DELETED, FILES, Listed, PastNode
from hyperfs.fuse.views import Views
from hyperfs.volume.acl import ACCESS
from hyperfs.volume.inode import Inode
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

VERSIONS_NAME: Final = b".versions"
CROWD_VIEWS: Final = 1000
"""Some 600 bytes each. A listing of `.versions` has the kernel know one for each version."""


class Past:
    """All that the mount shows of old versions. Reads only; synchronous, but for what `made_up` nodes need first."""

    def __init__(self, volume: Volume, zone: tzinfo, now_ns: Callable[[], int]) -> None:
        self._volume = volume
        self._versions = volume.versions
        self._zone = zone
        self._now_ns = now_ns
        self._views = Views()
        self.crowded = trio.Event()
        """The kernel knows so many views that it should be asked to forget those that nobody uses: see `relieve`."""
        self._crowd = CROWD_VIEWS
        self.made_up = MadeUp(volume, self._resolve)

    # Nodes

    def node(self, number: int) -> PastNode:
        """Raises StaleHandle for a number that the kernel should not have."""
        view, ino = self._views.find(number)
        if not view.entry:
            return PastNode(number, ino)
        return PastNode(number, view.directory, view.entry, view.version, ino, view.target)

    def given(self, node: PastNode) -> None:
        """The kernel was told of the node, and will say when it has forgotten it."""
        self._views.given(node.number)
        if len(self._views) > self._crowd:
            self.crowded.set()

    def forget(self, number: int, count: int) -> None:
        """The kernel takes back `count` answers."""
        self._views.forget(number, count)

    def directories(self) -> set[int]:
        """The live directories whose `.versions` the kernel knows something of."""
        return {view.directory for view in self._views.all() if view.entry}

    def relieve(self) -> None:
        """The kernel was asked to forget what nobody uses. What it still knows is no crowd: else it would be asked in
        vain."""
        self._crowd = max(CROWD_VIEWS, 2 * len(self._views))
        self.crowded = trio.Event()

    @property
    def held(self) -> int:
        """How many views are in memory."""
        return len(self._views)

    def _keep(self, directory: int, entry: bytes, version: int, ino: int, target: bytes = b"") -> PastNode:
        number = self._views.number(directory, entry, version, ino, target)
        return PastNode(number, directory, entry, version, ino, target)

    def tree(self, node: PastNode) -> Tree:
        return self._versions.tree(node.version)

    def inode(self, node: PastNode) -> Inode:
        """The inode as it was. Raises StaleHandle when that version does not have it."""
        inode = self.tree(node).inode(node.ino)
        if inode is None:
            raise StaleHandle(f"version {node.version} has no inode {node.ino}")
        return inode

    def lapsed(self) -> list[tuple[int, bytes]]:
        """(number of the folder, entry in it) of what the kernel may know and is not kept any more."""
        lapsed = []
        for view in self._views.all():
            if view.version and not self._is_whole(view.version):
                folder, _, name = view.entry.rpartition(b"/")
                lapsed.append((self._made_up(view.directory, folder).number, name))
        return lapsed

    def _is_whole(self, version: int) -> bool:
        """Whether a version is kept and hides nothing that it ever had."""
        return self._versions.is_kept(version) and self._versions.tree(version).whole_offered

    # Questions

    def versions_of(self, directory: int) -> PastNode:
        """The `.versions` of a live directory: its number is the directory's, in the view that all of them share."""
        return PastNode(self._views.number(0, b"", 0, directory), directory)

    def lookup(self, parent: PastNode, name: bytes) -> PastNode:
        """Raises NotFound, NotADirectory."""
        if parent.is_made_up:
            return self._in_made_up(parent, name)
        if parent.target:
            raise NotADirectory("a symlink")
        if name == VERSIONS_NAME:
            raise NotFound("a version has no versions of its own")
        if name == b"..":
            return self._parent(parent)
        self._volume.look(parent.version)
        dentry = self.tree(parent).dentry(parent.ino, name)
        if dentry is None:
            raise NotFound(f"no {name!r} in version {parent.version}")
        return self._keep(parent.directory, parent.entry, parent.version, dentry[0])

    def _made_up(self, directory: int, entry: bytes) -> PastNode:
        """`.versions` of a live directory, or a folder in it that no version has."""
        return self._keep(directory, entry, 0, directory) if entry else self.versions_of(directory)

    def _in_made_up(self, parent: PastNode, name: bytes) -> PastNode:
        directory = parent.directory
        if name == b"..":
            return self._made_up(directory, parent.entry.rpartition(b"/")[0])
        if parent.is_versions:
            return self._made_up(directory, name) if name in (FILES, DELETED) else self._entry(directory, name)
        shown = self.made_up.lookup(parent, name)
        entry = parent.entry + b"/" + name
        return self._made_up(directory, entry) if shown is None else self._keep(directory, entry, *shown)

    def _parent(self, node: PastNode) -> PastNode:
        if self._is_entry(node, self.inode(node)):
            return self._made_up(node.directory, node.entry.rpartition(b"/")[0])
        return self._keep(node.directory, node.entry, node.version, self.inode(node).parent)

    def _is_entry(self, node: PastNode, inode: Inode) -> bool:
        """Whether the folder is what an entry of `.versions` or `.deleted` means, and not something below that."""
        return node.ino == node.directory or (node.entry.startswith(b".") and inode.parent == node.directory)

    def _entry(self, directory: int, name: bytes) -> PastNode:
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise NotFound(f"{name!r} names no version") from None
        version = self._resolve(text, directory)
        if self._versions.tree(version).inode(directory) is None:
            raise NotFound(f"the folder did not exist in version {version}")
        own = self._own_name(version)
        if text == own or text == f"@{version}" or self._is_snapshot(directory, name):
            return self._keep(directory, name, version, directory)
        return self._keep(directory, name, version, directory, target=own.encode())

    def _resolve(self, when: str, directory: int) -> int:
        try:
            return self._versions.resolve(when, directory, self._now_ns(), self._zone)
        except (BadWhen, NoSuchVersion) as error:
            raise NotFound(str(error)) from None

    def _own_name(self, version: int) -> str:
        facts = self._volume.parts.catalog.version(version)
        if facts is None:
            raise NotFound(f"no version {version}")
        return self._versions.name_of(facts)

    def _is_snapshot(self, directory: int, name: bytes) -> bool:
        return self._versions.snapshot(directory, name) is not None

    async def listing(self, node: PastNode) -> Listing:
        """What readdir lists, in order."""
        if node.is_made_up and not node.is_versions:
            return await self.made_up.listing(node)
        return Listing(partial(self.names, node))

    def names(self, node: PastNode, item: Item | None) -> Iterator[Item]:
        """What readdir lists behind an item, in order: names with inodes; of `.versions` first times with versions,
        then snapshots with versions below 0."""
        if not node.is_versions:
            self._volume.look(node.version)
            for name, (ino, _) in self.tree(node).dentries(node.ino, b"" if item is None else item[0]):
                yield name, ino
            return
        if item is None or item[1] > 0:
            for facts in self._versions.listed(node.directory, 0 if item is None else item[1]):
                yield self._versions.name_of(facts).encode(), facts.version
        born = self._versions.born(node.directory)
        for name, snapshot in sorted(self._versions.visible_snapshots(node.directory).items()):
            # A folder above may have been kept before there was this one.
            if snapshot.version >= born and (item is None or item[1] > 0 or name > item[0]):
                yield name, -snapshot.version

    def listed(self, node: PastNode, name: bytes, number: int) -> Listed:
        """An item of a listing with just enough attributes to make an inode of. NotFound for one that is no more."""
        if node.is_made_up and not node.is_versions:
            listed_files = node.entry == FILES  # all are there: none is looked for
            found = self._made_up(node.directory, FILES + b"/" + name) if listed_files else self._in_made_up(node, name)
            return Listed(name, found, self.attributes(found))
        if not node.is_versions:
            found = self._keep(node.directory, node.entry, node.version, number)
            return Listed(name, found, self.attributes(found))
        # An entry of `.versions`, without opening its version: the attributes are asked for when needed.
        found = self._keep(node.directory, name, abs(number), node.directory)
        entry = EntryAttributes()
        entry.st_ino = found.number
        entry.st_mode = stat.S_IFDIR | 0o555
        entry.entry_timeout = entry.attr_timeout = 0
        return Listed(name, found, entry)

    def attributes(self, node: PastNode) -> EntryAttributes:
        """The kernel's view of a node. What may come to mean something else is never cached."""
        if node.is_made_up:
            directory = self._volume.overlay.inode(node.directory)
            entry = fill(EntryAttributes(), directory, node.number)
            entry.st_nlink = 2
            entry.st_mtime_ns = entry.st_ctime_ns = self._versions.newest.time_ns
            entry.attr_timeout = 0
            if node.entry:
                entry.entry_timeout = 0
            return entry
        if node.target:
            entry = EntryAttributes()
            entry.st_ino = node.number
            entry.st_mode = stat.S_IFLNK | 0o777
            entry.st_nlink = 1
            entry.st_size = len(node.target)
            directory = self._volume.overlay.inode(node.directory)
            entry.st_uid, entry.st_gid = directory.uid, directory.gid
            entry.st_mtime_ns = entry.st_ctime_ns = entry.st_atime_ns = self._versions.newest.time_ns
            entry.entry_timeout = entry.attr_timeout = 0
            return entry
        inode = self.inode(node)
        entry = fill(EntryAttributes(), inode, node.number)
        snapshot_root = node.ino == node.directory and self._is_snapshot(node.directory, node.entry)
        # A file below `.deleted` may have names elsewhere: which of them is the entry is not looked for.
        changing = node.entry.startswith(b".") and (not inode.is_directory or self._is_entry(node, inode))
        entry.entry_timeout = 0 if snapshot_root or changing else LONG_SECONDS
        return entry

    def xattr(self, node: PastNode, name: bytes) -> bytes | None:
        """An attribute as it was. What is made up has its directory's ACL, as it has its mode."""
        if node.is_made_up:
            directory = self._volume.overlay.inode(node.directory)
            return self._volume.xattrs.get(directory, ACCESS) if name == ACCESS else None
        return self.tree(node).xattr(node.ino, name)

    async def read(self, node: PastNode, inode: Inode, offset: int, size: int) -> bytes:
        """Bytes of a file as it was."""
        size = min(size, inode.size - offset)
        if size <= 0:
            return b""
        if inode.inline is not None:
            return (inode.inline[offset : offset + size]).ljust(size, b"\0")
        extents = self.tree(node).extents(node.ino, offset, offset + size)
        return await self._volume.content.read_soon(extents, offset, size)


def refuse_change() -> None:
    """Every attempt to change the past."""
    raise ReadOnlyVersion("a version can't be changed: copy out of it instead")
