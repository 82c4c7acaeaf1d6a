"""A real filesystem on a recorded block device, a real mount on that, real programs: power cuts at every flush."""

import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from hyperfs.volume.check import verify
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.paths import find
from hyperfs.volume.volume import Volume
from tests import tally
from tests.mount.daemon_main import DEVICE_KEYS
from tests.mount.drive import Drive, why_no_mount
from tests.volume.conftest import read_file

from .block_device import MAKE, BlockDevice, Replay

LONG = os.environ.get("HYPERFS_ALL") == "1"
ROUNDS = int(os.environ.get("HYPERFS_BLOCK_ROUNDS", "40" if LONG else "2"))
STATES = int(os.environ.get("HYPERFS_BLOCK_STATES", "120" if LONG else "12"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
BYTES = 320 << 20
KINDS = ["ext4", "xfs", "btrfs"] if LONG else ["ext4"]
UNKNOWN = "unknown"

pytestmark = pytest.mark.timeout(7200 if LONG else 300)


class Programs:
    """What programs do on the mount, and from which place in the record on they may rely on what."""

    def __init__(self, point: Path, now: Callable[[], int], seed: str) -> None:
        self.point = point
        self.now = now
        self.rng = random.Random(seed)
        self.files: dict[str, list[tuple[int, str, bool]]] = {}
        """By name: (place, hash, whether it is promised from there on; else it may be there from there on)."""
        self.rows: list[tuple[int, int]] = [(0, 0)]
        self.commits: list[tuple[int, str]] = []
        self.snapshots: list[tuple[int, str, dict[str, str]]] = []
        self.database = sqlite3.connect(point / "rows.db", isolation_level=None)
        # Not full: that does not sync the removal of the journal, so a power cut may roll the last commit back.
        self.database.execute("pragma synchronous=extra")
        self.database.execute("create table t (n integer primary key, data blob)")
        git(point, "init", "-q", "repository")

    def round(self, number: int) -> None:
        steps = [self.save, self.save, self.append, self.insert, self.commit, self.snapshot]
        for step in self.rng.sample(steps, len(steps)):
            step(number)

    def note(self, name: str, data: bytes, promised: bool) -> None:
        self.files.setdefault(name, []).append((self.now(), digest(data), promised))

    def save(self, number: int) -> None:
        """As editors do: a new file, fsync, rename, fsync of the folder."""
        name = f"saved{self.rng.randrange(4)}"
        data = self.rng.randbytes(self.rng.choice([100, 5_000, 70_000, 300_000]))
        temporary = self.point / f"{name}.{number}.new"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.note(name, data, promised=False)
        os.rename(temporary, self.point / name)
        sync_folder(self.point)
        self.note(name, data, promised=True)

    def append(self, number: int) -> None:
        path = self.point / "log"
        before = path.read_bytes() if path.exists() else b""
        line = b"%d " % number + self.rng.randbytes(400) + b"\n"
        self.note("log", before + line, promised=False)
        with path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fdatasync(file.fileno())
        self.note("log", before + line, promised=True)

    def insert(self, number: int) -> None:
        with self.database:
            self.database.execute("begin")
            for _ in range(5):
                self.database.execute("insert into t (data) values (randomblob(2000))")
        self.rows.append((self.now(), self.rows[-1][1] + 5))

    def commit(self, number: int) -> None:
        repository = self.point / "repository"
        (repository / f"f{number % 5}").write_bytes(self.rng.randbytes(3000).hex().encode())
        git(repository, "add", ".")
        git(repository, "commit", "-q", "-m", f"{number}")
        sync_folder(repository)  # git renames the reference to its place and does not sync the folder
        self.commits.append((self.now(), git(repository, "rev-parse", "HEAD")))

    def snapshot(self, number: int) -> None:
        subprocess.run(["sync", "-f", str(self.point)], check=True, timeout=60)
        (self.point / ".versions" / f"kept{number}").mkdir()
        content = {
            path.name: digest(path.read_bytes()) for path in sorted(self.point.iterdir()) if path.name in self.files
        }
        self.snapshots.append((self.now(), f"kept{number}", content))


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def git(folder: Path, *command: str) -> str:
    settings = ["-c", "core.fsync=all", "-c", "core.fsyncMethod=fsync", "-c", "user.name=x", "-c", "user.email=x@y"]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    done = subprocess.run(
        ["git", *settings, *command], cwd=folder, env=environment, check=True, timeout=120, capture_output=True
    )
    return done.stdout.decode().strip()


def broken(programs: Programs, position: int, store: Path, scratch: Path) -> list[str]:
    """Opens the store as a mount does, with the index that is there; what is not as promised."""
    volume = open_volume(store, DEVICE_KEYS, Options())
    try:
        wrong = [f"warns: {volume.warnings}"] if volume.warnings else []
        wrong += [
            f"{name}: {what}"
            for name, notes in programs.files.items()
            if (what := file_wrong(volume, name, notes, position))
        ]
        wrong += snapshots_wrong(volume, programs, position)
        shutil.rmtree(scratch, ignore_errors=True)
        copy_out(volume, b"", scratch)
        wrong += rows_wrong(scratch, max(n for at, n in programs.rows if at <= position))
        wrong += commits_wrong(scratch / "repository", [c for at, c in programs.commits if at <= position])
        trio.run(volume.recover)
        return wrong + [f"verify: {d.what} ({d.where})" for d in verify(volume.parts).damage if d.where != "file keys"]
    finally:
        volume.parts.close()


def file_wrong(volume: Volume, name: str, notes: list[tuple[int, str, bool]], position: int) -> str:
    last = max((i for i, (at, _, promised) in enumerate(notes) if promised and at <= position), default=None)
    allowed = {found for _, found, _ in notes[last or 0 :]}
    ino = find(volume.overlay.live, name.encode())
    if ino is None:
        return "" if last is None else "was synced and is not there"
    if last is None:
        return ""  # nothing was promised yet, and a part of it may be there
    found = digest(read_file(volume, name.encode()))
    if name == "log" and found not in allowed:
        return "" if digest_of_beginning(volume, notes[last][1]) else "lost a line that was synced"
    return "" if found in allowed else "has what it should not have"


def digest_of_beginning(volume: Volume, wanted: str) -> bool:
    """Whether some whole lines from its start are what was promised; what comes behind them was not."""
    data = read_file(volume, b"log")
    return any(digest(data[:end]) == wanted for end in range(1, len(data) + 1) if data[end - 1 : end] == b"\n")


def snapshots_wrong(volume: Volume, programs: Programs, position: int) -> Iterator[str]:
    for at, name, content in programs.snapshots:
        if at > position:
            continue
        snapshot = volume.versions.snapshot(1, name.encode())
        if snapshot is None:
            yield f"snapshot {name} is gone"
            continue
        tree = volume.versions.tree(snapshot.version)
        for file, expected in content.items():
            ino = find(tree, file.encode())
            inode = tree.inode(ino) if ino is not None else None
            if inode is None:
                yield f"{file} is not in snapshot {name}"
                continue
            data = inode.inline
            if data is None:
                data = volume.content.read(tree.extents(inode.ino, 0, inode.size), 0, inode.size)
            if digest(data) != expected:
                yield f"{file} has changed in snapshot {name}"


def copy_out(volume: Volume, path: bytes, to: Path) -> None:
    """The live tree, as plain files."""
    to.mkdir()
    folder = find(volume.overlay.live, path)
    assert folder is not None
    for name, (ino, _) in volume.overlay.live.dentries(folder):
        below = path + b"/" + name if path else name
        inode = volume.overlay.inode(ino)
        if inode.is_directory:
            copy_out(volume, below, to / os.fsdecode(name))
        elif inode.is_file:
            (to / os.fsdecode(name)).write_bytes(volume.files.read(inode, 0, inode.size))


def rows_wrong(folder: Path, promised: int) -> Iterator[str]:
    if not promised:
        return
    database = sqlite3.connect(folder / "rows.db")
    try:
        (verdict,) = database.execute("pragma integrity_check").fetchone()
        (rows,) = database.execute("select count(*) from t").fetchone()
    finally:
        database.close()
    if verdict != "ok" or rows < promised or rows % 5:
        yield f"the database: {verdict}, {rows} rows of {promised} promised"


def commits_wrong(repository: Path, promised: list[str]) -> Iterator[str]:
    if not promised:
        return
    try:
        git(repository, "fsck", "--full", "--strict")
        known = git(repository, "log", "--format=%H").splitlines()
    except subprocess.CalledProcessError as error:
        yield f"the repository: {error.stderr.decode().strip()}"
        return
    if missing := [commit for commit in promised if commit not in known]:
        yield f"commits are gone: {missing}"


@pytest.mark.parametrize("kind", KINDS)
def test_programs_on_a_mount_get_what_fsync_promised_at_every_flush_of_the_device(kind: str, tmp_path: Path) -> None:
    if not LONG:
        pytest.skip("only in the long runs: packaging/test --all")
    for tool in ("losetup", MAKE[kind][0], "git"):
        if shutil.which(tool) is None:
            pytest.skip(f"NOT RUN: {tool} is not installed")
    if os.getuid() or why_no_mount() or not Path("/dev/loop-control").exists():
        pytest.skip(f"NOT RUN: power cuts of a block device need root and loop devices {why_no_mount()}")
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
    fast = memory / f"hyperfs-blocks-{os.getpid()}"
    fast.mkdir()
    try:
        programs, record = work_on(kind, fast)
        wrong, opened = cut_everywhere(programs, record, kind, fast)
    finally:
        shutil.rmtree(fast)
    tally.add(f"power cuts of a block device with {kind} opened", opened, seed=SEED)
    assert not wrong, "\n".join(wrong)


def work_on(kind: str, base: Path) -> tuple[Programs, Path]:
    """Records the device below a mount under the programs."""
    device = BlockDevice(base, kind, BYTES)
    try:
        drive = Drive(base)
        drive.store = device.folder / "store"
        try:
            drive.mount()
            programs = Programs(drive.point, device.now, f"{SEED}")
            for number in range(ROUNDS):
                programs.round(number)
            programs.database.close()
            drive.unmount()
        finally:
            drive.end()
    finally:
        device.end()
    return programs, device.record


def cut_everywhere(programs: Programs, record: Path, kind: str, base: Path) -> tuple[list[str], int]:
    """As many moments as are wanted, from the first promise on: before and after flushes, by turns."""
    folder = base / "cuts"
    folder.mkdir()
    first = programs.rows[1][0]
    replay = Replay(record, BYTES, folder, kind)
    flushes = sum(1 for after in Replay(record, BYTES, prepared(base / "count"), kind).moments() if after)
    rng = random.Random(f"{SEED}")
    share = STATES / (2 * flushes)
    wrong: list[str] = []
    opened = 0
    for after in replay.moments():
        if replay.position < first or rng.random() > share:
            continue
        replay.lay_out(None if after else rng)
        opened += 1
        with replay.mounted() as point:
            try:
                found = broken(programs, replay.position, point / "store", folder / "scratch")
            except Exception as error:  # noqa: BLE001  # whatever it is, the drive does not open
                found = [f"{type(error).__name__}: {error}"]
        wrong += [f"place {replay.position}, {'after' if after else 'before'} a flush: {what}" for what in found]
        if len(wrong) > 3:
            break
    return wrong, opened


def prepared(folder: Path) -> Path:
    folder.mkdir()
    return folder
