"""A disk that fails one chosen operation, and from then on goes on failing or not."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from hyperfs.errors import SyncFailed
from hyperfs.store.files import Disk, DiskFile


@dataclass
class Plan:
    """Counts every write, sync and change of names or sizes of a store.

    The one numbered `fail_at` raises `error`, and `times` - 1 after it.

    `applied`: a failed write did its work all the same, as on a disk that answers too late; else it leaves its
    first half. Shared by all files of the disk; operations come from several threads, so `_lock` guards all.
    """

    fail_at: int | None = None
    error: int = 0
    times: int = 1
    applied: bool = False
    count: int = 0
    failed: list[str] = field(default_factory=list)
    unsynced: dict[str, list[tuple[int, bytes, int]]] = field(default_factory=dict)
    """By path, what each write since the last good sync replaced: offset, bytes, size of the file."""
    dropped: set[str] = field(default_factory=set)
    """Paths whose sync failed: of their unsynced writes the kernel shows what the disk does not have."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fails(self, what: str) -> bool:
        with self._lock:
            number, self.count = self.count, self.count + 1
            fails = self.fail_at is not None and self.fail_at <= number < self.fail_at + self.times
            if fails:
                self.failed.append(what)
            return fails

    def meet(self, what: str, path: str) -> None:
        """Raises when this operation is to fail; it then has done nothing."""
        if self.next_fails(what):
            raise OSError(self.error, os.strerror(self.error), path)

    def note_write(self, path: str, offset: int, before: bytes, size: int) -> None:
        with self._lock:
            self.unsynced.setdefault(path, []).append((offset, before, size))

    def note_sync(self, path: str) -> None:
        with self._lock:
            self.unsynced.pop(path, None)

    def note_dropped(self, path: str) -> None:
        with self._lock:
            self.dropped.add(path)

    def show_the_disk(self, path: str) -> None:
        """What the kernel held of a file whose sync failed is forgotten."""
        with self._lock:
            if path in self.dropped:
                self.dropped.remove(path)
                self._take_back(path, self.unsynced.pop(path, []))

    def cut_power(self) -> None:
        """Takes back every write that no good sync has covered. After the drive is closed."""
        for path, writes in self.unsynced.items():
            self._take_back(path, writes)
        self.unsynced.clear()

    @staticmethod
    def _take_back(path: str, writes: list[tuple[int, bytes, int]]) -> None:
        if not os.path.exists(path):
            return  # the temporary file of a replace that failed
        with open(path, "r+b") as file:
            for offset, before, size in reversed(writes):
                file.seek(offset)
                file.write(before)
                file.truncate(size)

    def disk(self, root: Path) -> Disk:
        """For Options.disk."""
        plan = self

        class File(DiskFile):
            def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
                self._check()
                plan.note_write(self.path, offset, self.pread(len(data), offset), self.size())
                if plan.next_fails(f"write of {len(data)} bytes at {offset} of {self.path}"):
                    part = data if plan.applied else memoryview(data)[: len(data) // 2]
                    os.pwrite(self._fd, part, offset)
                    raise OSError(plan.error, os.strerror(plan.error), self.path)
                super().pwrite(data, offset)

            def fdatasync(self) -> None:
                self._check()
                if plan.next_fails(f"sync of {self.path}"):
                    plan.note_dropped(self.path)
                    self._failure = SyncFailed(plan.error, f"sync failed: {os.strerror(plan.error)}", self.path)
                    raise self._failure
                super().fdatasync()
                plan.note_sync(self.path)

            def refresh(self) -> None:
                plan.show_the_disk(self.path)
                super().refresh()

            def truncate(self, size: int) -> None:
                self._check()
                before = self.size()
                plan.note_write(self.path, size, self.pread(max(0, before - size), size), before)
                plan.meet(f"truncate of {self.path} to {size}", self.path)
                super().truncate(size)

        class FaultyDisk(Disk):
            file_type = File

            def open(self, name: str, create: bool = False, writable: bool = True) -> DiskFile:
                if create and not self.exists(name):
                    plan.meet(f"making of {name}", name)
                return super().open(name, create, writable)

            def rename(self, old: str, new: str) -> None:
                plan.meet(f"rename of {old}", old)
                super().rename(old, new)

            def sync_folder(self, name: str = "") -> None:
                plan.meet(f"sync of folder {name}", name)
                super().sync_folder(name)

        return FaultyDisk(root)
