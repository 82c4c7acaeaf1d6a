"""hyperfs share"""

from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown
from hyperfs.cli.session import locate, session


@click.command("share")
@click.argument("path", metavar="[PATH]", default=".", type=click.Path(path_type=Path))
@click.option("--at", "at", metavar="WHEN", help="Only the version of that time, and proof that it is that one.")
@options.passphrase_file
@options.as_json
def command(path: Path, at: str | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Print a link by which others read the drive at PATH.

    Example:  hyperfs share ~/Hyper

    'hyperfs mount LINK DIR' mounts it there, read-only and live. Who has the link can read the whole drive with all its
    versions, now and later, until a device is taken out of the drive: pass it on like a key. With --at, the mount
    shows that version alone and refuses any other in its place; the link opens no less.
    """
    place = locate(path)
    with session(place, passphrase_file, read_only=True) as drive:
        made = drive.request("share", {"path": place.inside, "at": at})
    if as_json:
        print_json(made)
        return
    click.echo(made["link"])
    if made["behind"]:
        names = ", ".join(shown(name) for name in made["behind"])
        click.echo(f"Not all of the drive is at {names} yet: 'hyperfs sync --wait' brings it there.", err=True)
