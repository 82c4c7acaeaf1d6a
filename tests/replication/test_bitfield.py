"""Which blocks the other side has: as a plain set of numbers would say it, and within bounds."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.replication.bitfield import PAGE_BLOCKS, Bitfield

MOST = 5 * PAGE_BLOCKS
edges = st.sampled_from([0, 1, PAGE_BLOCKS - 1, PAGE_BLOCKS, PAGE_BLOCKS + 1, 2 * PAGE_BLOCKS, MOST - 8, MOST])
blocks = st.one_of(edges, st.integers(0, MOST))
changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), blocks, blocks),
        st.tuples(st.just("discard"), blocks, blocks),
        st.tuples(st.just("put"), st.integers(0, MOST // 8).map(lambda n: 8 * n), st.binary(max_size=20)),
        st.tuples(st.just("put"), st.just(PAGE_BLOCKS - 64), st.sampled_from([b"\xff" * 8192, bytes(9000)])),
    ),
    max_size=8,
)


def applied(ops: list[Any], most_pages: int = 4096) -> tuple[Bitfield, set[int]]:
    field, model = Bitfield(most_pages), set[int]()
    for op, start, rest in ops:
        if op == "put":
            field.put(start, rest)
            model -= set(range(start, start + 8 * len(rest)))
            model |= {start + 8 * at + bit for at, byte in enumerate(rest) for bit in range(8) if byte >> bit & 1}
        else:
            start, rest = min(start, rest), max(start, rest)
            (field.add if op == "add" else field.discard)(start, rest)
            (model.update if op == "add" else model.difference_update)(range(start, rest))
    return field, model


@settings(max_examples=40, deadline=None)
@given(changes, st.lists(blocks, min_size=2, max_size=6))
def test_it_says_what_a_set_says(ops: list[Any], asked: list[int]) -> None:
    field, model = applied(ops)
    for block in asked:
        later = range(block, MOST)
        assert (block in field) is (block in model)
        assert field.next_set(block, MOST) == next((b for b in later if b in model), MOST)
        assert field.next_unset(block, MOST) == next((b for b in later if b not in model), MOST)
    end = 7 * PAGE_BLOCKS
    assert {b for start, stop in field.runs(0, end) for b in range(start, stop)} == model
    runs = list(field.runs(0, end))
    assert all(before[1] < after[0] for before, after in pairwise(runs))
    other = Bitfield()
    other.put(0, field.bits(0, end))
    assert list(other.runs(0, end)) == runs


@settings(max_examples=30, deadline=None)
@given(changes)
def test_where_there_is_no_room_it_never_says_more_than_is_so(ops: list[Any]) -> None:
    field, model = applied(ops, most_pages=1)
    assert {b for start, stop in field.runs(0, 7 * PAGE_BLOCKS) for b in range(start, stop)} <= model
    assert len(field._partial) <= 1
    assert len(field._whole) <= 1


def test_its_bits_lie_as_npm_s(npm: Any) -> None:
    field = Bitfield()
    for block in npm["bitfield"]["set"]:
        field.add(block, block + 1)
    field.add(*npm["bitfield"]["range"])
    assert field.bits(0, 256).hex() == npm["bitfield"]["page0"]


def test_attack_m13_an_absurd_range_costs_nothing() -> None:
    field = Bitfield()
    field.add(5, 1 << 52)
    assert list(field.runs(0, 1 << 52)) == [(5, 1 << 52)]
    field.discard(1 << 40, (1 << 40) + 1)
    assert len(field._partial) == 2
    assert len(field._whole) == 2
    for page in range(0, 20000, 2):
        field.discard(page * PAGE_BLOCKS, (page + 1) * PAGE_BLOCKS)
        field.add(page * PAGE_BLOCKS + 7, page * PAGE_BLOCKS + 9)
    assert len(field._partial) <= 4096
    assert len(field._whole) <= 4096
