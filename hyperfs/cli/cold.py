"""hyperfs cold"""

import os
import stat
from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, shown, size_text, table, time_text
from hyperfs.cli.session import locate, session
from hyperfs.errors import InvalidArgument, Refused

drive_of = click.argument("where", metavar="[DIR]", default=".", type=click.Path(path_type=Path))


@click.group("cold")
def command() -> None:
    """Add, list and remove cold stores: places where blocks are kept that leave this device.

    Example:  hyperfs cold add file:///mnt/nas/hyperfs ~/Hyper --name nas

    What goes there is sealed: a store sees sizes and times, and neither names nor contents. What leaves this device,
    and when, is for policies: 'hyperfs policy set ~/Hyper/Videos class=cold places=nas'.
    """


@command.command("add")
@click.argument("url", metavar="URL")
@drive_of
@click.option("--name", help="What policies call it. Without: the last part of the URL's path.")
@click.option(
    "--access-key-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Take the S3 credentials from this file, as in ~/.aws/credentials, and keep them sealed in the store.",
)
@options.passphrase_file
@options.as_json
def add(
    url: str, where: Path, name: str | None, access_key_file: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """Add a folder or a bucket as a cold store of the drive at DIR.

    Example:  hyperfs cold add 's3://backup/laptop?endpoint=https://s3.example.org' ~/Hyper --name office

    URL is file:///ABSOLUTE/FOLDER (of another disk or machine), or s3://BUCKET/PREFIX with any of
    ?endpoint=https://HOST:PORT, &region=NAME, &class=STANDARD_IA (one storage class for all, of those that answer at
    once; STANDARD for none. Else what is 'cold' goes to STANDARD_IA, 'archive' to GLACIER_IR). The bucket must exist.
    Credentials are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or of the profile in ~/.aws/credentials, where
    'hyperfs mount' was called, or of --access-key-file: never in the URL.

    The store is tried before it is added. Adding one that is there, by the same name, gives it other credentials or
    another class.
    """
    params = {"url": url, "name": name, "access_key": _access_key(access_key_file)}
    with session(locate(where), passphrase_file) as drive:
        facts = drive.request("add_cold", params)
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{shown(facts['name'])} is a cold store now: {shown(facts['url'])}")
    if facts["warning"]:
        click.echo(f"warning: {facts['warning']}", err=True)


@command.command("list")
@drive_of
@click.option("--check", is_flag=True, help="First ask each store what it has, and prove what is not proven.")
@options.passphrase_file
@options.as_json
def list_(where: Path, check: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """List the cold stores of the drive at DIR, what lies there, and how they fare.

    Example:  hyperfs cold list ~/Hyper
    """
    with session(locate(where), passphrase_file) as drive, progress() as tell:
        facts = drive.request("list_cold", {"check": check}, tell)
    if as_json:
        print_json(facts)
    else:
        _show(facts["places"])


@command.command("remove")
@click.argument("place", metavar="NAME|URL")
@drive_of
@click.option("--force", is_flag=True, help="Remove it though blocks are only there.")
@options.passphrase_file
@options.as_json
def remove(place: str, where: Path, force: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Have the drive at DIR forget a cold store. What lies there stays there.

    Example:  hyperfs cold remove nas ~/Hyper

    Refused where blocks are only there and nowhere else.
    """
    with session(locate(where), passphrase_file) as drive:
        done = drive.request("remove_cold", {"place": place, "force": force})
    if as_json:
        print_json(done)
        return
    click.echo(f"{shown(done['name'])} is no cold store any more; what lies at {shown(done['url'])} is still there")
    if done["only_there_bytes"]:
        click.echo(f"warning: {size_text(done['only_there_bytes'])} are only there and can't be read now", err=True)


def _access_key(path: Path | None) -> list[str] | None:
    """The key goes over the control socket, which nobody else may open: never onto a command line."""
    if path is None:
        return None
    from hyperfs.cold.access import TEXT_MOST, parse_access_key

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            raise Refused(f"others can read {path}: 'chmod 600 {path}' first, and think of the key as known")
        text = file.read(TEXT_MOST).decode(errors="replace")
    key = parse_access_key(text, os.environ.get("AWS_PROFILE") or "default")
    if key is None:
        raise InvalidArgument(f"{path} has no profile 'default': AWS_PROFILE says which one to take")
    return [key.key_id, key.secret, key.token]


def _show(places: list[dict[str, Any]]) -> None:
    if not places:
        click.echo("There is no cold store: 'hyperfs cold add URL' adds one.")
        return
    rows = [["name", "objects", "size", "proven", "oldest proof", "where"]]
    for facts in places:
        oldest = time_text(facts["oldest_proof"]) if facts["oldest_proof"] else "-"
        sizes = [size_text(facts["bytes"]), size_text(facts["proven_bytes"])]
        rows.append([shown(facts["name"]), str(facts["objects"]), *sizes, oldest, shown(facts["url"])])
    table(rows, right={1, 2, 3})
    for facts in places:
        if facts["trouble"]:
            click.echo(f"warning: {facts['trouble']}", err=True)
