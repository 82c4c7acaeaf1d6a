"""`hyperfs verify --repair`: in the command's own process, of a store that is not mounted."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import click

from hyperfs.cli import passphrases
from hyperfs.cli.output import Progress
from hyperfs.cli.session import Place
from hyperfs.daemon import client, key_files, reaching, verifying
from hyperfs.daemon.hardening import keep_memory_private
from hyperfs.errors import Refused, Unreachable
from hyperfs.replication import address
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.volume.options import Options
from hyperfs.volume.repair import Work, first_aid, repair
from hyperfs.volume.repair_report import Repaired


def repair_store(
    place: Place,
    passphrase_file: Path | None,
    restart: bool,
    sources: tuple[Path, ...],
    peers: tuple[str, ...],
    progress: Progress,
    done: list[Repaired],
) -> dict[str, Any]:
    """The report of the verify that ends it. `done` is filled as it goes. Raises Refused, and what opening raises."""
    reach = partial(reaching.reach, addresses=[address.parse(peer) for peer in peers])
    _check_not_mounted(place)
    store = place.store
    if not os.access(store, os.W_OK):
        raise Refused(f"{store} can't be written, so nothing in it can be repaired")
    first_aid(store, Disk(store), done)
    keep_memory_private()
    keys = key_files.load_device(store, passphrases.asker(passphrase_file))
    with verifying.check_state(verifying.drive_of(store), store, restart) as state:
        work = Work(store, keys, Options(progress=progress), state, list(sources), done, reach)
        outcome = repair(work)
    for trouble in work.troubles:
        click.echo(f"other places could not be asked for what is damaged: {trouble}", err=True)
    return verifying.conclude(verifying.drive_of(store), store, outcome.version, outcome.report)


def _check_not_mounted(place: Place) -> None:
    try:
        client.connect(place.store).close()
    except Unreachable:
        if folder.locked_by(place.store) is None:
            return
    where = f"at {place.mount}" if place.mount is not None else "by another process"
    raise Refused(f"{place.store} is open {where}: unmount the drive, then repair it")


def facts_of(done: list[Repaired]) -> list[dict[str, str]]:
    """For JSON."""
    return [{"what": repaired.what, "where": repaired.where} for repaired in done]
