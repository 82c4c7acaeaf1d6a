"""Large drives for `scale`: written below FUSE by the product's own trie, commits and logs, in batches, from a seed.

Every file is an entry of the real trie, every batch a real commit with its lists of deaths; what is left out is the
kernel, the overlay, and the syncs (one comes at the end). So ten million files take minutes and not hours.
"""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import trio

from hyperfs.store.files import Disk, DiskFile
from hyperfs.trie.update import update
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.commit_writer import Frozen
from hyperfs.volume.creating import NewDrive, create_store
from hyperfs.volume.entries import encode_dentry
from hyperfs.volume.fold import ChunkUse, Folded, KeyChange
from hyperfs.volume.inode import Inode
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume
from tests.mount.daemon_main import DEVICE_KEYS, RESERVE_BYTES, EpochKeys, RootSeed

PER_FOLDER = 100
"""Files in a folder, and folders in a folder."""
PER_BATCH = PER_FOLDER * PER_FOLDER
IMAGE_BYTES = 1 << 40
START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


class _NoSyncFile(DiskFile):
    def fdatasync(self) -> None:
        """The corpus is synced as a whole, when it is made."""


class NoSyncDisk(Disk):
    file_type = _NoSyncFile


@dataclass
class Clock:
    """A second later at every commit, so that each version is listed."""

    now_ns: int = START_NS

    def __call__(self) -> int:
        self.now_ns += 1000
        return self.now_ns

    def next_second(self) -> None:
        self.now_ns += SECOND_NS


