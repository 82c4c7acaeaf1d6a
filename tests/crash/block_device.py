"""A block device that is recorded, a filesystem on it, and what a power cut leaves of the device."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import readable

from .block_recorder import DISK, ENTRY, WRITE
from .states import SECTOR

RECORDER = Path(__file__).with_name("block_recorder.py")
END_SECONDS = 60
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-E", "nodiscard", "-m", "0"],
    "xfs": ["mkfs.xfs", "-q", "-K"],
    "btrfs": ["mkfs.btrfs", "-q", "-K"],
}


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=END_SECONDS, check=False)
    if done.returncode:
        raise AssertionError(f"{command}: {done.stderr.strip()}")
    return done.stdout.strip()


class BlockDevice:
    """A loop device whose writes and flushes go to the file `record`, with a filesystem mounted at `folder`."""

    def __init__(self, base: Path, kind: str, size: int) -> None:
        self.record = base / "record"
        self.folder = base / "disk"
        self._stack = ExitStack()
        try:
            self._start(base, kind, size)
        except BaseException:
            self.end()
            raise

    def _start(self, base: Path, kind: str, size: int) -> None:
        point = base / "recorder"
        point.mkdir()
        self.folder.mkdir()
        command = [sys.executable, str(RECORDER), str(point), str(size), str(self.record)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._stack.callback(process.wait, END_SECONDS)
        self._stack.callback(subprocess.run, ["umount", "-l", str(point)], check=False)
        assert process.stdout is not None
        self._stack.callback(process.stdout.close)
        readable([process.stdout], END_SECONDS)
        assert process.stdout.readline() == b"ready\n"
        device = run("losetup", "--find", "--show", point / os.fsdecode(DISK))
        self._stack.callback(run, "losetup", "--detach", device)
        run(*MAKE[kind], device)
        run("mount", "-t", kind, device, self.folder)
        self._stack.callback(run, "umount", self.folder)

    def now(self) -> int:
        """The place in the record of all that has happened up to now."""
        return self.record.stat().st_size

    def end(self) -> None:
        self._stack.close()


@dataclass
class Cut:
    """A moment: what was written before the last flush before it, and, not yet flushed, after that."""

    position: int
    flushed: list[tuple[int, bytes]]
    loose: list[tuple[int, bytes]]


def entries(record: Path) -> Iterator[tuple[int, int, int, bytes]]:
    """(place behind it in the record, kind, offset, data) of each."""
    position = 0
    with record.open("rb") as file:
        while len(head := file.read(ENTRY.size)) == ENTRY.size:
            kind, offset, size = ENTRY.unpack(head)
            data = file.read(size)
            position += ENTRY.size + size
            yield position, kind, offset, data


class Replay:
    """Goes along a record and lays out, as an image, what a power cut leaves."""

    def __init__(self, record: Path, size: int, folder: Path, kind: str) -> None:
        self._entries = entries(record)
        self._size = size
        self._kind = kind
        self._point = folder / "point"
        self._image = folder / "image"
        self._solid = folder / "solid"  # all that is surely on the disk
        self._point.mkdir()
        with self._solid.open("wb") as file:
            file.truncate(size)
        self._loose: list[tuple[int, bytes]] = []
        self.position = 0

    def moments(self) -> Iterator[bool]:
        """Stops at every flush: first right before it has been done (False), then right after (True)."""
        for position, kind, offset, data in self._entries:
            if kind == WRITE:
                self._loose.append((offset, data))
                self.position = position
                continue
            yield False
            write(self._solid, self._loose)
            self._loose = []
            self.position = position
            yield True

    def lay_out(self, rng: random.Random | None) -> None:
        """The image after a power cut now: without dice, of the unflushed nothing."""
        # A new file each time: a loop device that is slow to let go of the last one would show its old blocks.
        self._image.unlink(missing_ok=True)
        run("cp", "--sparse=always", self._solid, self._image)
        if rng is not None:
            write(self._image, list(torn(self._loose, rng)))

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """The image's filesystem, which recovers by its own journal first."""
        run("mount", "-t", self._kind, "-o", "loop", self._image, self._point)
        try:
            yield self._point
        finally:
            run("umount", self._point)


def write(path: Path, writes: list[tuple[int, bytes]]) -> None:
    with path.open("r+b") as file:
        for offset, data in writes:
            file.seek(offset)
            file.write(data)


def torn(writes: list[tuple[int, bytes]], rng: random.Random) -> Iterator[tuple[int, bytes]]:
    """Any of the writes, in any order; some of them only some sectors."""
    kept = [write for write in writes if rng.random() < rng.choice([0.2, 0.5, 0.9])]
    if rng.random() < 0.3:
        rng.shuffle(kept)
    for offset, data in kept:
        if rng.random() < 0.7:
            yield offset, data
            continue
        for start in range(0, len(data), SECTOR):
            if rng.random() < 0.5:
                yield offset + start, data[start : start + SECTOR]
