"""Trash folders: where desktops move what people delete. What lies in one counts as deleted.

By the freedesktop specification `.Trash` and `.Trash-UID` at the top of a mount, on macOS `.Trashes`. Taken at any
depth, since a part of a drive may be mounted elsewhere or shared.
"""

import re
from typing import Final

from hyperfs.values import ROOT_INO
from hyperfs.volume.tree import Tree

_BEGINS: Final = b".Trash"
_TRASH: Final = re.compile(rb"\.Trash(es|-[0-9]+)?")


def is_trash(name: bytes) -> bool:
    """Whether a folder of that name is a trash folder."""
    return _TRASH.fullmatch(name) is not None


def in_trash(tree: Tree, directory: int) -> bool:
    """Whether a directory is a trash folder or lies in one."""
    while directory != ROOT_INO:
        inode = tree.inode(directory)
        if inode is None:
            return False
        # A directory does not know its name: its parent is asked for the few names that begin like a trash folder's.
        for name, (ino, _) in tree.dentries(inode.parent, _BEGINS[:-1]):
            if not name.startswith(_BEGINS):
                break
            if ino == directory and is_trash(name):
                return True
        directory = inode.parent
    return False
