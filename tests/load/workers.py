"""What the soak's processes do: each works in a folder of its own and knows what must stand there.

    python -m tests.load.workers KIND FOLDER SEED SECONDS PACE

`PACE` bounds the bytes that one worker writes in a second, for everything written makes history. A worker keeps the
size of what it has: a soak looks for what grows without a reason. It ends with a line of JSON: how many operations,
and what was not as it should be.
"""

import hashlib
import json
import mmap
import os
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

WORDS = [hashlib.sha256(bytes([number])).hexdigest()[: 3 + number % 9].encode() for number in range(200)]
MOST_FAULTS = 20


class Worker:
    """One kind of load. `step` is one round of it; `check` looks at all that there is."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder = folder
        self.rng = rng
        self.operations = 0
        self.written = 0
        folder.mkdir(exist_ok=True)

    def step(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """Everything, once, at the end."""

    def text(self, most: int) -> bytes:
        """Bytes that compress as prose does; the worker is going to write them."""
        size = self.rng.randrange(1, most)
        data = b" ".join(self.rng.choices(WORDS, k=size // 4 + 1))[:size]
        self.written += len(data)
        return data

    def name(self, of: int) -> Path:
        return self.folder / f"n{self.rng.randrange(of)}"


class Files(Worker):
    """Create, overwrite, append, truncate, rename, link, unlink, attributes; small files and a few large ones."""

    MOST = 60

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.files: dict[Path, bytearray] = {}  # linked names share their bytes
        self.attributes: dict[int, bytes] = {}  # by the id of the bytes: of the file

    def step(self) -> None:
        path = self.name(self.MOST)
        if path not in self.files:
            return self._create(path)
        change, name = [self._overwrite, self._append, self._truncate], [self._rename, self._link, self._unlink]
        acts: list[Callable[[Path], None]] = [*change * 2, *name, self._set, *[self._see] * 2]
        self.rng.choice(acts)(path)

    def _create(self, path: Path) -> None:
        data = self.text(self.rng.choice([300, 5000, 60_000, 600_000]))
        with path.open("xb") as file:
            file.write(data)
            if self.rng.random() < 0.2:
                file.flush()
                os.fsync(file.fileno())
        self.files[path] = bytearray(data)

    def _overwrite(self, path: Path) -> None:
        data, held = self.text(30_000), self.files[path]
        offset = self.rng.randrange(len(held) + 20_000)
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(data)
        held.extend(bytes(max(0, offset - len(held))))
        held[offset : offset + len(data)] = data
        self._bound(path)

    def _append(self, path: Path) -> None:
        data = self.text(4000)
        with path.open("ab") as file:
            file.write(data)
        self.files[path] += data
        self._bound(path)

    def _bound(self, path: Path) -> None:
        if len(self.files[path]) > 1 << 20:
            os.truncate(path, 1000)
            del self.files[path][1000:]

    def _truncate(self, path: Path) -> None:
        held = self.files[path]
        size = self.rng.randrange(len(held) + 5000)
        os.truncate(path, size)
        held.extend(bytes(max(0, size - len(held))))
        del held[size:]

    def _rename(self, path: Path) -> None:
        target = self.name(self.MOST)
        os.rename(path, target)
        if self.files.get(target) is not self.files[path]:  # two names of one file both stay
            self.files[target] = self.files.pop(path)

    def _link(self, path: Path) -> None:
        target = self.name(self.MOST)
        if target not in self.files:
            os.link(path, target)
            self.files[target] = self.files[path]

    def _unlink(self, path: Path) -> None:
        path.unlink()
        del self.files[path]

    def _set(self, path: Path) -> None:
        value = self.text(2000)
        os.setxattr(path, "user.load", value)
        assert os.getxattr(path, "user.load") == value, f"attribute of {path}"
        os.chmod(path, self.rng.choice([0o600, 0o644, 0o640]))

    def _see(self, path: Path) -> None:
        assert path.read_bytes() == self.files[path], f"bytes of {path}"

    def check(self) -> None:
        assert {entry.path for entry in os.scandir(self.folder)} == set(map(str, self.files))
        for path in self.files:
            self._see(path)


class Trees(Worker):
    """Trees of folders made, listed, walked, moved and taken away."""

    def step(self) -> None:
        root = self.name(4)
        if root.exists():
            shutil.rmtree(root)
        made = self._make(root, 3)
        found = {os.path.join(folder, name) for folder, names, files in os.walk(root) for name in [*names, *files]}
        assert found == made, f"tree {root}"
        moved = root.with_name(f"{root.name}-moved")
        shutil.rmtree(moved, ignore_errors=True)
        root.rename(moved)
        assert sum(len(names) + len(files) for _, names, files in os.walk(moved)) == len(made), f"tree {moved}"
        self.operations += 2 * len(made)

    def _make(self, folder: Path, depth: int) -> set[str]:
        folder.mkdir()
        made = set()
        for number in range(self.rng.randrange(3, 10)):
            path = folder / f"file{number}"
            path.write_bytes(self.text(3000))
            made.add(str(path))
        os.symlink("file0", folder / "link")
        os.mkfifo(folder / "pipe")
        made |= {str(folder / "link"), str(folder / "pipe")}
        for number in range(self.rng.randrange(1, 4) if depth else 0):
            made.add(str(folder / f"dir{number}"))
            made |= self._make(folder / f"dir{number}", depth - 1)
        return made


class Mapped(Worker):
    """A file changed through shared memory, read back through a second descriptor."""

    SIZE = 1 << 20

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.path = folder / "mapped"
        self.held = bytearray(self.SIZE)
        self.path.write_bytes(self.held)

    def step(self) -> None:
        with self.path.open("r+b") as file, mmap.mmap(file.fileno(), self.SIZE) as memory:
            for _ in range(8):
                data = self.text(9000)
                offset = self.rng.randrange(self.SIZE - len(data))
                memory[offset : offset + len(data)] = data
                self.held[offset : offset + len(data)] = data
                self.operations += 1
            if self.rng.random() < 0.5:
                memory.flush()
        self.check()

    def check(self) -> None:
        assert self.path.read_bytes() == self.held, "the mapped file"


class Database(Worker):
    """SQLite: transactions that move between accounts, so that the sum tells of a lost one."""

    ACCOUNTS = 200

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.path = folder / "database"
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute(f"PRAGMA journal_mode = {rng.choice(['wal', 'delete'])}")
            database.execute("CREATE TABLE account (number INTEGER PRIMARY KEY, amount INTEGER, note TEXT)")
            database.executemany("INSERT INTO account VALUES (?, 100, '')", [(n,) for n in range(self.ACCOUNTS)])

    def step(self) -> None:
        with closing(sqlite3.connect(self.path, timeout=60)) as database:
            for _ in range(5):
                giver, taker = self.rng.sample(range(self.ACCOUNTS), 2)
                with database:
                    database.execute("UPDATE account SET amount = amount - 1 WHERE number = ?", (giver,))
                    note = self.text(400).decode()
                    database.execute("UPDATE account SET amount = amount + 1, note = ? WHERE number = ?", (note, taker))
                self.operations += 2
            assert database.execute("SELECT sum(amount) FROM account").fetchone() == (100 * self.ACCOUNTS,)

    def check(self) -> None:
        with closing(sqlite3.connect(self.path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class Objects(Worker):
    """Files named by their hash: written under another name, fsynced, renamed to their place, never changed."""

    MOST = 80

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.kept: list[str] = []

    def step(self) -> None:
        data = self.text(20_000)
        name = hashlib.sha256(data).hexdigest()
        (self.folder / name[:2]).mkdir(exist_ok=True)
        temporary = self.folder / "incoming"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._place(name))
        if name not in self.kept:
            self.kept.append(name)
        if len(self.kept) > self.MOST:
            self._place(self.kept.pop(self.rng.randrange(len(self.kept)))).unlink()
        self._see(self.rng.choice(self.kept))

    def _place(self, name: str) -> Path:
        return self.folder / name[:2] / name[2:]

    def _see(self, name: str) -> None:
        assert hashlib.sha256(self._place(name).read_bytes()).hexdigest() == name, f"object {name}"

    def check(self) -> None:
        for name in self.kept:
            self._see(name)


class Log(Worker):
    """A log that is appended to, synced now and then, and turned over."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.held = b""

    def step(self) -> None:
        path = self.folder / "log"
        with path.open("ab") as file:
            for _ in range(20):
                line = self.text(300)
                file.write(line)
                self.held += line
            if self.rng.random() < 0.3:
                file.flush()
                os.fsync(file.fileno())
        assert path.stat().st_size == len(self.held), "size of the log"
        if len(self.held) > 400_000:
            assert path.read_bytes() == self.held, "the log"
            path.rename(self.folder / "log.1")
            self.held = b""


