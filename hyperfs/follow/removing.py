"""Removing a copy with all that is in it."""

import errno
import os
from typing import Final

from hyperfs.follow.attributes import MARK
from hyperfs.follow.tree import Folder

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_IS_FOLDER: Final = frozenset({errno.EISDIR, errno.EPERM})


def remove(folder: Folder, name: bytes) -> bool:
    """Whether all of it went: a folder that is the copy of another follow stays, with the folders that it is in."""
    try:
        os.unlink(name, dir_fd=folder.fd)
        return True
    except FileNotFoundError:
        return True
    except OSError as error:
        found = folder.facts(name)
        if error.errno not in _IS_FOLDER or found is None or not found.is_folder:
            raise
    if found.mode & 0o700 != 0o700:
        os.chmod(name, found.mode | 0o700, dir_fd=folder.fd)
    below = Folder(os.open(name, _OPEN, dir_fd=folder.fd), (*folder.parts, name))
    try:
        if is_marked(below):
            return False
        went = [remove(below, inside) for inside in below.names()]
        if not all(went):
            return False
    finally:
        os.close(below.fd)
    os.rmdir(name, dir_fd=folder.fd)
    return True


def is_marked(folder: Folder) -> bool:
    try:
        return bool(os.getxattr(folder.fd, MARK))
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return False
        raise
