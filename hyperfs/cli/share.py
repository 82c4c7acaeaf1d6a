"""hyperfs share"""

from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, shown, size_text, table, time_text
from hyperfs.cli.session import Place, locate, session


@click.command("share")
@click.argument("path", metavar="[PATH]", default=".", type=click.Path(path_type=Path))
@click.option("--at", "at", metavar="WHEN", help="Only the version of that time, and proof that it is that one.")
@click.option("--list", "listed", is_flag=True, help="Tell which folders of the drive are shared.")
@click.option("--stop", "stopped", is_flag=True, help="Share the folder PATH no longer.")
@options.passphrase_file
@options.as_json
def command(
    path: Path, at: str | None, listed: bool, stopped: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Print a link by which others read the drive or the folder at PATH.

    Example:  hyperfs share ~/Hyper/Photos

    'hyperfs mount LINK DIR' mounts it there, read-only and live. Who has the link of a drive can read all of it with
    all its versions, now and later, until a device is taken out of the drive: pass it on like a key. The link of a
    folder opens that folder, as it is from now on, and nothing else; its size is taken once more, here and at the
    peer. With --at, the mount shows that version alone and refuses any other in its place; the link opens no less.
    """
    if sum((listed, stopped, at is not None)) > 1:
        raise click.UsageError("give one of --at, --list and --stop")
    place = locate(path)
    if listed:
        _list(_asked(place, passphrase_file, "list_shared", {}), as_json)
    elif stopped:
        _stop(_asked(place, passphrase_file, "stop_sharing", {"path": place.inside}), as_json)
    else:
        _share(_asked(place, passphrase_file, "share", {"path": place.inside, "at": at}), as_json)


def _asked(place: Place, passphrase_file: Path | None, name: str, params: dict[str, Any]) -> dict[str, Any]:
    with session(place, passphrase_file, read_only=True) as drive, progress() as tell:
        return drive.request(name, params, tell)


def _share(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    click.echo(made["link"])
    if made["bytes"] is not None:
        click.echo(
            f"It opens this folder, as it is from now on, and nothing else. Its {size_text(made['bytes'])} are kept "
            "once more, here and at each peer, until 'hyperfs share --stop'.",
            err=True,
        )
    if made["behind"]:
        names = ", ".join(shown(name) for name in made["behind"])
        what = "the drive" if made["bytes"] is None else "it"
        click.echo(f"Not all of {what} is at {names} yet: 'hyperfs sync --wait' brings it there.", err=True)


def _list(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found["folders"])
        return
    if not found["folders"]:
        click.echo("No folder of this drive is shared.")
        return
    rows = [["folder", "since", "size", "state"]]
    for folder in found["folders"]:
        size = size_text(folder["bytes"]) if folder["bytes"] is not None else ""
        rows.append([shown(folder["path"]), time_text(folder["since"]), size, _state(folder)])
    table(rows, right={2})


def _state(folder: dict[str, Any]) -> str:
    if folder["trouble"] is not None:
        return shown(folder["trouble"])
    behind = [f"{shown(name)} lacks {size_text(size)}" for name, size in folder["behind_bytes"].items() if size]
    return ", ".join(behind) or "all of it is there"


def _stop(ended: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(ended)
        return
    click.echo(f"{shown(ended['path'])} is shared no longer. Who has read of it keeps what he has read.")
    if ended["not_told"]:
        names = ", ".join(shown(name) for name in ended["not_told"])
        click.echo(f"What lies at {names} stays there until it can be reached; it is tried again.", err=True)
