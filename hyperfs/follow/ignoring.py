"""Which names of the source are left out: by patterns that stand in its folders, and what must never be copied."""

import errno
import os
from collections.abc import Collection
from typing import Final

from hyperfs.follow.facts import Facts, Identity, Parts
from hyperfs.follow.patterns import FILE_NAME, Patterns, is_ignored
from hyperfs.follow.report import Report
from hyperfs.follow.tree import Tree

MOST_BYTES: Final = 1 << 20
MOST_FOLDERS: Final = 20_000


class Ignoring:
    """Reads patterns as folders are come to, and keeps them for one batch: they may have changed by the next."""

    def __init__(self, source: Tree, first: bytes, never: Collection[Identity], report: Report) -> None:
        """`first`: patterns that count as standing in the folder before its own. `never`: inodes that are left out."""
        self._source = source
        self._first = first
        self._never = never
        self._report = report
        self._known: dict[Parts, Patterns | None] = {}

    def leaves_out(self, path: Parts, facts: Facts) -> bool:
        """Of a name whose folder is not left out."""
        if facts.identity in self._never:
            return True
        for depth in range(len(path)):
            self._load(path[:depth])
        found = {folder: patterns for folder, patterns in self._of(path) if patterns is not None}
        return bool(found) and is_ignored(path, facts.is_folder, found)

    def _of(self, path: Parts) -> list[tuple[Parts, Patterns | None]]:
        return [(path[:depth], self._known.get(path[:depth])) for depth in range(len(path))]

    def leaves_out_way(self, path: Parts) -> bool:
        """Whether a path is left out, or a folder on the way to it. What is not there is not."""
        for depth in range(1, len(path) + 1):
            facts = self._source.facts(path[:depth])
            if facts is None:
                return False
            if self.leaves_out(path[:depth], facts):
                return True
        return False

    def forget(self, folder: Parts) -> None:
        self._known.pop(folder, None)

    def _load(self, folder: Parts) -> None:
        if folder in self._known:
            return
        if len(self._known) >= MOST_FOLDERS:
            self._known.clear()
        text = (b"" if folder else self._first + b"\n") + (self._text(folder) or b"")
        patterns = Patterns(text) if text.strip() else None
        if patterns is not None and patterns.bad:
            self._report.hint((*folder, FILE_NAME), f"no pattern, skipped: {patterns.bad[0]!r}")
        self._known[folder] = patterns

    def _text(self, folder: Parts) -> bytes | None:
        """Raises OSError where it can't be known: copying what is to be ignored would be wrong."""
        with self._source.folder(folder) as found:
            if found is None:
                return None
            try:
                fd = os.open(FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=found.fd)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                    return None
                raise
            try:
                return os.read(fd, MOST_BYTES)
            except IsADirectoryError:
                return None
            finally:
                os.close(fd)
