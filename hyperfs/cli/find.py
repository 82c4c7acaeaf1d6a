"""hyperfs find"""

import os
import re
from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, shown, size_text, table, time_text
from hyperfs.cli.session import Asks, locate, session
from hyperfs.daemon.paging import items

_WILD = re.compile(r"[*?\[]")


@click.command("find")
@click.argument("what", metavar="[PATH|PATTERN]", default=".")
@click.option("--deleted", is_flag=True, required=True, help="What was deleted and can still be had.")
@options.store
@options.passphrase_file
@options.as_json
def command(what: str, deleted: bool, store: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Find what was deleted at or below PATH, newest first, and can still be had.

    Example:  hyperfs find --deleted '*.odt'

    A PATTERN (with *, ? or [) is looked for by name in the current folder and below, also within deleted folders; one
    with a folder before it in that one. A word that is no path is looked for by name too. 'hyperfs restore PATH --at
    VERSION' puts back what is found.
    """
    base, pattern = _split(what)
    place = locate(Path(base or "."), store)
    with session(place, passphrase_file) as drive, progress() as tell:
        found = _ask(drive, place.inside, pattern, tell)
        if not found and pattern is None and "/" not in what and what not in (".", ".."):
            # No path. [ can't be in it, else it were a pattern.
            found = _ask(drive, place.inside.rpartition("/")[0], what, tell)
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("Nothing that was deleted there can be had.", err=True)
        return
    table([["DELETED", "SIZE", "VERSION", "PATH"], *(_row(thing, place.mount) for thing in found)], right={1, 2})


def _split(what: str) -> tuple[str, str | None]:
    """The folder to look in, and the pattern to look for."""
    parts = what.split("/")
    wild = next((place for place, part in enumerate(parts) if _WILD.search(part)), None)
    if wild is None or os.path.lexists(what):
        return what, None
    folder = "/".join(parts[:wild])
    return folder or ("/" if wild else ""), "/".join(parts[wild:])


def _ask(drive: Asks, inside: str, pattern: str | None, tell: Any) -> list[dict[str, Any]]:
    params = {"path": inside} if pattern is None else {"path": inside, "pattern": pattern}
    return list(items(lambda name, asked: drive.request(name, asked, tell), "find_deleted", params, "deleted"))


def _row(thing: dict[str, Any], mount: Path | None) -> list[str]:
    """The path as it is to be given to another command from here."""
    folder = thing["kind"] == "folder"
    here = thing["path"] if mount is None else os.path.join(mount, thing["path"])
    if mount is not None and Path.cwd().is_relative_to(mount):
        here = os.path.relpath(here)
    name = shown(here) + ("/" if folder else "")
    trashed = " (in the trash)" if thing["how"] == "trashed" else ""
    size = "" if folder else size_text(thing["size"])
    return [time_text(thing["deleted"]), size, str(thing["version"]), name + trashed]
