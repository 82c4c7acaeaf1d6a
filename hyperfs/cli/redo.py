"""hyperfs redo"""

from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.session import locate
from hyperfs.cli.taking_back import take_back


@click.command("redo")
@options.step_path
@options.dry_run
@options.force
@options.store
@options.passphrase_file
@options.as_json
def command(
    path: Path, dry_run: bool, force: bool, store: Path | None, passphrase_file: Path | None, as_json: bool
) -> int:
    """Do again what the last undo took back at or below PATH (default: the current folder).

    Example:  hyperfs redo ~/Hyper/project

    Any other change there after the undo ends this: what it took back can then still be had with 'hyperfs restore'.
    """
    return take_back("redo", locate(path, store), path, force, dry_run, passphrase_file, as_json)
