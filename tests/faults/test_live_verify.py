"""Verify of a drive in use: nothing that is only on its way to the disk passes for damage, and real damage is found."""

import os
import shutil
from pathlib import Path

import pytest
import trio
from sample_drive import Sample, put

from hyperfs.volume.check import Report, verify
from hyperfs.volume.volume import Volume


async def write_on(volume: Volume, number: int) -> None:
    """Everything that moves heads, journal, trees and index."""
    root = volume.overlay.inode(1)
    large = await put(volume, root, b"large %d" % number, os.urandom(150_000))
    small = await put(volume, root, b"small %d" % number, b"few bytes %d" % number)
    await volume.fsync(large)
    await volume.fsync(small)
    if number % 3 == 0:
        await volume.commit()
    if number > 2:
        volume.names.unlink(1, b"small %d" % (number - 2))


@pytest.mark.parametrize("indexed", [False, True])
def test_a_live_drive_that_is_written_to_has_no_damage(
    sample: Sample, indexed_sample: Sample, fast_folder: Path, indexed: bool
) -> None:
    drive = (indexed_sample if indexed else sample).lay_out(fast_folder / "live")
    reports: list[Report] = []

    async def work() -> None:
        volume = drive.open()
        async with volume.running(), trio.open_nursery() as nursery:

            async def check() -> None:
                for _ in range(12):
                    reports.append(await trio.to_thread.run_sync(verify, volume.parts))
                nursery.cancel_scope.cancel()

            nursery.start_soon(check)
            for number in range(100_000):
                await write_on(volume, number)

    trio.run(work)
    shutil.rmtree(drive.path)
    assert len(reports) == 12
    assert [damage for report in reports for damage in report.damage] == []
    assert reports[-1].checked["blocks"] > reports[0].checked["blocks"]


def test_progress_rises_to_its_end_and_what_it_raises_stops_the_run(sample: Sample, fast_folder: Path) -> None:
    drive = sample.lay_out(fast_folder / "progress")
    volume = drive.open(read_only=True)
    seen: dict[str, tuple[int, int]] = {}

    def note(what: str, done: int, of: int) -> None:
        assert done > seen.get(what, (-1, 0))[0]
        seen[what] = (done, of)

    verify(volume.parts, note)
    assert all(done == of for done, of in seen.values())

    def stop(what: str, done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(volume.parts, stop)
    volume.parts.close()
    shutil.rmtree(drive.path)
