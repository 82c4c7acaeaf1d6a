"""hyperfs recover"""

import os
import socket
from pathlib import Path

import click

from hyperfs.cli import options, passphrases
from hyperfs.cli.key import asked_key
from hyperfs.cli.output import print_json
from hyperfs.crypto import recovery
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.crypto.wrap import KIND_DEVICE
from hyperfs.daemon import key_files
from hyperfs.daemon.hardening import keep_memory_private


@click.command("recover")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--recovery-key", metavar="KEY", help="The key. Else it is asked for, or read from standard input.")
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase that wraps the new key file.")
@options.passphrase_file
@options.as_json
def command(store: Path, recovery_key: str | None, ask: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Open a store whose key file is gone (or its passphrase forgotten), with the drive's recovery key.

    Example:  hyperfs recover ~/drives/photos --recovery-key AB1CD-EFGH2-...

    The store becomes a new device of the drive, with keys of its own; nothing of the data changes.
    """
    from hyperfs.volume.recovering import recover

    keep_memory_private()
    store = store.absolute().resolve()
    root = recovery.from_text(recovery_key if recovery_key is not None else asked_key())
    keys = DeviceKeys(*(os.urandom(32) for _ in range(4)))
    wrapped = key_files.wrapped(KIND_DEVICE, keys.to_bytes(), passphrases.new(passphrase_file, ask))
    number = recover(store, root, keys, socket.gethostname(), wrapped)
    if as_json:
        print_json({"store": str(store), "device": number})
        return
    click.echo(f"Recovered {store}: it is device {number} of the drive now.")
    click.echo(f"Mount it with:  hyperfs mount {store} DIR")
