"""What the things in a directory hold: sums of sizes, as far as a number of inodes goes."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from hyperfs.volume.tree import Tree

DEPTH_MOST: Final = 1000


class Size(NamedTuple):
    """`bytes` and `files` of all names at and below a name; at least so many where not `whole`. `kind`: as d_type."""

    name: bytes
    kind: int
    bytes: int
    files: int
    whole: bool


def children_sizes(tree: Tree, directory: int, most: int) -> Iterator[Size | None]:
    """In order of names; a file with two names counts twice. None now and then, for whoever works in slices. After
    `most` inodes directories are not looked into any further."""
    for name, (ino, kind) in tree.dentries(directory):
        total = files = 0
        whole = True
        waiting = [iter([ino])]  # of each directory on the way what is left in it: none is read at once
        while waiting:
            child = next(waiting[-1], None)
            inode = tree.inode(child) if child is not None else None
            if child is None:
                waiting.pop()
                continue
            most -= 1
            if inode is not None and inode.is_directory:
                if most <= 0 or len(waiting) > DEPTH_MOST:
                    whole = False
                else:
                    waiting.append(below for _, (below, _) in tree.dentries(inode.ino))
            elif inode is not None:
                total += inode.size if inode.is_file else 0
                files += 1
            if most <= 0 and len(waiting) > 1:
                whole = False
                waiting.clear()
            yield None
        yield Size(name, kind, total, files, whole)
