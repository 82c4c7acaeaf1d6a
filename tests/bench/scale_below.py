"""The rows of `scale` that need no kernel: what a small change, an fsync, a status ... cost the open drive."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import trio

from hyperfs.values import ROOT_INO
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.prune import prune
from hyperfs.volume.status import status
from hyperfs.volume.volume import Volume
from tests.bench.scale_corpus import DEVICE_KEYS, PER_FOLDER
from tests.bench.scale_counting import Cost

ROUNDS = 50
Tell = Callable[[str], None]


class Rows(dict[str, str]):
    """What was found; said at once, for a run may be ended in the middle."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def __setitem__(self, name: str, words: str) -> None:
        self._tell(f"{name}: {words}")
        super().__setitem__(name, words)


def below(store: Path, seed: int, skip: set[str], tell: Tell) -> Rows:
    """Leaves some versions more in the store."""
    cost, rows = Cost(), Rows(tell)
    with cost.of() as words:
        volume = open_volume(store, DEVICE_KEYS, Options(disk=cost.disk))
    rows["open"] = words()
    cost.watch(volume)
    # Other bytes each time: those that the store has already cost nothing.
    rng = random.Random(seed + (volume.versions.newest.version << 32))
    trio.run(_all, volume, cost, rng, rows, skip)
    return rows


async def _all(volume: Volume, cost: Cost, rng: random.Random, rows: Rows, skip: set[str]) -> None:
    async with volume.running():
        await _changes(volume, cost, rng, rows)
        await _versions(volume, cost, rng, rows)
        await _snapshots(volume, cost, rows)
        if volume.overlay.live.dentry(ROOT_INO, b"image") is not None:
            await _edits(volume, cost, rng, rows)
        with cost.of(ROUNDS) as words:
            for _ in range(ROUNDS):
                status(volume)
        rows["status"] = words()
        if "prune" not in skip:
            await _prunes(volume, cost, rng, rows)


async def _prunes(volume: Volume, cost: Cost, rng: random.Random, rows: Rows) -> None:
    for which in ("prune --dry-run", "prune --dry-run again", "prune --dry-run after a change"):
        if which.endswith("change"):
            await volume.files.write(_some_file(volume, rng), 0, b"changed")
        blocked = _Blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(blocked.watch)
            with cost.of() as words:
                found = await prune(volume, 10, True, lambda *_: None)
            nursery.cancel_scope.cancel()
        rows[which] = f"{words()}; would free {found.bytes >> 10} KiB; loop held {blocked.worst * 1000:.0f} ms"


class _Blocked:
    """For how long at most the event loop did not turn."""

    worst = 0.0

    async def watch(self) -> None:
        while True:
            before = time.perf_counter()
            await trio.lowlevel.checkpoint()
            await trio.sleep(0.001)
            self.worst = max(self.worst, time.perf_counter() - before - 0.001)


def _some_file(volume: Volume, rng: random.Random):  # type: ignore[no-untyped-def]
    live = volume.overlay.live
    tops = [name for name, _ in live.dentries(ROOT_INO) if name.startswith(b"d")]
    folder = volume.names.find(rng.choice(tops), ROOT_INO)
    folder = volume.names.lookup(folder.ino, rng.choice([name for name, _ in live.dentries(folder.ino)]))
    return volume.names.lookup(folder.ino, rng.choice([name for name, _ in live.dentries(folder.ino)]))


async def _changes(volume: Volume, cost: Cost, rng: random.Random, rows: Rows) -> None:
    files = [_some_file(volume, rng) for _ in range(ROUNDS)]
    await volume.commit()
    with cost.of(ROUNDS) as words:
        for number, file in enumerate(files):
            await volume.files.write(file, 0, b"edit %d" % number)
            await volume.fsync(file)
    rows["edit a small file, fsync"] = words()
    await volume.commit()
    length = volume.parts.metadata_log.byte_length
    with cost.of(ROUNDS) as words:
        for number, file in enumerate(files):
            await volume.files.write(file, 0, b"again %d" % number)
            await volume.commit()
    rows["edit a small file, commit"] = words()
    rows["a version of one small file, bytes in the log"] = str(
        (volume.parts.metadata_log.byte_length - length) // ROUNDS
    )
    with cost.of(ROUNDS) as words:
        for number, file in enumerate(files):
            volume.names.make(file.parent, b"new-%d" % number, 0o100644, 0, 0)
            await volume.commit()
    rows["create a file, commit"] = words()
    with cost.of(ROUNDS) as words:
        for number, file in enumerate(files):
            gone = volume.names.unlink(file.parent, b"new-%d" % number)
            volume.forgotten(gone.ino)
            await volume.commit()
    rows["unlink it, commit"] = words()


async def _versions(volume: Volume, cost: Cost, rng: random.Random, rows: Rows) -> None:
    newest = volume.versions.newest.version
    with cost.of(ROUNDS) as words:
        for _ in range(ROUNDS):
            version = rng.randrange(1, newest)
            facts = next(iter(volume.versions.all(version)))
            assert volume.versions.resolve(f"@{facts.version}", ROOT_INO, facts.time_ns, None) == version  # type: ignore[arg-type]
            assert volume.versions.tree(version).inode(ROOT_INO) is not None
    rows["open a version at random"] = words()
    for which, tree in (("the live tree", volume.overlay.live), ("a version", volume.versions.tree(newest - 5))):
        folder = _some_file(volume, rng).parent
        with cost.of(ROUNDS) as words:
            for _ in range(ROUNDS):
                assert len([tree.inode(child) for _, (child, _) in tree.dentries(folder)]) >= PER_FOLDER
        rows[f"list 100 entries of {which}"] = words()


async def _snapshots(volume: Volume, cost: Cost, rows: Rows) -> None:
    await volume.commit()
    times = []
    for number in range(ROUNDS):
        with cost.of() as words:
            await volume.make_snapshot(ROOT_INO, b"snapshot %d" % number)
        times.append(words())
        await volume.commit()
    rows["snapshot of a quiet tree"] = sorted(times, key=lambda found: float(found.split()[0]))[ROUNDS // 2]
    for number in range(ROUNDS):
        await volume.delete_snapshot(ROOT_INO, b"snapshot %d" % number)
    await volume.commit()


async def _edits(volume: Volume, cost: Cost, rng: random.Random, rows: Rows) -> None:
    image = volume.names.lookup(ROOT_INO, b"image")
    before = sum(log.byte_length for log in volume.parts.logs.values())
    with cost.of(ROUNDS) as words:
        for _ in range(ROUNDS):
            await volume.files.write(image, rng.randrange(image.size >> 12) << 12, rng.randbytes(4096))
            await volume.commit()
    stored = sum(log.byte_length for log in volume.parts.logs.values()) - before
    rows["4 KiB edit of the image, commit"] = f"{words()}; {stored / ROUNDS:,.0f} bytes stored"
