"""What a sequential reader will ask for next is decoded while he takes what he has asked for.

The kernel asks for a MiB, and for the next one as soon as a program has begun to take the first: so there is one
request at a time, and while its answer is copied nobody decodes. Two windows are begun ahead, each in a thread: both
processors are busy. Owned by the trio thread; nothing that it does is needed by anybody.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from hyperfs.chunks.codec import Bytes
from hyperfs.chunks.extents import Extent

LARGE_READ_BYTES: Final = 256 << 10
"""From this size on a hand-over to a thread (some 90 us) is worth its cost; from twice this, a second one."""
WINDOWS: Final = 2
"""Begun behind each sequential read."""
WINDOWS_MOST: Final = 6
"""Of all readers together: so many MiB may wait in memory for somebody who does not come."""

ReadParts = Callable[[Sequence[Extent], int, int], list[Bytes]]
Find = Callable[[int, int], list[Extent]]


@dataclass(eq=False)
class _Window:
    """`parts`: its bytes, from when it is done on; None if they can't be had: whoever asks for them is told why."""

    extents: list[Extent]
    size: int
    done: trio.Event = field(default_factory=trio.Event)
    parts: list[Bytes] | None = None


class ReadAhead:
    def __init__(self, read_parts: ReadParts) -> None:
        """`read_parts` is called in other threads."""
        self._read_parts = read_parts
        self._windows: OrderedDict[tuple[int, int], _Window] = OrderedDict()  # by inode and offset, oldest first

    async def take(self, ino: int, offset: int, size: int, extents: list[Extent]) -> bytes | None:
        """The bytes, if exactly these were begun and the file has not changed there since."""
        window = self._windows.pop((ino, offset), None)
        if window is None or window.size != size or window.extents != extents:
            return None
        await window.done.wait()
        return b"".join(window.parts) if window.parts is not None else None

    def begin(self, ino: int, offset: int, size: int, end: int, find: Find) -> None:
        """`size` bytes from `offset` on, and once more as many, but nothing past `end`. `find`: the extents between two
        offsets."""
        for start in range(offset, min(offset + WINDOWS * size, end), size):
            if (ino, start) not in self._windows:
                stop = min(start + size, end)
                if stop - start < LARGE_READ_BYTES:
                    return
                self._begin(ino, start, _Window(find(start, stop), stop - start))

    def _begin(self, ino: int, offset: int, window: _Window) -> None:
        self._windows[ino, offset] = window
        if len(self._windows) > WINDOWS_MOST:
            self._windows.popitem(last=False)
        token = trio.lowlevel.current_trio_token()

        def run() -> None:
            try:
                window.parts = self._read_parts(window.extents, offset, window.size)
            finally:
                token.run_sync_soon(window.done.set)

        trio.lowlevel.start_thread_soon(run, lambda outcome: None, "read ahead")
