"""The stream of changes: it tells all that differs, each once, and can be gone on with behind any line."""

import os
import random
from itertools import pairwise

import pytest

from hyperfs.errors import BadRequest, FileError, NoSuchVersion
from hyperfs.volume.change_stream import Cursor, Told, stream
from hyperfs.volume.compare import Difference
from hyperfs.volume.prune import prune
from hyperfs.volume.undo import undo
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, inode_of, make_folder, rename, rmdir, unlink, write_file
from .model import view_of_tree

SEEDS = range(40 if os.environ.get("HYPERFS_ALL") == "1" else 4)
NAMES = [b"a", b"b", b"c", b"\xff\n"]
Sizes = dict[bytes, int | None]


async def play(volume: Volume, rng: random.Random) -> None:
    """One thing that a program does, if it can be done."""
    known = [path for path in view_of_tree(volume, volume.overlay.live) if path]
    path, other = (b"/".join(rng.choices(NAMES, k=rng.randint(1, 3))) for _ in range(2))
    if known and rng.random() < 0.7:
        path = rng.choice(known)
    if known and rng.random() < 0.3:
        other = rng.choice(known)
    try:
        match rng.randrange(8):
            case 0 | 1:
                make_folder(volume, path)
            case 2 | 3:
                await write_file(volume, path, rng.randbytes(rng.randrange(900)))
            case 4:
                unlink(volume, path)
            case 5:
                rmdir(volume, path)
            case 6 if not other.startswith(path + b"/"):  # which the kernel refuses
                rename(volume, path, other)
            case 7:
                parent, _, name = other.rpartition(b"/")
                volume.names.link(inode_of(volume, path), inode_of(volume, parent).ino, name)
    except (FileError, AssertionError):
        return


def told(volume: Volume, cursor: Cursor, path: bytes = b"") -> list[Told]:
    return [item for item in stream(volume, path, cursor) if isinstance(item, Told)]


def sizes(volume: Volume, version: int) -> Sizes:
    view = view_of_tree(volume, volume.versions.tree(version))
    return {path: None if seen.data is None else len(seen.data) for path, seen in view.items() if path}


def followed(before: Sizes, changes: list[Difference]) -> Sizes:
    """What somebody has who follows the stream."""
    removed = {change.path: change for change in changes if change.kind == "removed"}
    moved = {change.old_path: change for change in changes if change.kind == "moved"}
    after: Sizes = {}
    for path, size in before.items():
        if path in removed:
            assert removed[path].old_size == size
            continue
        parts = path.split(b"/")
        prefixes = [b"/".join(parts[:count]) for count in range(len(parts), 0, -1)]
        top = next((prefix for prefix in prefixes if prefix in moved), None)
        after[path if top is None else moved[top].path + path[len(top) :]] = size
    for change in changes:
        if change.kind == "added":
            assert change.path not in after, change
            after[change.path] = change.new_size
    for change in changes:
        if change.kind in ("changed", "attributes"):
            assert change.path in after, change
            assert after[change.path] in (change.old_size, change.new_size)
            after[change.path] = change.new_size
    return after


@pytest.mark.parametrize("seed", SEEDS)
async def test_who_follows_has_what_is_there(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    async with store.opened() as volume:
        for _ in range(25):
            for _ in range(rng.randint(1, 8)):
                await play(volume, rng)
            store.clock.forward(1)
            await volume.commit()
        lines = told(volume, Cursor(0))
        numbers = [facts.version for facts in volume.versions.all()]
        assert [line.facts.version for line in lines] == sorted(line.facts.version for line in lines)
        state = sizes(volume, numbers[0])
        for _, version in pairwise(numbers):
            mine = [line.difference for line in lines if line.facts.version == version]
            assert len(mine) == len(set(mine))
            state = followed(state, mine)
            # Hard links: their names come and go, and only one of them tells of new bytes.
            real = sizes(volume, version)
            assert state.keys() == real.keys(), f"version {version}, seed {seed}"
            state = real
        for place in [0, *rng.sample(range(len(lines)), 10), len(lines) - 1]:
            assert told(volume, lines[place].behind) == lines[place + 1 :]
            assert Cursor.parse(str(lines[place].behind)) == lines[place].behind
        tally.add("changes followed", len(lines), seed=seed)


async def test_only_what_is_below_the_path(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"in")
        make_folder(volume, b"out")
        first = (await volume.commit()).version
        await write_file(volume, b"in/a", b"1")
        await write_file(volume, b"out/b", b"2")
        await write_file(volume, b"out/c", b"3")
        await volume.commit()
        rename(volume, b"out/b", b"in/b")
        rename(volume, b"in/a", b"out/a")
        await volume.commit()
        found = [(line.difference.kind, line.difference.path) for line in told(volume, Cursor(first), b"in")]
        assert found == [("added", b"in/a"), ("moved", b"in/b"), ("moved", b"out/a")]


async def test_an_undo_is_told_like_any_change(store: Store) -> None:
    async with store.opened() as volume:
        make_folder(volume, b"d")
        await write_file(volume, b"d/f", b"1")
        store.clock.forward(10)
        await volume.commit()
        unlink(volume, b"d/f")
        store.clock.forward(10)
        version = (await volume.commit()).version
        await undo(volume, b"d")
        assert [line.difference[:2] for line in told(volume, Cursor(version))] == [("added", b"d/f")]


async def test_a_version_that_is_gone_is_no_place_to_begin(store: Store) -> None:
    async with store.opened() as volume:
        for number in range(5):
            await write_file(volume, b"f", b"%d" % number)
            store.clock.forward(2)
            await volume.commit()
        newest = volume.versions.newest.version
        await prune(volume, 1, False, lambda what, done, of: None)
        with pytest.raises(NoSuchVersion):
            told(volume, Cursor(newest - 2))


@pytest.mark.parametrize("text", ["", "x", "1:2", "5:5:1", "7:6:2", "-1", "1" * 30])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(BadRequest):
        Cursor.parse(text)
