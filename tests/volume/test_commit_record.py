"""Commits and their overflow come back as they went, and other bytes are refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.trie.node import Ref
from hyperfs.volume.commit_record import (
    Commit,
    DeadChunk,
    DeadNode,
    LogHead,
    RealmRoot,
    Replaced,
    decode,
    decode_overflow,
    encode,
    encode_overflow,
)
from hyperfs.volume.deaths import split_replaced

u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
seconds = st.integers(0, 253_402_300_799)
ids = st.binary(min_size=16, max_size=16)
heads = st.builds(LogHead, u32, u32, u64, u64, st.binary(min_size=32, max_size=32))
refs = st.builds(Ref, ids, u32, u64, u64, u64)
replaced = st.builds(
    Replaced,
    st.lists(st.builds(DeadNode, u32, u64, u64), max_size=5),
    st.lists(st.builds(DeadChunk, ids, u32, u64, u64), max_size=5),
    st.lists(ids, max_size=5),
)
commits = st.builds(
    Commit,
    version=u64,
    device=u16,
    time_ns=st.integers(0, 2**63 - 1),
    wall_ns=i64,
    clock=u64,
    display_second=seconds,
    listed_second=seconds,
    journal_sequence=u64,
    next_ino=u64,
    files=u64,
    directories=u64,
    file_bytes=u64,
    content=heads,
    parents=st.lists(heads, max_size=3).map(tuple),
    realms=st.lists(st.builds(RealmRoot, u32, u32, st.one_of(st.none(), refs)), min_size=1, max_size=3).map(tuple),
    dead_blocks=u32,
    replaced=replaced,
)


@given(commits)
def test_a_commit_comes_back(commit: Commit) -> None:
    assert decode(encode(commit)) == commit


@given(replaced)
def test_an_overflow_comes_back(part: Replaced) -> None:
    assert decode_overflow(encode_overflow(part)) == part


@given(commits, st.data())
def test_a_commit_that_is_cut_short_or_goes_on_is_corrupt(commit: Commit, data: st.DataObject) -> None:
    payload = encode(commit)
    with pytest.raises(Corrupt):
        decode(payload[: data.draw(st.integers(0, len(payload) - 1))])
    with pytest.raises(Corrupt):
        decode(payload + b"\0")


@given(replaced, st.data())
def test_an_overflow_that_is_cut_short_or_goes_on_is_corrupt(part: Replaced, data: st.DataObject) -> None:
    payload = encode_overflow(part)
    with pytest.raises(Corrupt):
        decode_overflow(payload[: data.draw(st.integers(0, len(payload) - 1))])
    with pytest.raises(Corrupt):
        decode_overflow(payload + b"\0")


@given(st.binary(max_size=500))
def test_any_bytes_are_a_commit_or_refused(data: bytes) -> None:
    for first in (b"", b"\1"):
        try:
            found = decode(first + data)
        except (Corrupt, FormatTooNew):
            continue
        assert decode(encode(found)) == found


@given(commits, st.data())
def test_a_changed_byte_is_another_commit_or_refused(commit: Commit, data: st.DataObject) -> None:
    payload = bytearray(encode(commit))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(payload))
    except (Corrupt, FormatTooNew):
        return
    assert found != commit


def test_a_later_format_is_named() -> None:
    with pytest.raises(FormatTooNew, match="update hyperfs"):
        decode(b"\2" + bytes(200))


@given(replaced, st.integers(1, 6))
def test_parts_of_what_was_replaced_join_to_the_whole(whole: Replaced, most: int) -> None:
    parts = split_replaced(whole, most)
    assert parts
    assert all(len(p.nodes) + len(p.chunks) + len(p.resurrected) <= most for p in parts)
    assert [n for p in parts for n in p.nodes] == whole.nodes
    assert [c for p in parts for c in p.chunks] == whole.chunks
    assert [c for p in parts for c in p.resurrected] == whole.resurrected


@pytest.mark.parametrize("times", [(-1, 0, 0), (0, -1, 0), (0, 253_402_300_800, 0), (0, 0, -1), (0, 0, 2**62)])
def test_times_that_no_version_could_be_found_by_are_refused(times: tuple[int, int, int]) -> None:
    good = Commit(1, 1, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, LogHead(2, 0, 0, 0, bytes(32)), (), (RealmRoot(0, 1, None),))
    assert decode(encode(good)) == good
    time_ns, display, listed = times
    with pytest.raises(Corrupt, match="a time that no commit has"):
        decode(encode(replace(good, time_ns=time_ns, display_second=display, listed_second=listed)))
