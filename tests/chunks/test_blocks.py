"""Layout keeps every chunk once, in order, within the bounds; a block decodes to what was planned."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.chunks import blocks
from hyperfs.chunks.blocks import PACK_BYTES, WHOLE_FROM_BYTES
from hyperfs.chunks.extents import WHOLE_BLOCK, Place
from hyperfs.chunks.pack import ENTRY_BYTES

sizes = st.lists(
    st.one_of(
        st.integers(1, 300), st.integers(1, WHOLE_FROM_BYTES - 1), st.integers(WHOLE_FROM_BYTES, 300_000)
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(sizes)
def test_every_chunk_is_in_one_block(lengths: list[int]) -> None:
    zeros = memoryview(bytes(300_000))
    chunks = [(number.to_bytes(16, "big"), zeros[:length]) for number, length in enumerate(lengths)]
    plans = blocks.layout(chunks)
    assert sorted(chunk for plan in plans for chunk, _ in plan.chunks) == [chunk for chunk, _ in chunks]
    small = [chunk for plan in plans for chunk, data in plan.chunks if len(data) < WHOLE_FROM_BYTES]
    assert small == [chunk for chunk, data in chunks if len(data) < WHOLE_FROM_BYTES]
    for plan in plans:
        if plan.is_pack:
            assert all(len(data) < WHOLE_FROM_BYTES for _, data in plan.chunks)
            assert sum(ENTRY_BYTES + len(data) for _, data in plan.chunks) <= PACK_BYTES
            assert plan.places(4, 9) == [Place(4, 9, slot) for slot in range(len(plan.chunks))]
        else:
            assert plan.places(4, 9) == [Place(4, 9, WHOLE_BLOCK)]
    # All packs but the last are full: the next chunk would not have gone in.
    packs = [plan for plan in plans if len(plan.chunks[0][1]) < WHOLE_FROM_BYTES]
    for plan, following in itertools.pairwise(packs):
        used = sum(ENTRY_BYTES + len(data) for _, data in plan.chunks)
        assert used + ENTRY_BYTES + len(following.chunks[0][1]) > PACK_BYTES


def test_nothing_is_copied_for_a_plan() -> None:
    data = bytes(WHOLE_FROM_BYTES)
    (plan,) = blocks.layout([(b"a" * 16, data)])
    assert plan.chunks[0][1] is data
