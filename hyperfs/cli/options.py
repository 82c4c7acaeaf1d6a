"""Options and arguments that several commands have."""

from pathlib import Path
from typing import Final

import click

as_json: Final = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")

passphrase_file: Final = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="Read the passphrase from this file. Else HYPERFS_PASSPHRASE, else it is asked for, where one is needed.",
)

links_bytes: Final = click.option(
    "--link-cache",
    "links_bytes",
    metavar="SIZE",
    envvar="HYPERFS_LINK_CACHE",
    help="Of a link: how much all that came by links may take of the disk, say 50G. Usually 10G.",
)

store: Final = click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="A store that is not mounted; paths are then relative to the drive's root.",
)

card: Final = click.option(
    "--card",
    type=click.Path(path_type=Path),
    help="Write the recovery key to this new file, as a page to print (.svg) or as text.",
)

drive_argument: Final = click.argument(
    "where", metavar="[DIR|STORE]", default=".", type=click.Path(path_type=Path)
)

at: Final = click.option(
    "--at", "when", metavar="WHEN", required=True, help="A version's number, a time, 'yesterday', a snapshot's name."
)

step_path: Final = click.argument("path", metavar="[PATH]", default=".", type=click.Path(path_type=Path))

dry_run: Final = click.option("--dry-run", is_flag=True, help="Only tell what would change.")

force: Final = click.option("--force", is_flag=True, help="Do it though something has changed since; that goes too.")
