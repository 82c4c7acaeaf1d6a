"""The past as inodes: `.versions` of any directory, its entries, and what stands in them.

Their numbers are made in `views.py`. Memory holds the views that the kernel knows something of, and nothing of the
inodes in them.
"""

import stat
from collections.abc import Callable, Iterator
from datetime import tzinfo
from typing import Final, NamedTuple

import trio
from pyfuse3 import EntryAttributes

from hyperfs.errors import BadWhen, NoSuchVersion, NotADirectory, NotFound, ReadOnlyVersion, StaleHandle
from hyperfs.fuse.attributes import LONG_SECONDS, fill
from hyperfs.fuse.listing import Item
from hyperfs.fuse.views import Views
from hyperfs.volume.acl import ACCESS
from hyperfs.volume.inode import Inode
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

VERSIONS_NAME: Final = b".versions"
CROWD_VIEWS: Final = 4000
"""Some 600 bytes each. A listing of `.versions` has the kernel know one for each version."""


class PastNode(NamedTuple):
    """Something in the past.

    `directory` is the live inode whose `.versions` it belongs to. Without `entry` it is that `.versions` itself;
    with `target` it is a symlink from a relative name to an entry; else inode `ino` as it was in `version`.
    """

    number: int
    directory: int
    entry: bytes = b""
    version: int = 0
    ino: int = 0
    target: bytes = b""

    @property
    def is_versions(self) -> bool:
        return not self.entry


class Listed(NamedTuple):
    """An entry of a listing."""

    name: bytes
    node: PastNode
    entry: EntryAttributes


class Past:
    """All that the mount shows of old versions. Reads only; synchronous."""

    def __init__(self, volume: Volume, zone: tzinfo, now_ns: Callable[[], int]) -> None:
        self._volume = volume
        self._versions = volume.versions
        self._zone = zone
        self._now_ns = now_ns
        self._views = Views()
        self.crowded = trio.Event()
        """The kernel knows so many views that it should be asked to forget those that nobody uses: see `relieve`."""
        self._crowd = CROWD_VIEWS

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
        """(number of the `.versions`, entry) of what the kernel may know and is not kept any more."""
        return [
            (self.versions_of(view.directory).number, view.entry)
            for view in self._views.all()
            if view.entry and not self._versions.is_kept(view.version)
        ]

    # Questions

    def versions_of(self, directory: int) -> PastNode:
        """The `.versions` of a live directory: its number is the directory's, in the view that all of them share."""
        return PastNode(self._views.number(0, b"", 0, directory), directory)

    def lookup(self, parent: PastNode, name: bytes) -> PastNode:
        """Raises NotFound, NotADirectory."""
        if parent.is_versions:
            return self._entry(parent.directory, name)
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

    def _parent(self, node: PastNode) -> PastNode:
        if node.ino == node.directory:
            return self.versions_of(node.directory)
        return self._keep(node.directory, node.entry, node.version, self.inode(node).parent)

    def _entry(self, directory: int, name: bytes) -> PastNode:
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise NotFound(f"{name!r} names no version") from None
        try:
            version = self._versions.resolve(text, directory, self._now_ns(), self._zone)
        except (BadWhen, NoSuchVersion) as error:
            raise NotFound(str(error)) from None
        if self._versions.tree(version).inode(directory) is None:
            raise NotFound(f"the folder did not exist in version {version}")
        own = self._own_name(version)
        if text == own or text == f"@{version}" or self._is_snapshot(directory, name):
            return self._keep(directory, name, version, directory)
        return self._keep(directory, name, version, directory, target=own.encode())

    def _own_name(self, version: int) -> str:
        facts = self._volume.parts.catalog.version(version)
        if facts is None:
            raise NotFound(f"no version {version}")
        return self._versions.name_of(facts)

    def _is_snapshot(self, directory: int, name: bytes) -> bool:
        return self._versions.snapshot(directory, name) is not None

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
        """An item of `names` with just enough attributes to make an inode of."""
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
        if node.is_versions:
            directory = self._volume.overlay.inode(node.directory)
            entry = fill(EntryAttributes(), directory, node.number)
            entry.st_nlink = 2
            entry.st_mtime_ns = entry.st_ctime_ns = self._versions.newest.time_ns
            entry.attr_timeout = 0
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
        entry = fill(EntryAttributes(), self.inode(node), node.number)
        snapshot_root = node.ino == node.directory and self._is_snapshot(node.directory, node.entry)
        entry.entry_timeout = 0 if snapshot_root else LONG_SECONDS
        return entry

    def xattr(self, node: PastNode, name: bytes) -> bytes | None:
        """An attribute as it was. `.versions` itself has its directory's ACL, as it has its mode."""
        if node.is_versions:
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
