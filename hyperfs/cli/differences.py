"""How commands show what differs: a line for each path."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import click

from hyperfs.cli.output import shown, size_text

SIGNS: Final = {"added": "+", "removed": "-", "changed": "M", "moved": "R", "attributes": "a"}

LINES_MOST: Final = 100
"""Lines of one kind that a command prints."""


def line(difference: dict[str, Any], sizes: bool = True) -> str:
    """`M notes.txt  (12 B -> 15 B)`."""
    kind, path, old_path = difference["kind"], shown(difference["path"] or "."), difference["old_path"]
    name = f"{shown(old_path)} -> {path}" if kind == "moved" and old_path is not None else path
    old, new = difference["old_size"], difference["new_size"]
    if not sizes or kind != "changed" or old is None or new is None or old == new:
        return f"{SIGNS[kind]} {name}"
    return f"{SIGNS[kind]} {name}  ({size_text(old)} -> {size_text(new)})"


def show(differences: list[dict[str, Any]], count: int) -> None:
    """Prints up to LINES_MOST lines, and how many of `count` are not among them."""
    told = 0
    for difference, below in islice(topmost(differences), LINES_MOST):
        click.echo(f"{line(difference)}{f'  and {below} below it' if below else ''}")
        told += 1 + below
    if count > told:
        click.echo(f"and {count - told} more")


def topmost(differences: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """Those that stand in no folder of the same kind that is listed too, by path, with how many stand in each."""
    top: dict[str, Any] | None = None
    below = 0
    for difference in sorted(differences, key=lambda d: d["path"].split("/")):
        if top is not None and _is_below(difference, top):
            below += 1
            continue
        if top is not None:
            yield top, below
        top, below = difference, 0
    if top is not None:
        yield top, below


def _is_below(difference: dict[str, Any], top: dict[str, Any]) -> bool:
    folder = top["old_size"] is None and top["new_size"] is None
    return folder and difference["kind"] == top["kind"] and difference["path"].startswith(top["path"] + "/")
