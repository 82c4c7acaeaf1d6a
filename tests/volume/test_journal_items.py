"""Journal items come back as they went, and other bytes are refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.chunks.extents import Extent
from hyperfs.errors import Corrupt
from hyperfs.volume.journal_items import (
    BlocksItem,
    BytesItem,
    BytesVoidItem,
    DentryItem,
    ExtentItem,
    FactItem,
    InodeItem,
    Item,
    NextInoItem,
    XattrItem,
    decode,
    encode,
)

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
short = st.binary(max_size=300)


@st.composite
def extents(draw: st.DrawFn, offset: int) -> Extent:
    chunk_length = draw(st.integers(1, 16 << 20))
    skip = draw(st.integers(0, chunk_length - 1))
    length = draw(st.integers(1, chunk_length - skip))
    chunk = draw(st.binary(min_size=16, max_size=16))
    return Extent(offset, length, chunk, skip, chunk_length, draw(u32), draw(u64), draw(u32))


@st.composite
def blocks(draw: st.DrawFn) -> BlocksItem:
    listed = draw(st.lists(st.tuples(u32, st.binary(min_size=32, max_size=32)), max_size=5))
    return BlocksItem(draw(u32), draw(u64), tuple(s for s, _ in listed), tuple(h for _, h in listed))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


items: st.SearchStrategy[Item] = st.one_of(
    st.builds(InodeItem, u64, maybe(short)),
    st.builds(DentryItem, u64, short, maybe(st.tuples(u64, st.integers(0, 255)))),
    st.builds(lambda ino, offset: ExtentItem(ino, offset, None), u64, u64),
    u64.flatmap(lambda offset: st.builds(ExtentItem, u64, st.just(offset), extents(offset))),
    st.builds(XattrItem, u64, short, maybe(short)),
    st.builds(FactItem, short, maybe(short)),
    st.builds(BytesItem, u64, u64, short),
    st.builds(BytesVoidItem, u64, u64),
    blocks(),
    st.builds(NextInoItem, u64),
)


@given(st.lists(items, max_size=8))
def test_items_come_back_in_their_order(listed: list[Item]) -> None:
    assert list(decode(b"".join(map(encode, listed)))) == listed


@given(st.lists(items, min_size=1, max_size=4), st.data())
def test_a_payload_that_is_cut_short_is_corrupt_or_whole_items(listed: list[Item], data: st.DataObject) -> None:
    payload = b"".join(map(encode, listed))
    cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
    try:
        found = list(decode(cut))
    except Corrupt:
        return
    assert found == listed[: len(found)]


@given(st.binary(max_size=400))
def test_any_bytes_are_items_or_corrupt(data: bytes) -> None:
    try:
        found = list(decode(data))
    except Corrupt:
        return
    assert list(decode(b"".join(map(encode, found)))) == found


@given(st.lists(items, min_size=1, max_size=4), st.data())
def test_a_changed_byte_is_another_item_or_corrupt(listed: list[Item], data: st.DataObject) -> None:
    payload = bytearray(b"".join(map(encode, listed)))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = list(decode(bytes(payload)))
    except Corrupt:
        return
    assert found != listed


def test_an_unknown_kind_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="unknown kind"):
        list(decode(bytes([99]) + bytes(8)))


def test_a_count_that_is_too_large_allocates_nothing() -> None:
    with pytest.raises(Corrupt):
        list(decode(bytes([12]) + bytes(8) + bytes(8) + b"\xff\xff\xff\xff"))
