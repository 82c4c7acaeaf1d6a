"""The way to the drive: a connection for each question, so that a drive that was started again answers as before."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

TOGETHER_MOST: Final = 8
"""Questions at a time: the drive takes 64 connections, and others want some."""


class Asks(Protocol):
    """A drive that answers requests, mounted or not."""

    def request(self, name: str, params: dict[str, Any] | None = None) -> dict[str, Any]: ...


Opens = Callable[[], AbstractContextManager[Asks]]


class Door:
    """Any thread."""

    def __init__(self, opens: Opens) -> None:
        """`opens` gives a way to the drive that one thread at a time uses."""
        self._opens = opens
        self._room = threading.BoundedSemaphore(TOGETHER_MOST)

    def ask(self, name: str, params: dict[str, Any]) -> dict[str, Any]:
        """Raises HyperfsError, OSError."""
        with self._room, self._opens() as drive:
            return drive.request(name, params)

    def read(self, path: str, at: str | None, most: int | None = None) -> tuple[int, Iterator[bytes]]:
        """The size of a file as it was at a WHEN, and its bytes in pieces, up to `most`. The first is there already."""
        from base64 import b64decode

        if at is None:
            at = str(self.ask("folder", {"path": path, "limit": 0})["version"])
        found = self.ask("find_file", {"path": path, "when": at})
        size: int = found["size"]
        end = size if most is None else min(size, most)

        def pieces() -> Iterator[bytes]:
            offset = 0
            while offset < end:
                place = {"version": found["version"], "ino": found["ino"], "offset": offset}
                piece = b64decode(self.ask("read_file", place)["data"])[: end - offset]
                if not piece:
                    return
                offset += len(piece)
                yield piece

        begun = pieces()
        first = next(begun, b"")

        def whole() -> Iterator[bytes]:
            yield first
            yield from begun

        return size, whole()
