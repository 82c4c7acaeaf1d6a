"""Unsaved bytes against a byte array that knows of each byte whether it was written."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hyperfs.volume.buffer import DirtyBytes, lay_over, merged

MOST = 300
offsets = st.integers(0, MOST)
pieces = st.binary(max_size=60)


class Machine(RuleBasedStateMachine):
    """`bytes` holds what is dirty; `loose` the positions that no record holds."""

    def __init__(self) -> None:
        super().__init__()
        self.dirty = DirtyBytes()
        self.bytes: dict[int, int] = {}
        self.loose: set[int] = set()

    @rule(offset=offsets, data=pieces)
    def write(self, offset: int, data: bytes) -> None:
        self.dirty.write(offset, memoryview(data))
        self.bytes.update(enumerate(data, offset))
        self.loose.update(range(offset, offset + len(data)))

    @rule(offset=offsets, data=pieces)
    def fill(self, offset: int, data: bytes) -> None:
        self.dirty.fill(offset, data)
        for at, byte in enumerate(data, offset):
            if at not in self.bytes:
                self.bytes[at] = byte
                self.loose.add(at)

    @rule(size=offsets)
    def truncate(self, size: int) -> None:
        self.dirty.truncate(size)
        self.bytes = {at: byte for at, byte in self.bytes.items() if at < size}
        self.loose = {at for at in self.loose if at < size}

    @rule(most=st.integers(0, MOST), runs=st.sampled_from([1, 2, 1000]), since=st.one_of(st.just(0), offsets))
    def take_part(self, most: int, runs: int, since: int) -> None:
        found = self.dirty.take_part(most, runs, since)
        taken = {at: byte for start, run in found for at, byte in enumerate(run, start)}
        first = min(taken, default=MOST)
        passed = [at for at in sorted(self.bytes) if since <= at < first]
        # What is passed over belongs to a run that begins before.
        assert passed == list(range(since, since + len(passed)))
        assert not passed or since - 1 in self.bytes
        wanted = [at for at in sorted(self.bytes) if at >= first][: len(taken)]
        assert taken == {at: self.bytes.pop(at) for at in wanted}
        assert len(found) <= runs
        self.loose &= self.bytes.keys()

    @rule()
    def take(self) -> None:
        runs = self.dirty.take()
        assert {at: byte for start, run in runs for at, byte in enumerate(run, start)} == self.bytes
        assert not self.dirty
        self.bytes, self.loose = {}, set()

    @rule()
    def take_unjournaled(self) -> None:
        taken = self.dirty.take_unjournaled()
        assert {at: byte for start, run in taken for at, byte in enumerate(run, start)} == {
            at: self.bytes[at] for at in self.loose
        }
        self.loose = set()
        assert self.dirty.take_unjournaled() == []

    @rule(start=offsets)
    def journaled(self, start: int) -> None:
        found = {at: byte for begin, run in self.dirty.journaled(start) for at, byte in enumerate(run, begin)}
        assert found == {at: byte for at, byte in self.bytes.items() if at >= start and at not in self.loose}

    @rule(size=offsets)
    def first_unjournaled_past(self, size: int) -> None:
        first = self.dirty.first_unjournaled_past(size)
        past = [at for at in self.loose if at >= size]
        assert (first is None) == (not past)
        if first is not None:
            # The whole stretch counts from where it begins, though that may be before `size`.
            assert first <= min(past)
            assert set(range(first, min(past) + 1)) <= self.loose

    @rule(offset=offsets, size=st.integers(0, MOST))
    def overlay(self, offset: int, size: int) -> None:
        target = bytearray(b"." * size)
        self.dirty.overlay(target, offset)
        assert target == bytes(self.bytes.get(at, ord(".")) for at in range(offset, offset + size))

    @invariant()
    def runs_are_sorted_and_apart(self) -> None:
        runs = self.dirty.runs
        assert all(len(run) for _, run in runs)
        assert all(a + len(run) <= b for (a, run), (b, _) in pairwise(runs))
        assert {at: byte for start, run in runs for at, byte in enumerate(run, start)} == self.bytes
        assert self.dirty.nbytes == len(self.bytes)
        assert bool(self.dirty) == bool(self.bytes)


TestDirtyBytes = Machine.TestCase


def test_appending_extends_one_run() -> None:
    dirty = DirtyBytes()
    for number in range(100):
        dirty.write(number * 10, bytes(10))
    assert len(dirty.runs) == 1
    assert dirty.unjournaled == [(0, 1000)]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda p: (p[0], p[0] + p[1]))))
def test_merged_pieces_cover_the_same_and_never_touch(stretches: list[tuple[int, int]]) -> None:
    result = merged(stretches)
    covered = {at for start, end in stretches for at in range(start, end)}
    assert {at for start, end in result for at in range(start, end)} == covered
    assert all(end < start for (_, end), (start, _) in pairwise(result))


def test_runs_are_laid_over_only_where_they_meet_the_target() -> None:
    target = bytearray(b"..........")
    lay_over(target, 100, ((95, memoryview(b"abcdefgh")), (108, memoryview(b"ABCDEFGH")), (200, memoryview(b"x"))))
    assert target == b"fgh.....AB"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=12), st.integers(0, 60), st.integers(0, 30))
def test_runs_lie_over_a_target_where_they_meet_it(gaps: list[tuple[int, int]], offset: int, size: int) -> None:
    runs, at = [], 0
    for gap, length in gaps:
        runs.append((at + gap, bytes(range(at + gap, at + gap + length))))
        at += gap + length
    target = bytearray(b"\xff" * size)
    lay_over(target, offset, runs)
    covered = {start + i for start, run in runs for i in range(len(run))}
    assert target == bytes(at if at in covered else 255 for at in range(offset, offset + size))
