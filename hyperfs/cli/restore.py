"""hyperfs restore"""

from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.differences import show
from hyperfs.cli.output import print_json, progress, size_text
from hyperfs.cli.session import locate, session
from hyperfs.errors import BadRequest


@click.command("restore")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--at", "when", metavar="WHEN", help="A version's number, a time, 'yesterday', a snapshot's name.")
@click.option("--to", "to", metavar="DEST", type=click.Path(path_type=Path), help="Put it there instead: a new path.")
@options.dry_run
@options.store
@options.passphrase_file
@options.as_json
def command(
    path: Path,
    when: str | None,
    to: Path | None,
    dry_run: bool,
    store: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Put the file or folder PATH back as it was in a version. No bytes are copied or stored again.

    Example:  hyperfs restore ~/Hyper/project --at "2h ago"

    What was deleted needs no --at: it comes back as it was last. Asks nothing: what stands there now is in the newest
    version, and 'hyperfs undo' takes the restore back.
    """
    place = locate(path, store)
    target = locate(to, store) if to is not None else None
    if target is not None and target.store != place.store:
        raise BadRequest(f"{to} is not in the same drive as {path}: copy out of .versions instead")
    params = {
        "path": place.inside,
        "when": when,
        "to": target.inside if target is not None else None,
        "dry_run": dry_run,
    }
    with session(place, passphrase_file) as drive, progress() as tell:
        done = drive.request("restore", params, tell)
    if as_json:
        print_json(done)
        return
    what = f"{done['files']} files, {done['folders']} folders, {size_text(done['bytes'])}"
    verb = "Would restore" if dry_run else "Restored"
    click.echo(f"{verb} {to or path} as in version {done['version']}: {what}")
    if dry_run:
        show(done["differences"], done["count"])
