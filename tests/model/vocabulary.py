"""What the state machine chooses from: names that meet often, sizes at the edges, all flags."""

import os
import stat
import struct

from hypothesis import strategies as st

from .calls import ANN, BEN, ROOT, UTIME_NOW, UTIME_OMIT

SHORT = [b"a", b"b", b"c"]
NAMES = [*SHORT * 5, b"n" * 255, b"\xff\n", b"x" * 256, b".", b".."]
KINDS = [stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR]
SIZES = [0, 1, 100, 511, 512, 513, 4095, 4096, 4097, 65_536, 65_537, 131_073, 300_000]
ATTRIBUTES = [b"user.a", b"user.b", b"user." + b"c" * 250, b"user." + b"d" * 251, b"user.", b"trusted.t", b"none"]
FLAGS = [
    os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_NOFOLLOW, os.O_DIRECTORY, os.O_SYNC, os.O_DSYNC, os.O_NOATIME
]  # fmt: skip
ACCESS_LIST, DEFAULT_LIST = b"system.posix_acl_access", b"system.posix_acl_default"
RENAMES = [0, 0, 0, 1, 2, 3, 8]

numbers = st.integers(0, 50)
path_of_names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(b"/".join)
paths = st.one_of(st.sampled_from(SHORT), path_of_names, path_of_names, path_of_names.map(lambda path: path + b"/"))
sizes = st.sampled_from(SIZES)
modes = st.one_of(st.sampled_from([0o644, 0o755, 0o700, 0o1777, 0o2775, 0o6755, 0o000]), st.integers(0, 0o7777)).map(
    lambda mode: mode | 0o010 if mode & 0o2000 else mode
)
users = st.sampled_from([ROOT, ROOT, ANN, BEN])
owners = st.sampled_from([-1, 0, ANN.uid, BEN.uid, 62000])
seconds = st.one_of(st.integers(-(2**31), 15 * 10**9), st.sampled_from([0, -1, 2**31, 2**32]))
instants = st.one_of(
    st.builds(lambda second, part: second * 10**9 + part, seconds, st.integers(0, 10**9 - 1)),
    st.sampled_from([UTIME_NOW, UTIME_OMIT]),
)
flags = st.builds(
    lambda access, more: access | sum(set(more)) | os.O_NONBLOCK,
    st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR]),
    st.one_of(st.just([os.O_CREAT]), st.lists(st.sampled_from(FLAGS), max_size=4)),
)
seldom = st.integers(0, 9).map(lambda number: number == 9)


def access_list(owner: int, group: int, other: int, user: int | None, members: int | None, mask: int) -> bytes:
    """An ACL as the kernel takes it; with a user or a group named in it, it has a mask."""
    nobody = 2**32 - 1
    entries = [(1, owner, nobody)]
    if user is not None:
        entries.append((2, user, ANN.uid))
    entries.append((4, group, nobody))
    if members is not None:
        entries.append((8, members, BEN.groups[0]))
    if user is not None or members is not None:
        entries.append((16, mask, nobody))
    entries.append((32, other, nobody))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


permissions = st.integers(0, 7)
executable = st.sampled_from([1, 3, 5, 7])  # the group: for setgid without it see the exceptions in `seen`
access_lists = st.builds(
    access_list, permissions, executable, permissions, st.none() | permissions, st.none() | permissions, executable
)
