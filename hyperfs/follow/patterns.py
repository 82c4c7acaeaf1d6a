"""What is ignored: patterns in gitignore's syntax, each set for the folder that it stands in. Pure."""

import os
from collections.abc import Mapping
from typing import Final

import pathspec

from hyperfs.follow.facts import Parts

FILE_NAME: Final = b".hyperfsignore"


class Patterns:
    """The lines of one file. Those that are no patterns are left out; `bad` has them."""

    def __init__(self, text: bytes) -> None:
        self.bad: list[str] = []
        good = [line for line in os.fsdecode(text).splitlines() if self._is_good(line)]
        self._spec = pathspec.GitIgnoreSpec.from_lines(good)

    def _is_good(self, line: str) -> bool:
        try:
            pathspec.GitIgnoreSpec.from_lines([line])
        except ValueError:
            self.bad.append(line)
            return False
        return True

    def decide(self, below: Parts, is_folder: bool) -> bool | None:
        """Whether a path, relative to the patterns' folder, is ignored; None if no pattern says anything."""
        path = os.fsdecode(b"/".join(below)) + ("/" if is_folder else "")
        return self._spec.check_file(path).include


def is_ignored(path: Parts, is_folder: bool, patterns: Mapping[Parts, Patterns]) -> bool:
    """By the patterns of the folders that it lies in, the nearest first. Not for what lies in an ignored folder."""
    for depth in range(len(path) - 1, -1, -1):
        found = patterns.get(path[:depth])
        decided = found.decide(path[depth:], is_folder) if found is not None else None
        if decided is not None:
            return decided
    return False
