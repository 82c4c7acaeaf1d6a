"""What the control chain let go is no damage, unless a version that is kept still needs it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from sample_drive import Drive, Sample

from hyperfs.volume import keys
from hyperfs.volume.check import Report, verify
from hyperfs.volume.entries import Gone, encode_gone
from hyperfs.volume.options import no_progress
from hyperfs.volume.repair_clear import clear_blocks
from hyperfs.volume.volume import Volume

RULE_BY_HAND = 4


@pytest.fixture
def drive(sample: Sample, fast_folder: Path) -> Iterator[Drive]:
    folder = fast_folder / "clears"
    yield sample.lay_out(folder)
    shutil.rmtree(folder)


def check(drive: Drive) -> Report:
    volume = drive.open(read_only=True)
    try:
        return verify(volume.parts)
    finally:
        volume.parts.close()


def text_of(volume: Volume) -> tuple[int, list[int], int]:
    """A file that only some of the first versions have: its inode, the versions, its first block."""
    having = [f.version for f in volume.versions.all() if volume.versions.tree(f.version).dentry(1, b"text")]
    tree = volume.versions.tree(having[0])
    dentry = tree.dentry(1, b"text")
    assert dentry is not None
    return dentry[0], having, tree.extents(dentry[0], 0, 10)[0].block


def look(drive: Drive) -> tuple[int, list[int], int]:
    volume = drive.open(read_only=True)
    try:
        return text_of(volume)
    finally:
        volume.parts.close()


def clear(drive: Drive, *marks: tuple[bytes, bytes]) -> int:
    """Clears the block, under the marks in the newest root that are given."""
    cleared = 0

    async def work() -> None:
        nonlocal cleared
        volume = drive.open()
        async with volume.running():
            _, _, cleared = text_of(volume)
            for mark in marks:
                volume.overlay.set_fact(*mark)
            await volume.commit()
            clear_blocks(volume.parts, volume.content.number, [cleared], no_progress)

    trio.run(work)
    return cleared


def gone(last: int) -> bytes:
    return encode_gone(Gone(last, 0, 0, RULE_BY_HAND))


def test_cleared_under_the_marks_of_versions_it_is_no_damage(drive: Drive) -> None:
    _, having, _ = look(drive)
    clear(drive, (keys.gone_versions_key(1, having[0]), gone(having[-1])))
    assert check(drive).damage == []


def test_what_a_kept_version_needs_is_damage_though_it_was_cleared(drive: Drive) -> None:
    block = clear(drive)
    (damage,) = check(drive).damage
    assert damage.where.startswith(f"log 2 block {block} ")
    assert damage.paths == (b"text",)
    assert damage.versions == tuple(look(drive)[1])


def test_a_mark_for_some_of_the_versions_leaves_the_others_damaged(drive: Drive) -> None:
    _, having, _ = look(drive)
    assert len(having) > 1
    clear(drive, (keys.gone_versions_key(1, having[1]), gone(having[-1])))
    (damage,) = check(drive).damage
    assert damage.versions == (having[0],)


def test_a_file_that_is_gone_by_a_rule_is_no_damage_in_versions_that_are_kept(drive: Drive) -> None:
    ino, having, _ = look(drive)
    clear(drive, (keys.region_key(ino), b""), (keys.gone_file_key(ino, 1, having[0]), gone(having[-1])))
    assert check(drive).damage == []


def test_a_clear_that_was_interrupted_is_no_damage(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """An intent, and half of a block punched."""
    class Stopped(Exception):
        pass

    def stop(self: object, *_: object) -> None:
        raise Stopped

    _, having, _ = look(drive)

    async def work() -> None:
        volume = drive.open()
        async with volume.running():
            _, _, block = text_of(volume)
            volume.overlay.set_fact(keys.gone_versions_key(1, having[0]), gone(having[-1]))
            await volume.commit()
            log = volume.content.log
            offset, size = log.block_range(block)
            monkeypatch.setattr(type(log), "punch", stop)
            with pytest.raises(Stopped):
                clear_blocks(volume.parts, volume.content.number, [block], no_progress)
            monkeypatch.undo()
            with open(drive.log_file("content", "blocks"), "r+b") as file:
                file.seek(offset)
                file.write(bytes(size // 2))

    trio.run(work)
    assert check(drive).damage == []
