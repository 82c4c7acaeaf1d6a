"""What a piece of work costs follows the change and not the drive: counted on a small drive and on one twenty times as
large, in files, versions and extents. Operations are counted and nothing is timed."""

import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hyperfs.policy.attributes import CLASS
from hyperfs.values import ROOT_INO
from hyperfs.volume.inode import Inode
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.prune import prune
from hyperfs.volume.status import status
from hyperfs.volume.survey_rows import SurveyRows
from hyperfs.volume.surveying import Surveyor
from hyperfs.volume.volume import Volume
from tests import tally
from tests.bench.scale_corpus import DEVICE_KEYS, IMAGE_BYTES, Corpus
from tests.bench.scale_counting import Cost

TIMES = 200 if os.environ.get("HYPERFS_ALL") else 20
FILES, CROWD, EXTENTS, VERSIONS = 1_000, 200, 50, 30
LEVELS = 3 if TIMES <= 20 else 4
"""A drive 20 or 200 times as large has at most so many nodes more to read on each path: its tree has a level or two
more, and of the small one's some are known since it was opened."""

Work = Callable[[Volume], Awaitable[object]]


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The stores of the small and of the large drive."""
    made = []
    for times in (1, TIMES):
        store = tmp_path_factory.mktemp("grown") / "store"
        corpus = Corpus(store, lambda what: None)
        corpus.create()
        corpus.fill(FILES * times, CROWD * times, EXTENTS * times, VERSIONS * times)
        made.append(store)
    tally.add("files of the larger drive on which costs were counted", FILES * TIMES)
    return made[0], made[1]


@asynccontextmanager
async def opened(store: Path, cost: Cost) -> AsyncIterator[Volume]:
    volume = open_volume(store, DEVICE_KEYS, Options(disk=cost.disk))
    cost.watch(volume)
    async with volume.running():
        yield volume


async def costs(drives: tuple[Path, Path], work: Work, before: Work | None = None) -> list[Counter[str]]:
    """What the work costs on each drive, after something that does not count."""
    found = []
    for store in drives:
        cost = Cost()
        async with opened(store, cost) as volume:
            await (before or commit)(volume)
            await volume.changes.caught_up()  # else done beside the work
            cost.counts.clear()
            await work(volume)
            found.append(Counter(cost.counts))
    return found


async def commit(volume: Volume) -> None:
    await volume.commit()


def some_file(volume: Volume) -> Inode:
    return volume.names.find(b"d00000/003/file-050", ROOT_INO)


async def edit(volume: Volume) -> None:
    await volume.files.write(some_file(volume), 0, random.randbytes(20))
    await volume.commit()


async def edit_and_tell_what_changed(volume: Volume) -> None:
    await edit(volume)
    await volume.changes.caught_up()


async def edit_and_fsync(volume: Volume) -> None:
    file = some_file(volume)
    await volume.files.write(file, 0, random.randbytes(20))
    await volume.fsync(file)


async def create_in_the_crowd(volume: Volume) -> None:
    folder = volume.names.find(b"crowd", ROOT_INO)
    volume.names.make(folder.ino, b"new %d" % volume.versions.newest.version, 0o100644, 0, 0)
    await volume.commit()


async def unlink(volume: Volume) -> None:
    folder = volume.names.find(b"d00000/004", ROOT_INO)
    name = next(iter(volume.overlay.live.dentries(folder.ino)))[0]
    volume.forgotten(volume.names.unlink(folder.ino, name).ino)
    await volume.commit()


async def edit_the_image(volume: Volume) -> None:
    image = volume.names.lookup(ROOT_INO, b"image")
    await volume.files.write(image, IMAGE_BYTES // 2, random.randbytes(4096))
    await volume.commit()


async def snapshot(volume: Volume) -> None:
    await volume.make_snapshot(ROOT_INO, b"snapshot %d" % volume.versions.newest.version)


async def set_the_class_of_the_root(volume: Volume) -> None:
    volume.xattrs.set(volume.overlay.inode(ROOT_INO), CLASS, b"cold" if volume.versions.newest.version % 2 else b"hot")
    await volume.commit()


async def open_old_version(volume: Volume) -> None:
    tree = volume.versions.tree(volume.versions.newest.version // 2)
    assert tree.inode(ROOT_INO) is not None


async def list_an_old_folder(volume: Volume) -> None:
    tree = volume.versions.tree(volume.versions.newest.version // 2)
    folder = volume.names.find(b"d00000/005", ROOT_INO)
    assert sum(tree.inode(ino) is not None for _, (ino, _) in tree.dentries(folder.ino)) == 100


async def tell_status(volume: Volume) -> None:
    assert status(volume)["files"]


@pytest.mark.parametrize(
    "work",
    [
        edit,
        edit_and_fsync,
        edit_and_tell_what_changed,
        create_in_the_crowd,
        unlink,
        edit_the_image,
        snapshot,
        set_the_class_of_the_root,
        open_old_version,
        list_an_old_folder,
    ],
)
async def test_a_small_change_costs_the_same(drives: tuple[Path, Path], work: Work) -> None:
    small, large = await costs(drives, work)
    # At most three ways down (an inode, what stands before the changed bytes, what behind), each longer by some levels;
    # and each node's block has a place, found by its log's tree.
    assert large["nodes read"] <= small["nodes read"] + 3 * LEVELS
    assert large["writes"] <= small["writes"] + 2 * LEVELS
    assert large["bytes written"] <= small["bytes written"] + LEVELS * 1500
    assert large["syncs"] == small["syncs"]
    assert large["index rows"] <= small["index rows"] + 2
    assert large["reads"] <= small["reads"] + 40


async def test_status_reads_nothing(drives: tuple[Path, Path]) -> None:
    for found in await costs(drives, tell_status):
        assert not found["nodes read"]
        assert found["reads"] <= 2


async def test_opening_and_closing_cost_the_same(drives: tuple[Path, Path]) -> None:
    found = []
    for store in drives:
        async with opened(store, Cost()):
            pass
        cost = Cost()
        async with opened(store, cost):
            found.append(cost.counts["reads"])
            cost.counts.clear()
        assert not cost.counts["writes"]
    assert found[1] <= found[0] + 40


async def test_the_first_survey_of_a_mount_reads_what_has_changed_since_the_last_mount(
    drives: tuple[Path, Path],
) -> None:
    def surveyor_of(volume: Volume) -> Surveyor:
        return Surveyor(volume, SurveyRows(volume.parts.catalog, volume.parts.node_id_key))

    for store in drives:
        async with opened(store, Cost()) as volume:
            surveyor = surveyor_of(volume)
            async with surveyor.keeping():
                await surveyor.now(lambda *_: None)
            await edit(volume)
    surveyors = []

    async def survey(volume: Volume) -> None:
        surveyors.append(surveyor_of(volume))
        await surveyors[-1].now(lambda *_: None)

    small, large = await costs(drives, survey)
    assert [found.whole for found in surveyors] == [0, 0]
    assert large["nodes read"] <= small["nodes read"] + 20 * LEVELS


async def test_a_survey_reads_what_has_changed_since_the_last(drives: tuple[Path, Path]) -> None:
    async def survey(volume: Volume) -> None:
        await Surveyor(volume).now(lambda *_: None)

    whole = await costs(drives, survey)
    assert whole[1]["nodes read"] > FILES * TIMES // 20
    surveyors: dict[Volume, Surveyor] = {}

    async def survey_and_edit(volume: Volume) -> None:
        surveyors[volume] = Surveyor(volume)
        await surveyors[volume].now(lambda *_: None)
        for work in (edit, create_in_the_crowd, unlink, edit):
            await work(volume)

    async def survey_again(volume: Volume) -> None:
        await surveyors[volume].now(lambda *_: None)

    small, large = await costs(drives, survey_again, before=survey_and_edit)
    assert [found.whole for found in surveyors.values()] == [1, 1]
    assert large["nodes read"] <= small["nodes read"] + 20 * LEVELS
    assert large["nodes read"] < whole[1]["nodes read"] / 10


async def test_a_dry_run_of_a_prune_reads_what_has_changed_since_the_last(drives: tuple[Path, Path]) -> None:
    async def dry_run(volume: Volume) -> None:
        await prune(volume, 3, True, lambda *_: None)

    first = await costs(drives, dry_run)
    small, large = await costs(drives, dry_run, before=edit)
    assert first[1]["nodes read"] > FILES * TIMES // 20
    assert large["nodes read"] <= small["nodes read"] + 20 * LEVELS
