"""Which chunk a new one is compared with, and where it is cut for that."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.chunks import codec
from hyperfs.chunks.aligning import LEAST_BYTES, MOST_BYTES, align
from hyperfs.chunks.bases import BASE_FACTOR, Piece, best, choose, worth
from hyperfs.chunks.extents import Extent

KIB = 1 << 10


def extents(lengths: list[int], start: int = 0) -> list[Extent]:
    """Whole chunks side by side, named by their numbers."""
    found = []
    for number, length in enumerate(lengths):
        found.append(Extent(start, length, number.to_bytes(16, "big"), 0, length, 2, number, 0))
        start += length
    return found


def new(name: int, offset: int, length: int) -> Piece:
    return Piece(b"new" + name.to_bytes(13, "big"), offset, length)


def test_a_chunk_is_compared_with_the_one_whose_place_it_takes_most_of() -> None:
    old = extents([100, 100, 100])
    assert choose([new(0, 80, 110)], old) == {new(0, 80, 110).chunk: old[1]}


def test_behind_a_known_chunk_that_has_moved_all_is_looked_for_as_far_away() -> None:
    old = extents([100, 100, 100])
    pieces = [new(0, 0, 250), Piece(old[0].chunk, 250, 100), new(1, 350, 100)]
    assert choose(pieces, old)[new(1, 350, 100).chunk] == old[1]


def test_a_base_is_never_much_longer_than_what_needs_it() -> None:
    old = extents([100 * BASE_FACTOR + 1])
    assert choose([new(0, 0, 100)], old) == {}
    assert choose([new(0, 0, 101)], old) != {}


@given(st.lists(st.integers(1, 500), max_size=8), st.lists(st.integers(1, 500), max_size=8), st.data())
def test_what_is_chosen_is_there_and_only_for_new_ones(old: list[int], lengths: list[int], data: st.DataObject) -> None:
    replaced = extents(old)
    pieces, at = [], 0
    for number, length in enumerate(lengths):
        known = data.draw(st.sampled_from([None, *replaced]))
        pieces.append(new(number, at, length) if known is None else Piece(known.chunk, at, known.length))
        at += pieces[-1].length
    chosen = choose(pieces, replaced)
    assert set(chosen) <= {piece.chunk for piece in pieces} - {extent.chunk for extent in replaced}
    assert all(extent in replaced for extent in chosen.values())


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([100], 0),
        ([100, 150, 200, 250], 3),  # each step back costs as little as a small delta
        ([100, 1000, 5000, 9000], 0),  # there all is different
        ([100, 150, 5000, 9000], 1),
    ],
)
def test_a_full_chain_goes_on_from_as_far_back_as_is_cheap(sizes: list[int], expected: int) -> None:
    assert best(sizes) == expected


def test_a_delta_must_save_more_than_it_costs() -> None:
    assert worth(100, 1000)
    assert not worth(710, 1000)
    assert not worth(1, 50)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 300_000), st.booleans(), st.data())
def test_a_delta_gives_back_what_went_in(seed: int, size: int, fast: bool, data: st.DataObject) -> None:
    generator = random.Random(seed)
    base = generator.randbytes(size)
    changed = bytearray(base)
    for _ in range(data.draw(st.integers(0, 4))):
        at = generator.randrange(len(changed)) if changed else 0
        changed[at : at + data.draw(st.integers(0, 200))] = generator.randbytes(data.draw(st.integers(0, 200)))
    result = bytes(changed) or b"x"
    payload = codec.encode_delta(result, base, fast)
    assert codec.decode(codec.ZSTD_WITH_BASE, payload, len(result), base) == result


# Cuts


class File:
    """A file of before, with its chunks."""

    def __init__(self, seed: int, lengths: list[int]) -> None:
        self.data = random.Random(seed).randbytes(sum(lengths))
        self.extents = extents(lengths)

    def head(self, extent: Extent) -> bytes:
        return self.data[extent.offset : extent.offset + 4096]


def test_an_insertion_moves_the_cuts_behind_it() -> None:
    file = File(1, [40 * KIB, 50 * KIB, 60 * KIB])
    changed = file.data[: 20 * KIB] + b"inserted" + file.data[20 * KIB :]
    assert align(memoryview(changed), 0, file.extents, 0, file.head) == [40 * KIB + 8, 90 * KIB + 8, 150 * KIB + 8]


def test_a_chunk_whose_first_bytes_changed_is_found_by_later_ones() -> None:
    file = File(1, [40 * KIB, 50 * KIB])
    changed = file.data[: 40 * KIB] + b"other" + file.data[40 * KIB + 5 :]
    assert align(memoryview(changed), 0, file.extents, 0, file.head) == [40 * KIB, 90 * KIB]


def test_what_is_much_longer_than_before_is_cut_by_content() -> None:
    file = File(1, [40 * KIB])
    assert align(memoryview(bytes(200 * KIB)), 0, file.extents, 0, file.head) is None


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.lists(st.integers(1, 300 * KIB), min_size=1, max_size=5),
    st.integers(0, 200 * KIB),
    st.integers(0, 100 * KIB),
)
def test_cuts_rise_to_the_end_and_leave_no_crumbs(seed: int, lengths: list[int], cut: int, more: int) -> None:
    file = File(seed, lengths)
    changed = file.data[cut:] + random.Random(seed).randbytes(more) or b"x"
    ends = align(memoryview(changed), 0, file.extents, 0, file.head)
    if ends is not None:
        assert ends[-1] == len(changed)
        starts = [0, *ends[:-1]]
        assert all(0 < end - start <= MOST_BYTES for start, end in zip(starts, ends, strict=True))
        assert len(ends) == 1 or min(end - start for start, end in zip(starts, ends, strict=True)) >= LEAST_BYTES
