"""ACLs and modes: what follows from what, as acl(5) and Linux's own filesystems have it."""

import contextlib
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import InvalidArgument
from hyperfs.volume.acl import (
    GROUP,
    GROUP_OWNER,
    MASK,
    OTHER,
    OWNER,
    USER,
    Acl,
    Entry,
    after_chmod,
    decode,
    encode,
    inherited,
    is_more_than_a_mode,
    mode_of,
)

NOBODY = 0xFFFFFFFF
permissions = st.integers(0, 7)
modes = st.integers(0, 0o7777)


def plain(owner: int, group: int, other: int) -> Acl:
    return Entry(OWNER, owner, NOBODY), Entry(GROUP_OWNER, group, NOBODY), Entry(OTHER, other, NOBODY)


def masked(owner: int, user: int, group: int, mask: int, other: int) -> Acl:
    return (
        Entry(OWNER, owner, NOBODY),
        Entry(USER, user, 1001),
        Entry(GROUP_OWNER, group, NOBODY),
        Entry(GROUP, user, 100),
        Entry(MASK, mask, NOBODY),
        Entry(OTHER, other, NOBODY),
    )


acls = st.one_of(
    st.builds(plain, permissions, permissions, permissions),
    st.builds(masked, permissions, permissions, permissions, permissions, permissions),
)


def test_the_value_is_linuxs_own() -> None:
    """As getfattr shows it on ext4 after `setfacl -m u:1001:rw-` on a file of mode 0640."""
    value = bytes.fromhex(
        "02000000"
        "01000600ffffffff"
        "02000600e9030000"
        "04000400ffffffff"
        "10000600ffffffff"
        "20000000ffffffff"
    )
    acl = decode(value)
    assert [(entry.tag, entry.permissions, entry.id) for entry in acl] == [
        (OWNER, 6, NOBODY),
        (USER, 6, 1001),
        (GROUP_OWNER, 4, NOBODY),
        (MASK, 6, NOBODY),
        (OTHER, 0, NOBODY),
    ]
    assert encode(acl) == value
    assert mode_of(acl, 0o100640) == 0o100660
    assert is_more_than_a_mode(acl)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x02\0\0",
        b"\x01\0\0\0",
        b"\x02\0\0\0\x01\0",
        b"\x02\0\0\0\x40\0\x06\0\0\0\0\0",
        b"\x02\0\0\0\x01\0\x08\0\0\0\0\0",
    ],
)
def test_what_is_no_acl_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidArgument):
        decode(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_acl_or_refused(value: bytes) -> None:
    with contextlib.suppress(InvalidArgument):
        assert encode(decode(value)) == value


@given(acls, modes)
def test_a_mode_and_its_acl_say_the_same_after_chmod(acl: Acl, mode: int) -> None:
    changed = after_chmod(acl, mode)
    assert mode_of(changed, stat.S_IFREG | 0o7000) & 0o777 == mode & 0o777
    assert [entry for entry in changed if entry.tag in (USER, GROUP)] == [
        entry for entry in acl if entry.tag in (USER, GROUP)
    ]
    if is_more_than_a_mode(acl):  # what the owning group has, behind the mask, stays
        assert [e for e in changed if e.tag == GROUP_OWNER] == [e for e in acl if e.tag == GROUP_OWNER]


@given(acls, modes)
def test_what_is_inherited_is_what_both_the_default_and_the_mode_allow(default: Acl, mode: int) -> None:
    access = inherited(default, mode)
    assert mode_of(access, mode) & 0o777 == mode_of(default, 0) & mode & 0o777
    assert mode_of(access, mode) & ~0o777 == mode & ~0o777
    assert is_more_than_a_mode(access) == is_more_than_a_mode(default)
