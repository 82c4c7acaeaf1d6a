"""Rows of changes: what is packed comes back, under its own key only, and in order."""

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.volume.change_rows import (
    DELETED,
    MOVED,
    TRASHED,
    Name,
    RowCodec,
    VersionChanges,
    Went,
    filled,
    filled_row,
    inode_prefix,
    inode_row,
    inode_start,
    touched,
    went_start,
)

CODEC = RowCodec(bytes(range(32)))
U64 = st.integers(1, 2**64 - 1)
NAMES = st.builds(Name, U64, st.binary(min_size=1, max_size=255), U64, st.integers(0, 15))
TIMES = st.integers(-(2**63), 2**63 - 1)


@given(
    st.builds(
        VersionChanges,
        U64,
        U64,
        st.booleans(),
        st.lists(NAMES).map(tuple),
        st.lists(NAMES).map(tuple),
        st.frozensets(U64),
        st.frozensets(U64),
    )
)
def test_a_list_comes_back(changes: VersionChanges) -> None:
    _, value = CODEC.version_row(changes)
    assert CODEC.version_changes(changes.version, value) == changes
    assert CODEC.version_changes(changes.version ^ 1, value) is None
    assert RowCodec(bytes(32)).version_changes(changes.version, value) is None


@given(
    st.builds(
        Went,
        U64,
        st.binary(min_size=1, max_size=255),
        U64,
        U64,
        st.integers(0, 15),
        st.sampled_from([DELETED, TRASHED, MOVED]),
        TIMES,
        TIMES,
    )
)
def test_a_name_that_went_comes_back(went: Went) -> None:
    key, value = CODEC.went_row(went)
    assert CODEC.went(key, value) == went
    assert CODEC.went(key[:-1] + bytes([key[-1] ^ 1]), value) is None
    assert key.startswith(CODEC.went_prefix(went.directory))
    assert key.startswith(CODEC.went_prefix(went.directory, went.name))
    assert went.name not in key or len(went.name) < 9


@given(st.binary(max_size=100))
def test_bytes_that_are_no_row_count_as_absent(value: bytes) -> None:
    key = CODEC.went_row(Went(1, b"name", 2, 3, 8, DELETED, 4, 4))[0]
    assert CODEC.went(key, value) is None
    assert CODEC.version_changes(1, value) is None


@given(U64, U64, U64)
def test_rows_of_one_thing_stand_newest_first(ino: int, one: int, other: int) -> None:
    (key, value), (other_key, _) = inode_row(ino, one, 3), inode_row(ino, other, 3)
    assert touched(key, value) == (one, 3)
    assert key.startswith(inode_prefix(ino))
    assert (key < other_key) == (one > other)
    assert (key >= inode_start(ino, other)) == (one <= other)
    name = CODEC.went_prefix(1, b"name")
    rows = [CODEC.went_row(Went(1, b"name", version, 3, 8, DELETED, 4, 4))[0] for version in (one, other)]
    assert (rows[0] < rows[1]) == (one > other)
    assert (rows[0] >= went_start(name, other)) == (one <= other)


@given(U64)
def test_how_far_rows_go(version: int) -> None:
    assert filled(filled_row(version)[1]) == version
    assert filled(None) == 0
