"""What commands print: facts for people or as JSON, and progress."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice, repeat
from textwrap import indent
from typing import TYPE_CHECKING, Any, Final

import click

from hyperfs.errors import InvalidArgument

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

Progress = Callable[[str, int, int], None]

SHOW_AFTER_SECONDS: Final = 1.0
TABLE_BLOCK: Final = 1000
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def print_json(facts: Any) -> None:
    """Bytes of names that are no UTF-8 stand as lone surrogates, as Python's os.fsdecode makes them."""
    click.echo(json.dumps(facts, indent=2))


def print_json_list(found: Iterable[Any]) -> None:
    """As print_json, one by one: the list may be long."""
    before = "["
    for facts in found:
        click.echo(before + "\n" + indent(json.dumps(facts, indent=2), "  "), nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")


def shown(text: str) -> str:
    """A name for a terminal: nothing in it can move the cursor or begin a line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def size_text(size: int) -> str:
    """Bytes in words: 1.5 MiB."""
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount /= 1024
        unit += 1
    return f"{size} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def size_of(text: str) -> int:
    """Bytes of 20G, 500MiB, 1.5T or 4096; units are powers of 1024. Raises InvalidArgument."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([KMGTP]?)(?:i?B)?", text, re.ASCII)
    if found is None:
        raise InvalidArgument(f"{text!r} is no size: write, for example, 20G or 500M")
    return int(float(found[1]) * 1024 ** "KMGTP".find(found[2]) * 1024 if found[2] else float(found[1]))


def time_text(iso: str) -> str:
    """A time of a message in local time, to the second."""
    from datetime import datetime

    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M:%S}"


def table(rows: Iterable[list[str]], right: set[int] | None = None) -> None:
    """Columns; those in `right` are flush right. Of a long table only a part is in memory: they may grow wider."""
    rows = iter(rows)
    widths: list[int] = []
    while block := list(islice(rows, TABLE_BLOCK)):
        columns = zip(*block, strict=True)
        widths = [max(width, *map(len, column)) for width, column in zip(widths or repeat(0), columns, strict=False)]
        _print_rows(block, widths, right)


def _print_rows(rows: list[list[str]], widths: list[int], right: set[int] | None) -> None:
    for row in rows:
        cells = [
            cell.rjust(width) if right and place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar on the terminal for work that takes more than a second; nothing where there is no terminal."""
    if not sys.stderr.isatty():
        yield lambda what, done, of: None
        return
    shower = _Bar()
    try:
        yield shower.tell
    finally:
        shower.end()


class _Bar:
    """Appears after a second: rich takes a tenth of one to import."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def tell(self, what: str, done: int, of: int) -> None:
        if self._bar is None:
            if time.monotonic() - self._start < SHOW_AFTER_SECONDS:
                return
            self._begin()
        assert self._bar is not None
        assert self._task is not None
        self._bar.update(self._task, description=what, completed=done, total=of or None)

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=None)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
