"""Carries out a plan of the three-way comparison on the live tree: new inodes, the same extents, no bytes copied.

What is no directory and changes gets a new inode number, since the kernel may know the old one; directories stay what
they are. Synchronous, on the live tree or a draft of it: nobody, no journal record and no version ever sees half.
"""

from dataclasses import dataclass, field

from hyperfs.errors import Corrupt, Refused
from hyperfs.volume.draft import Surface
from hyperfs.volume.inode import Inode
from hyperfs.volume.namespace import kind_of
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.sides import Copy, Name, Thing, TreeSide
from hyperfs.volume.undo_plan import Plan
from hyperfs.volume.xattrs import HAS_XATTRS


@dataclass
class Carried:
    """What the kernel must ask for again."""

    names: list[Name] = field(default_factory=list)
    inodes: set[int] = field(default_factory=set)  # whose attributes changed
    gone: list[tuple[int, bytes, int]] = field(default_factory=list)  # names of inodes that are no more


def carry_out(volume: Surface, plan: Plan, goal: TreeSide, now: TreeSide) -> Carried:
    """All that must be read is read first: what is raised is raised before anything has changed."""
    work = _Work(volume, goal, now)
    work.read(plan)
    work.check_protected(plan)
    work.make(plan)
    work.enter(plan)
    work.end(plan)
    return work.carried


class _Work:
    def __init__(self, volume: Surface, goal: TreeSide, now: TreeSide) -> None:
        self._volume = volume
        self._overlay = volume.overlay
        self._goal = goal
        self._now = now
        self._live: dict[int, Inode] = {}
        self._copies: dict[int, Copy] = {}  # by the plan's numbers: of what is to be made, or written anew
        self._names: dict[int, list[Name]] = {}  # of what is written anew
        self._found: dict[Name, int | None] = {}  # what the plan's names mean now
        self._new: dict[int, Inode] = {}  # by the plan's numbers
        self._touched: dict[int, Inode] = {}
        self._left: list[tuple[Name, int]] = []  # names, and what they meant
        self.carried = Carried()

    def read(self, plan: Plan) -> None:
        for name, wanted in plan.names.items():
            self._found[name] = found = self._now.entry(*name) if name[0] > 0 else None
            for ino in (name[0], wanted, found):
                if ino is not None and ino > 0:
                    self._know(ino)
                elif ino is not None:
                    self._copies[ino] = self._copy(self._goal, -ino)
        for ino, rewrite in plan.rewrites.items():
            self._know(ino)
            side, other = (self._now, ino) if rewrite.content is None else (self._goal, rewrite.content)
            self._copies[ino] = self._copy(side, other)
            self._names[ino] = self._now.names(ino)
            for name in self._names[ino]:
                self._know(name[0])
        for ino in (*plan.attributes, *plan.dying):
            self._know(ino)

    def _know(self, ino: int) -> None:
        if ino not in self._live:
            self._live[ino] = self._overlay.inode(ino)

    @staticmethod
    def _copy(side: TreeSide, ino: int) -> Copy:
        if side.is_let_go(ino):
            raise Refused("a file as it was then was let go, by the rule of its folder: it can't be put back")
        copy = side.copy(ino)
        if copy is None:
            raise Corrupt("a name means an inode that is not there", f"inode {ino}")
        return copy

    def check_protected(self, plan: Plan) -> None:
        """Raises Refused for what a policy protects."""
        protection = self._volume.protection
        if not protection.on:
            return
        for name, wanted in plan.names.items():
            found = self._found[name]
            if found is not None and found > 0:
                protection.putting_back(*name, self._live[found], wanted is not None)
        for ino, rewrite in plan.rewrites.items():
            if rewrite.content is not None:
                protection.writing(self._live[ino])

    # New inodes

    def make(self, plan: Plan) -> None:
        for number, copy in self._copies.items():
            rewrite = plan.rewrites.get(number)
            replaced = self._live[number] if rewrite is not None else None
            inode = self._new[number] = new_inode(self._overlay, copy, replaced)
            if rewrite is not None:
                set_properties(self._overlay, inode, rewrite.thing, copy.xattrs)

    def _inode(self, number: int) -> Inode:
        return self._new[number] if number in self._new else self._live[number]

    # Names

    def enter(self, plan: Plan) -> None:
        for number, names in self._names.items():
            for name in names:
                if name not in plan.names:
                    self._set(name, self._live[number], self._new[number])
                    self.carried.names.append(name)
        for name, wanted in plan.names.items():
            found = self._found[name]
            old = self._live[found] if found is not None else None
            self._set(name, old, self._inode(wanted) if wanted is not None else None)
            if name[0] > 0 and name[0] not in plan.dying:
                self.carried.names.append(name)

    def _set(self, name: Name, old: Inode | None, new: Inode | None) -> None:
        directory = self._inode(name[0])
        if old is not None and old is not new:
            self._left.append((name, old.ino))
        self._touched[directory.ino] = directory
        for inode, step in ((old, -1), (new, 1)):
            if inode is None:
                continue
            if inode.is_directory:
                directory.nlink += step
            else:
                inode.nlink += step
            self._touched[inode.ino] = inode
        if new is not None:
            self._overlay.policies.place(new, directory.ino)
        dentry = None if new is None else (new.ino, kind_of(new.mode))
        self._overlay.set_dentry(directory.ino, name[1], dentry)

    # The end

    def end(self, plan: Plan) -> None:
        moment = self._overlay.now_ns()
        directories = {self._inode(directory).ino for directory, _ in plan.names if directory > 0}
        gone = plan.dying | plan.rewrites.keys()
        for ino, inode in self._touched.items():
            if ino in gone:
                continue
            inode.ctime_ns = moment
            if ino in directories and ino not in plan.attributes:
                inode.mtime_ns = moment
            self._overlay.touch(inode)
            self.carried.inodes.add(ino)
        for ino, thing in plan.attributes.items():
            inode = self._live[ino]
            set_properties(self._overlay, inode, thing, self._copy(self._now, ino).xattrs)
            inode.ctime_ns = moment
            self._overlay.touch(inode)
            self.carried.inodes.add(ino)
        for ino in gone:
            self._remove(self._live[ino])
        # What is in a folder first: it died after its folder had lost its name.
        self.carried.gone = [(*name, ino) for name, ino in reversed(self._left) if ino in gone]
        self.carried.inodes -= {inode.ino for inode in self._new.values()}

    def _remove(self, inode: Inode) -> None:
        inode.nlink = 0
        inode.ctime_ns = self._overlay.now_ns()
        self._overlay.remove_inode(inode)
        self._volume.unlinked(inode)
        # The kernel unlinked nothing, so it may never say that it has forgotten it: only who has it open keeps it.
        self._volume.forgotten(inode.ino)


