"""Blocks leave and come back: whenever it ends, each is on this device or elsewhere, and readers see its bytes or that
it is not here."""

import os
import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.crypto.ids import node_id
from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Corrupt, FormatTooNew, NotResident
from hyperfs.log.cleared import Cleared
from hyperfs.log.evicted import Evicted, decode, encode
from hyperfs.log.log import Log
from hyperfs.store.files import Disk, DiskFile
from hyperfs.values import BlockRef
from hyperfs.volume.residence import RECORD, Residence, Run
from tests import tally
from tests.log.test_format_pages import example

ALL = os.environ.get("HYPERFS_ALL") == "1"
KEY = bytes(32)
SIGNER = SigningKeyPair(bytes([1]) * 32)
COUNT = 24


class Killed(BaseException):
    """The process is no more."""


@dataclass
class Tearing:
    """Kills at an operation on the disk; a write or punch that it hits is done in part."""

    left: int | None = None
    part: float = 0.5
    seen: int = 0
    dead: bool = field(default=False)

    def hit(self) -> bool:
        self.seen += 1
        if self.dead:
            raise Killed
        if self.left is not None and self.left <= 0:
            self.dead = True
        if self.left is not None:
            self.left -= 1
        return self.dead

    def disk(self, root: Path) -> Disk:
        tearing = self

        class File(DiskFile):
            def pwrite(self, data: bytes | bytearray | memoryview, offset: int) -> None:
                if tearing.hit():
                    super().pwrite(bytes(data)[: int(len(data) * tearing.part)], offset)
                    raise Killed
                super().pwrite(data, offset)

            def punch(self, offset: int, length: int) -> None:
                if tearing.hit():
                    super().punch(offset, int(length * tearing.part))
                    raise Killed
                super().punch(offset, length)

            def fdatasync(self) -> None:
                if tearing.hit():
                    raise Killed
                super().fdatasync()

        class TearingDisk(Disk):
            file_type = File

            def rename(self, old: str, new: str) -> None:
                if tearing.hit():
                    raise Killed
                super().rename(old, new)

        return TearingDisk(root)


def block(index: int) -> bytes:
    """Sealed blocks begin with the format's number; these are of many sizes, few of whole pages."""
    return b"\1" + random.Random(index).randbytes(3000 + index * 777 % 9000)


BLOCKS = [block(index) for index in range(COUNT)]


def made(path: Path) -> Path:
    log = Log.create(Disk(path), "log", SIGNER, 2)
    log.append(BLOCKS)
    log.flush()
    log.close()
    return path


@contextmanager
def opened(path: Path, disk: Disk | None = None) -> Iterator[tuple[Residence, Log]]:
    disk = disk or Disk(path)
    log = Log.open(disk, "log", SIGNER.public_key, SIGNER, 2)
    residence = Residence(disk, {2: log}, {2: "log"}, KEY)
    warnings: dict[str, str] = {}
    residence.load(warnings)
    assert not warnings
    try:
        yield residence, log
    finally:
        log.close()


def here(log: Log) -> set[int]:
    """The blocks that can be read; each of them has the right bytes, and the others say that they are not here."""
    found = set()
    for index, data in enumerate(BLOCKS):
        try:
            got = log.get(index)
        except NotResident:
            continue
        assert got == data
        found.add(index)
    return found


async def always(run: Run) -> bool:
    return True


async def never(run: Run) -> bool:
    return False


def sizes(blocks: set[int]) -> int:
    return sum(len(BLOCKS[index]) for index in blocks)


async def test_what_left_is_not_resident_takes_no_disk_and_is_known_after_reopening(tmp_path: Path) -> None:
    with opened(made(tmp_path)) as (residence, log):
        before = log.size_on_disk()
        assert residence.is_whole
        assert await residence.evict([Run(2, 3, 20)], always) == [Run(2, 3, 20)]
        left = set(range(3, 20))
        assert here(log) == set(range(COUNT)) - left
        assert residence.cold_bytes == sizes(left)
        assert before - log.size_on_disk() >= sizes(left) - 3 * 4096
    with opened(tmp_path) as (residence, log):
        assert here(log) == set(range(COUNT)) - left
        assert residence.cold_bytes == sizes(left)
        assert not residence.is_whole


async def test_what_is_not_confirmed_stays(tmp_path: Path) -> None:
    with opened(made(tmp_path)) as (residence, log):
        assert await residence.evict([Run(2, 0, 9)], never) == []
        assert here(log) == set(range(COUNT))
        assert residence.is_whole
        assert residence.cold_bytes == 0


async def test_a_mark_is_on_the_disk_before_the_other_places_are_asked(tmp_path: Path) -> None:
    async def look(run: Run) -> bool:
        with opened(tmp_path) as (other, other_log):
            assert list(other_log.evicted.runs()) == [(4, 8)]  # type: ignore[union-attr]
            assert other.is_unsure
        assert not residence.is_away(BlockRef(2, 5)), "it is here until it is known to be elsewhere"
        assert residence.cold_bytes == 0
        return True

    with opened(made(tmp_path)) as (residence, _):
        assert await residence.evict([Run(2, 4, 8)], look) == [Run(2, 4, 8)]


