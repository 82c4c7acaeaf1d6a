"""Marking by groups of versions: the same blocks as by reading every version, at the cost of what changed."""

import random
from collections.abc import Sequence

import pytest

from hyperfs.store.memory import MemoryIndex
from hyperfs.trie import Ref
from hyperfs.volume import collecting, remembered_groups
from hyperfs.volume.catalog import Catalog, Change, VersionFacts
from hyperfs.volume.marking import Marks, mark_commit, mark_trees
from hyperfs.volume.nodes import Nodes
from hyperfs.volume.paths import find
from hyperfs.volume.remembered_groups import Groups, forget_groups
from hyperfs.volume.retaining import no_progress, retain
from hyperfs.volume.versions import read_commit
from hyperfs.volume.volume import Volume
from tests import tally

from .conftest import Store, inode_of, make_folder, unlink, write_file

GROUP = 8
FOLDERS = 6


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered_groups, "GROUP_VERSIONS", GROUP)
    monkeypatch.setattr(remembered_groups, "ROW_BYTES", 100)


class Reads:
    """Counts the blocks of nodes and commits that are asked for, and the rows that are made."""

    def __init__(self, volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = self.rows = 0
        read, plaintext = Nodes.read, Nodes.plaintext

        def counted_read(nodes: Nodes, ref: Ref):  # type: ignore[no-untyped-def]
            self.count += 1
            return read(nodes, ref)

        def counted_plaintext(nodes: Nodes, log: int, index: int, kind: int) -> bytes:
            self.count += kind == Nodes.COMMIT
            return plaintext(nodes, log, index, kind)

        monkeypatch.setattr(Nodes, "read", counted_read)
        monkeypatch.setattr(Nodes, "plaintext", counted_plaintext)
        self.catalog = volume.parts.catalog

    def keep(self, changes: list[Change]) -> None:
        self.rows += len(changes)
        self.catalog.apply(changes)


def new_marks(volume: Volume) -> Marks:
    marks = Marks()
    marks.reach({number: log.length for number, log in volume.parts.logs.items()})
    return marks


def unmarked(volume: Volume, marks: Marks) -> dict[int, list[int]]:
    return {number: list(marks.unmarked(number, log.length)) for number, log in volume.parts.logs.items()}


def by_groups(volume: Volume, kept: Sequence[VersionFacts]) -> dict[int, list[int]]:
    marks = new_marks(volume)
    Groups(volume.parts, volume.parts.catalog.apply, no_progress).mark(kept, marks)
    return unmarked(volume, marks)


def truth(volume: Volume, kept: Sequence[VersionFacts]) -> dict[int, list[int]]:
    marks, nodes = new_marks(volume), volume.parts.nodes
    for found in kept:
        commit = read_commit(nodes, found.log, found.index)
        mark_trees(nodes, [realm.root for realm in commit.realms], marks, no_progress)
        mark_commit(found.log, found.index, commit.dead_blocks, marks)
    return unmarked(volume, marks)


async def make_versions(store: Store, volume: Volume, rng: random.Random, count: int) -> None:
    names: list[bytes] = []
    for folder in range(FOLDERS):
        if find(volume.overlay.live, b"%d" % folder) is None:
            make_folder(volume, b"%d" % folder)
    for number in range(count):
        store.clock.forward(rng.choice([2, 400, 4000]))
        for _ in range(rng.choice([1, 1, 1, 40])):
            name = b"%d/%d" % (rng.randrange(FOLDERS), rng.randrange(60))
            await write_file(volume, name, rng.randbytes(rng.choice([20, 200, 5000])))
            names.append(name)
        if number % 3 == 2:
            unlink(volume, names[-1])
            names = [name for name in names if name != names[-1]]
        volume.xattrs.set(inode_of(volume, b"%d" % rng.randrange(FOLDERS)), b"user.long", rng.randbytes(2000))
        await volume.commit()


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_is_kept_the_marks_are_those_of_reading_everything(store: Store, seed: int) -> None:
    rng, compared = random.Random(seed), 0
    async with store.opened() as volume:
        for _ in range(3):
            await make_versions(store, volume, rng, 20)
            facts = list(volume.versions.all())
            kept = facts
            for share in (1.0, 1.0, 0.8, 0.3, 0.95):
                kept = [found for found in facts if rng.random() < share or found is facts[-1]]
                assert by_groups(volume, kept) == truth(volume, kept)
                compared += len(kept)
    tally.add("versions marked by groups and by reading", compared, seed=seed)


async def test_what_has_not_changed_is_not_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    async with store.opened() as volume:
        await make_versions(store, volume, rng, 10 * GROUP)
        reads, facts = Reads(volume, monkeypatch), list(volume.versions.all())

        def cost(kept: Sequence[VersionFacts]) -> int:
            reads.count = 0
            Groups(volume.parts, reads.keep, no_progress).mark(kept, new_marks(volume))
            return reads.count

        first, again = cost(facts), cost(facts)
        assert first > 5 * again
        assert again <= 2 * (len(facts) // GROUP + 2)  # the commit and the root of the last of each group
        made = reads.rows
        cost(facts)
        assert reads.rows == made
        assert cost([found for found in facts if found.version != 3 * GROUP + 2]) < again + first // 4


async def test_a_row_that_is_not_of_these_versions_is_not_believed(store: Store) -> None:
    async with store.opened() as volume:
        await make_versions(store, volume, random.Random(4), 5 * GROUP)
        catalog, facts = volume.parts.catalog, list(volume.versions.all())
        expected = by_groups(volume, facts)
        held = dict(catalog.rows(b"n", b"n"))
        assert len(held) > 10  # several parts each
        keys = list(held)
        flipped = [(key, value[:-1] + bytes([value[-1] ^ 1])) for key, value in held.items()]
        moved = list(zip(keys, [*list(held.values())[1:], held[keys[0]]], strict=True))
        cut = [(key, value) for key, value in held.items() if key[-1] == 0] + [(key, None) for key in keys if key[-1]]
        for damage in (flipped, moved, cut, [(key, b"") for key in keys]):
            catalog.apply(damage)
            assert by_groups(volume, facts) == expected
            assert dict(catalog.rows(b"n", b"n")) == held


async def test_a_group_that_reaches_too_much_is_read_each_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered_groups, "REACHED_MOST", 4)
    async with store.opened() as volume:
        await make_versions(store, volume, random.Random(5), 3 * GROUP)
        facts = list(volume.versions.all())
        assert by_groups(volume, facts) == truth(volume, facts) == by_groups(volume, facts)
        assert not list(volume.parts.catalog.rows(b"n", b"n"))


async def test_rows_go_with_the_last_version_of_their_group() -> None:
    catalog = Catalog(MemoryIndex())
    rows = [b"n" + number.to_bytes(8, "big") + bytes([0, part]) for number in (0, 3, 4, 900) for part in (0, 1)]
    catalog.apply((key, b"row") for key in rows)
    kept = [VersionFacts(version, 1, version, version, 0, 0) for version in (1, 4 * GROUP + 1)]
    catalog.apply(forget_groups(catalog, kept))
    assert [key for key, _ in catalog.rows(b"n", b"n")] == [rows[0], rows[1], rows[4], rows[5]]


async def test_a_dry_run_by_groups_tells_what_one_without_them_tells(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with store.opened() as volume:
        await make_versions(store, volume, random.Random(6), 5 * GROUP)
        store.clock.forward(24 * 3600)
        told = await retain(volume, True, no_progress)
        monkeypatch.setattr(collecting, "REMEMBERED_MOST", 1)
        assert told.bytes
        assert told.versions
        for _ in range(2):
            assert await retain(volume, True, no_progress) == told
        done = await retain(volume, False, no_progress)
        assert done.versions == told.versions
        assert done.bytes >= told.bytes - 4096
