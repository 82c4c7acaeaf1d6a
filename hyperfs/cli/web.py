"""hyperfs web"""

import json
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hyperfs.cli import options
from hyperfs.cli.session import Asks, Place, locate, session

if TYPE_CHECKING:
    from hyperfs.web.door import Asks as Answers
    from hyperfs.web.door import Opens


@click.command("web")
@options.drive_argument
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of this computer; else one that is free.")
@options.passphrase_file
@options.as_json
def command(where: Path, port: int, passphrase_file: Path | None, as_json: bool) -> None:
    """Show a drive through time as a page in the browser: look around, compare, put back.

    Example:  hyperfs web ~/Hyper

    Prints an address of this computer that is good for one visit, and serves until it is ended with Ctrl-C. Nobody else
    can open the page; whoever can sees the whole drive.
    """
    from tzlocal import get_localzone

    from hyperfs.web.serving import serve

    def ready(address: str) -> None:
        if as_json:
            click.echo(json.dumps({"url": address}))
        else:
            click.echo(f"Open this in a browser on this computer (good for one visit):\n\n    {address}\n")
            click.echo("Ctrl-C ends it.", err=True)

    place = locate(where)
    with _ended_in_order(), _way_to(place, passphrase_file) as opens:
        serve(opens, place.inside if place.mount is not None else "", port, get_localzone(), ready)


@contextmanager
def _way_to(place: Place, passphrase_file: Path | None) -> Iterator["Opens"]:
    """A mounted drive is asked anew each time, so it may be mounted again meanwhile; a store stays open."""
    with session(place, passphrase_file) as drive:
        if place.mount is None:
            yield lambda: _same(drive)
            return

    def opens() -> AbstractContextManager["Answers"]:
        return session(place, passphrase_file)

    yield opens


@contextmanager
def _same(drive: Asks) -> Iterator["Answers"]:
    yield drive


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Ctrl-C and SIGTERM are how it ends."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
