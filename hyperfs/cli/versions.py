"""hyperfs versions"""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown, size_text, table, time_text
from hyperfs.cli.session import locate, session


@click.command("versions")
@click.argument("path", type=click.Path(path_type=Path))
@options.store
@options.passphrase_file
@options.as_json
def command(path: Path, store: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """List the distinct versions of a file or folder, newest first. It need not exist any more.

    Example:  hyperfs versions ~/Hyper/letter.txt

    The history follows the name and, across renames, the file. Where retention has let states of a file go, the next
    version says how many.
    """
    place = locate(path, store)
    with session(place, passphrase_file) as drive:
        found = drive.request("versions", {"path": place.inside})["versions"]
    if as_json:
        print_json(found)
        return
    table([["VERSION", "TIME", "SIZE", "DEVICE", "WHAT CHANGED", "SNAPSHOT"], *map(_row, found)], right={0, 2})


def _row(version: dict[str, Any]) -> list[str]:
    return [
        str(version["version"]),
        time_text(version["time"]),
        size_text(version["size"]),
        shown(version["device"]),
        shown(version["change"]) + _let_go(version["let_go"]),
        shown(version["name"] or ""),
    ]


def _let_go(states: int) -> str:
    return f" ({states} {'state' if states == 1 else 'states'} before it no longer kept)" if states else ""
