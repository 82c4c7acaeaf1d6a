"""hyperfs log"""

from itertools import chain
from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json_list, shown, table, time_text
from hyperfs.cli.session import locate, session
from hyperfs.daemon.paging import items


@click.command("log")
@options.drive_argument
@click.option("--limit", "-n", default=50, show_default=True, type=click.IntRange(min=1), help="How many at most.")
@options.store
@options.passphrase_file
@options.as_json
def command(where: Path, limit: int, store: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """List the versions in which something in DIR changed, newest first, and what it was.

    Example:  hyperfs log ~/Hyper/project -n 10
    """
    place = locate(where, store)
    with session(place, passphrase_file) as drive:
        found = items(drive.request, "log", {"path": place.inside, "limit": limit}, "commits")
        if as_json:
            print_json_list(found)
            return
        table(chain([["VERSION", "TIME", "DEVICE", "SNAPSHOT", "WHAT CHANGED"]], map(_row, found)), right={0})


def _row(commit: dict[str, Any]) -> list[str]:
    return [
        str(commit["version"]),
        time_text(commit["time"]),
        shown(commit["device"]),
        shown(commit["name"] or ""),
        shown(commit["change"]),
    ]
