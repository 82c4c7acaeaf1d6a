"""A folder tree that is reached through its top as it was opened: whatever is mounted, unmounted or renamed above it
meanwhile, and whatever symlink is put into it, what is read and written lies in that tree.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from hyperfs.errors import HyperfsError
from hyperfs.follow.facts import Facts, Parts

_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Unknown(HyperfsError):
    """A source can't be looked at: whether it is there is not known, and nothing may be concluded."""

    def __init__(self, error: OSError) -> None:
        self.errno = error.errno
        super().__init__(error.strerror or str(error))


class Folder:
    """An open folder of a tree; `fd` belongs to it."""

    def __init__(self, fd: int, parts: Parts) -> None:
        self.fd = fd
        self.parts = parts

    def names(self) -> list[bytes]:
        return [os.fsencode(name) for name in os.listdir(self.fd)]

    def facts(self, name: bytes) -> Facts | None:
        """None if there is no such name. Raises OSError for what is not known."""
        try:
            return Facts.of(os.stat(name, dir_fd=self.fd, follow_symlinks=False))
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise

    def close(self) -> None:
        os.close(self.fd)

    def own_facts(self) -> Facts:
        return Facts.of(os.fstat(self.fd))

    def path_of(self, name: bytes) -> bytes:
        """For calls that know no dir_fd."""
        return b"/proc/self/fd/%d/%s" % (self.fd, name)


class Tree:
    """A context manager; raises OSError where the top is no folder that can be opened."""

    def __init__(self, top: Path) -> None:
        self.top = Folder(os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), ())

    def open(self, parts: Parts) -> Folder | None:
        """A folder below the top, which the caller closes; None where there is none. Raises OSError for what can't be
        opened."""
        fd = os.dup(self.top.fd)
        for part in parts:
            try:
                below = os.open(part, _OPEN_FOLDER, dir_fd=fd)
            except OSError as error:
                if error.errno in _NOT_THERE:
                    return None
                raise
            finally:
                os.close(fd)
            fd = below
        return Folder(fd, parts)

    @contextmanager
    def folder(self, parts: Parts) -> Iterator[Folder | None]:
        """As `open`, closed at the end."""
        found = self.open(parts)
        try:
            yield found
        finally:
            if found is not None:
                found.close()

    def facts(self, parts: Parts) -> Facts | None:
        """Of any path; None if it is not there."""
        if not parts:
            return self.top.own_facts()
        with self.folder(parts[:-1]) as folder:
            return None if folder is None else folder.facts(parts[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.top.fd)
