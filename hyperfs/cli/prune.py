"""hyperfs prune"""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, shown, size_of, size_text
from hyperfs.cli.root_key import root_of, root_options
from hyperfs.cli.session import Asks, locate, session
from hyperfs.crypto.keys import RootSeed
from hyperfs.errors import Refused


@click.command("prune")
@options.drive_argument
@click.option("--keep-last", metavar="N", type=click.IntRange(min=1), help="Keep only the newest N.")
@click.option("--free", metavar="SIZE", help="Let go of as little as gives SIZE back, as in 20G.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--former-devices",
    "former",
    is_flag=True,
    help="Give back what devices wrote that write no more. Takes the recovery key, and a store that is not mounted.",
)
@root_options
@options.passphrase_file
@options.as_json
def command(
    where: Path,
    keep_last: int | None,
    free: str | None,
    dry_run: bool,
    former: bool,
    recovery_key: str | None,
    recovery_key_file: Path | None,
    shares: tuple[Path, ...],
    share_passphrase_file: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Let old versions go now, by the rules, and return their space to the disk.

    Example:  hyperfs prune ~/Hyper --dry-run

    A mounted drive does this by itself in the background; 'hyperfs policy show' tells the rules. With --keep-last all
    but the newest N versions go; with --free as many as are needed, and deleted things if need be. Named snapshots
    stay. What goes can't be had back. It works on a full disk.
    """
    if free is not None and keep_last is not None:
        raise click.UsageError("--free and --keep-last are two ways to say how much goes: give one of them")
    if former and free is not None:
        raise click.UsageError("--former-devices goes with the rules or with --keep-last, not with --free")
    if not former and (recovery_key is not None or recovery_key_file is not None or shares):
        raise click.UsageError("the recovery key is only needed with --former-devices")
    root = root_of(recovery_key, recovery_key_file, shares, share_passphrase_file) if former else None
    params = {"keep_last": keep_last, "dry_run": dry_run, "free": None if free is None else size_of(free)}
    with session(locate(where), passphrase_file) as drive, progress() as tell:
        if root is not None:
            _give_root(drive, root)
        if free is not None and not dry_run and not as_json:
            _show_cost(drive.request("prune", params | {"dry_run": True}, tell))
        done = drive.request("prune", params, tell)
    if as_json:
        print_json(done)
    else:
        _tell(done, free is not None, dry_run)


def _tell(done: dict[str, Any], is_for_room: bool, dry_run: bool) -> None:
    if is_for_room and dry_run:
        _show_cost(done)
    _show(done, dry_run)
    if is_for_room and done["bytes"] < done["wanted"]:
        click.echo(f"That is less than was asked for. What never goes: {done['holds']}")


def _give_root(drive: Asks, root: RootSeed) -> None:
    from hyperfs.cli.local import Local

    if not isinstance(drive, Local):
        raise Refused(
            "the drive is mounted, and the recovery key is given to no process that goes on: 'hyperfs unmount' it, "
            "then name its store here"
        )
    drive.take_root(root)


def _show_cost(facts: dict[str, Any]) -> None:
    """Before it is done: it can't be undone."""
    click.echo(f"This costs {facts['went']}", err=True)


def _show(done: dict[str, Any], dry_run: bool) -> None:
    if not done["versions"] and not done["bytes"] and not done["elsewhere_bytes"]:
        click.echo("There is nothing to let go." if dry_run else "There was nothing to let go.")
    else:
        gone, back = ("would go", "would come back") if dry_run else ("let go", "given back")
        click.echo(f"{done['versions']} versions {gone}, {done['kept']} kept: {size_text(done['bytes'])} {back}")
    for place, size in done["elsewhere_bytes"].items():
        verb = "would not be" if dry_run else "are not"
        click.echo(f"{size_text(size)} {verb} needed any more at {shown(place)}: its objects go as they empty")
    if done["in_use"]:
        versions = ", ".join(map(str, done["in_use"]))
        click.echo(f"Kept for now, since files in them are open: versions {versions}")
