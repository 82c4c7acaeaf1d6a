"""hyperfs diff"""

import base64
import os
from pathlib import Path
from typing import Any, Final

import click

from hyperfs.cli import options, text_diff
from hyperfs.cli.differences import line
from hyperfs.cli.output import print_json
from hyperfs.cli.session import Asks, locate, session
from hyperfs.cli.text_diff import TEXT_MOST_BYTES, Side
from hyperfs.daemon.paging import pages
from hyperfs.daemon.wire import Message

_COLOURS: Final = {text_diff.PLACE: "cyan", text_diff.CAME: "green", text_diff.WENT: "red"}

_COLOUR: Final = False if os.environ.get("NO_COLOR") else None
"""None: on a terminal."""


@click.command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B", required=False)
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--names", is_flag=True, help="Only the names of what changed.")
@click.option("--stat", is_flag=True, help="Only names and sizes.")
@options.store
@options.passphrase_file
@options.as_json
def command(
    old: str,
    new: str | None,
    path: Path,
    names: bool,
    stat: bool,
    store: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Tell what changed from version A to version B (default: now) in the folder PATH (default: the current one).

    Example:  hyperfs diff yesterday now ~/Hyper/project

    A and B are numbers, times, words or snapshots' names. First the names: + added, - removed, M changed, R moved,
    a attributes only. Then what changed in each text file, line by line, and of other files the sizes.
    """
    place = locate(path, store)
    with session(place, passphrase_file) as drive:
        found = _whole(drive, {"path": place.inside, "old": old, "new": new})
        if as_json:
            print_json(found)
            return
        for difference in found["differences"]:
            click.echo(line(difference, sizes=not names))
        if not (names or stat):
            _contents(drive, found)


def _whole(drive: Asks, params: Message) -> Message:
    """The versions, and all differences."""
    first, *others = pages(drive.request, "diff", params)
    rest = [difference for page in others for difference in page["differences"]]
    return {"old": first["old"], "new": first["new"], "differences": first["differences"] + rest}


def _contents(drive: Asks, found: dict[str, Any]) -> None:
    for difference in found["differences"]:
        old_size, new_size = difference["old_size"], difference["new_size"]
        if difference["kind"] in ("moved", "attributes") or (old_size is None and new_size is None):
            continue
        old_path = difference["path"] if difference["old_path"] is None else difference["old_path"]
        click.echo()
        sides = (
            _side(drive, found["old"], old_path, old_size),
            _side(drive, found["new"], difference["path"], new_size),
        )
        for said in text_diff.text_diff(*sides):
            click.secho(said.text, fg=_COLOURS.get(said.kind), bold=said.kind == text_diff.HEAD, color=_COLOUR)


def _side(drive: Asks, version: int, path: str, size: int | None) -> Side:
    if size is None:
        return Side(None, 0, b"")
    label = f"{path} @{version}"
    if size > TEXT_MOST_BYTES:
        return Side(label, size, None)
    file = drive.request("find_file", {"path": path, "version": version})
    data = b""
    while len(data) < file["size"]:
        question = {"version": version, "ino": file["ino"], "offset": len(data)}
        piece = base64.b64decode(drive.request("read_file", question)["data"])
        if not piece:
            break
        data += piece
    return Side(label, size, data)
