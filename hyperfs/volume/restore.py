"""Restore: a file or tree is made again what it was in a version.

New inode numbers, the same extents: no bytes are copied or stored again. Bytes of a file never change under an
inode number that the kernel may know, so what stands at the target is replaced, not overwritten; its state goes
into a version first, which makes a restore itself undoable.

All of the version that is needed is read first, in slices between which others run. The change itself happens between
two awaits, one of much after it was made on a draft: nobody, no journal record and no version ever sees half of a
restored tree.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from hyperfs.errors import IsADirectory, NotADirectory, NotFound, NotPermitted, Refused
from hyperfs.values import ROOT_INO
from hyperfs.volume.changes import DIRECTORY
from hyperfs.volume.copies import Copy, read_copies, read_copy
from hyperfs.volume.draft import MANY, Surface, change_at_once
from hyperfs.volume.inode import Inode
from hyperfs.volume.namespace import check_name, kind_of
from hyperfs.volume.paths import Paths, find, join, locate, parts_of
from hyperfs.volume.tree import LiveTree, Tree
from hyperfs.volume.volume import Volume

VERSIONS_NAME: Final = b".versions"


Name = tuple[int, bytes]
"""(directory, name)."""
Gone = tuple[int, bytes, int]
"""(directory, name, the inode that is no more)."""


class Restored(NamedTuple):
    """What a restore did, in version `made`. `replaced` are the names that the kernel must ask for again, `gone` those,
    with their inodes, that it must hear of as deleted: what is in a folder before it."""

    files: int
    folders: int
    bytes: int
    replaced: list[Name]
    made: int
    gone: list[Gone]


async def restore(volume: Volume, path: bytes, version: int, to: bytes | None = None) -> Restored:
    """Makes `to`, or the path itself, what the path was in a version; durable, as a version, when it returns.

    `to` is the whole path of what is to come into being; the folder that it names must exist. Without it, folders
    above that are no more come back as well, empty but for the path. An existing target is replaced. Raises
    NoSuchVersion, NotFound, NotADirectory, IsADirectory (a file and a folder never replace one another through
    `to`), NotPermitted, ReadOnlyDrive, NotResident, Corrupt: then nothing has changed. After an OSError it is
    done in memory, and made a version as soon as the disk allows.
    """
    volume.check_writable()
    with volume.reads(version):
        return await _restore(volume, path, version, to)


async def _restore(volume: Volume, path: bytes, version: int, to: bytes | None) -> Restored:
    past = volume.versions.tree(version)
    source = locate(volume.overlay.live, past, path)
    if to is None:
        check_whole(past, source)
    target = parts_of(path if to is None else to)
    check_target(target)
    copies = await read_copies(past, source)
    if volume.making.write_back is not None:
        await volume.making.write_back()  # the present state gets a version: with all that the kernel holds of it

    def make(surface: Surface) -> _Work:
        work = _Work(surface, past, copies, source, target, exact=to is not None)
        work.apply()
        return work

    many = len(copies) >= MANY or _has_many(volume.overlay.live, target)
    work = await change_at_once(volume, make, _Work.made_in, many=many, room=len(copies) + len(target))
    volume.settled()
    await volume.commit(write_back=False)
    return Restored(work.files, work.folders, work.bytes, work.replaced, work.made, work.gone)


def _has_many(live: LiveTree, target: list[bytes]) -> bool:
    """Whether so much stands at the target now that to take it away is a long piece of work."""
    ino = find(live, b"/".join(target))
    waiting = [] if ino is None else [ino]
    found = 0
    for directory in waiting:  # grows while it is gone through
        for _, (child, kind) in live.dentries(directory):
            found += 1
            if found >= MANY:
                return True
            if kind == DIRECTORY:
                waiting.append(child)
    return False


def check_whole(past: Tree, source: Inode) -> None:
    """Raises Refused when a folder inside was let go by its own rule: what stands in its place must not go for that."""
    for border in past.absent_below(source.ino):
        path = b"/".join(parts_of(Paths(past).directory(border))).decode(errors="replace")
        raise Refused(
            f"in that version {path!r} is absent, which was let go by its own rule, and would be deleted: restore what "
            "is beside it one by one, or all to another place with --to"
        )


def check_target(target: list[bytes]) -> None:
    for name in target:
        check_name(name)
        if name == VERSIONS_NAME:
            raise NotPermitted("the name .versions belongs to the drive")


class Removal(NamedTuple):
    """A name of the live tree that a restore takes away; `place` is its path below the target."""

    directory: int
    name: bytes
    inode: Inode
    place: bytes


class _Work:
    """One restore's change of the live tree. `apply` is synchronous: it reads all it needs, then changes."""

    def __init__(
        self, volume: Surface, past: Tree, copies: dict[int, Copy], source: Inode, target: list[bytes], exact: bool
    ) -> None:
        self._volume = volume
        self._overlay = volume.overlay
        self._live = volume.overlay.live
        self._past = past
        self._copies = copies
        self._source = source
        self._target = target
        self._exact = exact
        self._new: dict[int, Inode] = {}  # by the number in the version
        self._predecessors: dict[bytes, int] = {}  # the files that go, by their place
        self.files = self.folders = self.bytes = 0
        self.replaced: list[Name] = []
        self.gone: list[Gone] = []
        self.made = 0

    def _check_protected(self, removals: list[Removal]) -> None:
        """Raises Refused for what a policy protects from what is about to take its place."""
        if not self._volume.protection.on:
            return
        coming = {b""}
        waiting = [(b"", self._source.ino)]
        while waiting:
            place, ino = waiting.pop()
            for name, child in self._copies[ino].children:
                coming.add(join(place, name))
                waiting.append((join(place, name), child))
        for directory, name, inode, place in removals:
            self._volume.protection.putting_back(directory, name, inode, place in coming)

    def made_in(self, version: int) -> None:
        self.made = version

    def apply(self) -> None:
        """Replaces the target. What it raises, it raises before it has changed anything."""
        if not self._target:
            self._replace_root()
            return
        missing, parent = self._missing()
        name = self._target[-1 - len(missing)]
        dentry = self._live.dentry(parent.ino, name)
        removals: list[Removal] = []
        if dentry is not None:
            old = self._overlay.inode(dentry[0])
            self._check_kinds(old)
            removals = list(self._removals(parent.ino, name, old))
        self._check_protected(removals)
        # From here on nothing is read that could be missing or damaged.
        self._remove(removals)
        self.replaced.append((parent.ino, name))
        for depth, folder in enumerate(missing, len(self._target) - len(missing)):
            parent = self._enter(parent, self._target[depth - 1], folder, 0)
        self._put(parent, self._target[-1], self._source.ino, b"")
        self._touch_parent(self._overlay.inode(self.replaced[0][0]))

    def _replace_root(self) -> None:
        """The root stays the root; its names and attributes become those of the source."""
        if not self._source.is_directory:
            raise NotADirectory("only a folder can take the place of the drive's root")
        root = self._overlay.inode(ROOT_INO)
        names = list(self._live.dentries(ROOT_INO))
        removals = [
            removal
            for name, (ino, _) in names
            for removal in self._removals(ROOT_INO, name, self._overlay.inode(ino), name)
        ]
        self._check_protected(removals)
        old_xattrs = self._live.xattrs(ROOT_INO)
        self._remove(removals)
        copy = self._copies[self._source.ino]
        for name, ino in copy.children:
            self._put(root, name, ino, name)
        for xattr in old_xattrs:
            self._overlay.set_xattr(ROOT_INO, xattr, None)
        self._describe(root, copy)
        self.replaced = [(ROOT_INO, name) for name in sorted({n for n, _ in names} | {n for n, _ in copy.children})]

    def _missing(self) -> tuple[list[Copy], Inode]:
        """The folders above the target that must come back, and the nearest one above that there is."""
        names = self._target[:-1]
        missing: list[Copy] = []
        while (ino := find(self._live, b"/".join(names))) is None:
            shown = b"/".join(names)
            if self._exact:
                raise NotFound(f"there is no folder {shown.decode(errors='replace')!r} to restore into")
            copy = read_copy(self._past, locate(self._live, self._past, shown).ino)
            copy.children = []
            missing.insert(0, copy)
            names.pop()
        parent = self._overlay.inode(ino)
        if not parent.is_directory:
            raise NotADirectory(f"{b'/'.join(names).decode(errors='replace')!r} is no folder now")
        return missing, parent

    def _check_kinds(self, old: Inode) -> None:
        if self._exact and old.is_directory and not self._source.is_directory:
            raise IsADirectory("the target is a folder: name the file that is to come into being in it")
        if self._exact and self._source.is_directory and not old.is_directory:
            raise NotADirectory("the target is a file, and what is to be restored is a folder")

    # What goes

    def _removals(self, directory: int, name: bytes, inode: Inode, place: bytes = b"") -> Iterator[Removal]:
        """The name and all below it, what stands in a directory before the directory."""
        stack = [(Removal(directory, name, inode, place), False)]
        while stack:
            removal, emptied = stack.pop()
            if emptied or not removal.inode.is_directory:
                yield removal
                continue
            stack.append((removal, True))
            for child, (ino, _) in self._live.dentries(removal.inode.ino):
                below = Removal(removal.inode.ino, child, self._overlay.inode(ino), join(removal.place, child))
                stack.append((below, False))

    def _remove(self, removals: list[Removal]) -> None:
        names = self._volume.names
        for directory, name, inode, place in removals:
            if inode.is_directory:
                names.rmdir(directory, name)
                self._volume.forgotten(inode.ino)
                continue
            if inode.is_file:
                self._predecessors[place] = inode.ino
            self._volume.unlinked(names.unlink(directory, name))
            # The kernel unlinked nothing, so it may never say that it has forgotten the file: only who has it open
            # keeps it. Who has found the old name and opens it later is told that it is stale, and looks again.
            if not inode.nlink:
                self._volume.forgotten(inode.ino)
        self.gone = [(directory, name, inode.ino) for directory, name, inode, _ in removals if not inode.nlink]

    # What comes

    def _put(self, parent: Inode, name: bytes, ino: int, place: bytes) -> None:
        """The copy and all below it, under a name."""
        waiting = [(parent, name, ino, place)]
        while waiting:
            parent, name, ino, place = waiting.pop()
            linked = self._new.get(ino)
            if linked is not None:
                linked.nlink += 1
                self._overlay.set_dentry(parent.ino, name, (linked.ino, kind_of(linked.mode)))
                self._overlay.touch(linked)
                continue
            copy = self._copies[ino]
            inode = self._new[ino] = self._enter(parent, name, copy, self._predecessors.get(place, 0))
            waiting += [(inode, child, below, join(place, child)) for child, below in copy.children]

    def _enter(self, parent: Inode, name: bytes, copy: Copy, predecessor: int) -> Inode:
        """A new inode with everything that the copy has but children."""
        past = copy.inode
        inode = self._overlay.new_inode(past.mode, past.uid, past.gid, parent.ino)
        inode.size, inode.stored, inode.rdev = past.size, past.stored, past.rdev
        inode.inline, inode.btime_ns, inode.durable_size = past.inline, past.btime_ns, past.size
        inode.nlink = 2 if inode.is_directory else 1
        if inode.is_file:
            inode.predecessor = predecessor
        if inode.is_directory:
            parent.nlink += 1
            self._overlay.directories += 1
            self.folders += 1
        else:
            self._overlay.files += 1
            self._overlay.file_bytes += inode.size if inode.is_file else 0
            self.files += 1
            self.bytes += inode.size
        for extent in copy.extents:
            self._overlay.set_extent(inode, extent.offset, extent)
        self._overlay.set_dentry(parent.ino, name, (inode.ino, kind_of(inode.mode)))
        self._describe(inode, copy)
        return inode

    def _describe(self, inode: Inode, copy: Copy) -> None:
        """Owner, mode, times and attributes as they were; the time of change is now, as for any change."""
        past = copy.inode
        inode.mode, inode.uid, inode.gid = past.mode, past.uid, past.gid
        inode.atime_ns, inode.mtime_ns = past.atime_ns, past.mtime_ns
        inode.flags |= past.flags
        for name, value in copy.xattrs.items():
            self._overlay.set_xattr(inode.ino, name, value)
        inode.ctime_ns = self._overlay.now_ns()
        self._overlay.touch(inode)

    def _touch_parent(self, parent: Inode) -> None:
        parent.mtime_ns = parent.ctime_ns = self._overlay.now_ns()
        self._overlay.touch(parent)
