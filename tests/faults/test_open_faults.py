"""A disk that fails, is full or read-only, and a second opener: what was promised is there afterwards.

HYPERFS_DISK_FAULTS says at how many of the operations of a short history the disk fails, "all" for each of them.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import trio
from faulty_disk import Plan
from sample_drive import Drive, Sample, put, ticking
from trio.testing import MockClock

from hyperfs.errors import Corrupt, HyperfsError, NoSpace, NotFound, ReadOnlyDrive, StoreLocked
from hyperfs.store import journal
from hyperfs.trie.node import Branch, Leaf, Ref
from hyperfs.volume.check import verify
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume
from tests import tally

FAULTS: Final = os.environ.get("HYPERFS_DISK_FAULTS", "all" if os.environ.get("HYPERFS_ALL") == "1" else "12")
NAMES: Final = (b"a", b"b", b"c", b"d")

State = dict[bytes, bytes]
"""The files of the root folder."""


@dataclass
class Promises:
    """What a program may rely on: states after each step, and through which one each file and all names are safe."""

    states: list[State] = field(default_factory=lambda: [{}])
    content: dict[bytes, int] = field(default_factory=dict)
    names: int = 0

    def synced(self, *files: bytes) -> None:
        now = len(self.states) - 1
        self.names = now
        for name in files:
            self.content[name] = now

    def broken_by(self, found: State) -> list[str]:
        return [what for name in NAMES if (what := self._broken(name, found.get(name)))]

    def _broken(self, name: bytes, found: bytes | None) -> str | None:
        if (found is not None) not in {name in state for state in self.states[self.names :]}:
            return f"{name!r} {'is there' if found is not None else 'is gone'}"
        since = self.content.get(name, 0)
        allowed = [state.get(name) for state in self.states[since:]]
        if found in allowed or found is None:
            return None
        # Bytes that were never synced may be there in part, after those that were.
        safe = self.states[since].get(name)
        loose = any(state is not None and state.startswith(found) for state in allowed[1:] if since or not safe)
        if loose and (safe is None or found.startswith(safe)):
            return None
        return f"{name!r} has {len(found)} bytes that it never had: {found[:20]!r}"


async def history(volume: Volume, promises: Promises) -> list[Exception]:
    """A short life with every kind of sync. A step that fails is told, and the next ones are tried all the same."""
    names, files = volume.names, volume.files
    errors: list[Exception] = []
    state: State = {}

    async def step(change: Callable[[], Awaitable[None]], sync: Callable[[], Awaitable[object]], *safe: bytes) -> None:
        try:
            await change()
        except (OSError, HyperfsError) as error:
            errors.append(error)
        promises.states.append(dict(state))
        try:
            await sync()
        except (OSError, HyperfsError) as error:
            errors.append(error)
        else:
            promises.synced(*safe)

    def fsync(name: bytes) -> Callable[[], Awaitable[object]]:
        async def work() -> None:
            await volume.fsync(names.lookup(1, name))

        return work

    async def create(name: bytes, data: bytes) -> None:
        volume.check_writable()
        await put(volume, volume.overlay.inode(1), name, data)
        state[name] = data

    async def edit(name: bytes, offset: int, data: bytes) -> None:
        volume.check_writable()
        await files.write(names.lookup(1, name), offset, data)
        old = state[name].ljust(offset, b"\0")
        state[name] = old[:offset] + data + old[offset + len(data) :]

    async def rename(name: bytes, new: bytes) -> None:
        volume.check_writable()
        names.rename(1, name, 1, new)
        state[new] = state.pop(name)
        if name in promises.content:
            promises.content[new] = len(promises.states)

    async def unlink(name: bytes) -> None:
        volume.check_writable()
        names.unlink(1, name)
        state.pop(name)

    async def snapshot() -> object:
        return await volume.make_snapshot(1, b"kept")

    noise = os.urandom(200_000)
    await step(lambda: create(b"a", b"first " * 500), fsync(b"a"), b"a")
    await step(lambda: create(b"b", noise), fsync(b"b"), b"b")
    await step(lambda: edit(b"a", 3000, b"more"), volume.commit, *NAMES)
    await step(lambda: edit(b"a", 100, b"x" * 50), fsync(b"a"), b"a")
    await step(lambda: rename(b"b", b"c"), fsync(b"a"), b"a")
    await step(lambda: edit(b"c", 200_000, noise[:100_000]), fsync(b"c"), b"c")
    await step(lambda: create(b"d", b"tiny"), volume.commit, *NAMES)
    await step(lambda: unlink(b"d"), snapshot, *NAMES)
    await step(lambda: edit(b"a", 0, b"last"), volume.commit, *NAMES)
    return errors


async def live_with(drive: Drive, promises: Promises) -> list[Exception]:
    """Opens, lives, closes, as a mount and its end do. Every error is an error of ours or of the system."""
    errors: list[Exception] = []
    try:
        volume = drive.open()
        async with volume.running():
            errors += await history(volume, promises)
    except* (OSError, HyperfsError) as group:
        errors += list(flat(group))
    return errors


def flat(group: BaseException) -> Iterator[Exception]:
    if isinstance(group, BaseExceptionGroup):
        for error in group.exceptions:
            yield from flat(error)
    elif isinstance(group, Exception):
        yield group


async def state_of(drive: Drive) -> State:
    volume = drive.open()
    async with volume.running():
        found: State = {}
        for name, (ino, _) in volume.overlay.live.dentries(1):
            inode = volume.overlay.inode(ino)
            found[name] = volume.files.read(inode, 0, inode.size)
        return found


@pytest.fixture(scope="session")
def empty_store(fast_folder: Path) -> Path:
    drive = Drive(fast_folder / "empty")
    drive.create()
    (drive.path / "reserve").unlink()
    return drive.path


def fresh(empty_store: Path, folder: Path, plan: Plan) -> Drive:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(empty_store, folder)
    return Drive(folder, Options(memory_index=True, disk=plan.disk, wall_ns=ticking()))


def chosen(count: int) -> list[int]:
    wanted = count if FAULTS == "all" else min(count, int(FAULTS))
    return sorted({number * count // wanted for number in range(wanted)})


def test_without_a_fault_the_history_has_no_error(empty_store: Path, fast_folder: Path) -> None:
    promises = Promises()
    drive = fresh(empty_store, fast_folder / "faulty", Plan())
    assert trio.run(live_with, drive, promises) == []
    assert trio.run(state_of, drive) == promises.states[-1]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("end", ["kill", "power cut"])
@pytest.mark.parametrize("times", [1, 10**6])
@pytest.mark.parametrize(("error", "applied"), [(errno.EIO, False), (errno.EIO, True), (errno.ENOSPC, False)])
def test_a_failed_write_or_sync_breaks_no_promise(
    empty_store: Path,
    fast_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    applied: bool,
    times: int,
    end: str,
) -> None:
    """With short segments the journal makes more of them, and changes go over several."""
    if end == "power cut":
        monkeypatch.setattr(journal, "SEGMENT_BYTES", 1000)
    folder = fast_folder / "faulty"
    counting = Plan()
    trio.run(live_with, fresh(empty_store, folder, counting), Promises())
    broken = []
    numbers = chosen(counting.count)
    tally.add("disk operations that failed", len(numbers))
    for fail_at in numbers:
        plan = Plan(fail_at, error, times, applied)
        promises = Promises()
        trio.run(live_with, fresh(empty_store, folder, plan), promises)
        if end == "power cut":
            plan.cut_power()
        broken += [f"{fail_at} {plan.failed[:1]}: {what}" for what in judge(Drive(folder), promises)]
    assert not broken, f"{len(broken)} broken promises:\n" + "\n".join(broken[:12])


def judge(drive: Drive, promises: Promises) -> list[str]:
    """What is not as promised when the disk is well again."""
    try:
        found = trio.run(state_of, drive)
        volume = drive.open(read_only=True)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the drive does not open
        return [f"does not open: {[f'{type(e).__name__}: {e}' for e in flat(error)]}"]
    damage = verify(volume.parts).damage
    volume.parts.close()
    return promises.broken_by(found) + [f"verify: {d.what} ({d.where})" for d in damage]


# Two openers


def test_a_second_opener_is_refused_with_the_first_ones_pid(sample: Sample, fast_folder: Path) -> None:
    drive = sample.lay_out(fast_folder / "two")
    first = drive.open()
    try:
        for read_only in (False, True):
            with pytest.raises(StoreLocked, match=str(os.getpid())):
                drive.open(read_only=read_only)
    finally:
        first.parts.close()
        drive.open().parts.close()
        shutil.rmtree(drive.path)


# Real filesystems, mounted for one test. Only root may mount.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 of 64 MiB in a file. Unmounted by its own path afterwards."""
    if os.getuid() != 0:
        pytest.skip("only root may mount a filesystem")
    if not shutil.which("mkfs.ext4"):
        pytest.skip("mkfs.ext4 is not installed")
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-o", "loop", str(image), str(folder)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a loop device can't be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_store_on_a_read_only_disk_is_read_and_says_so_when_written(sample: Sample, small_disk: Path) -> None:
    drive = sample.lay_out(small_disk / "store")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OSError, match="Read-only") as caught:
        drive.open()
    assert caught.value.errno == errno.EROFS
    before = {path: path.stat().st_mtime_ns for path in drive.path.rglob("*")}

    async def look() -> None:
        volume = drive.open(read_only=True)
        async with volume.running():
            letter = volume.names.find(b"docs/letter", 1)
            assert volume.files.read(letter, 0, 9) == b"Dear all,"
            assert verify(volume.parts).damage == []
            with pytest.raises(ReadOnlyDrive):
                volume.check_writable()

    trio.run(look)
    assert {path: path.stat().st_mtime_ns for path in drive.path.rglob("*")} == before


