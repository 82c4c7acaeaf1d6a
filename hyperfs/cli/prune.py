"""hyperfs prune"""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, shown, size_of, size_text
from hyperfs.cli.session import locate, session


@click.command("prune")
@options.drive_argument
@click.option("--keep-last", metavar="N", type=click.IntRange(min=1), help="Keep only the newest N.")
@click.option("--free", metavar="SIZE", help="Let go of as little as gives SIZE back, as in 20G.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@options.passphrase_file
@options.as_json
def command(
    where: Path, keep_last: int | None, free: str | None, dry_run: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Let old versions go now, by the rules, and return their space to the disk.

    Example:  hyperfs prune ~/Hyper --dry-run

    A mounted drive does this by itself in the background; 'hyperfs policy show' tells the rules. With --keep-last all
    but the newest N versions go; with --free as many as are needed, and deleted things if need be. Named snapshots
    stay. What goes can't be had back. It works on a full disk.
    """
    if free is not None and keep_last is not None:
        raise click.UsageError("--free and --keep-last are two ways to say how much goes: give one of them")
    params = {"keep_last": keep_last, "dry_run": dry_run, "free": None if free is None else size_of(free)}
    with session(locate(where), passphrase_file) as drive, progress() as tell:
        if free is not None and not dry_run and not as_json:
            _show_cost(drive.request("prune", params | {"dry_run": True}, tell))
        done = drive.request("prune", params, tell)
    if as_json:
        print_json(done)
        return
    if free is not None and dry_run:
        _show_cost(done)
    _show(done, dry_run)
    if free is not None and done["bytes"] < done["wanted"]:
        click.echo(f"That is less than was asked for. What never goes: {done['holds']}")


def _show_cost(facts: dict[str, Any]) -> None:
    """Before it is done: it can't be undone."""
    click.echo(f"This costs {facts['went']}", err=True)


def _show(done: dict[str, Any], dry_run: bool) -> None:
    if not done["versions"] and not done["bytes"] and not done["elsewhere_bytes"]:
        click.echo("There is nothing to let go." if dry_run else "There was nothing to let go.")
    else:
        gone, back = ("would go", "would come back") if dry_run else ("let go", "given back")
        click.echo(f"{done['versions']} versions {gone}, {done['kept']} kept: {size_text(done['bytes'])} {back}")
    for place, size in done["elsewhere_bytes"].items():
        verb = "would not be" if dry_run else "are not"
        click.echo(f"{size_text(size)} {verb} needed any more at {shown(place)}: its objects go as they empty")
    if done["in_use"]:
        versions = ", ".join(map(str, done["in_use"]))
        click.echo(f"Kept for now, since files in them are open: versions {versions}")
