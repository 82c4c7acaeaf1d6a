"""hyperfs prune"""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, size_text
from hyperfs.cli.session import locate, session


@click.command("prune")
@options.drive_argument
@click.option("--keep-last", metavar="N", type=click.IntRange(min=1), help="Keep only the newest N.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@options.passphrase_file
@options.as_json
def command(where: Path, keep_last: int | None, dry_run: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Let old versions go now, by the rules, and return their space to the disk.

    Example:  hyperfs prune ~/Hyper --dry-run

    A mounted drive does this by itself in the background; 'hyperfs policy show' tells the rules. With --keep-last all
    but the newest N versions go. Named snapshots stay. What goes can't be had back. It works on a full disk.
    """
    params = {"keep_last": keep_last, "dry_run": dry_run}
    with session(locate(where), passphrase_file) as drive, progress() as tell:
        done = drive.request("prune", params, tell)
    if as_json:
        print_json(done)
    else:
        _show(done, dry_run)


def _show(done: dict[str, Any], dry_run: bool) -> None:
    if not done["versions"] and not done["bytes"]:
        click.echo("There is nothing to let go." if dry_run else "There was nothing to let go.")
    else:
        gone, back = ("would go", "would come back") if dry_run else ("let go", "given back")
        click.echo(f"{done['versions']} versions {gone}, {done['kept']} kept: {size_text(done['bytes'])} {back}")
    if done["in_use"]:
        shown = ", ".join(map(str, done["in_use"]))
        click.echo(f"Kept for now, since files in them are open: versions {shown}")
