"""What was done since the newest version: the inode table, the layers, and what no journal record holds yet.

Every change of the live tree goes through `Overlay`, so nothing can be changed without being remembered for
both the next commit and the next fsync.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from hyperfs.chunks import extents as arithmetic
from hyperfs.chunks.extents import Extent
from hyperfs.errors import StaleHandle
from hyperfs.policy.attributes import FILED, KEEP, PREFIX
from hyperfs.trie.node import Ref
from hyperfs.volume import keys
from hyperfs.volume.entries import Dentry
from hyperfs.volume.inode import Inode
from hyperfs.volume.policies import Policies
from hyperfs.volume.predecessors import Predecessors
from hyperfs.volume.tree import LiveTree

MAX_FILE_BYTES: Final = (1 << 63) - 1
TABLE_LIMIT: Final = 50_000
"""Inodes kept in memory though nothing needs them; some 600 bytes each."""


@dataclass
class Unjournaled:
    """Names of what changed since the last journal record. The values are read when the record is made, so a
    directory that a thousand creates touched is written once."""

    inodes: set[int] = field(default_factory=set)
    dentries: set[tuple[int, bytes]] = field(default_factory=set)
    extents: set[tuple[int, int]] = field(default_factory=set)
    xattrs: set[tuple[int, bytes]] = field(default_factory=set)
    facts: set[bytes] = field(default_factory=set)
    void: dict[int, int] = field(default_factory=dict)
    """By inode: from which offset on earlier records' bytes hold no more."""

    def __bool__(self) -> bool:
        return bool(self.inodes or self.dentries or self.extents or self.xattrs or self.facts or self.void)

    def join(self, other: "Unjournaled") -> None:
        self.inodes |= other.inodes
        self.dentries |= other.dentries
        self.extents |= other.extents
        self.xattrs |= other.xattrs
        self.facts |= other.facts
        for ino, start in other.void.items():
            self.void[ino] = min(start, self.void.get(ino, start))


