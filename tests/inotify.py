"""What programs hear that watch files through Linux's inotify."""

import ctypes
import os
import struct
from pathlib import Path
from typing import Final, Self

IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO = 0x2, 0x4, 0x8, 0x40, 0x80
IN_CREATE, IN_DELETE, IN_DELETE_SELF = 0x100, 0x200, 0x400
_ALL: Final = 0xFFF


class Watch:
    """As a context manager."""

    def __init__(self, *paths: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK)
        self._paths = {libc.inotify_add_watch(self._fd, os.fsencode(path), _ALL): path for path in paths}
        assert min(self._paths) > 0

    def heard(self) -> list[tuple[Path, int, bytes]]:
        """(what is watched, what happened, the name in it), since the last call."""
        events = []
        try:
            raw = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return []
        while raw:
            number, mask, _, length = struct.unpack_from("iIII", raw)
            events.append((self._paths[number], mask & _ALL, raw[16 : 16 + length].rstrip(b"\0")))
            raw = raw[16 + length :]
        return events

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
