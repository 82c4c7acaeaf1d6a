"""A power cut after every step of random lives: whatever part of the unsynced is left, the promises are kept."""

import os
import random
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from hyperfs.crypto import wrap
from hyperfs.store import journal
from hyperfs.volume.creating import create_store
from hyperfs.volume.volume import Volume
from tests import tally
from tests.volume.conftest import DEVICE_KEYS, DRIVE, Store, kill

from .crowd import crowd
from .judging import Judge, read_state
from .life import Life
from .promises import AnyPromise, note
from .recording import Mark, Recording
from .states import Choice, Disk, State, at_random, everything

LONG = os.environ.get("HYPERFS_ALL") == "1"
LIVES = int(os.environ.get("HYPERFS_CRASH_LIVES", "8" if LONG else "2"))
CHANGES = int(os.environ.get("HYPERFS_CRASH_CHANGES", "25" if LONG else "10"))
SAMPLES = int(os.environ.get("HYPERFS_CRASH_SAMPLES", "3" if LONG else "1"))
SEED = int(os.environ.get("HYPERFS_SEED", "1"))
SHORT_SEGMENT_BYTES = 4_000
MOST_SHOWN = 3

pytestmark = pytest.mark.timeout(7200 if LONG else 300)


@dataclass
class Recorded:
    """A life that was recorded: where it began, what was done and promised; older indexes, by step."""

    base: State
    names: dict[str, int]
    recording: Recording
    told: list[str] = field(default_factory=list)
    indexes: list[tuple[int, Path]] = field(default_factory=list)


def record(
    folder: Path,
    work: Callable[[Volume, Recorded], Awaitable[None]],
    memory_index: bool = True,
) -> Recorded:
    """Works in a new store in the folder. The base's files are numbered in the order of their names."""
    key_file = wrap.wrap(wrap.KIND_DEVICE, DEVICE_KEYS.to_bytes())
    create_store(folder, DRIVE, key_file, Store(folder).options(memory_index=memory_index))
    base = read_state(folder)
    names = {name: number for number, name in enumerate(base)}
    recorded = Recorded(base, names, Recording(names=dict(names)))
    volume = Store(folder, disk=recorded.recording.disk).open(memory_index=memory_index)
    try:
        trio.run(work, volume, recorded)
    finally:
        kill(volume)
    assert after(recorded) == read_state(folder), "the recording is not what was done"
    tally.add("lives recorded for power cuts", 1)
    tally.add("steps of the disk recorded", len(recorded.recording.steps))
    return recorded


def after(recorded: Recorded) -> State:
    """What the recording says is in the folder at its end."""
    disk = Disk(recorded.base, recorded.recording, recorded.names)
    for number in range(len(recorded.recording.steps)):
        disk.advance(number)
    return disk.left(everything())


def points(recorded: Recorded) -> Iterator[tuple[int, Disk, list[AnyPromise]]]:
    """The disk before each step, and what it must hold."""
    disk = Disk(recorded.base, recorded.recording, recorded.names)
    promises: list[AnyPromise] = []
    for point, step in enumerate([*recorded.recording.steps, Mark(None)]):
        if promises:
            yield point, disk, promises
        if isinstance(step, Mark):
            note(step.says, promises)
        else:
            disk.advance(point)


def cut_everywhere(recorded: Recorded, judge: Judge, choice: Choice) -> list[str]:
    """Judges what each plan leaves at each point; what is wrong."""
    wrong: list[str] = []
    judged: set[int] = set()
    steps = [*recorded.recording.steps, Mark(None)]
    for point, disk, promises in points(recorded):
        for plan in choice.plans(point, disk.pending, steps[point]):
            state = disk.left(plan)
            # Promises change by marks only: the same state under the same ones need not be judged again.
            key = hash((tuple(sorted(state.items(), key=lambda item: item[0])), disk.marks(point)))
            if key not in judged and (broken := judge.broken(state, promises)):
                wrong.append(f"step {point}, {plan.name}: " + "; ".join(broken))
            judged.add(key)
            if len(wrong) >= MOST_SHOWN:
                return wrong
    return wrong


