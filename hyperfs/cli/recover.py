"""hyperfs recover"""

import os
import socket
from pathlib import Path

import click

from hyperfs.cli import options, passphrases
from hyperfs.cli.output import print_json
from hyperfs.cli.root_key import root_of, root_options
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.crypto.wrap import KIND_DEVICE
from hyperfs.daemon import key_files
from hyperfs.daemon.hardening import keep_memory_private


@click.command("recover")
@click.argument("store", type=click.Path(path_type=Path))
@root_options
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase that wraps the new key file.")
@options.passphrase_file
@options.as_json
def command(
    store: Path,
    recovery_key: str | None,
    recovery_key_file: Path | None,
    shares: tuple[Path, ...],
    share_passphrase_file: Path | None,
    ask: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Open a store whose key file is gone (or its passphrase forgotten), with the drive's recovery key.

    Example:  hyperfs recover ~/drives/photos --recovery-key AB1CD-EFGH2-...

    The store becomes a new device of the drive, with keys of its own; nothing of the data changes.
    """
    from hyperfs.volume.recovering import recover

    keep_memory_private()
    store = store.absolute().resolve()
    root = root_of(recovery_key, recovery_key_file, shares, share_passphrase_file)
    keys = DeviceKeys(*(os.urandom(32) for _ in range(4)))
    wrapped = key_files.wrapped(KIND_DEVICE, keys.to_bytes(), passphrases.new(passphrase_file, ask))
    number = recover(store, root, keys, socket.gethostname(), wrapped)
    if as_json:
        print_json({"store": str(store), "device": number})
        return
    click.echo(f"Recovered {store}: it is device {number} of the drive now.")
    click.echo(f"Mount it with:  hyperfs mount {store} DIR")