def test_a_full_disk_is_told_to_the_writer_loses_nothing_and_can_be_freed(small_disk: Path) -> None:
    drive = Drive(small_disk / "store", Options(wall_ns=ticking()))
    drive.create()

    async def fill_up() -> int:
        volume = drive.open()
        async with volume.running():
            root = volume.overlay.inode(1)
            safe = await put(volume, root, b"safe", b"kept " * 2000)
            await volume.fsync(safe)
            written = await write_until_full(volume)
            assert written > 5
            # The writer was told while there was room for what had been taken from it.
            assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize > 8 << 20
            # Something else takes what is left beside the reserve.
            take_all(small_disk / "other")
            volume.names.unlink(1, b"0")
            await volume.commit()
            assert volume.files.read(safe, 0, 10) == b"kept kept "
            return written

    with open(small_disk / "ballast", "wb") as ballast:
        ballast.write(bytes(12 << 20))
    written = trio.run(fill_up)

    async def go_on() -> None:
        volume = drive.open()
        async with volume.running():
            for number in range(1, written):
                assert volume.names.lookup(1, b"%d" % number).size == 400_000
            with pytest.raises(NotFound):
                volume.names.lookup(1, b"0")
            assert volume.files.read(volume.names.lookup(1, b"safe"), 0, 1 << 20) == b"kept " * 2000
            os.unlink(small_disk / "other")
            os.unlink(small_disk / "ballast")
            again = await put(volume, volume.overlay.inode(1), b"again", os.urandom(1000))
            await volume.fsync(again)
            await volume.commit()
            assert verify(volume.parts).damage == []

    trio.run(go_on)


