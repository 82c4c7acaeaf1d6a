"""A real volume in a temporary folder: real logs, journal and keys; no mount, and a clock that tests wind."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hyperfs.crypto.keys import DeviceKeys, EpochKeys, RootSeed
from hyperfs.store.files import Disk
from hyperfs.volume.check import Damage, verify
from hyperfs.volume.creating import NewDrive, create_store
from hyperfs.volume.inode import Inode
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.paths import find
from hyperfs.volume.volume import Volume

START_NS = 1_795_000_000_000_000_000
SECOND_NS = 1_000_000_000
DEVICE_KEYS = DeviceKeys(*(bytes([number]) * 32 for number in (1, 2, 3, 4)))
DRIVE = NewDrive(
    RootSeed(bytes([5]) * 32), DEVICE_KEYS, EpochKeys(1, bytes([6]) * 32, bytes([7]) * 32), "test", "here", 0, 0
)


@dataclass
class Clock:
    """Goes on by a nanosecond at every look, and by as much as a test says."""

    now_ns: int = START_NS

    def __call__(self) -> int:
        self.now_ns += 1
        return self.now_ns

    def forward(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND_NS)


@dataclass
class Store:
    """The folder of a drive, to be opened again and again."""

    path: Path
    clock: Clock = field(default_factory=Clock)
    disk: Callable[[Path], Disk] = Disk

    def options(self, read_only: bool = False, memory_index: bool = True) -> Options:
        return Options(
            read_only=read_only,
            memory_index=memory_index,
            reserve_bytes=1 << 20,
            disk=self.disk,
            wall_ns=self.clock,
        )

    def open(self, read_only: bool = False, memory_index: bool = True) -> Volume:
        """The volume without its background work: `kill` or `running` ends it."""
        return open_volume(self.path, DEVICE_KEYS, self.options(read_only, memory_index))

    @asynccontextmanager
    async def opened(self, memory_index: bool = True) -> AsyncIterator[Volume]:
        """The volume running; committed and closed at the end."""
        async with self.open(memory_index=memory_index).running() as volume:
            yield volume


def kill(volume: Volume) -> None:
    """What SIGKILL does: files are closed, and nothing else happens."""
    volume.parts.close()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its first version, made once and copied for each test."""
    path = tmp_path_factory.mktemp("drive") / "store"
    create_store(path, DRIVE, b"no key file is read here", Store(path).options())
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "store"
    shutil.copytree(empty_store, path)
    return Store(path)


# Shorthands for what a program does through the mount


def inode_of(volume: Volume, path: bytes) -> Inode:
    ino = find(volume.overlay.live, path)
    assert ino is not None, path
    return volume.overlay.inode(ino)


def make_folder(volume: Volume, path: bytes, mode: int = 0o755) -> Inode:
    parent, name = split(path)
    return volume.names.make(inode_of(volume, parent).ino, name, 0o040000 | mode, 0, 0)


async def write_file(volume: Volume, path: bytes, data: bytes, mode: int = 0o644) -> Inode:
    """Creates the file or writes it anew from the start."""
    parent, name = split(path)
    ino = find(volume.overlay.live, path)
    if ino is None:
        inode = volume.names.make(inode_of(volume, parent).ino, name, 0o100000 | mode, 0, 0)
    else:
        inode = volume.overlay.inode(ino)
        await volume.files.resize(inode, 0)
    await volume.files.write(inode, 0, data)
    return inode


def read_file(volume: Volume, path: bytes) -> bytes:
    inode = inode_of(volume, path)
    return volume.files.read(inode, 0, inode.size)


def rename(volume: Volume, old: bytes, new: bytes, flags: int = 0) -> None:
    (old_parent, old_name), (new_parent, new_name) = split(old), split(new)
    replaced = volume.names.rename(
        inode_of(volume, old_parent).ino, old_name, inode_of(volume, new_parent).ino, new_name, flags
    )
    if replaced is not None:
        volume.unlinked(replaced)


def unlink(volume: Volume, path: bytes) -> None:
    parent, name = split(path)
    volume.unlinked(volume.names.unlink(inode_of(volume, parent).ino, name))


def rmdir(volume: Volume, path: bytes) -> None:
    parent, name = split(path)
    volume.unlinked(volume.names.rmdir(inode_of(volume, parent).ino, name))


def split(path: bytes) -> tuple[bytes, bytes]:
    parent, _, name = path.rpartition(b"/")
    return parent, name


def damage(volume: Volume) -> list[Damage]:
    """What verify finds; these stores have no key file."""
    return [found for found in verify(volume.parts).damage if found.where != "file keys"]
