"""hyperfs policy"""

import os
import sys
from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import print_json, progress, shown
from hyperfs.cli.session import Asks, Place, locate, session
from hyperfs.errors import InvalidArgument
from hyperfs.policy import attributes
from hyperfs.policy.settings import SETTINGS

path_argument = click.argument("path", metavar="PATH", default=".", type=click.Path(path_type=Path))


@click.group("policy")
def command() -> None:
    """Show and set what holds for a file, or for a folder and all below it, until one nearer says otherwise.

    Example:  hyperfs policy set ~/Hyper/Photos keep=all protect=nodelete

    \b
    class    hot, auto, cold, archive: where the bytes are; those of an archive stay what they are
    protect  none, trash, nodelete, lock: what may be deleted
    copies   1 to 9 other places that must hold it
    places   names with commas, or local-only: where it may go
    keep     30d, 1y (all of that time), all, '10 versions': which versions stay. Without one: all for an hour, then
             one per hour for a day, per day for 30 days, per week

    local_budget=20G is this device's: what is here at most; more than that leaves, what was used least lately first.
    history-share=30% and history-leave=10G are the drive's: how much of the disk old versions and deleted things
    may take, and how much they always leave free.
    """


@command.command("show")
@path_argument
@options.store
@options.passphrase_file
@options.as_json
def show(path: Path, store: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Tell what holds for PATH, and where it comes from.

    Example:  hyperfs policy show ~/Hyper/Photos
    """
    place = locate(path, store)
    with session(place, passphrase_file) as drive:
        _tell(drive.request("policy", {"path": place.inside}), as_json)


@command.command("set")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.argument("settings", metavar="NAME=VALUE...", nargs=-1, required=True)
@click.option("--wait", is_flag=True, help="Return when what is to be here is (class=hot).")
@options.store
@options.passphrase_file
@options.as_json
def set_(
    path: Path, settings: tuple[str, ...], wait: bool, store: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """Set policies on PATH: class, protect, copies, places, keep.

    Example:  hyperfs policy set ~/Hyper/Downloads keep=30d class=cold

    The same as:  setfattr -n user.hyperfs.keep -v 30d ~/Hyper/Downloads
    """
    changes: dict[str, str | None] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"{setting!r}: write a name and a value, as in keep=30d")
        changes[name] = value
    _change(locate(path, store), changes, passphrase_file, as_json, wait)


@command.command("allow")
@click.argument("program", metavar="PROGRAM")
@click.argument("where", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--revoke", is_flag=True, help="Take it back.")
@options.passphrase_file
@options.as_json
def allow(program: str, where: Path, revoke: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Let PROGRAM, a name or the path of its executable, bring back as much as it reads.

    Example:  hyperfs policy allow /usr/bin/rsync ~/Hyper

    What a program reads that is not on this device is streamed slowly, and not kept, once it was more than 200 files or
    200 MiB in ten minutes: else each thumbnailer, indexer or `grep -r` would bring everything home.
    """
    with session(locate(where), passphrase_file) as drive:
        facts = drive.request("allow_program", {"program": program, "allow": not revoke})
    if as_json:
        print_json(facts)
    else:
        click.echo("Allowed: " + (", ".join(map(shown, facts["allowed"])) or "none"))


@command.command("unset")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@options.store
@options.passphrase_file
@options.as_json
def unset(path: Path, names: tuple[str, ...], store: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Take policies away from PATH: then the nearest ones above hold.

    Example:  hyperfs policy unset ~/Hyper/Downloads keep
    """
    _change(locate(path, store), dict.fromkeys(names), passphrase_file, as_json)


def _change(
    place: Place, changes: dict[str, str | None], passphrase_file: Path | None, as_json: bool, wait: bool = False
) -> None:
    """All are looked at before one is made. What becomes hot comes back while somebody looks on, or waits; interrupted,
    it goes on in the background."""
    for name, value in changes.items():
        _check(name, value)
    with session(place, passphrase_file) as drive:
        for name, value in changes.items():
            if place.mount is None or name in SETTINGS:
                drive.request("set_policy", {"path": place.inside, "name": name, "value": value})
            else:
                _through_the_mount(place.mount / place.inside, attributes.PREFIX + os.fsencode(name), value)
        if place.mount is not None:
            _make_durable(place.mount / place.inside, drive)
        if place.mount is not None and changes.get("class") == "hot" and (wait or sys.stderr.isatty()):
            _watch(drive)
        _tell(drive.request("policy", {"path": place.inside}), as_json)


def _make_durable(path: Path, drive: Asks) -> None:
    """Who was told that it is done may lose power then."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # who may write it may not read it
        drive.request("commit")
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _watch(drive: Asks) -> None:
    try:
        with progress() as tell:
            drive.request("all_here", {}, tell)
    except KeyboardInterrupt:
        click.echo("It goes on coming back in the background: 'hyperfs status' tells how far it is", err=True)
        raise


def _check(name: str, value: str | None) -> None:
    attribute = attributes.PREFIX + os.fsencode(name)
    if name in SETTINGS:
        if value is not None:
            SETTINGS[name](value)
        return
    if attribute not in attributes.VALUES:
        known = ", ".join([*(os.fsdecode(a.removeprefix(attributes.PREFIX)) for a in attributes.VALUES), *SETTINGS])
        raise click.UsageError(f"there is no policy {name!r}; there is: {known}")
    if value is not None:
        attributes.check(attribute, os.fsencode(value))


def _through_the_mount(path: Path, attribute: bytes, value: str | None) -> None:
    """As any program would: the kernel says who may, and knows at once."""
    if value is not None:
        os.setxattr(path, attribute, os.fsencode(value), follow_symlinks=False)
    elif attribute in map(os.fsencode, os.listxattr(path, follow_symlinks=False)):
        os.removexattr(path, attribute, follow_symlinks=False)
    else:
        raise InvalidArgument(f"{path} has no {os.fsdecode(attribute)} of its own: nothing to take away")


def _tell(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    for name, found in facts["policies"].items():
        click.echo(f"{name:<7} {found['value'] or 'default'}: {found['words']} ({_source(found)})")


def _source(found: dict[str, Any]) -> str:
    if found["from"] is None:
        return "nothing else was set"
    if found["own"]:
        return "set here"
    return f"from {shown(found['from'])}" if found["from"] else "from the drive's root"
