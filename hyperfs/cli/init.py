"""hyperfs init"""

from pathlib import Path

import click

from hyperfs.cli import creating, options, passphrases
from hyperfs.cli.output import print_json


@click.command("init")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--name", help="What the drive is called. Default: as the store's folder.")
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase that wraps the keys.")
@options.passphrase_file
@options.card
@options.as_json
def command(
    store: Path, name: str | None, ask: bool, passphrase_file: Path | None, card: Path | None, as_json: bool
) -> None:
    """Make a new drive whose data lies in the folder STORE.

    Example:  hyperfs init ~/drives/photos --name Photos

    STORE must be new or empty. The recovery key is shown once: it opens the drive when this computer is gone.
    """
    store = store.absolute()
    created = creating.create(store.resolve(), name, passphrases.new(passphrase_file, ask))
    creating.show_recovery_key(created, card, aside=as_json)
    if as_json:
        print_json({"drive": created.drive_id.hex(), "name": created.name, "store": str(created.store)})
    else:
        click.echo(f"Mount it with:  hyperfs mount {store} DIR")
