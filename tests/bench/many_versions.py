"""A drive with as many versions as one likes, made in this process by the product's own commits, without syncs.

    python -m tests.bench.many_versions FOLDER [COUNT]     makes FOLDER/store, to be mounted

Every version writes one file. What a person asks about is there: a file of which every tenth version has new bytes, one
of a handful of versions, a folder in which nothing happens for long, things deleted early and late.
"""

import random
import sys
import time
from pathlib import Path
from typing import Final

import trio

from hyperfs.crypto.keys import DeviceKeys
from hyperfs.crypto.wrap import KIND_DEVICE
from hyperfs.daemon import key_files
from hyperfs.values import ROOT_INO
from hyperfs.volume.creating import create_store, new_secrets
from hyperfs.volume.inode import Inode
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume
from tests.bench.scale_corpus import SECOND_NS, Clock, NoSyncDisk
from tests.mount.daemon_main import RESERVE_BYTES

FOLDERS: Final = 20
FILES: Final = 20
"""In each folder."""
SECONDS_BETWEEN: Final = 20
GONE_EVERY: Final = 20
"""So often a file is made that is deleted soon."""
FEW: Final = 5
"""Versions of `quiet/few.txt`."""


class Past:
    """Makes the versions."""

    def __init__(self, volume: Volume, clock: Clock, seed: int) -> None:
        self._volume = volume
        self._clock = clock
        self._rng = random.Random(seed)
        self._quiet, self._busy = (self._folder(name, ROOT_INO) for name in (b"quiet", b"busy"))
        self._folders = [self._folder(b"folder-%02d" % number, ROOT_INO) for number in range(FOLDERS)]
        self._files = [self._file(b"file-%02d" % number, folder) for folder in self._folders for number in range(FILES)]
        self._few, self._many = self._file(b"few.txt", self._quiet), self._file(b"many.txt", self._busy)
        self._going: list[tuple[int, bytes]] = []

    def _folder(self, name: bytes, parent: int) -> int:
        return self._volume.names.make(parent, name, 0o40755, 0, 0).ino

    def _file(self, name: bytes, parent: int) -> Inode:
        return self._volume.names.make(parent, name, 0o100644, 0, 0)

    async def _write(self, inode: Inode, number: int) -> None:
        data = b"as of version %d\n" % number
        await self._volume.files.resize(self._volume.overlay.inode(inode.ino), 0)
        await self._volume.files.write(self._volume.overlay.inode(inode.ino), 0, data)

    async def make(self, count: int) -> None:
        for number in range(count):
            self._clock.now_ns += SECONDS_BETWEEN * SECOND_NS
            if number % -(-count // FEW) == 0:
                await self._write(self._few, number)
            elif number % 10 == 0:
                await self._write(self._many, number)
            elif number % GONE_EVERY == 1:
                folder, name = self._rng.choice(self._folders), b"gone-%06d.txt" % number
                await self._write(self._file(name, folder), number)
                self._going.append((folder, name))
            elif number % GONE_EVERY == 7 and self._going:
                gone = self._volume.names.unlink(*self._going.pop())
                self._volume.unlinked(gone)
                self._volume.forgotten(gone.ino)
            else:
                await self._write(self._rng.choice(self._files), number)
            await self._volume.commit(write_back=False)


def make(store: Path, count: int, seed: int = 1) -> DeviceKeys:
    """A new store, which `hyperfs mount` mounts. Its last version lies a minute back, and all are kept."""
    clock = Clock(time.time_ns() - (count * SECONDS_BETWEEN + 60) * SECOND_NS)
    options = Options(disk=NoSyncDisk, reserve_bytes=RESERVE_BYTES, wall_ns=clock)
    drive = new_secrets("many", "here")
    create_store(store, drive, key_files.wrapped(KIND_DEVICE, drive.device_keys.to_bytes(), None), options)

    async def fill() -> None:
        async with open_volume(store, drive.device_keys, options).running() as volume:
            volume.xattrs.set(volume.overlay.inode(ROOT_INO), b"user.hyperfs.keep", b"all")
            await Past(volume, clock, seed).make(count)

    trio.run(fill)
    return drive.device_keys


if __name__ == "__main__":
    make(Path(sys.argv[1]) / "store", int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
