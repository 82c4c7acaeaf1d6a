"""Long random histories of a few files, through several descriptors and mappings, beside byte strings in memory.

After the idea of fsx: every read is compared, and so are the whole files, now and then, after every remount and kill.
"""

import contextlib
import mmap
import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.mount.drive import Drive

EDGES = [0, 512, 4096, 8192, 65_536, 131_072, 262_144, 1 << 20, 2 << 20]
"""Where something changes: inline bytes, pages, large records, smallest and largest chunks."""
POOL_BYTES = 4 << 20
STATES_KEPT = 60
PAGE = 4096


@dataclass
class File:
    """A file as it must be. `states` are what it was since its last fsync, that first; None once they are too many."""

    path: Path
    data: bytearray = field(default_factory=bytearray)
    descriptors: list[int] = field(default_factory=list)
    states: list[bytes] | None = field(default_factory=lambda: [b""])

    def changed(self) -> None:
        if self.states is not None:
            self.states.append(bytes(self.data))
            if len(self.states) > STATES_KEPT:
                self.states = None

    def synced(self) -> None:
        self.states = [bytes(self.data)]


class History:
    """One run. `step` does one random operation; all is decided by the seed."""

    def __init__(self, drive: Drive, folder: str, seed: int, files: int, most_bytes: int) -> None:
        self.rng = random.Random(seed)
        self.drive = drive
        self.most_bytes = most_bytes
        self.pool = random.Random(seed).randbytes(POOL_BYTES)
        self.folder = drive.point / folder
        self.folder.mkdir()
        self.files = [File(self.folder / f"file-{number}") for number in range(files)]
        self.last: deque[str] = deque(maxlen=40)
        self.done = self.compared_bytes = self.remounts = self.kills = 0
        for file in self.files:
            self.open(file)
        self.choices: list[tuple[Callable[[File], None], int]] = [
            (self.read, 25), (self.write, 25), (self.append, 5), (self.truncate, 8), (self.map_and_read, 8),
            (self.map_and_write, 10), (self.zero, 4), (self.copy, 6), (self.sync, 3), (self.open, 4),
            (self.close, 4), (self.drop_cache, 1), (self.check, 1), (self.replace, 1),
        ]  # fmt: skip

    def step(self) -> None:
        calls, weights = zip(*self.choices, strict=True)
        (call,) = self.rng.choices(calls, weights)
        call(self.rng.choice(self.files))
        self.done += 1

    # Picking

    def somewhere(self, most: int) -> int:
        """An offset up to `most`, often beside an edge."""
        if self.rng.random() < 0.5:
            edge = self.rng.choice([*EDGES, most])
            return max(0, min(most, edge + self.rng.choice([-1, 0, 0, 1])))
        return self.rng.randrange(most + 1)

    def length(self) -> int:
        kind = self.rng.random()
        if kind < 0.7:
            return self.rng.randrange(1, 20_000)
        return self.rng.choice([1, 511, 512, 4096, 65_536, 131_072, self.rng.randrange(1, 400_000)])

    def bytes_of(self, size: int) -> bytes:
        if self.rng.random() < 0.1:
            return bytes([self.rng.randrange(256)]) * size
        start = self.rng.randrange(POOL_BYTES - size)
        return self.pool[start : start + size]

    def fd(self, file: File) -> int:
        return self.rng.choice(file.descriptors)

    def note(self, what: str, file: File, *numbers: int) -> None:
        self.last.append(f"{self.done}: {what} {file.path.name} {' '.join(map(str, numbers))}")

    # Bytes

    def put(self, file: File, offset: int, data: bytes) -> None:
        if offset > len(file.data):
            file.data += bytes(offset - len(file.data))
        file.data[offset : offset + len(data)] = data
        file.changed()

    def compare(self, file: File, offset: int, got: bytes, size: int) -> None:
        self.compared_bytes += len(got)
        wanted = memoryview(file.data)[offset : offset + size]
        if got != wanted:
            both = enumerate(zip(got, wanted, strict=False))
            at = next((number for number, (one, other) in both if one != other), min(len(got), len(wanted)))
            raise AssertionError(
                f"{file.path.name}: {len(got)} bytes read from {offset}, {len(wanted)} expected, different from "
                f"{offset + at}: {got[at : at + 16]!r} in the place of {bytes(wanted[at : at + 16])!r}"
            )

    def read(self, file: File) -> None:
        offset, size = self.somewhere(len(file.data)), self.length()
        self.note("read", file, offset, size)
        self.compare(file, offset, os.pread(self.fd(file), size, offset), size)

    def write(self, file: File) -> None:
        size, hole = self.length(), 200_000 if self.rng.random() < 0.2 else 0
        offset = self.somewhere(min(self.most_bytes - size, len(file.data) + hole))
        data = self.bytes_of(size)
        self.note("write", file, offset, size)
        assert os.pwrite(self.fd(file), data, offset) == size
        self.put(file, offset, data)

    def append(self, file: File) -> None:
        data = self.bytes_of(self.length())
        if len(file.data) + len(data) > self.most_bytes:
            return
        self.note("append", file, len(file.data), len(data))
        fd = os.open(file.path, os.O_WRONLY | os.O_APPEND)
        assert os.write(fd, data) == len(data)
        os.close(fd)
        self.put(file, len(file.data), data)

    def truncate(self, file: File) -> None:
        size = self.somewhere(self.most_bytes if self.rng.random() < 0.3 else len(file.data))
        self.note("truncate", file, size)
        if self.rng.random() < 0.5:
            os.truncate(file.path, size)
        else:
            os.ftruncate(self.fd(file), size)
        del file.data[size:]
        file.data += bytes(size - len(file.data))
        file.changed()

    def zero(self, file: File) -> None:
        """A hole can't be punched, so zeros are written, or the end is cut off and made again as a hole."""
        offset, size = self.somewhere(len(file.data)), self.length()
        size = min(size, len(file.data) - offset)
        self.note("zero", file, offset, size)
        if self.rng.random() < 0.5:
            os.pwrite(self.fd(file), bytes(size), offset)
            self.put(file, offset, bytes(size))
        else:
            whole = len(file.data)
            os.ftruncate(self.fd(file), offset)
            file.data[offset:] = b""
            file.changed()
            os.ftruncate(self.fd(file), whole)
            file.data += bytes(whole - offset)
            file.changed()

    def copy(self, file: File) -> None:
        other = self.rng.choice(self.files)
        offset, to, size = self.somewhere(len(file.data)), self.somewhere(len(other.data)), self.length()
        size = min(size, len(file.data) - offset, self.most_bytes - to)
        if size <= 0 or (other is file and abs(offset - to) < size):
            return
        self.note(f"copy to {other.path.name} from", file, offset, to, size)
        done = 0
        while done < size:
            done += os.copy_file_range(self.fd(file), self.fd(other), size - done, offset + done, to + done)
        self.put(other, to, bytes(file.data[offset : offset + size]))

    # Mappings

    def map_and_read(self, file: File) -> None:
        if not file.data:
            return
        offset, size = self.somewhere(len(file.data)), self.length()
        self.note("mapped read", file, offset, size)
        with mmap.mmap(self.fd(file), len(file.data), prot=mmap.PROT_READ) as mapped:
            self.compare(file, offset, mapped[offset : offset + size], size)

    def map_and_write(self, file: File) -> None:
        """Goes beyond the end after making the file longer, as fsx does."""
        offset, size = self.somewhere(len(file.data)), self.length()
        size = min(size, self.most_bytes - offset)
        if size <= 0:
            return
        self.note("mapped write", file, offset, size)
        fd, data = self.fd(file), self.bytes_of(size)
        if offset + size > len(file.data):
            os.ftruncate(fd, offset + size)
            file.data += bytes(offset + size - len(file.data))
            file.changed()
        with mmap.mmap(fd, len(file.data)) as mapped:
            mapped[offset : offset + size] = data
            if self.rng.random() < 0.3:
                mapped.flush()
        self.put(file, offset, data)

    # Descriptors, and what the kernel knows

    def open(self, file: File) -> None:
        if len(file.descriptors) < 4:
            file.descriptors.append(os.open(file.path, os.O_RDWR | os.O_CREAT))

    def close(self, file: File) -> None:
        if len(file.descriptors) > 1:
            os.close(file.descriptors.pop(self.rng.randrange(len(file.descriptors))))

    def sync(self, file: File) -> None:
        self.note("sync", file)
        (os.fsync if self.rng.random() < 0.5 else os.fdatasync)(self.fd(file))
        file.synced()

    def drop_cache(self, file: File) -> None:
        self.note("drop cache", file)
        self.sync(file)
        os.posix_fadvise(self.fd(file), 0, 0, os.POSIX_FADV_DONTNEED)

    def replace(self, file: File) -> None:
        """Begins anew, by a file that is renamed over the old one, which stays open to be compared a last time."""
        self.note("replace", file)
        old, begin = list(file.descriptors), self.bytes_of(self.length())
        new = self.folder / "new"
        new.write_bytes(begin)
        new.rename(file.path)
        for fd in old:
            self.compare(file, 0, os.pread(fd, self.most_bytes + 1, 0), self.most_bytes + 1)
            os.close(fd)
        states = None if file.states is None else [*file.states, b"", begin]
        file.data, file.descriptors, file.states = bytearray(begin), [], states
        self.open(file)

    def check(self, file: File) -> None:
        self.note("check", file)
        fd = self.fd(file)
        assert os.fstat(fd).st_size == len(file.data)
        self.compare(file, 0, os.pread(fd, self.most_bytes + 1, 0), self.most_bytes + 1)

    # Ends

    def mount_again(self) -> None:
        self.last.append(f"{self.done}: remount")
        self.close_all()
        self.drive.remount()
        self.remounts += 1
        for file in self.files:
            file.synced()
            self.open(file)
            self.check(file)

    def kill(self) -> None:
        """Some files are synced before; the others hold bytes that they had at those places since their last sync."""
        self.last.append(f"{self.done}: kill")
        for file in self.files:
            if self.rng.random() < 0.5 or file.states is None:
                self.sync(file)
        self.drive.kill()
        self.close_all()
        self.drive.mount()
        self.kills += 1
        for file in self.files:
            self.open(file)
            found = os.pread(self.fd(file), self.most_bytes + 1, 0)
            assert file.states is not None
            wrong = why_not(found, file.states)
            assert not wrong, f"{file.path.name} after a kill: {wrong}"
            file.data = bytearray(found)
            file.synced()

    def close_all(self) -> None:
        for file in self.files:
            for fd in file.descriptors:
                close_whatever_comes(fd)
            file.descriptors = []


def close_whatever_comes(fd: int) -> None:
    """A close may tell that the drive was killed."""
    with contextlib.suppress(OSError):
        os.close(fd)


def why_not(found: bytes, states: list[bytes]) -> str:
    """What of `found` was at its place in no state; empty where all was. Holes may show as zeros."""
    if found in states:
        return ""
    if len(states) == 1:
        return f"{len(found)} bytes, not the {len(states[0])} that were synced"
    if not min(map(len, states)) <= len(found) <= max(map(len, states)):
        return f"{len(found)} bytes, it had {[len(state) for state in states]}"
    for start in range(0, len(found), PAGE):
        page = found[start : start + PAGE]
        pages = [state[start : start + PAGE].ljust(len(page), b"\0")[: len(page)] for state in states]
        if page in pages:
            continue
        for at, byte in enumerate(page):
            if byte and all(other[at] != byte for other in pages):
                return f"byte {start + at} is {byte}, which it never was since the last sync"
    return ""