@dataclass
class Corpus:
    """A store under construction. `tell` hears how far it is."""

    store: Path
    tell: Callable[[str], None]
    seed: int = 1
    clock: Clock = field(default_factory=Clock)

    def options(self) -> Options:
        return Options(reserve_bytes=RESERVE_BYTES, disk=NoSyncDisk, wall_ns=self.clock)

    def create(self) -> None:
        epoch = EpochKeys(1, bytes([6]) * 32, bytes([7]) * 32)
        drive = NewDrive(RootSeed(bytes([5]) * 32), DEVICE_KEYS, epoch, "scale", "here", os.getuid(), os.getgid())
        create_store(self.store, drive, b"no key file is read here", self.options())

    def fill(self, files: int, crowd: int, extents: int, versions: int) -> None:
        """`files` in folders of 100; `crowd` in one folder; an image of a TiB with so many extents; so many versions
        of a little change each, at the end."""
        trio.run(self._fill, files, crowd, extents, versions)
        os.sync()

    async def _fill(self, files: int, crowd: int, extents: int, versions: int) -> None:
        async with open_volume(self.store, DEVICE_KEYS, self.options()).running() as volume:
            for number in range(-(-files // PER_BATCH)):
                of = min(PER_BATCH, files - number * PER_BATCH)
                await _commit(volume, _branch(volume, b"d%05d" % number, of, self.seed), of)
                if number % 20 == 0:
                    self.tell(f"{number * PER_BATCH + of:,} files")
            if crowd:
                self.tell(f"a folder of {crowd:,}")
                for batch in _crowd(volume, b"crowd", crowd):
                    await _commit(volume, batch, PER_BATCH)
            if extents:
                self.tell(f"an image of {extents:,} extents")
                await self._image(volume, extents)
            await self._versions(volume, versions)

    async def _image(self, volume: Volume, extents: int) -> None:
        rng = random.Random(self.seed)
        image = volume.names.make(ROOT_INO, b"image", 0o100644, 0, 0)
        await volume.files.resize(image, IMAGE_BYTES)
        for number in range(extents):
            await volume.files.write(image, rng.randrange(IMAGE_BYTES >> 12) << 12, rng.randbytes(4096))
            if number % 1000 == 0:
                await volume.room_for_change()
        await volume.commit()

    async def _versions(self, volume: Volume, versions: int) -> None:
        folder = volume.names.make(ROOT_INO, b"changing", 0o40755, 0, 0)
        made = [volume.names.make(folder.ino, b"%02d" % number, 0o100644, 0, 0) for number in range(16)]
        for number in range(versions):
            self.clock.next_second()
            await volume.files.write(made[number % 16], 0, b"as of version %d\n" % number)
            await volume.commit()
            if number % 5000 == 0:
                self.tell(f"{number:,} versions")


async def _commit(volume: Volume, changes: list[KeyChange], files: int) -> None:
    """As Committer._fold_in, of changes that no overlay held."""
    committer, overlay, log = volume.committer, volume.overlay, volume.parts.metadata_log
    gone: list = []
    root = update(volume.parts.nodes.load, overlay.live.root, changes, gone.append)
    overlay.files += files
    overlay.file_bytes = 0
    totals = (overlay.files, overlay.directories, overlay.file_bytes)
    frozen = Frozen({}, committer.newest.journal_sequence, totals, overlay.next_ino, False, 0)
    commit, index = await committer._writer.write(committer.newest, frozen, Folded(root, gone, ChunkUse()))
    await trio.to_thread.run_sync(log.flush)
    committer.newest = commit
    overlay.live.settle(commit.root)
    volume.parts.catalog.apply(index)
    overlay.table.pop(ROOT_INO, None)


def _record(volume: Volume, ino: int, mode: int, parent: int, links: int, data: bytes | None = None) -> bytes:
    inode = Inode(ino, mode)
    inode.nlink, inode.parent, inode.born = links, parent, volume.committer.newest.version + 1
    inode.atime_ns = inode.mtime_ns = inode.ctime_ns = inode.btime_ns = START_NS
    inode.inline = data
    inode.size = inode.stored = len(data or b"")
    return inode.encode()


def _root_change(volume: Volume, name: bytes, ino: int) -> Iterator[KeyChange]:
    root = volume.overlay.inode(ROOT_INO)
    root.nlink += 1
    volume.overlay.directories += 1
    yield keys.inode_key(ROOT_INO), (root.encode(), b"")
    yield keys.dentry_key(ROOT_INO, name), encode_dentry((ino, 4))


def _take(volume: Volume, count: int) -> int:
    first = volume.overlay.next_ino
    volume.overlay.next_ino += count
    return first


def _branch(volume: Volume, name: bytes, files: int, seed: int) -> list[KeyChange]:
    """A folder with up to 100 folders of 100 files, in order of key. Every other file has bytes."""
    folders = -(-files // PER_FOLDER)
    top = _take(volume, 1 + folders + files)
    changes = [*_root_change(volume, name, top)]
    changes.append((keys.inode_key(top), (_record(volume, top, 0o40755, ROOT_INO, 2 + folders), b"")))
    firsts = [top + 1 + number * (PER_FOLDER + 1) for number in range(folders)]
    changes += [(keys.dentry_key(top, b"%03d" % n), encode_dentry((ino, 4))) for n, ino in enumerate(firsts)]
    volume.overlay.directories += folders
    for number, ino in enumerate(firsts):
        inside = range(ino + 1, ino + 1 + min(PER_FOLDER, files - number * PER_FOLDER))
        changes.append((keys.inode_key(ino), (_record(volume, ino, 0o40755, top, 2), b"")))
        changes += [(keys.dentry_key(ino, b"file-%03d" % (file - ino)), encode_dentry((file, 8))) for file in inside]
        for file in inside:
            data = b"the bytes of file %d of seed %d\n" % (file, seed) if file & 1 else None
            changes.append((keys.inode_key(file), (_record(volume, file, 0o100644, ino, 1, data), b"")))
    return changes


def _crowd(volume: Volume, name: bytes, files: int) -> Iterator[list[KeyChange]]:
    """One folder with all the files, in batches."""
    top = _take(volume, 1 + files)
    first = [*_root_change(volume, name, top), (keys.inode_key(top), (_record(volume, top, 0o40755, 1, 2), b""))]
    for start in range(0, files, PER_BATCH):
        numbers = range(start, min(start + PER_BATCH, files))
        names = [(keys.dentry_key(top, b"%07d.txt" % n), encode_dentry((top + 1 + n, 8))) for n in numbers]
        inodes = [
            (keys.inode_key(i), (_record(volume, i, 0o100644, top, 1), b"")) for i in (top + 1 + n for n in numbers)
        ]
        yield [*first, *names, *inodes]
        first = []
