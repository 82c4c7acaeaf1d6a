"""The moments of paths: asked for once, and then only what is new."""

import sys
import threading
from array import array
from base64 import b64decode
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from hyperfs.web.door import Door

PATHS_MOST: Final = 8
"""Kept at a time; 1.6 MB for 100,000 versions."""


@dataclass
class Moments:
    """Versions, ascending, with their times in ns. `more`: older ones were left out. Replaced, never changed."""

    versions: "array[int]" = field(default_factory=lambda: array("q"))
    times: "array[int]" = field(default_factory=lambda: array("q"))
    more: bool = False
    let_go: int = -1


class Remembered:
    """Any thread."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._lock = threading.Lock()  # guards `_known`
        self._known: OrderedDict[str, Moments] = OrderedDict()

    def of(self, path: str) -> Moments:
        """Raises what the drive reports."""
        with self._lock:
            known = self._known.get(path) or Moments()
        found = self._ask(path, known)
        with self._lock:
            self._known[path] = found
            self._known.move_to_end(path)
            if len(self._known) > PATHS_MOST:
                self._known.popitem(last=False)
        return found

    def _ask(self, path: str, known: Moments) -> Moments:
        after = known.versions[-1] if known.versions else 0
        answer = self._door.ask("moments", {"path": path, "after": after})
        if after and answer["let_go"] != known.let_go:
            known = Moments()  # some of those that are known are no more
            answer = self._door.ask("moments", {"path": path, "after": 0})
        return Moments(
            known.versions + _numbers(answer, "versions"),
            known.times + _numbers(answer, "times"),
            known.more or answer["more"],
            answer["let_go"],
        )


def _numbers(answer: dict[str, Any], name: str) -> "array[int]":
    found = array("q")
    found.frombytes(b64decode(answer[name]))
    if sys.byteorder == "big":
        found.byteswap()
    return found
