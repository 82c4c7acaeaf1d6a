"""A repair whose disk fails or that is killed, at any of its writes: the store is no worse, and the next one finishes.

HYPERFS_ALL=1 tries every write and sync of each repair; otherwise some.
"""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio
from faulty_disk import Plan
from sample_drive import Drive, Sample, put
from test_repair import ask, block_of, leaf_of, mend, settle, spoil, spoil_block
from test_repair_damage import look, worse

from hyperfs.errors import HyperfsError
from hyperfs.volume.repair_report import Outcome
from tests import tally

ALL: Final = os.environ.get("HYPERFS_ALL") == "1"
SOME: Final = 5
FOR_EVER: Final = 1 << 40


def lose_a_chunk_that_is_there_twice(drive: Drive) -> None:
    data = ask(drive, lambda volume: volume.files.read(volume.names.find(b"large", 1), 0, 400_000))
    settle(drive)
    index = block_of(drive, b"large", 200_000)

    async def store_again() -> None:
        volume = drive.open()
        async with volume.running():
            tree = volume.versions.tree(volume.committer.newest.version)
            inode = volume.names.find(b"large", 1)
            extent = next(e for e in tree.extents(inode.ino, 0, 1 << 30) if e.block == index)
            start = extent.offset - extent.skip
            await volume.content.append_anew({extent.chunk: data[start : start + extent.chunk_length]})
            await put(volume, volume.overlay.inode(1), b"other", b"other")
            await volume.commit()

    trio.run(store_again)
    spoil_block(drive, "content", index)


def lose_a_leaf(drive: Drive) -> None:
    settle(drive)
    spoil_block(drive, "metadata", leaf_of(drive, b"docs/note 20"))


def lose_the_newest_commit(drive: Drive) -> None:
    spoil_block(drive, "metadata", ask(drive, lambda volume: volume.parts.metadata_log.signed_length - 1))


def lose_a_tree(drive: Drive) -> None:
    drive.log_file("content", "tree").unlink()
    spoil(drive.path / "hyperfs", 10)


def lose_a_segment(drive: Drive) -> None:
    (drive.path / "journal" / "0000").unlink()


DAMAGES: Final = (
    lose_a_chunk_that_is_there_twice,
    lose_a_leaf,
    lose_the_newest_commit,
    lose_a_tree,
    lose_a_segment,
)
FAULTS: Final = {
    "full": lambda at: Plan(at, errno.ENOSPC),
    "broken": lambda at: Plan(at, errno.EIO, times=FOR_EVER),
    "killed": lambda at: Plan(at, errno.EIO, times=FOR_EVER, applied=True),
}


def on(plan: Plan, drive: Drive) -> Drive:
    return Drive(drive.path, replace(drive.options, disk=plan.disk))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_repair_that_fails_leaves_it_no_worse(
    damage: Callable[[Drive], None], fault: str, sample: Sample, fast_folder: Path
) -> None:
    original = sample.lay_out(fast_folder / "original")
    damage(original)
    before = look(original, sample)
    whole = Plan()
    undisturbed = mend(on(whole, copy_of(original, fast_folder / "undisturbed")))
    steps = range(whole.count) if ALL else range(0, whole.count, max(1, whole.count // SOME))
    for step in steps:
        drive = copy_of(original, fast_folder / "disturbed")
        plan = FAULTS[fault](step)
        try:
            mend(on(plan, drive))
        except* (OSError, HyperfsError):
            pass
        if fault == "killed":
            plan.cut_power()
        after = look(drive, sample)
        if before is not None:
            assert after is not None, f"step {step}: {plan.failed[:1]}"
            assert worse(before, after) == [], f"step {step}: {plan.failed[:1]}"
        outcome = mend(drive)
        assert places(outcome) == places(undisturbed), f"step {step}: {plan.failed[:1]}"
        shutil.rmtree(drive.path)
    shutil.rmtree(original.path)
    shutil.rmtree(fast_folder / "undisturbed")
    tally.add("repairs disturbed", len(steps))


def copy_of(drive: Drive, folder: Path) -> Drive:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(drive.path, folder)
    return Drive(folder, drive.options)


def places(outcome: Outcome) -> set[str]:
    """Where there is damage left. What was kept of a journal may be kept twice."""
    return {found.where.partition("journal-")[0] for found in outcome.report.damage}