class Sparse(Worker):
    """A file of a gigabyte with a few bytes in it, written here and there, cut and grown again."""

    SIZE = 1 << 30
    MOST = 100

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.path = folder / "sparse"
        self.pieces: dict[int, bytes] = {}
        self.path.touch()
        os.truncate(self.path, self.SIZE)

    def step(self) -> None:
        with self.path.open("r+b") as file:
            offset = self.rng.randrange(self.SIZE // 16384) * 16384
            data = self.text(16384)
            file.seek(offset)
            file.write(data.ljust(16384, b"\0"))
            self.pieces[offset] = data.ljust(16384, b"\0")
            where = self.rng.choice(list(self.pieces))
            file.seek(where)
            assert file.read(16384) == self.pieces[where], f"piece at {where}"
            if len(self.pieces) > self.MOST:
                half = self.SIZE // 2
                file.truncate(half)
                file.truncate(self.SIZE)
                self.pieces = {at: piece for at, piece in self.pieces.items() if at < half}


class PastReader(Worker):
    """Snapshots made, looked into after more changes, and forgotten; versions listed and opened."""

    def step(self) -> None:
        path, versions = self.folder / "changing", self.folder / ".versions"
        name = f"kept-{self.rng.randrange(10**9)}"
        before = self.text(20_000)
        with path.open("wb") as file:
            file.write(before)
            file.flush()
            os.fsync(file.fileno())
        (versions / name).mkdir()
        for _ in range(3):
            path.write_bytes(self.text(20_000))
            entries = [entry for entry in os.listdir(versions) if entry.startswith("20")]
            for entry in self.rng.sample(entries, min(3, len(entries))):
                self._look_into(versions, entry)
        assert (versions / name / "changing").read_bytes() == before, f"version {name}"
        (versions / name).rmdir()
        assert not (versions / name).exists(), f"snapshot {name} is still there"
        self.operations += 10

    def _look_into(self, versions: Path, entry: str) -> None:
        """Everything in it can be looked at, unless a prune lets it go meanwhile."""
        try:
            for found in os.scandir(versions / entry):
                found.stat()
        except FileNotFoundError:
            if entry in os.listdir(versions):
                raise


class Finder(Worker):
    """Walks the whole drive, looks at every file, asks for the free space: nothing of it may fail."""

    def step(self) -> None:
        for folder, _, names in os.walk(self.folder.parent):
            for name in names:
                self.operations += 1
                try:
                    os.lstat(os.path.join(folder, name))
                except FileNotFoundError:
                    continue  # its owner was quicker
        assert os.statvfs(self.folder).f_blocks > 0
        time.sleep(0.5)


KINDS: dict[str, type[Worker]] = {
    kind.__name__.lower(): kind
    for kind in (Files, Trees, Mapped, Database, Objects, Log, Sparse, PastReader, Finder)
}


def work(kind: str, folder: Path, seed: str, seconds: float, pace: float) -> tuple[int, list[str]]:
    """Steps until the time is over; how many operations, and what was wrong."""
    worker = KINDS[kind](folder, random.Random(seed))
    begun, faults = time.monotonic(), []
    while len(faults) < MOST_FAULTS and (spent := time.monotonic() - begun) < seconds:
        ahead = worker.written / pace - spent
        if ahead > 0:
            time.sleep(min(ahead, seconds - spent))
            continue
        worker.operations += 1
        try:
            worker.step()
        except (OSError, AssertionError, sqlite3.Error) as error:
            faults.append(f"{kind} after {worker.operations} operations: {type(error).__name__} {error}")
            break  # what the worker knows of its files is no longer sure
    else:
        try:
            worker.check()
        except (OSError, AssertionError, sqlite3.Error) as error:
            faults.append(f"{kind} at the end: {type(error).__name__} {error}")
    return worker.operations, faults


if __name__ == "__main__":
    done, wrong = work(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
    print(json.dumps({"operations": done, "faults": wrong}))
