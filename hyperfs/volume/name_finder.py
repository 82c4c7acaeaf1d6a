"""Names of inodes in one version after the other: where something was in the last one, it most often still is.

A tree knows of an inode only in which directory it has a name. To find it means to read that directory, unless
somebody remembers the name.
"""

from typing import Final

from hyperfs.errors import Corrupt
from hyperfs.values import ROOT_INO
from hyperfs.volume.inode import Inode
from hyperfs.volume.paths import join
from hyperfs.volume.tree import Tree

Name = tuple[int, bytes]
"""(directory, name)."""
KNOWN_MOST: Final = 20_000
"""Names remembered; some 250 bytes each."""
DEEPEST: Final = 10_000


class NameFinder:
    """For any number of trees. What it remembers is a hint: each is looked up in the tree that is asked about."""

    def __init__(self) -> None:
        self._known: dict[int, Name] = {}

    def name(self, tree: Tree, inode: Inode) -> Name | None:
        """The name of an inode of the tree in the directory that its record names, of several the first; None where it
        has none there. What is remembered never changes the answer."""
        known = self._known.get(inode.ino)
        if known is not None and known[0] == inode.parent and (inode.is_directory or inode.nlink == 1):
            dentry = tree.dentry(*known)
            if dentry is not None and dentry[0] == inode.ino:
                return known
        if len(self._known) >= KNOWN_MOST:
            self._known.clear()
        for name, (ino, _) in tree.dentries(inode.parent):
            if ino == inode.ino or len(self._known) < KNOWN_MOST:
                self._known[ino] = (inode.parent, name)
            if ino == inode.ino:
                return inode.parent, name
        return None

    def path(self, tree: Tree, ino: int) -> bytes:
        """Of a directory, or of what has one name. Raises Corrupt where it does not hang on the root."""
        path = b""
        for _ in range(DEEPEST):
            if ino == ROOT_INO:
                return path
            inode = tree.inode(ino)
            name = self.name(tree, inode) if inode is not None else None
            if name is None:
                break
            path = join(name[1], path) if path else name[1]
            ino = name[0]
        raise Corrupt("a directory hangs on no name", f"inode {ino}")
