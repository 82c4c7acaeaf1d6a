"""hyperfs snapshot"""

from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown
from hyperfs.cli.session import locate, session


@click.command("snapshot")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--delete", is_flag=True, help="Forget the name; the version stays as long as retention keeps it.")
@options.store
@options.passphrase_file
@options.as_json
def command(
    directory: Path, name: str, delete: bool, store: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """Keep the present version of DIR, and all below it, under NAME.

    Example:  hyperfs snapshot ~/Hyper/thesis before-the-big-cut

    Returns when all that had been written before, to whichever file, is in it and on the disk. It is then found
    as DIR/.versions/NAME.
    """
    place = locate(directory, store)
    with session(place, passphrase_file) as drive:
        request = "delete_snapshot" if delete else "snapshot"
        done = drive.request(request, {"path": place.inside, "name": name})
    if as_json:
        print_json(done)
    elif delete:
        click.echo(f"{shown(name)} is no snapshot any more")
    else:
        click.echo(f"Kept version {done['version']} as {shown(name)}")
