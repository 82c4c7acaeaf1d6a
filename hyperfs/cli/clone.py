"""hyperfs clone"""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hyperfs.cli import options, passphrases
from hyperfs.cli.output import print_json, progress, shown
from hyperfs.cli.root_key import root_of, root_options
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.crypto.wrap import KIND_DEVICE
from hyperfs.daemon import key_files
from hyperfs.daemon.hardening import keep_memory_private
from hyperfs.errors import BadRequest

if TYPE_CHECKING:
    from hyperfs.cloning.clone import Made


@click.command("clone")
@click.argument("address", metavar="ADDRESS")
@click.argument("store", metavar="STORE", type=click.Path(path_type=Path))
@root_options
@click.option(
    "--former-device-lost",
    "former_lost",
    is_flag=True,
    help="Whoever wrote to the drive writes no more, for good; this device does.",
)
@click.option("--name", help="What this device is called. Without: the name of this machine.")
@click.option("--drive", "drive_id", metavar="ID", help="Which drive, where the peer holds several of this key.")
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase that wraps the new key file.")
@options.passphrase_file
@options.as_json
def command(
    address: str,
    store: Path,
    recovery_key: str | None,
    recovery_key_file: Path | None,
    shares: tuple[Path, ...],
    share_passphrase_file: Path | None,
    former_lost: bool,
    name: str | None,
    drive_id: str | None,
    ask: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Get a drive from the cloud peer at ADDRESS into the new folder STORE, with the recovery key alone.

    Example:  hyperfs clone hyperfs://KEY@peer.example:4780 ~/drives/photos --former-device-lost

    This machine becomes a new device of the drive. Names and versions come at once, contents when they are read.
    Until devices can be merged only one writes: with --former-device-lost it is this one, and what the former device
    writes from now on nobody takes; else this one reads, and shows what that one writes while it is mounted. A clone
    that was interrupted goes on when it is called again.
    """
    import trio

    from hyperfs.cloning.clone import Wanted, clone
    from hyperfs.replication.address import parse

    keep_memory_private()
    store = store.absolute().resolve()
    root = root_of(recovery_key, recovery_key_file, shares, share_passphrase_file)
    wanted = Wanted(parse(address), store, root, name or socket.gethostname(), former_lost, _drive_of(drive_id))

    def new_keys() -> tuple[DeviceKeys, bytes]:
        keys = DeviceKeys(*(os.urandom(32) for _ in range(4)))
        return keys, key_files.wrapped(KIND_DEVICE, keys.to_bytes(), passphrases.new(passphrase_file, ask))

    def known_keys() -> DeviceKeys:
        return key_files.read_device(store, passphrases.asker(passphrase_file))

    with progress() as tell:
        made = trio.run(clone, wanted, new_keys, known_keys, tell)
    if as_json:
        print_json(
            {
                "store": str(store),
                "drive": made.drive_id.hex(),
                "device": made.device,
                "read_only": made.why_read_only is not None,
                "read_only_because": made.why_read_only,
                "given_up": list(made.given_up),
            }
        )
        return
    _tell(made, store)


def _tell(made: "Made", store: Path) -> None:
    click.echo(f"Cloned into {store}: this is device {made.device} of the drive now.")
    for other in made.given_up:
        click.echo(f"{shown(other)} writes to it no more.")
    if made.why_read_only is not None:
        click.echo(f"It can only be read here: {shown(made.why_read_only)}.")
    click.echo(f"Mount it with:  hyperfs mount {store} DIR")


def _drive_of(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise BadRequest(f"{text[:80]!r} is no drive's id: they have 64 hex digits")
    return found
