"""hyperfs diff"""

from pathlib import Path
from typing import Any, Final

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown, size_text
from hyperfs.cli.session import locate, session

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "M", "moved": "R", "attributes": "a"}


@click.command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B", required=False)
@click.argument("path", default=".", type=click.Path(path_type=Path))
@options.store
@options.passphrase_file
@options.as_json
def command(
    old: str, new: str | None, path: Path, store: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """Tell what changed from version A to version B (default: now) in the folder PATH (default: the current one).

    Example:  hyperfs diff yesterday now ~/Hyper/project

    A and B are numbers, times, words or snapshots' names. In front of each path: + added, - removed, M changed,
    R moved, a attributes only.
    """
    place = locate(path, store)
    with session(place, passphrase_file) as drive:
        found = drive.request("diff", {"path": place.inside, "old": old, "new": new})
    if as_json:
        print_json(found)
        return
    for difference in found["differences"]:
        click.echo(_line(difference))


def _line(difference: dict[str, Any]) -> str:
    kind, path, old_path = difference["kind"], shown(difference["path"] or "."), difference["old_path"]
    name = f"{shown(old_path)} -> {path}" if kind == "moved" and old_path is not None else path
    sizes = (difference["old_size"], difference["new_size"])
    if kind != "changed" or None in sizes or sizes[0] == sizes[1]:
        return f"{_SIGNS[kind]} {name}"
    return f"{_SIGNS[kind]} {name}  ({size_text(sizes[0])} -> {size_text(sizes[1])})"
