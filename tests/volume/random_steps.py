"""Random steps of programs on a volume: few names, so that they meet often."""

import random
from contextlib import suppress

from hyperfs.errors import FileError
from hyperfs.volume.tree import Tree
from hyperfs.volume.volume import Volume

NAMES = [b"a", b"b", b"c", b"d"]


async def change(volume: Volume, chance: random.Random) -> None:
    """One step of a program, if it can be made."""
    folders, files = inodes(volume)
    folder = volume.overlay.inode(chance.choice(folders))
    name, other = chance.choice(NAMES), chance.choice(NAMES)
    with suppress(FileError):
        match chance.randrange(10):
            case 0:
                volume.names.make(folder.ino, name, 0o100644, 0, 0)
            case 1:
                volume.names.make(folder.ino, name, 0o040755, 0, 0)
            case 2 if files:
                written = volume.overlay.inode(chance.choice(files))
                if written.is_file:
                    await volume.files.write(written, 0, chance.randbytes(5))
            case 3:
                volume.unlinked(volume.names.unlink(folder.ino, name))
            case 4:
                volume.unlinked(volume.names.rmdir(folder.ino, name))
            case 5 | 6:
                target = chance.choice(folders)
                if target not in below(volume, folder.ino, name):
                    volume.names.rename(folder.ino, name, target, other)
            case 8 if files:  # a program saves by renaming
                new = volume.names.make(folder.ino, b"tmp", 0o100644, 0, 0)
                await volume.files.write(new, 0, chance.randbytes(3))
                if chance.random() < 0.7:
                    volume.renamed(new, volume.names.rename(folder.ino, b"tmp", folder.ino, name))
            case 9:
                volume.names.link(volume.names.lookup(folder.ino, name), folder.ino, other)
            case 7 if files:
                inode = volume.overlay.inode(chance.choice(files))
                inode.mode ^= 0o111
                volume.overlay.touch(inode)


def inodes(volume: Volume) -> tuple[list[int], list[int]]:
    folders: list[int] = [1]
    files: list[int] = []
    for ino in folders:
        for _, (child, kind) in volume.overlay.live.dentries(ino):
            (folders if kind == 4 else files).append(child)
    return folders, files


def below(volume: Volume, directory: int, name: bytes) -> set[int]:
    """A folder and those in it, into which it can't be moved."""
    dentry = volume.overlay.live.dentry(directory, name)
    found = [] if dentry is None else [dentry[0]]
    for ino in found:
        found += [child for _, (child, kind) in volume.overlay.live.dentries(ino) if kind == 4]
    return set(found)


def all_paths(tree: Tree) -> list[bytes]:
    """Of all that there is, the root's among them."""
    found, waiting = [b""], [(1, b"")]
    for ino, path in waiting:
        for name, (child, kind) in tree.dentries(ino):
            found.append(path + name)
            if kind == 4:
                waiting.append((child, path + name + b"/"))
    return found
