"""hyperfs doctor"""

from pathlib import Path

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json
from hyperfs.daemon import doctor
from hyperfs.store import folder

_SIGNS = {True: "ok  ", False: "BAD ", None: "note"}


@click.command("doctor")
@click.argument("store", required=False, type=click.Path(path_type=Path))
@options.as_json
def command(store: Path | None, as_json: bool) -> int:
    """Check this machine (FUSE, permissions, libraries, clock, space, indexers) and say how to mend each fault.

    Example:  hyperfs doctor

    STORE: whose disk and permissions to look at. Default: the store in this user's data folder. Exit code 1 when
    something is BAD; a note is worth reading and stops nothing.
    """
    findings = doctor.examine((store or folder.default_store()).absolute())
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{_SIGNS[finding.good]}  {finding.what}: {finding.found}")
            if finding.mend:
                click.echo(f"      -> {finding.mend}")
    return 1 if any(finding.good is False for finding in findings) else 0
