"""hyperfs verify"""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import Progress, print_json, progress, shown, size_text, time_text
from hyperfs.cli.session import Place, locate, session
from hyperfs.daemon.exit_codes import CORRUPT
from hyperfs.errors import Corrupt

Done = list[dict[str, str]]


@click.command("verify")
@options.drive_argument
@click.option("--restart", is_flag=True, help="Begin anew, and not where the last one was interrupted.")
@click.option("--repair", is_flag=True, help="Put right what can be put right. The drive must not be mounted.")
@click.option(
    "--from",
    "sources",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="With --repair: a file or folder that may hold bytes that are lost here. May be given several times.",
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="ADDRESS",
    help="With --repair: a cloud peer to ask, if the drive can't say any more which it has.",
)
@options.passphrase_file
@options.as_json
def command(
    where: Path,
    restart: bool,
    repair: bool,
    sources: tuple[Path, ...],
    peers: tuple[str, ...],
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Read everything that the store holds and check every seal, hash, signature and reference.

    Example:  hyperfs verify ~/Hyper

    Changes nothing, but with --repair. One that was interrupted is gone on with. Exit code 3 when something is
    damaged, and still is after a repair: each damage is told with the paths and versions that it touches.
    """
    if (sources or peers) and not repair:
        raise click.UsageError("--from and --peer are for --repair")
    place = locate(where)
    done: Done = []
    try:
        with progress() as tell:
            if repair:
                report = _repaired(place, passphrase_file, restart, sources, peers, tell, done)
            else:
                with session(place, passphrase_file, read_only=True) as drive:
                    report = drive.request("verify", {"restart": restart}, tell)
    except Corrupt as error:
        # So damaged that it can't even be opened: a finding as any other.
        nothing = dict.fromkeys(("blocks", "nodes", "files", "bytes"), 0)
        found = {"what": str(error), "where": error.where, "paths": [], "versions": []}
        report = {"checked": nothing, "damage": [found], "sessions": []}
    if repair:
        report["repaired"] = done
    if as_json:
        print_json(report)
    else:
        _show(report)
    return CORRUPT if report["damage"] else 0


def _repaired(
    place: Place,
    passphrase_file: Path | None,
    restart: bool,
    sources: tuple[Path, ...],
    peers: tuple[str, ...],
    tell: Progress,
    done: Done,
) -> dict[str, Any]:
    """What repairs is only loaded where it is wanted. `done` is filled even when it fails half-way."""
    from hyperfs.cli import repairing
    from hyperfs.volume.repair_report import Repaired

    put_right: list[Repaired] = []
    try:
        return repairing.repair_store(place, passphrase_file, restart, sources, peers, tell, put_right)
    finally:
        done += repairing.facts_of(put_right)


def _show(report: dict[str, Any]) -> None:
    checked = report["checked"]
    for repaired in report.get("repaired", ()):
        click.echo(f"repaired {repaired['where']}: {repaired['what']}")
    click.echo(
        f"Checked {checked['blocks']} blocks ({size_text(checked['bytes'])}), {checked['nodes']} nodes, "
        f"{checked['files']} files"
    )
    if checked.get("elsewhere"):
        click.echo(f"{checked['elsewhere']} blocks are not on this device: those were not looked at")
    _show_sessions(report["sessions"])
    if not report["damage"]:
        click.echo("No damage.")
    for damage in report["damage"]:
        click.echo(f"DAMAGE {damage['where']}: {damage['what']}")
        if damage["versions"]:
            first, last = damage["versions"][0], damage["versions"][-1]
            click.echo(f"    in {len(damage['versions'])} versions, {first} to {last}")
        for path in damage["paths"]:
            click.echo(f"    touches {shown(path) or 'the whole drive'}")


def _show_sessions(sessions: list[dict[str, Any]]) -> None:
    """When what was looked at, where it was not all at once."""
    if len(sessions) < 2:
        return
    click.echo("It was interrupted and gone on with, so this was read at different times:")
    for part in sessions:
        click.echo(
            f"    {time_text(part['began'])} to {time_text(part['ended'])}: {part['blocks']} blocks "
            f"({size_text(part['bytes'])}), {part['nodes']} nodes"
        )
