"""hyperfs sync"""

from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, shown
from hyperfs.cli.peering import behind
from hyperfs.cli.session import locate, session


@click.command("sync")
@options.drive_argument
@click.option("--wait", is_flag=True, help="Return when every peer has proved that it holds everything committed.")
@click.option("--name", metavar="PEER", help="Only this peer.")
@options.passphrase_file
@options.as_json
def command(where: Path, wait: bool, name: str | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Commit, and bring everything to the peers of a drive now.

    Example:  hyperfs sync ~/Hyper --wait

    A mounted drive syncs by itself; this is for whoever wants to know that it is done. With --wait a peer counts when
    it has signed a receipt for all that is committed and may be there, and has shown random blocks of it.
    Exit codes: 4 where a peer can't be reached, 5 where one refuses, 1 where one is full, 3 where it can't be believed.
    """
    with session(locate(where), passphrase_file) as drive, progress() as tell:
        facts = drive.request("sync", {"wait": wait, "name": name}, tell)
    if as_json:
        print_json(facts)
        return
    if not facts["peers"]:
        click.echo(f"Version {facts['version']} is on the disk. There is no peer: 'hyperfs peer add CODE' adds one.")
    elif wait:
        there = ", ".join(shown(peer["name"]) for peer in facts["peers"] if name in (None, peer["name"]))
        click.echo(f"Version {facts['version']} and all before it are on {there}.")
    else:
        for peer in facts["peers"]:
            click.echo(f"{shown(peer['name'])}: behind by {behind(peer)}")
