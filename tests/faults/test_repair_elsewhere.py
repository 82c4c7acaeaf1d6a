"""What is damaged comes back, byte by byte, from a place that has it; one that lies or is gone changes nothing."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sample_drive import Drive, Sample
from test_repair import ask, block_of, check, reading, spoil_block, write_more

from hyperfs.crypto import wrap
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.errors import Corrupt
from hyperfs.store.memory import MemoryIndex
from hyperfs.values import BlockRef
from hyperfs.volume.check_state import CheckState
from hyperfs.volume.elsewhere import Elsewhere
from hyperfs.volume.repair import Work, first_aid, repair
from hyperfs.volume.repair_elsewhere import Reach
from hyperfs.volume.repair_report import Outcome
from hyperfs.volume.volume import Volume
from tests.volume.other_places import InMemory

CLOUD = "cloud"


@pytest.fixture
def drive(sample: Sample, fast_folder: Path) -> Iterator[Drive]:
    folder = fast_folder / "elsewhere"
    shutil.rmtree(folder, ignore_errors=True)
    yield sample.lay_out(folder)
    shutil.rmtree(folder)


def cloud_of(drive: Drive) -> dict[BlockRef, bytes]:
    """Every block of every log, as a peer would hold them."""

    def copy(volume: Volume) -> dict[BlockRef, bytes]:
        logs = volume.parts.logs.items()
        return {BlockRef(n, index): log.get(index) for n, log in logs for index in range(log.signed_length)}

    found = ask(drive, copy)
    assert isinstance(found, dict)
    return found


def reaching(blocks: dict[BlockRef, bytes], told: Callable[[InMemory], None] = lambda places: None) -> Reach:
    @asynccontextmanager
    async def reach(volume: Volume) -> AsyncIterator[Elsewhere]:
        places = InMemory(volume.parts.logs, CLOUD)
        places.at[CLOUD].blocks = blocks
        told(places)
        yield places

    return reach


def mend_from(drive: Drive, reach: Reach) -> tuple[Outcome, Work]:
    keys = DeviceKeys.from_bytes(wrap.unwrap((drive.path / "keys").read_bytes(), wrap.KIND_DEVICE))
    work = Work(drive.path, keys, drive.options, CheckState(MemoryIndex()), [], [], reach)
    first_aid(drive.path, drive.options.disk(drive.path), work.done)
    return repair(work), work


def files_of(drive: Drive) -> dict[str, bytes]:
    return {
        str(path.relative_to(drive.path)): path.read_bytes()
        for path in drive.path.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def last_metadata(drive: Drive) -> int:
    length = ask(drive, lambda volume: volume.parts.metadata_log.signed_length)
    assert isinstance(length, int)
    return length - 1


def test_damaged_content_and_metadata_are_as_they_were(drive: Drive) -> None:
    cloud, before = cloud_of(drive), files_of(drive)
    spoil_block(drive, "content", block_of(drive, b"noise", 600_000))
    spoil_block(drive, "metadata", last_metadata(drive))  # the newest commit
    spoil_block(drive, "metadata", last_metadata(drive) - 1)
    outcome, _ = mend_from(drive, reaching(cloud))
    assert outcome.report.damage == []
    assert [done.what for done in outcome.repaired] == ["its bytes came from another place"] * 3
    assert files_of(drive) == before


def test_a_content_log_without_its_blocks_comes_back_whole(drive: Drive, sample: Sample) -> None:
    write_more(drive, b"more", b"more")  # so that all that was fsynced is in a version, and signed
    cloud, before = cloud_of(drive), reading(drive, sample)
    drive.log_file("content", "blocks").unlink()
    outcome, _ = mend_from(drive, reaching(cloud))
    assert outcome.report.damage == []
    assert reading(drive, sample) == before


def test_what_one_place_lacks_does_not_keep_the_rest_away(drive: Drive) -> None:
    cloud = cloud_of(drive)
    index = block_of(drive, b"noise", 600_000)
    for damaged in (index, index - 1):
        spoil_block(drive, "content", damaged)
    log = ask(drive, lambda volume: volume.content.log.number)
    del cloud[BlockRef(log, index)]
    outcome, _ = mend_from(drive, reaching(cloud))
    assert outcome.repaired[0].where == f"log {log} block {index - 1}"
    assert [damage.where for damage in outcome.report.damage] == [f"log {log} block {index}"]


def test_a_place_that_lies_changes_nothing(drive: Drive) -> None:
    cloud = {ref: data for ref, data in cloud_of(drive).items() if data}
    index = block_of(drive, b"noise", 600_000)
    spoil_block(drive, "content", index)
    place = f"log {ask(drive, lambda volume: volume.content.log.number)} block {index}"
    asked: list[InMemory] = []

    def lies(places: InMemory) -> None:
        places.at[CLOUD].lies = set(cloud)
        asked.append(places)

    outcome, _ = mend_from(drive, reaching(cloud, lies))
    assert {damage.where for damage in outcome.report.damage} == {place}
    assert not any("another place" in done.what for done in outcome.repaired)
    stored = drive.log_file("content", "blocks").read_bytes()
    assert not any(places.at[CLOUD].get(ref) in stored for places in asked for ref in cloud)


def test_what_retention_let_go_does_not_come_back(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = cloud_of(drive)
    asked: list[InMemory] = []
    index = block_of(drive, b"noise", 600_000)
    spoil_block(drive, "content", index)
    monkeypatch.setattr("hyperfs.log.cleared.Cleared.has", lambda self, log, block: True)
    mend_from(drive, reaching(cloud, asked.append))
    assert all(places.calls == [] for places in asked)


def test_a_place_that_can_not_be_asked_is_told_of_and_the_rest_is_mended(drive: Drive) -> None:
    spoil_block(drive, "content", block_of(drive, b"noise", 600_000))
    (drive.path / "CACHEDIR.TAG").unlink()

    @asynccontextmanager
    async def reach(volume: Volume) -> AsyncIterator[Elsewhere]:
        raise Corrupt("the list of places can't be read")
        yield InMemory({}, CLOUD)

    outcome, work = mend_from(drive, reach)
    assert work.troubles == ["the list of places can't be read"]
    assert "file CACHEDIR.TAG" in {done.where for done in outcome.repaired}
    assert outcome.report.damage
    assert check(drive).damage
