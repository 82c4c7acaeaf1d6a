"""A drive in this process for measurements of space: programs' ways of writing, and where the bytes go."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from hyperfs.crypto.seal import BlockHeader
from hyperfs.values import ROOT_INO
from hyperfs.volume.creating import create_store, new_secrets
from hyperfs.volume.inode import Inode
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume

RESERVE_BYTES: Final = 4096
WRITE_BYTES: Final = 128 << 10
KINDS: Final = {1: "chunks", 2: "packs", 3: "nodes", 4: "commits", 5: "void", 6: "deaths"}
NOT_COUNTED: Final = ("reserve",)


class Clock:
    """A millisecond passes between two looks, so that nothing here is a matter of the machine's speed."""

    def __init__(self) -> None:
        self.now_ns = 1_795_000_000_000_000_000

    def __call__(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns


class Drive:
    """Does to a volume what programs would do through a mount."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume

    def find(self, path: bytes) -> Inode | None:
        ino = ROOT_INO
        for name in filter(None, path.split(b"/")):
            found = self.volume.overlay.live.dentry(ino, name)
            if found is None:
                return None
            ino = found[0]
        return self.volume.overlay.inode(ino)

    def folder(self, path: bytes) -> int:
        """The folder's inode number; it is made, with those above it, where it is missing."""
        found = self.find(path)
        if found is None:
            parent, _, name = path.rpartition(b"/")
            found = self.volume.names.make(self.folder(parent), name, 0o40755, 0, 0)
        return found.ino

    async def write(self, inode: Inode, offset: int, data: bytes | memoryview) -> None:
        """As the kernel sends it."""
        self.volume.opened(inode, writing=True)
        for at in range(0, len(data), WRITE_BYTES):
            await self.volume.room_for_change()
            await self.volume.files.write(inode, offset + at, bytes(data[at : at + WRITE_BYTES]))
        self.volume.released(inode, writing=True)

    async def write_at(self, path: bytes, offset: int, data: bytes) -> None:
        inode = self.find(path)
        assert inode is not None, path
        await self.write(inode, offset, data)

    def used(self) -> int:
        """Bytes of all logs, their hash trees included."""
        return sum(log.byte_length + 80 * log.length for log in self.volume.parts.logs.values())

    async def save(self, path: bytes, data: bytes, mode: int = 0o644) -> None:
        """As rsync and editors do: a temporary file beside it, renamed over it."""
        parent_path, _, name = path.rpartition(b"/")
        parent = self.folder(parent_path)
        temporary = b"." + name[:240] + b".Ab3dE6"
        inode = self.volume.names.make(parent, temporary, 0o100000 | mode, 0, 0)
        await self.write(inode, 0, data)
        replaced = self.volume.names.rename(parent, temporary, parent, name)
        self.volume.renamed(inode, replaced)
        if replaced is not None:
            self.volume.forgotten(replaced.ino)

    def unlink(self, path: bytes) -> None:
        parent_path, _, name = path.rpartition(b"/")
        gone = self.volume.names.unlink(self.folder(parent_path), name)
        self.volume.unlinked(gone)
        self.volume.forgotten(gone.ino)


def run(path: Path, life: Callable[[Drive], Awaitable[None]]) -> None:
    """A drive in a new folder lives `life`; then it is committed and closed."""
    drive = new_secrets("space", "here")
    options = Options(memory_index=False, reserve_bytes=RESERVE_BYTES, wall_ns=Clock())
    create_store(path, drive, b"no key file is needed here", options)

    async def live() -> None:
        async with open_volume(path, drive.device_keys, options).running() as volume:
            await life(Drive(volume))

    trio.run(live)


def disk_bytes(path: Path) -> dict[str, int]:
    """What each part of the store takes on the disk, by `st_blocks`; without what is not counted."""
    found: dict[str, int] = {}
    for root, _, names in os.walk(path):
        for name in names:
            file = Path(root, name)
            part = str(file.relative_to(path))
            if part.split("/")[0] in NOT_COUNTED:
                continue
            short = part.split("/")[0] if part.startswith(("journal/", "index/")) else part
            found[short] = found.get(short, 0) + file.stat().st_blocks * 512
    return found


def block_bytes(volume: Volume) -> dict[str, tuple[int, int]]:
    """(number, sealed bytes) of blocks by kind."""
    found: dict[str, tuple[int, int]] = {}
    for log in volume.parts.logs.values():
        for index in range(log.length):
            block = log.get(index)
            header = BlockHeader.parse(block)
            kind = KINDS[header.kind] + ("+base" if header.base else "")
            number, size = found.get(kind, (0, 0))
            found[kind] = (number + 1, size + len(block))
    return found