async def write_until_full(volume: Volume) -> int:
    """How many files of 400 kB were written and fsynced before a write was refused."""
    for number in range(1000):
        try:
            inode = await put(volume, volume.overlay.inode(1), b"%d" % number, os.urandom(400_000))
        except NoSpace:
            volume.names.unlink(1, b"%d" % number)
            return number
        await volume.fsync(inode)
    raise AssertionError("the disk does not fill")


def take_all(path: Path) -> None:
    size = 1 << 20
    with open(path, "wb", buffering=0) as file:
        while size >= 1 << 12:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


# Damage that is met by a commit


def last_leaf(volume: Volume) -> Ref:
    """The leaf with the newest inodes: a new file's record goes there, and nothing reads it before."""
    ref = volume.committer.newest.root
    assert ref is not None
    while isinstance(node := volume.parts.nodes.load(ref), Branch):
        ref = next(child for child in reversed(node.children) if isinstance(child, Ref))
    assert isinstance(node, Leaf)
    return ref


def test_damage_met_by_a_commit_warns_and_leaves_the_drive_running(indexed_sample: Sample, fast_folder: Path) -> None:
    """The version can't be made. Reading goes on, and what was fsynced is in the journal still."""
    drive = indexed_sample.lay_out(fast_folder / "commit-damage")
    trio.run(state_of, drive)  # folds the journal

    async def move_the_rest() -> None:
        """What is above that leaf, and what opening reads, gets into another pack."""
        volume = drive.open()
        async with volume.running():
            for path in (b"", b"docs", b"noise"):
                volume.xattrs.set(volume.names.find(path, 1), b"user.test", b"1")

    trio.run(move_the_rest)
    volume = drive.open()
    offset, size = volume.parts.metadata_log.block_range(last_leaf(volume).block)
    volume.parts.close()
    blocks = bytearray(drive.log_file("metadata", "blocks").read_bytes())
    blocks[offset + size // 2] ^= 1
    drive.log_file("metadata", "blocks").write_bytes(blocks)

    async def work() -> None:
        volume = drive.open()
        async with volume.running():
            new = await put(volume, volume.overlay.inode(1), b"new", b"n" * 2000)
            await volume.fsync(new)
            with trio.fail_after(500):
                while "commit" not in volume.warnings:
                    await trio.lowlevel.checkpoint()
            text = volume.names.lookup(1, b"noise")
            assert len(volume.files.read(text, 0, text.size)) == text.size
            await put(volume, volume.overlay.inode(1), b"newer", b"n")
            raised.append(volume.warnings["commit"])

    raised: list[str] = []
    with pytest.raises(Corrupt):  # closing can't make the version either, and says so
        trio.run(work, clock=MockClock(rate=50))
    assert "verify" in raised[0]
    volume = drive.open(read_only=True)
    assert volume.names.lookup(1, b"new").size == 2000
    volume.parts.close()
    shutil.rmtree(drive.path)
