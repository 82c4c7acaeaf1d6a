"""hyperfs watch"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from hyperfs.cli import options
from hyperfs.cli.session import Asks, Place, locate, session
from hyperfs.daemon import client
from hyperfs.errors import Unreachable

AGAIN_SECONDS: Final = 0.3
"""Between attempts to reach a drive that is being started again, or is not mounted."""


@click.command("watch")
@options.drive_argument
@click.option("--from", "since", metavar="V", help="What came after version V first; or the 'resume' of a line.")
@click.option("--once", is_flag=True, help="End when all that there is has been told.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines: as always.")
@options.passphrase_file
def command(where: Path, since: str | None, once: bool, as_json: bool, passphrase_file: Path | None) -> None:
    """Print every change at and below DIR as a line of JSON, as it becomes a version. Goes on until it is stopped.

    Example:  hyperfs watch ~/Hyper/inbox --from 1234

    Goes on when the drive is unmounted and mounted again, or its process was killed: nothing is missed or told twice.
    Who is stopped himself begins with the 'resume' of the last line that he has dealt with.
    """
    place = locate(where)
    follower = _Follower(place.inside, since)
    try:
        if place.mount is None or once:
            with session(place, passphrase_file) as drive:
                follower.begin(drive)
                while not follower.page(drive, wait=False):
                    continue
            return
        follower.follow(place)
    except KeyboardInterrupt:
        return  # that is how it ends


class _Follower:
    """Knows behind which place it is, which is all that must be known to go on."""

    def __init__(self, path: str, cursor: str | None) -> None:
        self._path = path
        self._cursor = cursor
        self._said = ""

    def follow(self, place: Place) -> None:
        while True:
            try:
                with _connected(place) as drive:
                    self._said = ""
                    self.begin(drive)
                    while True:
                        self.page(drive, wait=True)
            except Unreachable as error:
                self._say(str(error))
                time.sleep(AGAIN_SECONDS)

    def begin(self, drive: Asks) -> None:
        """Learns where to begin, unless that was said."""
        if self._cursor is None:
            self._cursor = drive.request("changes", {"path": self._path})["cursor"]

    def page(self, drive: Asks, wait: bool) -> bool:
        """Prints what comes next; whether that was all for now."""
        found = drive.request("changes", {"path": self._path, "cursor": self._cursor, "wait": wait})
        for change in found["changes"]:
            sys.stdout.write(json.dumps(change) + "\n")
        sys.stdout.flush()
        self._cursor = found["cursor"]
        return bool(found["caught_up"])

    def _say(self, why: str) -> None:
        if why != self._said:
            self._said = why
            click.echo(f"hyperfs: waiting for the drive: {why}", err=True)


@contextmanager
def _connected(place: Place) -> Iterator[Asks]:
    """To the process of the mounted drive: a store that nobody has open is left alone, for whoever will mount it."""
    with client.connect(place.store) as connection:
        yield connection.check_version().begin()