async def test_cancelled_while_places_are_asked_nothing_has_left(tmp_path: Path) -> None:
    async def hang(run: Run) -> bool:
        await trio.sleep_forever()
        raise AssertionError

    with opened(made(tmp_path)) as (residence, log):
        with trio.move_on_after(0):
            await residence.evict([Run(2, 0, 9)], hang)
        assert here(log) == set(range(COUNT))
        assert residence.is_whole
        await residence.evict([Run(2, 0, 9)], always)
        assert here(log) == set(range(9, COUNT))


async def test_what_comes_back_is_read_from_the_disk_and_its_neighbours_stay_away(tmp_path: Path) -> None:
    with opened(made(tmp_path)) as (residence, log):
        await residence.evict([Run(2, 0, COUNT)], always)
        await residence.put_back({BlockRef(2, index): BLOCKS[index] for index in (5, 6, 11)})
        assert here(log) == {5, 6, 11}
        assert residence.cold_bytes == sizes(set(range(COUNT)) - {5, 6, 11})
        await residence.settle()
    with opened(tmp_path) as (residence, log):
        assert here(log) == {5, 6, 11}
        assert list(log.evicted.runs()) == [(0, 5), (7, 11), (12, COUNT)]  # type: ignore[union-attr]


async def test_what_came_back_and_was_not_recorded_is_found_to_be_here(tmp_path: Path) -> None:
    with opened(made(tmp_path)) as (residence, _):
        await residence.evict([Run(2, 0, COUNT)], always)
        await residence.put_back({BlockRef(2, 5): BLOCKS[5]})
    with opened(tmp_path) as (residence, log):
        assert residence.has_left(BlockRef(2, 5))
        assert here(log) == {5}
        await residence.reconcile()
        assert not residence.has_left(BlockRef(2, 5))
        assert here(log) == {5}


async def test_a_mark_that_was_never_confirmed_costs_no_neighbour_its_bytes(tmp_path: Path) -> None:
    """A punch takes the pages that its blocks share with others that are gone: a mark alone says not that they are."""
    tearing = Tearing()
    with opened(made(tmp_path), tearing.disk(tmp_path)) as (residence, _):

        async def die(run: Run) -> bool:
            tearing.dead = True
            raise Killed

        with pytest.raises(Killed):
            await residence.evict([Run(2, 8, 12)], die)
    with opened(tmp_path) as (residence, log):
        await residence.evict([Run(2, 5, 8), Run(2, 12, 15)], always)
        assert here(log) == set(range(COUNT)) - {5, 6, 7, 12, 13, 14}


async def test_a_block_that_came_back_in_part_is_not_here_until_all_of_it_is(tmp_path: Path) -> None:
    tearing = Tearing()
    with opened(made(tmp_path), tearing.disk(tmp_path)) as (residence, log):
        await residence.evict([Run(2, 4, 9)], always)
        tearing.left = 0
        with pytest.raises(Killed):
            await residence.put_back({BlockRef(2, 6): BLOCKS[6]})
        assert here(log) == set(range(COUNT)) - set(range(4, 9))
    with opened(tmp_path) as (residence, log):
        assert here(log) == set(range(COUNT)) - set(range(4, 9))
        await residence.reconcile()
        assert log.is_gone(6), "what is left of it takes no disk"
        await residence.put_back({BlockRef(2, 6): BLOCKS[6]})
        assert here(log) == set(range(COUNT)) - {4, 5, 7, 8}


async def test_what_was_let_go_by_retention_needs_no_mark(tmp_path: Path) -> None:
    with opened(made(tmp_path)) as (residence, _):
        await residence.evict([Run(2, 2, 10)], always)
        await residence.forget_cleared(Cleared({2: [(0, 6)]}))
        assert residence.cold_bytes == sizes({6, 7, 8, 9})
        await residence.settle()
    with opened(tmp_path) as (residence, log):
        assert list(log.evicted.runs()) == [(6, 10)]  # type: ignore[union-attr]


@pytest.mark.parametrize("harm", ["flip", "cut", "other key"])
async def test_a_record_that_is_not_ours_is_not_believed_and_made_again(tmp_path: Path, harm: str) -> None:
    with opened(made(tmp_path)) as (residence, _):
        await residence.evict([Run(2, 2, 10)], always)
    record = tmp_path / "log" / RECORD
    data = bytearray(record.read_bytes())
    if harm == "flip":
        data[24] ^= 1
    record.write_bytes(bytes(data[:-1] if harm == "cut" else data))
    log = Log.open(Disk(tmp_path), "log", SIGNER.public_key, SIGNER, 2)
    key = bytes([9]) * 32 if harm == "other key" else KEY
    residence = Residence(Disk(tmp_path), {2: log}, {2: "log"}, key)
    warnings: dict[str, str] = {}
    residence.load(warnings)
    assert "evicted" in warnings
    assert here(log) == {0, 1, *range(10, COUNT)}
    assert list(log.evicted.runs()) == [(2, 10)]  # type: ignore[union-attr]
    log.close()


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["evict", "keep", "back", "settle"]), st.integers(0, COUNT - 1), st.integers(1, 8)),
    min_size=1,
    max_size=6,
)


