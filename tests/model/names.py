"""Rules about names and attributes, by path."""

import os
import stat

from hypothesis import strategies as st
from hypothesis.stateful import rule

from . import calls
from .beside import Beside
from .calls import ROOT, UTIME_NOW, UTIME_OMIT, Answer, User, bytes_of
from .vocabulary import (
    ACCESS_LIST,
    ATTRIBUTES,
    DEFAULT_LIST,
    KINDS,
    RENAMES,
    access_lists,
    instants,
    modes,
    numbers,
    owners,
    paths,
    sizes,
    users,
)


class NameRules(Beside):
    """Calls that take a path."""

    @rule(user=users, path=paths, mode=modes)
    def mkdir(self, user: User, path: bytes, mode: int) -> None:
        self.both(user, os.mkdir, path, mode)

    @rule(user=users, path=paths, kind=st.sampled_from(KINDS), mode=modes)
    def mknod(self, user: User, path: bytes, kind: int, mode: int) -> None:
        self.both(user, os.mknod, path, kind | mode, os.makedev(1, 3) if kind == stat.S_IFCHR else 0)

    @rule(user=users, to=paths, path=paths, times=st.sampled_from([1, 1, 1, 20]))
    def symlink(self, user: User, to: bytes, path: bytes, times: int) -> None:
        """Long targets go round in `.` first."""
        self.both(user, os.symlink, b"./" * (times - 1) + to, path)

    @rule(user=users, path=paths, other=paths, follow=st.booleans())
    def link(self, user: User, path: bytes, other: bytes, follow: bool) -> None:
        self.both(user, lambda: os.link(path, other, follow_symlinks=follow))

    @rule(user=users, path=paths)
    def unlink(self, user: User, path: bytes) -> None:
        self.both(user, os.unlink, path)

    @rule(user=users, path=paths)
    def rmdir(self, user: User, path: bytes) -> None:
        self.both(user, os.rmdir, path)

    @rule(user=users, path=paths, other=paths, flags=st.sampled_from(RENAMES))
    def rename(self, user: User, path: bytes, other: bytes, flags: int) -> None:
        self.both(user, calls.rename, path, other, flags)

    @rule(user=users, path=paths)
    def look_at(self, user: User, path: bytes) -> None:
        self.both(user, calls.status, path, True)
        self.both(user, calls.status, path, False)
        self.both(user, os.readlink, path)
        self.both(user, calls.list_all, path)

    @rule(user=users, path=paths, mode=st.integers(0, 7))
    def access(self, user: User, path: bytes, mode: int) -> None:
        self.both(user, lambda: os.access(path, mode, effective_ids=True))

    # Attributes

    @rule(user=users, path=paths, mode=modes)
    def chmod(self, user: User, path: bytes, mode: int) -> None:
        self.both(user, os.chmod, path, mode)

    @rule(user=users, path=paths, uid=owners, gid=owners, follow=st.booleans())
    def chown(self, user: User, path: bytes, uid: int, gid: int, follow: bool) -> None:
        self.both(user, lambda: os.chown(path, uid, gid, follow_symlinks=follow))

    @rule(user=users, path=paths, atime=instants, mtime=instants, follow=st.booleans())
    def set_times(self, user: User, path: bytes, atime: int, mtime: int, follow: bool) -> None:
        def call() -> Answer:
            calls.set_times(path, atime, mtime, follow)
            facts = os.stat(path, follow_symlinks=follow)
            special = UTIME_NOW, UTIME_OMIT
            return atime in special or facts.st_atime_ns, mtime in special or facts.st_mtime_ns

        self.both(user, call)

    @rule(
        user=users,
        path=paths,
        name=st.sampled_from(ATTRIBUTES),
        size=st.sampled_from([0, 10, 300]),
        seed=numbers,
        how=st.sampled_from([0, 0, os.XATTR_CREATE, os.XATTR_REPLACE]),
        follow=st.booleans(),
    )
    def set_attribute(
        self, user: User, path: bytes, name: bytes, size: int, seed: int, how: int, follow: bool
    ) -> None:
        value = bytes_of(seed, size)
        if self.beside.do(ROOT, lambda: os.getxattr(path, name, follow_symlinks=follow)) == value:
            value += b"!"
        self.both(user, lambda: os.setxattr(path, name, value, how, follow_symlinks=follow))

    @rule(user=users, path=paths, name=st.sampled_from([ACCESS_LIST, DEFAULT_LIST]), value=access_lists)
    def set_access_list(self, user: User, path: bytes, name: bytes, value: bytes) -> None:
        if self.beside.do(ROOT, os.getxattr, path, name) == value:
            return
        self.timed = False
        self.both(user, os.setxattr, path, name, value)
        self.timed = True
        self.both(user, os.getxattr, path, name)

    @rule(user=users, path=paths, name=st.sampled_from([ACCESS_LIST, DEFAULT_LIST]))
    def remove_access_list(self, user: User, path: bytes, name: bytes) -> None:
        self.timed = False
        self.both(user, os.removexattr, path, name)
        self.timed = True

    @rule(user=users, path=paths, name=st.sampled_from(ATTRIBUTES), follow=st.booleans())
    def get_attribute(self, user: User, path: bytes, name: bytes, follow: bool) -> None:
        self.both(user, lambda: sorted(os.listxattr(path, follow_symlinks=follow)))
        self.both(user, lambda: os.getxattr(path, name, follow_symlinks=follow))

    @rule(user=users, path=paths, name=st.sampled_from(ATTRIBUTES), follow=st.booleans())
    def remove_attribute(self, user: User, path: bytes, name: bytes, follow: bool) -> None:
        self.both(user, lambda: os.removexattr(path, name, follow_symlinks=follow))

    # Bytes by path

    @rule(user=users, path=paths, size=sizes)
    def truncate(self, user: User, path: bytes, size: int) -> None:
        facts = self.beside.do(ROOT, calls.status, path, True)
        same = isinstance(facts, tuple) and facts[4:5] == (size,)
        self.both(user, os.truncate, path, size + same)

    @rule(path=paths)
    def read_whole(self, path: bytes) -> None:
        self.both(ROOT, calls.read_whole, path)
