"""hyperfs undo"""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown, table, time_text
from hyperfs.cli.session import Place, locate, session
from hyperfs.cli.taking_back import take_back


@click.command("undo")
@options.step_path
@click.option("--list", "listing", is_flag=True, help="List the steps, newest first, and change nothing.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(min=1), help="Steps to list at most.")
@options.dry_run
@options.force
@options.store
@options.passphrase_file
@options.as_json
def command(
    path: Path,
    listing: bool,
    limit: int,
    dry_run: bool,
    force: bool,
    store: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Take back the last step at or below PATH (default: the current folder), and leave all else as it is.

    Example:  hyperfs undo ~/Hyper/project

    A step is a burst of changes with pauses under five seconds. Once more takes back the step before; 'hyperfs redo' is
    the way forth again, until something else changes. What has changed since the step stops it, unless --force.
    """
    place = locate(path, store)
    if not listing:
        return take_back("undo", place, path, force, dry_run, passphrase_file, as_json)
    _list(place, limit, passphrase_file, as_json)
    return 0


def _list(place: Place, limit: int, passphrase_file: Path | None, as_json: bool) -> None:
    with session(place, passphrase_file) as drive:
        found = drive.request("steps", {"path": place.inside, "limit": limit})["steps"]
    if as_json:
        print_json(found)
        return
    table([["STEP", "FROM", "TO", "", "WHAT CHANGED"], *map(_row, found)], right={0})


def _row(step: dict[str, Any]) -> list[str]:
    state = "undone, redo is next" if step["redo"] else "undone" if step["taken_back"] else ""
    return [str(step["step"]), time_text(step["began"]), time_text(step["ended"]), state, shown(step["change"])]