def new_inode(overlay: Overlay, copy: Copy, replaced: Inode | None) -> Inode:
    """A new inode with everything that the copy has, but no name yet. `replaced`: whose place it takes, where its
    history goes on; else with that of which it is a copy."""
    past = copy.inode
    inode = overlay.new_inode(past.mode, past.uid, past.gid, 0)
    inode.size, inode.stored, inode.rdev = past.size, past.stored, past.rdev
    inode.inline, inode.btime_ns, inode.durable_size = past.inline, past.btime_ns, past.size
    inode.atime_ns, inode.mtime_ns = past.atime_ns, past.mtime_ns
    inode.flags |= past.flags
    if inode.is_directory:
        inode.nlink = 2
        overlay.directories += 1
    else:
        overlay.files += 1
        overlay.file_bytes += inode.size if inode.is_file else 0
    if inode.is_file:
        origin = past if replaced is None else replaced
        inode.predecessor = origin.ino if origin.born else origin.predecessor
    for extent in copy.extents:
        overlay.set_extent(inode, extent.offset, extent)
    for name, value in copy.xattrs.items():
        overlay.set_xattr(inode.ino, name, value)
    return inode


def set_properties(overlay: Overlay, inode: Inode, thing: Thing, xattrs: dict[bytes, bytes]) -> None:
    """Mode, owner, time and attributes; `xattrs` are those that it has."""
    inode.mode, inode.uid, inode.gid, inode.mtime_ns = thing.mode, thing.uid, thing.gid, thing.mtime_ns
    wanted = dict(thing.xattrs)
    for name in xattrs.keys() | wanted.keys():
        if xattrs.get(name) != wanted.get(name):
            overlay.set_xattr(inode.ino, name, wanted.get(name))
            inode.flags |= HAS_XATTRS
