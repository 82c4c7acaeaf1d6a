"""Extent arithmetic against the simplest possible file: a bytearray."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.chunks import extents
from hyperfs.chunks.extents import WHOLE_BLOCK, Extent, Piece, Place
from hyperfs.errors import Corrupt

SPACE = 200


def chunk_bytes(number: int, size: int) -> bytes:
    """Never zero, so that it is told from a hole."""
    return bytes([1 + (number * 31 + i) % 255 for i in range(size)])


class Model:
    """A file as bytes and as extents, changed in step."""

    def __init__(self) -> None:
        self.data = bytearray(SPACE)
        self.extents: list[Extent] = []
        self.chunks: dict[bytes, bytes] = {}

    def chunk(self, size: int) -> tuple[bytes, bytes]:
        number = len(self.chunks)
        name = number.to_bytes(16, "little")
        self.chunks[name] = chunk_bytes(number, size)
        return name, self.chunks[name]

    def write(self, offset: int, lengths: list[int], skip: int, rest: int) -> None:
        """New chunks side by side, of each only the middle used."""
        new = []
        for length in lengths:
            name, content = self.chunk(skip + length + rest)
            new.append(Extent(offset, length, name, skip, len(content), 1, len(self.chunks), WHOLE_BLOCK))
            self.data[offset : offset + length] = content[skip : skip + length]
            offset += length
        self.extents = extents.put(self.extents, new)

    def cut(self, start: int, end: int) -> None:
        self.data[start:end] = bytes(max(0, min(end, SPACE) - start))
        self.extents = extents.cut(self.extents, start, end)

    def read(self, offset: int, size: int) -> bytes:
        parts = []
        for piece in extents.plan_read(self.extents, offset, size):
            assert piece.length > 0
            if piece.extent is None:
                parts.append(bytes(piece.length))
            else:
                parts.append(self.chunks[piece.extent.chunk][piece.skip : piece.skip + piece.length])
        return b"".join(parts)

    def check(self) -> None:
        at = 0
        for extent in self.extents:
            assert extent.offset >= at
            assert extent.length >= 1
            assert extent.skip + extent.length <= extent.chunk_length == len(self.chunks[extent.chunk])
            at = extent.end
        assert self.read(0, SPACE) == self.data


places = st.integers(0, SPACE - 1)
writes = st.tuples(
    st.just("write"),
    places,
    st.lists(st.integers(1, 30), min_size=1, max_size=3),
    st.integers(0, 5),
    st.integers(0, 5),
)
cuts = st.tuples(st.just("cut"), places, st.integers(0, SPACE))
truncates = st.tuples(st.just("cut"), places, st.just(2**63))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(writes, cuts, truncates), max_size=25), places, st.integers(0, SPACE))
def test_a_random_history_reads_like_a_byte_array(steps: list[tuple], offset: int, size: int) -> None:
    model = Model()
    for name, at, *rest in steps:
        if name == "write":
            lengths, skip, behind = rest
            if at + sum(lengths) > SPACE:
                at = SPACE - sum(lengths)
            model.write(at, lengths, skip, behind)
        else:
            model.cut(at, rest[0])
        model.check()
    size = min(size, SPACE - offset)
    assert model.read(offset, size) == model.data[offset : offset + size]
    first, last = extents.covering(model.extents, offset, offset + size)
    expected = [e for e in model.extents if size and e.offset < offset + size and e.end > offset]
    assert list(model.extents[first:last]) == expected


@settings(max_examples=200)
@given(st.lists(writes, max_size=8), places, st.integers(0, SPACE))
def test_holes_of_a_plan_never_touch(steps: list[tuple], offset: int, size: int) -> None:
    model = Model()
    for _, at, lengths, skip, behind in steps:
        model.write(min(at, SPACE - sum(lengths)), lengths, skip, behind)
    plan = extents.plan_read(model.extents, offset, size)
    assert sum(piece.length for piece in plan) == size
    assert all(a.extent or b.extent for a, b in itertools.pairwise(plan))


def test_an_empty_range_cuts_nothing_and_reads_nothing() -> None:
    extent = Extent(10, 20, bytes(16), 0, 20, 1, 0, WHOLE_BLOCK)
    assert extents.cut([extent], 15, 15) == [extent]
    assert extents.cut([extent], 15, 12) == [extent]
    assert extents.plan_read([extent], 15, 0) == []
    assert extents.put([extent], []) == [extent]


def test_a_cut_in_the_middle_splits_and_skips() -> None:
    extent = Extent(10, 20, bytes(16), 3, 40, 1, 7, 2)
    left, right = extents.cut([extent], 15, 18)
    assert (left.offset, left.length, left.skip) == (10, 5, 3)
    assert (right.offset, right.length, right.skip) == (18, 12, 11)
    assert left.place == right.place == extents.Place(1, 7, 2)


def test_a_read_past_the_end_is_a_hole() -> None:
    assert extents.plan_read([], 5, 7) == [Piece(None, 0, 7)]


u32 = st.integers(0, 2**32 - 1)


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**62),
    st.integers(0, 1000),
    st.integers(1, 1000),
    st.integers(0, 1000),
    u32,
    st.integers(0, 2**64 - 1),
    u32,
    st.lists(st.builds(Place, u32, st.integers(0, 2**64 - 1), u32, st.just(())), max_size=extents.MAX_DELTAS),
)
def test_the_codec_round_trips(
    chunk: bytes, offset: int, skip: int, length: int, rest: int, log: int, block: int, slot: int, bases: list[Place]
) -> None:
    extent = Extent(offset, length, chunk, skip, skip + length + rest, log, block, slot, tuple(bases))
    value, hint = extents.encode_value(extent), extents.encode_hint(extent)
    assert extents.decode(offset, value, hint) == extent


def test_the_value_does_not_know_where_the_bytes_lie() -> None:
    one = Extent(0, 5, b"c" * 16, 1, 9, 2, 3, 4)
    other = one._replace(log=7, block=8, slot=WHOLE_BLOCK, offset=99)
    assert extents.encode_value(one) == extents.encode_value(other)


def test_a_base_has_the_bases_behind_it() -> None:
    one, two = Place(2, 8, 0), Place(2, 7, 1)
    place = Place(2, 9, 0, (one, two))
    assert place.base == Place(2, 8, 0, (two,))
    assert place.base.base == two
    assert two.base is None


def test_more_bases_than_a_chain_has_are_corrupt() -> None:
    with pytest.raises(Corrupt):
        extents.decode_place(extents.encode_place(Place(2, 9, 0, (Place(2, 8, 0),) * 5)))


@given(st.binary(max_size=40) | st.just(bytes(12) + b"\1" + bytes(15)), st.binary(max_size=100))
def test_other_sizes_are_corrupt(value: bytes, hint: bytes) -> None:
    if len(value) != extents.VALUE_BYTES or len(hint) not in range(16, 81, 16):
        with pytest.raises(Corrupt):
            extents.decode(0, value, hint)


@pytest.mark.parametrize(
    ("skip", "length", "chunk_length"),
    [(0, 0, 5), (1, 5, 5), (2**32 - 1, 2**32 - 1, 5), (0, 5, (16 << 20) + 1)],
)
def test_impossible_lengths_are_corrupt(skip: int, length: int, chunk_length: int) -> None:
    impossible = Extent(0, length, bytes(16), skip, chunk_length, 1, 1, 1)
    with pytest.raises(Corrupt, match="an extent of"):
        extents.decode(0, extents.encode_value(impossible), extents.encode_hint(impossible))
