"""Whose place a file takes: its bytes are then stored against what it replaces, and cost what has changed.

Programs save in many ways: over the old bytes, into a file made empty, into a new file that is renamed over the old
one, into one of the same name after the old was removed or renamed away. rsync's temporary file tells by its name
which one it will replace, before it is renamed and while much of it is already on its way into chunks.

All of this is a hint and lives in memory only. Owned by the trio thread.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from hyperfs.chunks.extents import Extent, covering
from hyperfs.errors import Corrupt, FormatTooNew, NotResident
from hyperfs.volume.inode import Inode

if TYPE_CHECKING:
    from hyperfs.volume.overlay import Overlay

NAMES_KEPT: Final = 2000
"""Names that went, remembered for a file that comes under the same one; some 1 KiB each."""
EXTENTS_KEPT: Final = 1000
"""Of a file that was made empty: those of its first 128 MiB, about."""
NEAR_BYTES: Final = 1 << 20
"""So far before and behind the same place it is looked for what is alike."""
_TEMPORARY: Final = re.compile(rb"\.(?P<name>.+)\.[A-Za-z0-9]{6}", re.DOTALL)
"""rsync's."""


class Predecessors:
    """Sets and reads `Inode.replaces`."""

    def __init__(self, overlay: "Overlay") -> None:
        self._overlay = overlay
        self._left: OrderedDict[tuple[int, bytes], Inode | Sequence[Extent]] = OrderedDict()

    def left(self, parent: int, name: bytes, inode: Inode) -> None:
        """A file lost this name, by an unlink or a rename. One that was in no version is most often a temporary one."""
        if inode.is_file and inode.size and (inode.born or inode.replaces is not None):
            self._left.pop((parent, name), None)
            self._left[parent, name] = inode if inode.replaces is None else inode.replaces
            if len(self._left) > NAMES_KEPT:
                self._left.popitem(last=False)

    def made(self, parent: int, name: bytes, inode: Inode) -> None:
        """A new file has this name."""
        found = self._left.pop((parent, name), None)
        if found is None and name.startswith(b".") and (temporary := _TEMPORARY.fullmatch(name)):
            dentry = self._overlay.live.dentry(parent, temporary["name"])
            found = None if dentry is None else _source(self._overlay.inode(dentry[0]))
        inode.replaces = found

    def renamed(self, inode: Inode, parent: int, name: bytes, replaced: Inode | None) -> None:
        """The file has got this name, over another file or not. What it holds is most often not in chunks yet."""
        found = self._left.pop((parent, name), None) if replaced is None else _source(replaced)
        if replaced is not None:
            replaced.replaces = None
        if found is not None and found is not inode and (inode.dirty is not None or inode.flushing or inode.writers):
            inode.replaces = found

    def emptied(self, inode: Inode, extents: Sequence[Extent]) -> None:
        """The file was cut down to nothing; these were its extents."""
        if extents:
            inode.replaces = extents[:EXTENTS_KEPT]

    def settled(self, inode: Inode) -> None:
        """The file's bytes are in chunks."""
        if inode.replaces is not None and inode.dirty is None and not inode.writers:
            inode.replaces = None

    def extents(self, inode: Inode, start: int, end: int) -> Sequence[Extent]:
        """What stood about there in the file whose place this one takes; nothing where that isn't known."""
        source = inode.replaces
        if source is None:
            return ()
        start, end = max(0, start - NEAR_BYTES), end + NEAR_BYTES
        if not isinstance(source, Inode):
            first, last = covering(source, start, end)
            return source[first:last]
        tree = source.orphan_tree
        try:
            if tree is not None and tree.root is not None:
                return tree.extents(source.ino, start, end)
            return self._overlay.extents(source, start, end)
        except (Corrupt, NotResident, FormatTooNew):
            return ()


def _source(inode: Inode) -> Inode | Sequence[Extent] | None:
    """Where the bytes of a file are, or, while they are not in chunks, those of the one whose place it takes."""
    if not inode.is_file:
        return None
    return inode if inode.replaces is None else inode.replaces
