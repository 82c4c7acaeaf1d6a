"""hyperfs peer drives, hyperfs peer drop"""

import sys
from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown, size_text, table
from hyperfs.errors import Refused
from hyperfs.peer_server import own_drives
from hyperfs.peer_server.own_drives import Held

_folder = click.option(
    "--store", "folder", metavar="DIR", required=True, type=click.Path(path_type=Path), help="The peer's folder."
)


@click.command("drives")
@_folder
@options.as_json
def drives(folder: Path, as_json: bool) -> None:
    """List the drives that the peer in DIR holds, with what they take, whether it is served now or not.

    Example:  hyperfs peer drives --store /srv/peer

    The names are those of the drives' devices: what is in a drive, and what it is called, the peer can't read.
    """
    found = own_drives.drives(folder)
    if as_json:
        print_json({"drives": [_facts(held) for held in found]})
        return
    if not found:
        click.echo("no drive is held here: 'hyperfs peer invite' lets one in")
        return
    table([["drive", "takes", "quota", "logs", "devices"], *map(_row, found)], right={1, 2, 3})


def _facts(held: Held) -> dict[str, object]:
    part_of = held.part_of.hex() if held.part_of is not None else None
    return held._asdict() | {"drive": held.drive.hex(), "devices": list(held.devices), "part_of": part_of}


def _row(held: Held) -> list[str]:
    quota = "-" if held.quota_bytes is None else size_text(held.quota_bytes)
    if held.part_of is not None:
        quota = f"part of {held.part_of.hex()[:16]}"
    devices = ", ".join(map(shown, held.devices)) if held.trouble is None else f"can't be read: {shown(held.trouble)}"
    return [held.drive.hex(), size_text(held.used_bytes), quota, str(held.logs), devices or "-"]


@click.command("drop")
@click.argument("drive", metavar="DRIVE-ID")
@_folder
@click.option("--yes", is_flag=True, help="Don't ask.")
@options.as_json
def drop(drive: str, folder: Path, yes: bool, as_json: bool) -> None:
    """Hold a drive no more: its blocks in DIR are freed at once, and its devices are told.

    Example:  hyperfs peer drop 4f1c09aa --store /srv/peer

    DRIVE-ID is as 'hyperfs peer drives' tells it; its first 8 digits will do. Bytes that had left the drive's devices
    because they are here are lost, if no other place has them: nothing is kept for 30 days.
    """
    held = own_drives.named(folder, drive)
    who = ", ".join(map(shown, held.devices)) or "nobody"
    what = f"drive {held.drive.hex()[:16]} ({size_text(held.used_bytes)}; devices: {who})"
    if not yes:
        if not sys.stdin.isatty():
            raise Refused(f"{what} would be dropped, and what is only here is lost then: --yes says that it may be")
        click.confirm(f"Drop {what}? What is only here is lost then.", abort=True)
    nbytes = own_drives.drop(folder, held.drive)
    if as_json:
        print_json({"drive": held.drive.hex(), "bytes": nbytes})
        return
    click.echo(f"dropped {what}: {size_text(nbytes)} are free; its devices are told when they come")
