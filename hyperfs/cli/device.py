"""hyperfs device"""

from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown, table
from hyperfs.cli.session import locate, session


@click.group("device")
def command() -> None:
    """List the devices of a drive.

    Example:  hyperfs device list ~/Hyper
    """


@command.command("list")
@options.drive_argument
@options.passphrase_file
@options.as_json
def list_(where: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """List the devices that the drive at DIR has, or ever had, and which of them writes.

    Example:  hyperfs device list ~/Hyper
    """
    with session(locate(where), passphrase_file) as drive:
        facts = drive.request("list_devices")
    if as_json:
        print_json(facts)
        return
    rows = [["", "name", "state", "logs"]]
    for found in facts["devices"]:
        state = "lost" if found["revoked"] else "writes" if found["writes"] else "reads"
        name = shown(found["name"]) + (" (this one)" if found["this"] else "")
        rows.append([str(found["number"]), name, state, " ".join(str(log) for log in found["logs"])])
    table(rows, right={0})