async def _take(residence: Residence, step: Step, elsewhere: set[int]) -> None:
    """What leaves is elsewhere first: so the model says where each block can be had."""
    what, first, count = step
    run = Run(2, first, min(COUNT, first + count))

    async def safe(asked: Run) -> bool:
        elsewhere.update(range(asked.first, asked.end))
        return True

    if what == "evict":
        await residence.evict([run], safe)
    elif what == "keep":
        await residence.evict([run], never)
    elif what == "back":
        back = [i for i in range(run.first, run.end) if i in elsewhere and residence.has_left(BlockRef(2, i))]
        await residence.put_back({BlockRef(2, i): BLOCKS[i] for i in back})
    else:
        await residence.settle()


@settings(max_examples=400 if ALL else 40, deadline=None)
@given(STEPS, st.integers(0, 60), st.floats(0, 1))
def test_killed_at_any_operation_each_block_is_here_or_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], kill_at: int, part: float
) -> None:
    path = made(tmp_path_factory.mktemp("log"))
    elsewhere: set[int] = set()
    tearing = Tearing(kill_at, part)

    async def until_killed() -> None:
        with opened(path, tearing.disk(path)) as (residence, log):
            for step in steps:
                try:
                    await _take(residence, step, elsewhere)
                except Killed:
                    return
                assert here(log) | elsewhere == set(range(COUNT))

    async def afterwards() -> None:
        with opened(path) as (residence, log):
            found = here(log)
            assert found | elsewhere == set(range(COUNT))
            assert all(residence.has_left(BlockRef(2, i)) for i in set(range(COUNT)) - found), "not here and not marked"
            await residence.reconcile()
            assert here(log) == found
            assert {i for i in range(COUNT) if not residence.has_left(BlockRef(2, i))} == found
            assert residence.cold_bytes == sizes(set(range(COUNT)) - found)
            assert log.size_on_disk() < sizes(found) + 4096 * (2 * len(found) + 6)

    trio.run(until_killed)
    trio.run(afterwards)
    tally.add("evictions and returns killed on the way", int(tearing.dead))


@given(st.sets(st.integers(0, 300)), st.sets(st.integers(0, 300)))
def test_marks_are_a_set_and_survive_their_record(added: set[int], removed: set[int]) -> None:
    marks = Evicted()
    for index in added:
        marks.add(index, index + 1)
    for index in removed:
        marks.remove(index, index + 1)
    expected = added - removed
    assert {i for i in range(320) if marks.has(i)} == expected
    assert {i for run in marks.runs() for i in range(*run)} == expected
    assert marks.count == len(expected)
    again = decode(encode(marks, lambda data: data[:16]), lambda data: data[:16], 320)
    assert list(again.runs()) == list(marks.runs())
    for index in expected:
        start, end = marks.around(index)
        assert (start, end) in list(marks.runs())


def test_the_record_of_the_page() -> None:
    key = bytes.fromhex("798b52954f2f524c0a491fd95e508007de655fbdc048947a8afa2e65f1a03b77")
    marks = Evicted()
    marks.add(3, 20)
    marks.add(64, 65)

    def tag(data: bytes) -> bytes:
        return node_id(bytes(range(32)), b"evicted" + key + data)

    written = encode(marks, tag)
    assert written == example("evicted.md", "evicted")
    assert list(decode(written, tag, 65).runs()) == [(3, 20), (64, 65)]


def test_a_record_of_nothing_is_read_and_no_record_is_refused() -> None:
    assert decode(encode(Evicted(), lambda data: bytes(16)), lambda data: bytes(16), 0).count == 0
    with pytest.raises(Corrupt):
        decode(b"", lambda data: bytes(16), 9)


@pytest.mark.parametrize("runs", [[(3, 3)], [(5, 4)], [(0, 10)], [(4, 5), (1, 2)], [(1, 3), (3, 5)], [(0, 1 << 60)]])
def test_runs_that_nobody_writes_are_refused(runs: list[tuple[int, int]]) -> None:
    data = b"hfsevict" + struct.pack("<IIQ", 1, 0, len(runs)) + b"".join(struct.pack("<QQ", *run) for run in runs)
    with pytest.raises(Corrupt):
        decode(data + bytes(16), lambda body: bytes(16), 9)


def test_a_record_of_a_later_format_says_so() -> None:
    data = b"hfsevict" + struct.pack("<IIQ", 2, 0, 0) + bytes(16)
    with pytest.raises(FormatTooNew):
        decode(data, lambda body: bytes(16), 9)
