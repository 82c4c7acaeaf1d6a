"""hyperfs cat"""

import base64
import sys
from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.session import locate, session


@click.command("cat")
@click.argument("path", type=click.Path(path_type=Path))
@options.at
@options.store
@options.passphrase_file
def command(path: Path, when: str, store: Path | None, passphrase_file: Path | None) -> None:
    """Print the bytes of the file PATH as they were in a version.

    Example:  hyperfs cat ~/Hyper/letter.txt --at yesterday > old-letter.txt
    """
    place = locate(path, store)
    out = sys.stdout.buffer
    with session(place, passphrase_file) as drive:
        found = drive.request("find_file", {"path": place.inside, "when": when})
        offset = 0
        while offset < found["size"]:
            question = {"version": found["version"], "ino": found["ino"], "offset": offset}
            piece = base64.b64decode(drive.request("read_file", question)["data"])
            out.write(piece)
            offset += len(piece)
    out.flush()
