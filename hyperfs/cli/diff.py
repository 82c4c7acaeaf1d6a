"""hyperfs diff"""

from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.differences import line
from hyperfs.cli.output import print_json
from hyperfs.cli.session import locate, session


@click.command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B", required=False)
@click.argument("path", default=".", type=click.Path(path_type=Path))
@options.store
@options.passphrase_file
@options.as_json
def command(
    old: str, new: str | None, path: Path, store: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """Tell what changed from version A to version B (default: now) in the folder PATH (default: the current one).

    Example:  hyperfs diff yesterday now ~/Hyper/project

    A and B are numbers, times, words or snapshots' names. In front of each path: + added, - removed, M changed,
    R moved, a attributes only.
    """
    place = locate(path, store)
    with session(place, passphrase_file) as drive:
        found = drive.request("diff", {"path": place.inside, "old": old, "new": new})
    if as_json:
        print_json(found)
        return
    for difference in found["differences"]:
        click.echo(line(difference))
