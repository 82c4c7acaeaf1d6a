"""hyperfs brake"""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown, time_text
from hyperfs.cli.session import locate, session
from hyperfs.daemon.times import iso_time


@click.command("brake")
@click.argument("deed", metavar="[show|release]", default="show", type=click.Choice(["show", "release"]))
@options.drive_argument
@options.passphrase_file
@options.as_json
def command(deed: str, where: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Tell whether the brake is on and why, or release it.

    Example:  hyperfs brake release ~/Hyper

    Where within ten minutes more than 500 files, and a fifth of a folder, are deleted or overwritten with what looks
    encrypted, the drive stops letting old versions go, by itself or by 'hyperfs prune', until somebody who has looked
    says 'hyperfs brake release'. Nothing else is held up.
    """
    with session(locate(where), passphrase_file) as drive:
        facts = drive.request("brake" if deed == "show" else "release_brake")
    if as_json:
        print_json(_told(facts))
    elif deed == "release":
        click.echo("The brake is off: old versions go again when they are due." if facts["was_on"] else "It was off.")
    else:
        _show(facts)


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in facts.items() if name not in ("when_ns", "words")}
    return told | ({"when": iso_time(facts["when_ns"])} if "when_ns" in facts else {})


def _show(facts: dict[str, Any]) -> None:
    if facts["on"]:
        click.echo(facts["words"])
        return
    click.echo("The brake is off.")
    if "when_ns" in facts:
        where = repr(shown(facts["folder"])) if facts["folder"] else "the drive"
        click.echo(
            f"It was released at {time_text(iso_time(facts['when_ns']))}. What had put it on: {facts['lost']} of "
            f"{facts['of']} files in {where}, which version {facts['restore']} has"
        )
