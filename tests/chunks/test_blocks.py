"""Layout keeps every chunk once, in order, within the bounds; a block decodes to what was planned."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.chunks import blocks
from hyperfs.chunks.blocks import PACK_BYTES, WHOLE_FROM_BYTES
from hyperfs.chunks.extents import WHOLE_BLOCK, Place
from hyperfs.chunks.pack import ENTRY_BYTES

# Small lists of small chunks never fill a pack: the second strategy does.
mixed = st.lists(
    st.one_of(
        st.integers(1, 300), st.integers(1, WHOLE_FROM_BYTES - 1), st.integers(WHOLE_FROM_BYTES, 300_000)
    ),
    max_size=30,
)
filling = st.lists(st.integers(20_000, WHOLE_FROM_BYTES + 10_000), min_size=8, max_size=30)


@settings(max_examples=200, deadline=None)
@given(mixed | filling)
def test_every_chunk_is_in_one_block(lengths: list[int]) -> None:
    zeros = memoryview(bytes(300_000))
    chunks = [(number.to_bytes(16, "big"), zeros[:length]) for number, length in enumerate(lengths)]
    plans = blocks.layout(chunks)
    assert sorted(chunk for plan in plans for chunk, _, _ in plan.chunks) == [chunk for chunk, _ in chunks]
    small = [chunk for plan in plans for chunk, data, _ in plan.chunks if len(data) < WHOLE_FROM_BYTES]
    assert small == [chunk for chunk, data in chunks if len(data) < WHOLE_FROM_BYTES]
    for plan in plans:
        if plan.is_pack:
            assert all(len(data) < WHOLE_FROM_BYTES for _, data, _ in plan.chunks)
            assert sum(ENTRY_BYTES + len(data) for _, data, _ in plan.chunks) <= PACK_BYTES
            assert plan.places(4, 9) == [Place(4, 9, slot) for slot in range(len(plan.chunks))]
        else:
            assert plan.places(4, 9) == [Place(4, 9, WHOLE_BLOCK)]
    # All packs but the last are full: the next chunk would not have gone in.
    packs = [plan for plan in plans if len(plan.chunks[0][1]) < WHOLE_FROM_BYTES]
    for plan, following in itertools.pairwise(packs):
        used = sum(ENTRY_BYTES + len(data) for _, data, _ in plan.chunks)
        assert used + ENTRY_BYTES + len(following.chunks[0][1]) > PACK_BYTES


def test_a_full_pack_is_followed_by_another() -> None:
    chunks = [(number.to_bytes(16, "big"), bytes(60_000)) for number in range(10)]
    assert [len(plan.chunks) for plan in blocks.layout(chunks)] == [4, 4, 2]


def test_big_chunks_do_not_close_a_pack() -> None:
    lengths = [100, WHOLE_FROM_BYTES, 200, WHOLE_FROM_BYTES, 300]
    plans = blocks.layout([(number.to_bytes(16, "big"), bytes(n)) for number, n in enumerate(lengths)])
    assert [len(plan.chunks) for plan in plans] == [1, 1, 3]


def test_nothing_is_copied_for_a_plan() -> None:
    data = bytes(WHOLE_FROM_BYTES)
    (plan,) = blocks.layout([(b"a" * 16, data)])
    assert plan.chunks[0][1] is data
