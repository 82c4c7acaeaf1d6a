"""A disk that fails, is full or read-only, and a second opener: what was promised is there afterwards.

HYPERFS_DISK_FAULTS says at how many of the operations of a short history the disk fails, "all" for each of them.
"""

import errno
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import trio
from faulty_disk import Plan
from sample_drive import Drive, put, ticking

from hyperfs.errors import HyperfsError
from hyperfs.volume.check import verify
from hyperfs.volume.opening import Options
from hyperfs.volume.volume import Volume

FAULTS: Final = os.environ.get("HYPERFS_DISK_FAULTS", "40")
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


@pytest.mark.parametrize("end", ["kill", "power cut"])
@pytest.mark.parametrize("times", [1, 10**6])
@pytest.mark.parametrize(("error", "applied"), [(errno.EIO, False), (errno.EIO, True), (errno.ENOSPC, False)])
def test_a_failed_write_or_sync_breaks_no_promise(
    empty_store: Path, fast_folder: Path, error: int, applied: bool, times: int, end: str
) -> None:
    folder = fast_folder / "faulty"
    counting = Plan()
    trio.run(live_with, fresh(empty_store, folder, counting), Promises())
    broken = []
    for fail_at in chosen(counting.count):
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
