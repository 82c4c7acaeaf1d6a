"""hyperfs versions"""

from itertools import chain
from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json_list, shown, size_text, table, time_text
from hyperfs.cli.session import locate, session
from hyperfs.daemon.paging import items


@click.command("versions")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--limit", "-n", type=click.IntRange(min=1), help="How many at most. Default: all.")
@options.store
@options.passphrase_file
@options.as_json
def command(
    path: Path, limit: int | None, store: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """List the distinct versions of a file or folder, newest first. It need not exist any more.

    Example:  hyperfs versions ~/Hyper/letter.txt

    The history follows the name and, across renames, the file. Where retention has let states of a file go, the next
    version says how many.
    """
    place = locate(path, store)
    params = {"path": place.inside} | ({"limit": limit} if limit is not None else {})
    with session(place, passphrase_file) as drive:
        found = items(drive.request, "versions", params, "versions")
        if as_json:
            print_json_list(found)
            return
        head = ["VERSION", "TIME", "SIZE", "DEVICE", "WHAT CHANGED", "SNAPSHOT"]
        table(chain([head], map(_row, found)), right={0, 2})


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
