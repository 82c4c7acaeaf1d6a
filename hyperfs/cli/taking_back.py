"""What undo and redo have in common: the question, and the answer in words."""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli.differences import LINES_MOST, show
from hyperfs.cli.output import print_json, progress, shown, time_text
from hyperfs.cli.session import Place, session
from hyperfs.daemon.exit_codes import DONE, REFUSED


def take_back(
    what: str, place: Place, path: Path, force: bool, dry_run: bool, passphrase_file: Path | None, as_json: bool
) -> int:
    """Asks for an undo or a redo; the exit code."""
    with session(place, passphrase_file) as drive, progress() as tell:
        done = drive.request(what, {"path": place.inside, "force": force, "dry_run": dry_run}, tell)
    stopped = bool(done["conflicts"]) and done["version"] is None
    if as_json:
        print_json(done)
    elif stopped:
        _tell_conflicts(what, done, dry_run)
    else:
        _tell(what, path, done)
    return REFUSED if stopped and not dry_run else DONE


def _tell(what: str, path: Path, done: dict[str, Any]) -> None:
    step = done["step"]
    times = f"the step of {time_text(step['began'])} to {time_text(step['ended'])}"
    if done["version"] is None:
        click.echo(f"'hyperfs {what} {path}' would take {'back' if what == 'undo' else 'again'} {times}:")
    else:
        verb = "Took back" if what == "undo" else "Did again"
        click.echo(f"{verb} {times}, as version {done['version']}:")
    show(done["differences"], done["count"])
    if done["conflicts"]:
        click.echo("What had changed since went with it:")
        _lines(done)


def _tell_conflicts(what: str, done: dict[str, Any], dry_run: bool) -> None:
    click.echo(f"hyperfs: {len(done['conflicts'])} things have changed since that step, so nothing was done:", err=True)
    _lines(done, err=True)
    rest = f"'hyperfs {what} --force' does it nevertheless; what is there now stays in the newest version"
    click.echo(rest if not dry_run else f"On trial. {rest}", err=True)


def _lines(done: dict[str, Any], err: bool = False) -> None:
    for conflict in done["conflicts"][:LINES_MOST]:
        click.echo(f"  {shown(conflict['path'] or '.')}: {conflict['why']}", err=err)
    if len(done["conflicts"]) > LINES_MOST:
        click.echo(f"  and {len(done['conflicts']) - LINES_MOST} more", err=err)
