"""hyperfs verify"""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, shown, size_text
from hyperfs.cli.session import locate, session
from hyperfs.daemon.exit_codes import CORRUPT
from hyperfs.errors import Corrupt


@click.command("verify")
@options.drive_argument
@options.passphrase_file
@options.as_json
def command(where: Path, passphrase_file: Path | None, as_json: bool) -> int:
    """Read everything that the store holds and check every seal, hash, signature and reference.

    Example:  hyperfs verify ~/Hyper

    Changes nothing. Exit code 3 when something is damaged: each damage is told with the paths and versions that
    it touches.
    """
    try:
        with session(locate(where), passphrase_file, read_only=True) as drive, progress() as tell:
            report = drive.request("verify", {}, tell)
    except Corrupt as error:
        # So damaged that it can't even be opened: a finding as any other.
        nothing = dict.fromkeys(("blocks", "nodes", "files", "bytes"), 0)
        found = {"what": str(error), "where": error.where, "paths": [], "versions": []}
        report = {"checked": nothing, "damage": [found]}
    if as_json:
        print_json(report)
    else:
        _show(report)
    return CORRUPT if report["damage"] else 0


def _show(report: dict[str, Any]) -> None:
    checked = report["checked"]
    click.echo(
        f"Checked {checked['blocks']} blocks ({size_text(checked['bytes'])}), {checked['nodes']} nodes, "
        f"{checked['files']} files"
    )
    if not report["damage"]:
        click.echo("No damage.")
    for damage in report["damage"]:
        click.echo(f"DAMAGE {damage['where']}: {damage['what']}")
        if damage["versions"]:
            first, last = damage["versions"][0], damage["versions"][-1]
            click.echo(f"    in {len(damage['versions'])} versions, {first} to {last}")
        for path in damage["paths"]:
            click.echo(f"    touches {shown(path) or 'the whole drive'}")
