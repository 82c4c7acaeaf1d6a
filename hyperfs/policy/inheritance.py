"""Which value holds for something in a tree: the nearest at or above it. Pure."""

from collections.abc import Callable
from typing import NamedTuple


class Held(NamedTuple):
    """A value and what it was set on; 0 where it is the default."""

    value: bytes | None
    source: int


def nearest(own: Callable[[int], bytes | None], parent: Callable[[int], int], ino: int, default: bytes | None) -> Held:
    """`own` gives what was set on something itself, `parent` what it lies in, 0 above the top.

    In as many steps as it lies deep. A circle, which only damage makes, ends.
    """
    seen: set[int] = set()
    while ino and ino not in seen:
        value = own(ino)
        if value is not None:
            return Held(value, ino)
        seen.add(ino)
        ino = parent(ino)
    return Held(default, 0)
