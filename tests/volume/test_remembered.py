"""Marking by what is remembered: the same blocks as by reading everything, at the cost of what has changed."""

import random
from collections import Counter

import pytest
import trio

from hyperfs.store.memory import MemoryIndex
from hyperfs.trie import Ref, point_of, walk_nodes
from hyperfs.volume import remembered
from hyperfs.volume.catalog import Catalog, Change
from hyperfs.volume.marking import Marks, mark_trees
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.paths import find
from hyperfs.volume.prune import prune
from hyperfs.volume.remembered import Remembered
from hyperfs.volume.volume import Volume

from .conftest import Store, inode_of, make_folder, unlink, write_file

BIG = 20_000
"""Bytes that go to content."""


class Counted(Nodes):
    """Counts the nodes that are read."""

    reads = 0

    def read(self, ref: Ref):  # type: ignore[no-untyped-def]
        self.reads += 1
        return super().read(ref)


def quiet(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def lengths(volume: Volume) -> dict[int, int]:
    return {number: log.length for number, log in volume.parts.logs.items()}


def marks_of(volume: Volume, nodes: Nodes, catalog: Catalog, rows: Counter[str] | None = None) -> Marks:
    """Those of the newest version, by what is remembered."""

    def keep(changes: list[Change]) -> None:
        if rows is not None:
            rows["kept"] += len(changes)
        catalog.apply(changes)

    marks = Marks()
    marks.reach(lengths(volume))
    found = Remembered(nodes, catalog, volume.parts.node_id_key, keep)
    found.mark([volume.versions.newest.root], marks)
    return marks


def truth(volume: Volume) -> Marks:
    marks = Marks()
    marks.reach(lengths(volume))
    mark_trees(volume.parts.nodes, [volume.versions.newest.root], marks, quiet)
    return marks


def unmarked(volume: Volume, marks: Marks) -> dict[int, list[int]]:
    return {number: list(marks.unmarked(number, length)) for number, length in lengths(volume).items()}


async def make_files(volume: Volume, folders: int, rng: random.Random) -> None:
    for folder in range(folders):
        make_folder(volume, b"%d" % folder)
        for number in range(30):
            await write_file(volume, b"%d/%d" % (folder, number), rng.randbytes(rng.choice([30, 300, BIG])))
    await volume.commit()


def counted(volume: Volume) -> Counted:
    return Counted(volume.parts.logs, volume.parts.sealer)


@pytest.mark.parametrize("weight", [5_000, 50_000, 1 << 20])
async def test_what_is_remembered_is_what_is_there(store: Store, monkeypatch: pytest.MonkeyPatch, weight: int) -> None:
    monkeypatch.setattr(remembered, "SUBTREE_WEIGHT", weight)
    rng = random.Random(weight)
    catalog = Catalog(MemoryIndex())
    async with store.opened() as volume:
        await make_files(volume, 20, rng)
        for step in range(12):
            marks = marks_of(volume, volume.parts.nodes, catalog)
            assert unmarked(volume, marks) == unmarked(volume, truth(volume))
            refs = list(walk_nodes(volume.parts.nodes.load, volume.versions.newest.root))
            assert all(marks.has_node(ref.log, ref.point) for ref in refs)
            assert sum(marks.has_node(ref.log, point_of(ref.block, slot)) for ref in refs for slot in range(20)) == (
                sum(Counter(ref.block for ref in refs)[ref.block] for ref in refs)
            )
            folder = rng.randrange(20)
            await write_file(volume, b"%d/%d" % (folder, rng.randrange(30)), rng.randbytes(rng.choice([10, BIG])))
            volume.xattrs.set(inode_of(volume, b"%d" % folder), b"user.long", rng.randbytes(3000))
            await write_file(volume, b"%d/new %d" % (folder, step), b"new")
            if step % 3 == 2:
                unlink(volume, b"%d/new %d" % (folder, step))
            await volume.commit()


async def test_a_change_costs_its_own_subtree(store: Store) -> None:
    """On a drive with four times as many files no more is read."""
    rng, catalog, read = random.Random(1), Catalog(MemoryIndex()), []
    async with store.opened() as volume:
        for folders in (30, 90):
            await make_files_in(volume, b"%d" % folders, folders, rng)
            nodes = counted(volume)
            marks_of(volume, nodes, catalog)
            first, nodes.reads = nodes.reads, 0
            marks_of(volume, nodes, catalog)
            again, nodes.reads = nodes.reads, 0
            await write_file(volume, b"%d/0/5" % folders, b"changed")
            await volume.commit()
            marks_of(volume, nodes, catalog)
            read.append((first, again, nodes.reads))
    assert read[1][0] > 300
    assert read[1][1] <= 20
    assert read[1][2] <= 60


async def make_files_in(volume: Volume, name: bytes, folders: int, rng: random.Random) -> None:
    make_folder(volume, name)
    for folder in range(folders):
        make_folder(volume, b"%b/%d" % (name, folder))
        for number in range(100):
            await write_file(volume, b"%b/%d/%d" % (name, folder, number), rng.randbytes(60))
    await volume.commit()


async def test_a_row_that_is_not_ours_is_not_believed(store: Store) -> None:
    async with store.opened() as volume:
        await make_files(volume, 20, random.Random(2))
        index = MemoryIndex()
        catalog, rows = Catalog(index), Counter[str]()
        marks_of(volume, volume.parts.nodes, catalog, rows)
        made = rows["kept"]
        assert made
        marks_of(volume, volume.parts.nodes, catalog, rows)
        assert rows["kept"] == made
        held = dict(index.scan())
        keys = list(held)
        flipped = [(key, value[:-1] + bytes([value[-1] ^ 1])) for key, value in held.items()]
        moved = list(zip(keys, [*list(held.values())[1:], held[keys[0]]], strict=True))
        for damage in (flipped, moved):
            index.write(damage)
            found = marks_of(volume, volume.parts.nodes, catalog, rows)
            assert unmarked(volume, found) == unmarked(volume, truth(volume))
            assert dict(index.scan()) == held


async def test_what_is_remembered_of_nodes_that_go_goes_with_them(store: Store) -> None:
    async with store.opened() as volume:
        await make_files(volume, 20, random.Random(3))
        log = volume.parts.metadata_number
        for number in range(10):
            store.clock.forward(2)
            for folder in range(20):
                await write_file(volume, b"%d/%d" % (folder, number), b"changed %d" % number)
            await prune(volume, 1, False, quiet)
            await trio.lowlevel.checkpoint()
        catalog, cleared = volume.parts.catalog, volume.parts.catalog.cleared
        rows = [int.from_bytes(key[5:13], "big") for key, _ in catalog.forget_reach(log, 0, 1 << 60)]
        assert rows
        assert not [index for index in rows if cleared.has(log, index)]
        assert find(volume.overlay.live, b"0/0")
        assert cleared.ranges(log)
