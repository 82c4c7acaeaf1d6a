"""What a restore needs of a version, read before anything is changed."""

from dataclasses import dataclass, field
from typing import Final

import trio

from hyperfs.chunks.extents import Extent
from hyperfs.errors import NotFound
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.tree import Tree
from hyperfs.volume.xattrs import HAS_XATTRS

SLICE: Final = 200
"""Inodes read between two checkpoints: some 10 ms."""


@dataclass
class Copy:
    """Something as a version has it, read and not yet in the live tree. Children only in a directory."""

    inode: Inode
    extents: list[Extent]
    xattrs: dict[bytes, bytes]
    children: list[tuple[bytes, int]] = field(default_factory=list)  # name, inode number in the version


async def read_copies(past: Tree, source: Inode) -> dict[int, Copy]:
    """Everything at and below an inode of a version, by its number there."""
    copies: dict[int, Copy] = {}
    waiting = [source.ino]
    while waiting:
        ino = waiting.pop()
        if ino in copies:
            continue  # another name of the same file
        copy = copies[ino] = read_copy(past, ino)
        waiting += [child for _, child in copy.children]
        if len(copies) % SLICE == 0:
            await trio.lowlevel.checkpoint()
    return copies


def read_copy(past: Tree, ino: int) -> Copy:
    """One inode of a version. Raises NotFound."""
    inode = past.inode(ino)
    if inode is None:
        raise NotFound(f"that version has no inode {ino}")
    extents = past.extents(ino, 0, MAX_FILE_BYTES) if inode.is_file and inode.inline is None else []
    xattrs = past.xattrs(ino) if inode.flags & HAS_XATTRS else {}
    children = [(name, dentry[0]) for name, dentry in past.dentries(ino)] if inode.is_directory else []
    return Copy(inode, extents, xattrs, children)
