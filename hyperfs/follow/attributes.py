"""Owner, mode, extended attributes and times of a copy."""

import errno
import os
from typing import Final

from hyperfs.follow.facts import Facts
from hyperfs.follow.tree import Folder, Unknown

MARK: Final = "user.hyperfs-follow"
"""On INTO: whose copy it is."""
_OURS: Final = ("user.hyperfs.", MARK)
_REFUSALS: Final = frozenset({errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.EINVAL})


def keeps_owners() -> bool:
    return os.geteuid() == 0


def set_all(source: Folder, name: bytes, facts: Facts, copy: Folder, copy_name: bytes) -> None:
    """Makes all of them the source's. An owner first, for it takes setuid away; times last. What is so already is left
    alone: each call would make a version.

    Raises Unknown where the source can't be read, OSError for the copy.
    """
    now = copy.facts(copy_name)
    if now is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(copy_name))
    if keeps_owners() and (now.uid, now.gid) != (facts.uid, facts.gid):
        os.chown(copy_name, facts.uid, facts.gid, dir_fd=copy.fd, follow_symlinks=False)
        now = copy.facts(copy_name) or now
    _set_extended(source.path_of(name), copy.path_of(copy_name))
    if not facts.is_link and now.mode != facts.mode:
        os.chmod(copy_name, facts.mode, dir_fd=copy.fd)
    if now.mtime_ns != facts.mtime_ns:
        os.utime(copy_name, ns=(facts.atime_ns, facts.mtime_ns), dir_fd=copy.fd, follow_symlinks=False)


def extended_differ(source: Folder, name: bytes, copy: Folder, copy_name: bytes) -> bool:
    """Raises Unknown."""
    return _of_source(source.path_of(name)) != _read(copy.path_of(copy_name))


def keep_own_rules(old: Folder, old_name: bytes, new: Folder, new_name: bytes) -> None:
    """What the drive was told about a copy stays when another takes its place."""
    for name, value in _read(old.path_of(old_name), ours=True).items():
        _try(os.setxattr, new.path_of(new_name), name, value)


def _set_extended(source: bytes, copy: bytes) -> None:
    wanted, there = _of_source(source), _read(copy)
    for name, value in wanted.items():
        if there.get(name) != value:
            _try(os.setxattr, copy, name, value)
    for name in there.keys() - wanted.keys():
        _try(os.removexattr, copy, name)


def _of_source(path: bytes) -> dict[str, bytes]:
    try:
        return _read(path)
    except OSError as error:
        raise Unknown(error) from error


def _read(path: bytes, ours: bool = False) -> dict[str, bytes]:
    """Those that are copied; with `ours` those that are the drive's own."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in _REFUSALS:
            return {}
        raise
    found = {}
    for name in names:
        if name.startswith(_OURS) if ours else _is_copied(name):
            try:
                found[name] = os.getxattr(path, name, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _REFUSALS | {errno.ENODATA}:
                    raise
    return found


def _is_copied(name: str) -> bool:
    if name.startswith(_OURS):
        return False
    return name.startswith(("user.", "system.posix_acl_")) or (
        name.startswith(("security.", "trusted.")) and os.geteuid() == 0
    )


def _try(call: object, *arguments: object) -> None:
    """What the drive or the user's rights do not allow is left out."""
    assert callable(call)
    try:
        call(*arguments, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _REFUSALS | {errno.ENODATA}:
            raise
