"""hyperfs peer serve, hyperfs peer invite"""

import os
import sys
import time
from pathlib import Path
from typing import Final

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, shown, size_of
from hyperfs.errors import InvalidArgument
from hyperfs.peer.facts import Event
from hyperfs.replication.address import parse_endpoint

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}
_folder = click.option(
    "--store", "folder", metavar="DIR", required=True, type=click.Path(path_type=Path), help="The peer's folder."
)
_public = click.option(
    "--public", metavar="HOST:PORT", help="Where devices reach the peer, if that is not where it listens."
)


@click.command("serve")
@_folder
@click.option("--listen", metavar="HOST:PORT", required=True, help="Where to take in devices; [::]:4780 is everywhere.")
@_public
@click.option("--only-listed", is_flag=True, help="Serve a drive's logs to its own devices alone.")
@click.option("--quota", metavar="SIZE", help="What a drive may take, if its invite says nothing else.")
@click.option("--metrics", metavar="HOST:PORT", help="Answer /health and /metrics there, over HTTP.")
@click.option("--lan", is_flag=True, help="Announce it on the local network, to its devices (docs/lan.md).")
@click.option("--json", "as_json", is_flag=True, help="Print what happens as JSON, an object a line.")
def serve(
    folder: Path,
    listen: str,
    public: str | None,
    only_listed: bool,
    quota: str | None,
    metrics: str | None,
    lan: bool,
    as_json: bool,
) -> None:
    """Hold drives in the folder DIR, made on first use, for all who were invited. Runs until it is ended.

    Example:  hyperfs peer serve --store /srv/peer --listen 0.0.0.0:4780 --public cloud.example.org:4780

    Devices know the peer by its key, which lies in DIR: keep a copy of DIR/own/identity. SIGTERM ends it in order;
    killed, it has all that it has acknowledged.
    """
    import trio

    from hyperfs.peer_server.running import Options
    from hyperfs.peer_server.running import serve as run
    from hyperfs.service.notify import Notifier

    chosen = Options(
        folder,
        parse_endpoint(listen, least_port=0),
        parse_endpoint(public) if public else None,
        parse_endpoint(metrics, least_port=0) if metrics else None,
        size_of(quota) if quota else None,
        only_listed,
        lan,
    )
    trio.run(run, chosen, _print_json if as_json else _print_words, Notifier.taken(os.environ))


@click.command("invite")
@_folder
@_public
@click.option("--quota", metavar="SIZE", help="What the drive may take, or 'none'. Without: what 'serve' says.")
@click.option("--expires", metavar="TIME", default="1d", show_default=True, help="How long it is good: 30m, 12h, 7d.")
@options.as_json
def invite(folder: Path, public: str | None, quota: str | None, expires: str, as_json: bool) -> None:
    """Print a code with which one drive may be held by the peer in DIR, whether that is served now or not.

    Example:  hyperfs peer invite --store /srv/peer

    On the device: 'hyperfs peer add CODE ~/Hyper'. The code is good once, for one drive, and ends with the first
    wrong try; until then whoever has it may use it.
    """
    from hyperfs.peer_server import own_folder

    found = own_folder.invite(
        folder,
        parse_endpoint(public) if public else None,
        time.time_ns(),
        _seconds(expires) * 10**9,
        None if quota in (None, "none") else size_of(quota or ""),
        quota is None,
    )
    code, until = found.code(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + _seconds(expires)))
    if as_json:
        endpoint = found.address.endpoint
        about = {"host": endpoint.host, "port": endpoint.port, "public_key": found.address.key.hex()}
        print_json({"code": code, "address": str(found.address), **about, "expires": until})
        return
    _draw(code)
    click.echo(f"\n{code}\n\nOn the device:  hyperfs peer add CODE ~/Hyper")
    click.echo(f"The peer's address:  {found.address}\nGood once, until {until}.")


def _seconds(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdecimal() or not 0 < int(number) * _UNITS[unit] <= 365 * 86_400:
        raise InvalidArgument(f"{text!r} is no time for a code to be good: write, for example, 30m, 12h or 7d")
    return int(number) * _UNITS[unit]


def _draw(code: str) -> None:
    """The QR code, where somebody is there to see it: letters, digits and dashes make a small one."""
    if sys.stdout.isatty():
        import segno

        segno.make(code, error="l", micro=False).terminal(compact=True)


def _print_json(event: Event) -> None:
    click.echo(event.line(time.time_ns()))


def _print_words(event: Event) -> None:
    about = "  ".join(f"{name}={shown(str(value))}" for name, value in event.about.items())
    drive = f"drive={event.drive}" if event.drive else ""
    parts = time.strftime("%Y-%m-%d %H:%M:%S"), f"{event.level:7}", event.what, drive, about
    click.echo("  ".join(part for part in parts if part))
