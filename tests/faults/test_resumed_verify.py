"""A verify that was interrupted is gone on with: the same is found, and what was sound is not read again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sample_drive import Drive, Sample

from hyperfs.store.memory import MemoryIndex
from hyperfs.store.rocksdb import RocksIndex
from hyperfs.volume import check_logs, check_trees
from hyperfs.volume.check import Report, verify
from hyperfs.volume.check_state import CheckState


class Interrupted(Exception):
    """By whoever waits for progress."""


@pytest.fixture(autouse=True)
def small_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_logs, "STRETCH_BLOCKS", 8)
    monkeypatch.setattr(check_trees, "TELL_NODES", 1)


@pytest.fixture
def drive(sample: Sample, fast_folder: Path) -> Iterator[Drive]:
    folder = fast_folder / "resumed"
    yield sample.lay_out(folder)
    shutil.rmtree(folder)


def run(drive: Drive, state: CheckState, steps: int | None = None) -> Report:
    """Interrupted after so many words of progress."""
    left = steps

    def progress(what: str, done: int, of: int) -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                raise Interrupted

    volume = drive.open(read_only=True)
    try:
        return verify(volume.parts, progress, state)
    finally:
        volume.parts.close()


def spoil(drive: Drive, kind: str, offset: int) -> None:
    path = drive.log_file(kind, "blocks")
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x55
    path.write_bytes(data)


@pytest.mark.parametrize("damaged", [False, True])
def test_interrupted_anywhere_it_comes_to_the_same_end(drive: Drive, damaged: bool) -> None:
    if damaged:
        spoil(drive, "content", 1000)
        spoil(drive, "metadata", 20_000)
    whole = run(drive, CheckState(MemoryIndex()))
    for steps in range(0, 60, 7):
        index = MemoryIndex()
        with pytest.raises(Interrupted):
            run(drive, CheckState(index), steps)
        report = run(drive, CheckState(index))
        assert report.checked == whole.checked
        assert report.damage == whole.damage


def test_what_was_sound_is_not_read_again(drive: Drive) -> None:
    whole = run(drive, CheckState(MemoryIndex()))
    index = MemoryIndex()
    sessions = 0
    for steps in range(3, 200, 9):
        try:
            report = run(drive, CheckState(index), steps)
            break
        except Interrupted:
            sessions += 1
    assert sessions > 3
    assert report.checked == whole.checked
    # The last stretch of each log is none yet, and is read each time.
    assert sum(session.blocks for session in report.sessions) < whole.checked["blocks"] + (sessions + 1) * 16
    assert sum(session.nodes for session in report.sessions) == whole.checked["nodes"]
    assert len(report.sessions) == sessions + 1


def test_damage_that_was_found_is_looked_at_again(drive: Drive) -> None:
    """Mended in the meantime, it is none; otherwise it is told though nothing new was found."""
    spoil(drive, "content", 1000)
    index = MemoryIndex()
    with pytest.raises(Interrupted):
        run(drive, CheckState(index), steps=20)
    assert run(drive, CheckState(index)).damage
    spoil(drive, "content", 1000)
    assert run(drive, CheckState(index)).damage == []


def test_a_log_in_a_new_fork_is_read_anew(drive: Drive) -> None:
    index = MemoryIndex()
    state = CheckState(index)
    state.stretch_done(1, 0, 0, 8, 100, 20)
    assert state.stretch(1, 0, 0) == (8, 100, 20)
    assert state.stretch(1, 0, 1) is None


def test_a_killed_run_leaves_a_state_to_go_on_with(drive: Drive, tmp_path: Path) -> None:
    state = CheckState(RocksIndex(tmp_path / "state"))
    with pytest.raises(Interrupted):
        run(drive, state, steps=30)
    shutil.copytree(tmp_path / "state", tmp_path / "as a kill leaves it")
    state.close()
    state = CheckState(RocksIndex(tmp_path / "as a kill leaves it"))
    report = run(drive, state)
    state.close()
    assert len(report.sessions) == 2
    assert report.damage == []
    assert report.sessions[0].blocks > 0


def test_the_state_holds_no_plaintext(drive: Drive, tmp_path: Path) -> None:
    state = CheckState(RocksIndex(tmp_path / "state"))
    run(drive, state)
    state.close()
    data = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    for plain in (b"noise", b"docs", b"note", b"user.short", b"Dear all"):
        assert plain not in data
