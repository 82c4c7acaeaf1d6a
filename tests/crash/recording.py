"""A disk that writes down everything that is done to it, in order, with what was written: for `states`.

The folder below holds the real files, so that the program under test reads what it wrote. A write or a change of
names is noted when it begins (from then on a power cut may leave it, or a part of it); a sync when it has returned,
with all that it covers: what had ended before it began.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from hyperfs.store.files import Disk, DiskFile


@dataclass(eq=False)
class Write:
    """`data` at `offset` of the file with this number."""

    file: int
    offset: int
    data: bytes


@dataclass(eq=False)
class Resize:
    """ftruncate. `growing`: preallocation, which never takes away."""

    file: int
    size: int
    growing: bool = False


@dataclass(eq=False)
class Punch:
    """Bytes that become a hole."""

    file: int
    offset: int
    length: int


@dataclass(eq=False)
class Name:
    """A name was made (`file`), or taken away (`file` is None)."""

    name: str
    file: int | None


@dataclass(eq=False)
class Rename:
    """In one step: `new` holds the file, `old` is no more."""

    old: str
    new: str
    file: int


@dataclass(eq=False)
class Synced:
    """A sync of a file or of a folder's names has returned: these steps are on the disk."""

    covers: frozenset[int]


@dataclass(eq=False)
class Mark:
    """A word of the workload: from here on a crash may leave what `says` says. See `promises`."""

    says: object


FileStep = Write | Resize | Punch
NameStep = Name | Rename
Step = FileStep | NameStep | Synced | Mark


@dataclass
class Recording:
    """Everything that was done, since the files of the beginning. `_lock`: operations come from several threads."""

    steps: list[Step] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    """The file's number of each name, now."""
    _ended: dict[int | str, list[int]] = field(default_factory=dict)
    """By a file's number or a folder's name: steps that have ended and that no sync has covered."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._next = max(self.names.values(), default=-1) + 1  # a file's number is never used twice

    def begins(self, step: Step) -> int:
        with self._lock:
            self.steps.append(step)
            return len(self.steps) - 1

    def mark(self, says: object) -> None:
        self.begins(Mark(says))

    def ended(self, step: int, what: int | str) -> None:
        with self._lock:
            self._ended.setdefault(what, []).append(step)

    def covered(self, what: int | str) -> frozenset[int]:
        """What a sync of this file or folder covers that begins now."""
        with self._lock:
            return frozenset(self._ended.get(what, ()))

    def synced(self, what: int | str, covers: frozenset[int]) -> None:
        with self._lock:
            self._ended[what] = [step for step in self._ended.get(what, ()) if step not in covers]
            self.steps.append(Synced(covers))

    def number_of(self, name: str) -> int:
        """The file that a name holds; a new one, with a step that makes it, where it is not known."""
        with self._lock:
            if name in self.names:
                return self.names[name]
            self.names[name] = self._next
            self._next += 1
            return self.names[name]

    def moved(self, old: str, new: str) -> int:
        with self._lock:
            self.names[new] = self.names.pop(old)
            return self.names[new]

    def removed(self, name: str) -> None:
        with self._lock:
            del self.names[name]

    def disk(self, root: Path) -> Disk:
        """For Options.disk."""
        return RecordingDisk(root, self)


class RecordingFile(DiskFile):
    """Set by RecordingDisk.open."""

    recording: Recording
    number: int

    def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        step = self.recording.begins(Write(self.number, offset, bytes(data)))
        super().pwrite(data, offset)
        self.recording.ended(step, self.number)

    def truncate(self, size: int) -> None:
        step = self.recording.begins(Resize(self.number, size))
        super().truncate(size)
        self.recording.ended(step, self.number)

    def preallocate(self, size: int) -> None:
        step = self.recording.begins(Resize(self.number, size, growing=True))
        super().preallocate(size)
        self.recording.ended(step, self.number)

    def punch(self, offset: int, length: int) -> None:
        step = self.recording.begins(Punch(self.number, offset, length))
        super().punch(offset, length)
        self.recording.ended(step, self.number)

    def fdatasync(self) -> None:
        covers = self.recording.covered(self.number)
        super().fdatasync()
        self.recording.synced(self.number, covers)


class RecordingDisk(Disk):
    file_type = RecordingFile

    def __init__(self, root: Path, recording: Recording) -> None:
        super().__init__(root)
        self._recording = recording

    def open(self, name: str, create: bool = False, writable: bool = True) -> DiskFile:
        new = not self.exists(name)
        file = super().open(name, create, writable)
        assert isinstance(file, RecordingFile)
        file.recording, file.number = self._recording, self._recording.number_of(name)
        if new:
            self._recording.ended(self._recording.begins(Name(name, file.number)), folder_of(name))
        return file

    def remove(self, name: str) -> None:
        step = self._recording.begins(Name(name, None))
        super().remove(name)
        self._recording.removed(name)
        self._recording.ended(step, folder_of(name))

    def rename(self, old: str, new: str) -> None:
        step = self._recording.begins(Rename(old, new, self._recording.moved(old, new)))
        super().rename(old, new)
        self._recording.ended(step, folder_of(new))

    def sync_folder(self, name: str = "") -> None:
        covers = self._recording.covered(name)
        super().sync_folder(name)
        self._recording.synced(name, covers)


def folder_of(name: str) -> str:
    """The folder of a name; the store never moves a file from one to another."""
    return name.rpartition("/")[0]
