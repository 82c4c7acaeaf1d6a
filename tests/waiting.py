"""Waiting for something to read. Not by select, which knows no descriptor above 1,023: a long run opens more."""

import select
from collections.abc import Iterable
from typing import IO, Any, TypeVar

File = TypeVar("File", bound=int | IO[Any])


def readable(files: Iterable[File], seconds: float) -> list[File]:
    """Those that can be read, or are closed at their other end; none after so many seconds."""
    poll = select.poll()
    by_number: dict[int, File] = {}
    for file in files:
        number = file if isinstance(file, int) else file.fileno()
        by_number[number] = file
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(max(0.0, seconds) * 1000)]