def told(wrong: list[str], recorded: Recorded) -> str:
    return "\n".join([*wrong, "what was done:", *recorded.told])


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of stores are laid out in it."""
    memory = Path("/dev/shm")
    folder = memory / f"hyperfs-crash-{os.getpid()}" if memory.is_dir() else tmp_path / "fast"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def short_segments(patch: pytest.MonkeyPatch) -> None:
    """With short segments changes go over several records, and segments are made, freed and used again."""
    patch.setattr(journal, "SEGMENT_BYTES", SHORT_SEGMENT_BYTES)


@pytest.mark.parametrize("number", range(LIVES))
def test_every_prefix_opens_to_what_was_promised(fast: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    if number % 4 != 3:
        short_segments(monkeypatch)
    seed = f"{SEED}-{number}"

    async def work(volume: Volume, recorded: Recorded) -> None:
        await Life(volume, recorded.recording, seed, recorded.told).live(CHANGES)

    recorded = record(fast / "store", work)
    judge = Judge(fast / "opened")
    wrong = cut_everywhere(recorded, judge, Choice(SEED, SAMPLES))
    tally.add("crash states opened", judge.opened, seed=seed)
    assert not wrong, told(wrong, recorded)


@pytest.mark.parametrize("number", range(max(1, LIVES // 4)))
def test_writers_and_commits_at_once(fast: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    short_segments(monkeypatch)
    seed = f"{SEED}-{number}"

    async def work(volume: Volume, recorded: Recorded) -> None:
        await crowd(volume, recorded.recording, seed, CHANGES if LONG else 4)

    recorded = record(fast / "store", work)
    judge = Judge(fast / "opened")
    wrong = cut_everywhere(recorded, judge, Choice(SEED, SAMPLES, around_syncs=LONG))
    tally.add("crash states opened, of several writers at once", judge.opened, seed=seed)
    assert not wrong, told(wrong, recorded)


@pytest.mark.parametrize("number", range(max(1, LIVES // 4)))
def test_a_power_cut_while_recovering_from_one(fast: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Recovery from random states is recorded and cut in turn, and what was written after it."""
    short_segments(monkeypatch)
    seed = f"{SEED}-{number}"
    rng = random.Random(seed)

    async def work(volume: Volume, recorded: Recorded) -> None:
        await Life(volume, recorded.recording, seed, recorded.told).live(CHANGES)

    recorded = record(fast / "store", work)
    judge, again = Judge(fast / "opened"), Judge(fast / "again")
    chosen = set(rng.sample(range(len(recorded.recording.steps)), 40 if LONG else 3))
    wrong: list[str] = []
    for point, disk, promises in points(recorded):
        if point not in chosen:
            continue
        base = disk.left(at_random(f"{seed}/{point}"))
        names = {name: file for file, name in enumerate(base)}
        second = Recorded(base, names, Recording(names=dict(names)))
        wrong += judge.broken(base, promises, recording=second.recording)
        wrong += [f"step {point}, then {what}" for what in cut_everywhere(second, again, Choice(SEED, 1, LONG))]
    tally.add("crash states opened, of recoveries", again.opened, seed=seed)
    assert not wrong, told(wrong, recorded)


@pytest.mark.parametrize("number", range(max(1, LIVES // 6)))
def test_an_older_index_is_caught_up(fast: Path, number: int) -> None:
    """The index is derived: whatever older state of it a power cut leaves, the drive is as promised."""
    seed = f"{SEED}-{number}"
    rng = random.Random(seed)

    async def work(volume: Volume, recorded: Recorded) -> None:
        life = Life(volume, recorded.recording, seed, recorded.told)
        for copy in range(5):
            shutil.copytree(fast / "store" / "index", fast / f"index{copy}")
            recorded.indexes.append((len(recorded.recording.steps), fast / f"index{copy}"))
            await life.live(CHANGES // 5)

    recorded = record(fast / "store", work, memory_index=False)
    judge = Judge(fast / "opened")
    wrong: list[str] = []
    for point, disk, promises in points(recorded):
        older = [index for since, index in recorded.indexes if since <= point]
        if rng.random() < (0.6 if LONG else 0.15):
            state = disk.left(at_random(f"{seed}/{point}"))
            wrong += [f"step {point}: {what}" for what in judge.broken(state, promises, rng.choice(older))]
    tally.add("crash states opened with an older index", judge.opened, seed=seed)
    assert not wrong, told(wrong, recorded)
