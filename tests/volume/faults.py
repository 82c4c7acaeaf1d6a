"""A disk whose operations can be held up, counted and ended: what power cuts and threads do, at the chosen moment."""

import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from hyperfs.store.files import Disk, DiskFile
from hyperfs.volume.volume import Volume

from .conftest import Store, kill


class Killed(Exception):
    """The process is no more: nothing that it asks of the disk is done from now on."""


@dataclass
class Faults:
    """What is to happen to a store's disk. Shared by all its files; safe to change from any thread."""

    before: Callable[[str, str], None] = lambda operation, path: None
    """Called with (operation, path) before each operation that changes the disk; may block or raise."""
    kill_after: int | None = None
    """So many more operations, and then it is dead."""
    dead: bool = False
    log: list[tuple[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def meet(self, operation: str, path: str) -> None:
        with self._lock:
            if self.kill_after is not None:
                self.dead = self.dead or self.kill_after <= 0
                self.kill_after -= 1
            if self.dead:
                raise Killed(f"{operation} {path}")
            self.log.append((operation, path))
        self.before(operation, path)

    def disk(self, root: Path) -> Disk:
        """A disk at `root` that meets these faults; for Options.disk."""
        faults = self

        class File(DiskFile):
            def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
                faults.meet("pwrite", self.path)
                super().pwrite(data, offset)

            def fdatasync(self) -> None:
                faults.meet("fdatasync", self.path)
                super().fdatasync()

            def truncate(self, size: int) -> None:
                faults.meet("truncate", self.path)
                super().truncate(size)

            def punch(self, offset: int, length: int) -> None:
                faults.meet("punch", self.path)
                super().punch(offset, length)

        class FaultyDisk(Disk):
            file_type = File

        return FaultyDisk(root)


class Gate:
    """Holds up the first operation of a kind on a path that contains a text, until `open`."""

    def __init__(self, faults: Faults, operation: str, part: str) -> None:
        self.entered = threading.Event()
        self._opened = threading.Event()
        self._wanted = operation, part
        faults.before = self._meet

    def _meet(self, operation: str, path: str) -> None:
        if operation == self._wanted[0] and self._wanted[1] in path and not self.entered.is_set():
            self.entered.set()
            assert self._opened.wait(60), "nobody opened the gate"

    def open(self) -> None:
        self._opened.set()


async def killed_at_each(
    store: Store, work: Callable[[Volume], Awaitable[object]], step: int = 1
) -> AsyncIterator[Store]:
    """Copies of a store in which `work` was killed, at each `step`th of its operations on the disk; last, one in which
    it came to its end."""
    faults, number = Faults(), 0
    while not number or faults.dead:
        copy, faults = Store(store.path.parent / f"at {number}", store.clock), Faults()
        shutil.copytree(store.path, copy.path)
        copy.disk = faults.disk
        volume = copy.open()
        faults.kill_after = number
        try:
            await work(volume)
        except* Killed:
            pass
        kill(volume)
        copy.disk = Store.disk
        yield copy
        shutil.rmtree(copy.path)
        number += step
