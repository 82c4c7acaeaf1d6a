"""A drive with a folder that is mirrored into another drive, without a peer; and what both must show."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hyperfs.policy.attributes import is_ours
from hyperfs.sharing.mirror import Done, Mirror
from hyperfs.sharing.mirror_scope import Shared, place_rules
from hyperfs.values import ROOT_INO
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.volume import Volume
from tests.volume.conftest import Clock, Store
from tests.volume.model import content

SECRET = bytes(range(32))
CLOUD = frozenset({"cloud"})

Seen = dict[bytes, object]


class Pair:
    """`places`: where the folder is shown."""

    def __init__(self, source: Volume, into: Volume, folder: int, places: frozenset[str] = CLOUD) -> None:
        self.source = source
        self.into = into
        self.folder = folder
        self.places = places
        self.mirror = Mirror(source, into, folder, SECRET)

    async def turn(self) -> Done:
        await self.source.commit()
        return await self.mirror.turn(self.places)

    def check(self) -> None:
        """Both are equal, in memory and as the newest version."""
        wanted = seen(self.source, self.folder, self.places)
        found = seen(self.into, ROOT_INO)
        other = {path: (wanted.get(path), found.get(path)) for path in wanted.keys() | found.keys()}
        wrong = {path: both for path, both in other.items() if both[0] != both[1]}
        assert not wrong, wrong


@asynccontextmanager
async def opened(empty_store: Path, folder: Path) -> AsyncIterator[tuple[Store, Store, Volume, Volume]]:
    """Two drives; the second runs as its owner has it."""
    stores = []
    for name in ("source", "into"):
        if not (folder / name).exists():
            shutil.copytree(empty_store, folder / name)
        stores.append(Store(folder / name, Clock()))
    async with stores[0].opened() as source, stores[1].opened() as into:
        yield stores[0], stores[1], source, into


def seen(volume: Volume, top: int, places: frozenset[str] = frozenset()) -> Seen:
    """All that can be seen at and below a directory of the newest version, by path."""
    tree = volume.versions.whole_tree(volume.versions.newest.version)
    shared = Shared(tree, top, places, place_rules(tree))
    found: dict[bytes, int] = {}
    names: dict[int, list[bytes]] = {}
    folders: dict[int, int] = {}
    waiting = [(b"", top)]
    while waiting:
        path, ino = waiting.pop()
        inode = tree.inode(ino)
        assert inode is not None, path
        names.setdefault(ino, []).append(path)
        found[path] = ino
        if inode.is_directory:
            entries = list(shared.entries(ino))
            folders[ino] = sum(kind == 4 for _, (_, kind) in entries)
            waiting += [(path + b"/" + name, child) for name, (child, _) in entries]
    return {path: _of(volume, ino, sorted(names[ino]), folders.get(ino)) for path, ino in found.items()}


def _of(volume: Volume, ino: int, names: list[bytes], folders: int | None) -> object:
    tree = volume.versions.whole_tree(volume.versions.newest.version)
    inode = tree.inode(ino)
    assert inode is not None
    links = len(names) if folders is None else 2 + folders
    if ino == ROOT_INO:
        assert inode.nlink == links  # of the mirroring drive; what the folder's has counts names elsewhere
    xattrs = {name: value for name, value in tree.xattrs(ino).items() if not is_ours(name)}
    times = inode.atime_ns, inode.mtime_ns, inode.ctime_ns, inode.btime_ns
    facts = inode.mode, inode.uid, inode.gid, inode.rdev, inode.size, times
    return facts, links, names, xattrs, content(volume, tree, inode, live=False)


def holes(volume: Volume, ino: int) -> list[tuple[int, int]]:
    """Where a file has bytes."""
    tree = volume.versions.whole_tree(volume.versions.newest.version)
    found: list[tuple[int, int]] = []
    for extent in tree.extents(ino, 0, MAX_FILE_BYTES):
        if found and found[-1][1] == extent.offset:
            found[-1] = found[-1][0], extent.end
        else:
            found.append((extent.offset, extent.end))
    return found