class Overlay:
    """Owned by the trio thread. Between two awaits it is consistent: a journal record or a freeze may come at
    any of them and holds whole operations only."""

    def __init__(self, live: LiveTree, next_ino: int, now_ns: Callable[[], int]) -> None:
        self.live = live
        self.now_ns = now_ns
        self.next_ino = next_ino
        self.table: dict[int, Inode] = {}
        self._trim_at = TABLE_LIMIT
        self._in_hands: WeakValueDictionary[int, Inode] = WeakValueDictionary()  # trimmed, and still used by somebody
        self.orphans: dict[int, Inode] = {}  # unlinked, still open or known to the kernel
        self.predecessors = Predecessors(self)
        self.policies = Policies(self.inode)
        self.unjournaled = Unjournaled()
        self.files = self.directories = self.file_bytes = 0  # totals of the live tree

    def inode(self, ino: int) -> Inode:
        """The live inode. Raises StaleHandle when there is none of that number any more."""
        inode = self.table.get(ino)
        if inode is not None:
            return inode
        inode = self._in_hands.pop(ino, None)
        if inode is not None:
            self.table[ino] = inode
            return inode
        for layer in (self.live.active, self.live.frozen):
            if layer is not None and ino in layer.inodes:
                raise StaleHandle(f"inode {ino} was removed")
        inode = self.live.inode(ino)
        if inode is None:
            raise StaleHandle(f"no inode {ino}")
        self._keep(inode)
        return inode

    def _keep(self, inode: Inode) -> None:
        if len(self.table) >= self._trim_at:
            self._trim()
        self.table[inode.ino] = inode

    def known(self, ino: int) -> Inode | None:
        """The live inode if it is in memory, or in somebody's hands."""
        return self.table.get(ino) or self._in_hands.get(ino)

    def keep_orphan(self, inode: Inode, root: Ref | None) -> None:
        """Another device has removed it; who has it open still reads it, as it was below that root."""
        past = inode.orphan_tree = LiveTree(self.live.load, root, self.live.read_extent)
        inode.entry, inode.nlink = None, 0
        size = max(inode.size, 1)
        inode.orphan_extents, inode.orphan_source = {}, lambda: past.extents(inode.ino, 0, size)
        self.table[inode.ino] = self.orphans[inode.ino] = inode

    def in_use(self) -> list[Inode]:
        """The files that are open, or have bytes that no chunk holds yet."""
        known = {**self.orphans, **self._in_hands, **self.table}
        return [i for i in known.values() if i.is_file and (i.users or i.dirty is not None or i.flushing)]

    def new_inode(self, mode: int, uid: int, gid: int, parent: int) -> Inode:
        """A new inode with a number never used before, its times now, and no link yet."""
        inode = Inode(self.next_ino, mode)
        self.next_ino += 1
        inode.uid, inode.gid, inode.parent = uid, gid, parent
        inode.atime_ns = inode.mtime_ns = inode.ctime_ns = inode.btime_ns = self.now_ns()
        self._keep(inode)
        return inode

    def touch(self, inode: Inode) -> None:
        """Remembers that the inode's record has changed."""
        inode.entry = None
        if not inode.nlink:
            return  # an unlinked file belongs to no version
        ino = inode.ino
        self.table[ino] = inode  # it may have been trimmed while an operation had it in its hands
        active = self.live.active
        if not active.inodes:
            active.began_ns = inode.ctime_ns  # which is now, but where only a time of access was set
        active.inodes[ino] = inode
        self.unjournaled.inodes.add(ino)

    def take_in(self, changed: dict[int, Inode]) -> None:
        """Inodes that were made or changed beside the live tree are the live ones now, and remembered as changed."""
        self.table.update(changed)
        self.live.active.inodes.update(changed)

    def remove_inode(self, inode: Inode) -> None:
        """The last name went. A file lives on as an orphan, with its bytes, until the kernel forgets it: it is open,
        or a program has found the name and is about to open it.
        """
        ino = inode.ino
        self.table[ino] = inode
        inode.entry = None
        past = inode.orphan_tree = self.live.as_now(ino)
        if inode.is_file:
            self.files -= 1
            self.file_bytes -= inode.size
            size = max(inode.size, 1)
            inode.orphan_extents, inode.orphan_source = {}, lambda: past.extents(ino, 0, size)
        elif inode.is_directory:
            self.directories -= 1
        else:
            self.files -= 1
        self.orphans[ino] = inode
        self.live.active.drop_inode(ino)
        for name in self.policies.own(ino):
            self._file_policy(ino, name, None)
        self.unjournaled.inodes.add(ino)

    def forget(self, ino: int) -> None:
        """The kernel has let go of the inode: an orphan without users is no more."""
        orphan = self.orphans.get(ino)
        if orphan is not None and not orphan.users:
            del self.orphans[ino]
            self.table.pop(ino, None)

    def detach_orphans(self) -> None:
        """From now on no orphan needs a node, or an attribute's chunk, of a version that may be let go."""
        for inode in self.orphans.values():
            self._orphan_extents(inode)
            if inode.orphan_tree is not None and inode.orphan_tree.root is not None:
                inode.orphan_tree = inode.orphan_tree.only_attributes(inode.ino)

    def set_dentry(self, parent: int, name: bytes, dentry: Dentry | None) -> None:
        self.live.active.set_dentry(parent, name, dentry)
        self.unjournaled.dentries.add((parent, name))

    def set_extent(self, inode: Inode, offset: int, extent: Extent | None) -> None:
        orphan = self._orphan_extents(inode)
        if orphan is not None:
            if extent is None:
                orphan.pop(offset, None)
            else:
                orphan[offset] = extent
            return
        self.live.active.set_extent(inode.ino, offset, extent)
        self.unjournaled.extents.add((inode.ino, offset))

    def extents(self, inode: Inode, start: int, end: int) -> list[Extent]:
        """The extents with bytes in [start, end), of a linked or unlinked file."""
        orphan = self._orphan_extents(inode)
        if orphan is None:
            if not inode.born and inode.ino not in self.live.active.extents:
                return []  # no version and no commit under way has ever heard of the file
            return self.live.extents(inode.ino, start, end)
        return [e for _, e in sorted(orphan.items()) if e.offset < end and e.end > start]

    def _orphan_extents(self, inode: Inode) -> dict[int, Extent] | None:
        """Of an unlinked file; most are never asked for."""
        if inode.orphan_source is not None:
            inode.orphan_extents = {e.offset: e for e in inode.orphan_source()}
            inode.orphan_source = None
        return inode.orphan_extents

    def tree_of(self, inode: Inode) -> LiveTree:
        """The tree that knows the inode's attributes: the live one, or an unlinked inode's own."""
        return self.live if inode.orphan_tree is None else inode.orphan_tree

    def set_xattr(self, ino: int, name: bytes, value: bytes | None) -> None:
        orphan = self.orphans.get(ino)
        if orphan is not None:  # it belongs to no version; who has it open still sees what he sets
            self.tree_of(orphan).active.set_xattr(ino, name, value)
            return
        self.live.active.set_xattr(ino, name, value)
        self.unjournaled.xattrs.add((ino, name))
        if name == KEEP:
            # A fact as well, so that the rules are found without a search, and outlive what they were set on.
            self.set_fact(keys.keep_key(ino), value)
        elif name in FILED:
            self._file_policy(ino, name, value)

    def _file_policy(self, ino: int, name: bytes, value: bytes | None) -> None:
        """A fact as well, so that all of them are found without a search; it goes with what it was set on."""
        self.policies.put(ino, name, value)
        self.set_fact(keys.policy_key(ino, name.removeprefix(PREFIX)), value)

    def set_fact(self, key: bytes, value: bytes | None) -> None:
        self.live.active.facts[key] = value
        self.unjournaled.facts.add(key)

    def void_bytes(self, inode: Inode, start: int) -> None:
        """Bytes that the journal may hold for the file from `start` on must not come back by a replay."""
        if inode.nlink:
            self.unjournaled.void[inode.ino] = min(start, self.unjournaled.void.get(inode.ino, start))

    def resize(self, inode: Inode, size: int) -> None:
        """Sets a file's size and keeps the totals right."""
        if inode.ino not in self.orphans:
            self.file_bytes += size - inode.size
        inode.size = size

    def _trim(self) -> None:
        frozen = self.live.frozen.inodes if self.live.frozen is not None else {}
        active = self.live.active.inodes
        idle = [
            ino
            for ino, inode in self.table.items()
            if ino not in active
            and ino not in frozen
            and not inode.users
            and inode.dirty is None
            and not inode.flushing
            and ino not in self.orphans
        ]
        for ino in idle[: TABLE_LIMIT // 2]:
            # An operation between two awaits, or waiting, may go on with it: there must be no second one.
            self._in_hands[ino] = self.table.pop(ino)
        # Where most can't go, looking again at every new inode would cost the square of their number.
        self._trim_at = max(TABLE_LIMIT, len(self.table) * 3 // 2)


def replace_extents(overlay: Overlay, inode: Inode, start: int, end: int, new: list[Extent]) -> None:
    """The extents of [start, end) become `new`; what straddles a border is trimmed."""
    old = overlay.extents(inode, start, end)
    kept = arithmetic.cut(old, start, end)
    result = {e.offset: e for e in [*kept, *new]}
    for extent in old:
        if extent.offset not in result:
            overlay.set_extent(inode, extent.offset, None)
    unchanged = set(old)
    for offset, extent in result.items():
        if extent not in unchanged:
            overlay.set_extent(inode, offset, extent)
    inode.stored += sum(e.length for e in result.values()) - sum(e.length for e in old)
