"""What all families of operations share: the volume, the past, the open handles."""

from dataclasses import dataclass, field

from pyfuse3 import EntryAttributes

from hyperfs.chunks.extents import Extent
from hyperfs.errors import StaleHandle
from hyperfs.fuse.absences import Absences, Reader
from hyperfs.fuse.attributes import entry_of
from hyperfs.fuse.listing import Listing
from hyperfs.fuse.past import Past, refuse_change
from hyperfs.fuse.past_node import PastNode
from hyperfs.fuse.views import PAST_BIT
from hyperfs.fuse.warming import Warming
from hyperfs.policy.scanning import Program
from hyperfs.volume.inode import Inode
from hyperfs.volume.volume import Volume


@dataclass(slots=True)
class Handle:
    """An open file. `past` is set for one in a version; `anew`: opening it took its old bytes away."""

    inode: Inode
    writing: bool = False
    anew: bool = False
    past: PastNode | None = None
    read_start: int = 0  # of the last read
    read_end: int = 0
    goes_on: bool = False  # it began where the one before it ended, so the next one probably will
    pid: int = 0  # of who opened it
    program: Program | None = None  # known once something was not here
    is_cold: bool = False  # something of it was not here
    ahead_to: int = 0  # so far it was asked for ahead of who reads
    ahead_bytes: int = 0

    def reads(self, offset: int, size: int) -> None:
        """A read begins. The same one again is no other: it runs anew when what it lacked has come."""
        if (offset, offset + size) != (self.read_start, self.read_end):
            self.goes_on = offset == self.read_end
        self.read_start, self.read_end = offset, offset + size


@dataclass(slots=True)
class FolderHandle:
    """An open directory, and what was read of it. `read_at_ns` is the ctime that it had when its reading began."""

    number: int
    listing: Listing = field(default_factory=lambda: Listing(lambda item: ()))
    read_at_ns: int = 0


class State:
    """Owned by the trio thread."""

    def __init__(self, volume: Volume, past: Past, warming: Warming, show_versions: bool) -> None:
        self.volume = volume
        self.warming = warming
        self.past = past
        self.show_versions = show_versions
        self._handles: dict[int, Handle] = {}
        self._folders: dict[int, FolderHandle] = {}
        self._next = 1
        self.absences = Absences(volume, self.handle, self._extents)

    def _extents(self, reader: Reader, start: int, end: int) -> list[Extent]:
        node = reader.past if isinstance(reader, Handle) else None
        if node is not None:
            return self.past.tree(node).extents(node.ino, start, end)
        return self.volume.overlay.extents(reader.inode, start, end)

    def inode(self, number: int) -> Inode:
        """The live inode; a past one is an attempt to change it."""
        if number & PAST_BIT:
            refuse_change()
        return self.volume.overlay.inode(number)

    def attributes(self, number: int) -> EntryAttributes:
        """The kernel's view of any inode."""
        if number & PAST_BIT:
            return self.past.attributes(self.past.node(number))
        return entry_of(self.volume.overlay.inode(number))

    def add(self, handle: Handle) -> int:
        number = self._next
        self._next += 1
        self._handles[number] = handle
        return number

    def handle(self, number: int) -> Handle:
        handle = self._handles.get(number)
        if handle is None:
            raise StaleHandle(f"no open file {number}")
        return handle

    def remove(self, number: int) -> Handle:
        handle = self.handle(number)
        del self._handles[number]
        return handle

    def add_folder(self, folder: FolderHandle) -> int:
        number = self._next
        self._next += 1
        self._folders[number] = folder
        return number

    def folder(self, number: int) -> FolderHandle:
        folder = self._folders.get(number)
        if folder is None:
            raise StaleHandle(f"no open folder {number}")
        return folder

    def remove_folder(self, number: int) -> FolderHandle:
        folder = self.folder(number)
        del self._folders[number]
        return folder

    @property
    def open_count(self) -> int:
        return len(self._handles)

    @property
    def open_folders(self) -> int:
        return len(self._folders)

    def open_files(self) -> list[Handle]:
        """For messages about a busy drive."""
        return list(self._handles.values())
