"""hyperfs peer add, list, remove, limit"""

import sys
from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, shown, size_text, table, time_text
from hyperfs.cli.root_key import asked_key
from hyperfs.cli.session import Asks, Place, locate, session
from hyperfs.crypto import recovery

drive_of = click.argument("where", metavar="[DIR]", default=".", type=click.Path(path_type=Path))


@click.command("add")
@click.argument("code", metavar="CODE|ADDRESS")
@drive_of
@click.option("--name", help="What policies call it. Without: the first part of the host's name.")
@click.option("--i-have-the-key", "has_key", is_flag=True, help="The recovery key is written down: don't ask for it.")
@options.passphrase_file
@options.as_json
def add(
    code: str, where: Path, name: str | None, has_key: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Pair the drive at DIR with the peer that gave CODE, and keep it there from now on.

    Example:  hyperfs peer add 04AB3-... ~/Hyper --name cloud

    Without the recovery key nobody can open what the peer holds, once this computer is gone. So it must have been
    confirmed: it is asked for, or --i-have-the-key says that it is safe. ADDRESS (hyperfs://KEY@HOST:PORT) is for a
    peer that holds the drive already: it has moved, or this drive is a clone.
    """
    place = locate(where)
    with session(place, passphrase_file) as drive, progress() as tell:
        if not has_key:
            _confirm(place, drive)
        facts = drive.request("add_peer", {"code": code, "name": name, "has_key": has_key}, tell)
    if as_json:
        print_json(facts)
        return
    quota = f", which takes up to {size_text(facts['quota_bytes'])} of it" if facts["quota_bytes"] is not None else ""
    click.echo(f"The drive is kept on {shown(facts['name'])} from now on{quota}.")


def _confirm(place: Place, drive: Asks) -> None:
    """Asks for the recovery key where it was never given back and somebody can be asked."""
    if not sys.stdin.isatty() or drive.request("status")["recovery_key_confirmed"]:
        return
    from hyperfs.log.control import Chain
    from hyperfs.store import folder
    from hyperfs.store.files import Disk
    from hyperfs.volume.enrolling import check_root

    click.echo("With this computer gone, only the recovery key opens what is on a peer ('hyperfs key show').", err=True)
    info = folder.inspect(place.store, need_keys=False)
    chain = Chain.parse(Disk(place.store).read_all(folder.CONTROL), info.drive_id)
    check_root(chain, recovery.from_text(asked_key()))
    drive.request("confirm")


@click.command("list")
@drive_of
@options.passphrase_file
@options.as_json
def list_(where: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """List the peers of the drive at DIR: how far each has got, and what is wrong.

    Example:  hyperfs peer list ~/Hyper
    """
    with session(locate(where), passphrase_file) as drive:
        facts = drive.request("list_peers")
    if as_json:
        print_json(facts)
        return
    if not facts["peers"]:
        click.echo("There is no peer: 'hyperfs peer add CODE' adds one.")
        return
    rows = [["name", "connected", "behind", "last receipt", "last audit", "there", "address"]]
    for peer in facts["peers"]:
        rows.append(_row(peer))
    table(rows, right={5})
    for peer in facts["peers"]:
        if peer["trouble"]:
            click.echo(f"warning: {peer['trouble']}", err=True)


def _row(peer: dict[str, Any]) -> list[str]:
    return [
        shown(peer["name"]),
        "yes" if peer["connected"] else "no",
        behind(peer),
        time_text(peer["last_receipt"]) if peer["last_receipt"] else "never",
        time_text(peer["last_audit"]) if peer["last_audit"] else "never",
        size_text(peer["used_bytes"]) if peer["used_bytes"] is not None else "-",
        shown(peer["address"]),
    ]


def behind(peer: dict[str, Any]) -> str:
    """How far a peer is behind, in words."""
    if not peer["lag_blocks"]:
        return "nothing"
    waits = ", waits for a network that is not metered" if peer["metered"] else ""
    away = f", of which {size_text(peer['elsewhere_bytes'])} come from other places" if peer["elsewhere_bytes"] else ""
    return f"{size_text(peer['lag_bytes'])} ({peer['lag_seconds']:.0f} s){away}{waits}"


@click.command("remove")
@click.argument("name")
@drive_of
@click.option("--force", is_flag=True, help="Remove it though blocks are only there.")
@options.passphrase_file
@options.as_json
def remove(name: str, where: Path, force: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Have the drive at DIR forget a peer. What lies there stays there.

    Example:  hyperfs peer remove cloud ~/Hyper
    """
    with session(locate(where), passphrase_file) as drive:
        done = drive.request("remove_peer", {"name": name, "force": force})
    if as_json:
        print_json(done)
        return
    click.echo(f"{shown(done['name'])} is no peer any more; what lies at {shown(done['address'])} is still there")
    if done["only_there_bytes"]:
        click.echo(f"warning: {size_text(done['only_there_bytes'])} are only there and can't be read now", err=True)


@click.command("limit")
@drive_of
@click.option("--up", metavar="RATE", help="What goes at most, in bytes a second: 500K, 2M, none.")
@click.option("--down", metavar="RATE", help="What comes at most.")
@click.option(
    "--metered",
    type=click.Choice(["auto", "yes", "no"]),
    help="Whether the network is paid by the byte: then contents wait. auto: as NetworkManager says.",
)
@click.option(
    "--lan", type=click.Choice(["yes", "no"]), help="Whether to listen for peers that announce themselves nearby."
)
@options.passphrase_file
@options.as_json
def limit(
    where: Path,
    up: str | None,
    down: str | None,
    metered: str | None,
    lan: str | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Tell or set how fast bytes go to the peers of the drive at DIR, all together, and where they are looked for.

    Example:  hyperfs peer limit ~/Hyper --up 500K
    """
    with session(locate(where), passphrase_file) as drive:
        facts = drive.request("limit_peers", {"up": up, "down": down, "metered": metered, "lan": lan})
    if as_json:
        print_json(facts)
        return
    for name in ("up", "down"):
        click.echo(f"{name:<9}{size_text(facts[name]) + ' a second' if facts[name] else 'no limit'}")
    now = "contents wait now" if facts["is_metered"] else "contents go now"
    click.echo(f"{'metered':<9}{facts['metered']} ({now})")
    click.echo(f"{'lan':<9}{facts['lan']}")
