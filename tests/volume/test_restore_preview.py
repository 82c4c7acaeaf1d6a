"""The trial of a restore tells what the restore then does."""

import os
import random

from hyperfs.errors import HyperfsError
from hyperfs.volume.compare import Difference, compare
from hyperfs.volume.restore import restore
from hyperfs.volume.restore_preview import preview
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, make_folder, rename, unlink, write_file
from .random_steps import all_paths, change

ALL = os.environ.get("HYPERFS_ALL") == "1"
SEED = int(os.environ.get("HYPERFS_SEED", "9"))
ROUNDS = 200 if ALL else 12


def split_moves(found: list[Difference]) -> set[tuple[str, bytes]]:
    """A restore makes new inodes: what the trial calls moved is gone in one place and new in another."""
    told = set()
    moved = {difference.path for difference in found if difference.kind == "moved"}
    for difference in found:
        if difference.kind == "moved":
            told |= {("removed", difference.old_path), ("added", difference.path)}
        elif difference.path not in moved:
            told.add((difference.kind, difference.path))
    return told


async def told(volume: Volume, path: bytes, version: int, to: bytes | None = None) -> list[tuple[str, bytes]]:
    return [(d.kind, d.path) for d in (await preview(volume, path, version, to)).differences]


async def test_what_is_told_is_what_then_happens(store: Store) -> None:
    rng, compared = random.Random(SEED), 0
    async with store.opened() as volume:
        versions = []
        for _ in range(ROUNDS):
            for _ in range(rng.randrange(1, 10)):
                await change(volume, rng)
            versions.append((await volume.commit()).version)
            path, version = rng.choice(all_paths(volume.overlay.live)), rng.choice(versions)
            try:
                found = (await preview(volume, path, version)).differences
            except HyperfsError:
                continue
            done = await restore(volume, path, version)
            happened = await compare(volume, versions[-1], done.made)
            assert split_moves(found) == {(d.kind, d.path) for d in happened}, (SEED, path, version)
            compared += 1
    assert compared > ROUNDS // 3
    tally.add("trials of a restore compared with what it did", compared, seed=SEED)


async def test_of_a_file_that_had_another_name_it_tells_that_it_changes(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"notes")
        await write_file(volume, b"notes/a", b"first")
        version = (await volume.commit()).version
        rename(volume, b"notes/a", b"notes/letter")
        rename(volume, b"notes", b"papers")
        await write_file(volume, b"papers/letter", b"later on")
        await volume.commit()
        assert (await preview(volume, b"papers/letter", version)).differences == [
            Difference("changed", b"papers/letter", None, 8, 5)
        ]
        assert (await preview(volume, b"papers", version)).differences == [
            Difference("changed", b"papers/a", b"papers/letter", 8, 5),
            Difference("moved", b"papers/a", b"papers/letter", 8, 5),
        ]


async def test_elsewhere_it_tells_what_would_be_replaced(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        await write_file(volume, b"d/f", b"f")
        version = (await volume.commit()).version
        make_folder(volume, b"other")
        await write_file(volume, b"other/mine", b"mine")
        unlink(volume, b"d/f")
        await volume.commit()
        assert await told(volume, b"d", version, b"new") == []
        assert await told(volume, b"d", version, b"other") == [("added", b"other/f"), ("removed", b"other/mine")]
