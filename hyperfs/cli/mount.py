"""hyperfs mount"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from hyperfs.cli import mounting, options
from hyperfs.cli.output import print_json, progress, shown, size_of
from hyperfs.daemon.hardening import start_again_with_allocator
from hyperfs.service.notify import Notifier

PROGRESS_SECONDS: Final = 300.0
"""An opening that gets on with something (an index that is rebuilt) has so much longer until its next word."""


@click.command("mount")
@click.argument("words", metavar="[STORE | LINK] DIR", nargs=-1, required=True, type=click.Path())
@click.option("--foreground", is_flag=True, help="Serve in this process until it is unmounted; log to the terminal.")
@click.option("--read-only", is_flag=True, help="Nothing can be written, and nothing in the store changes.")
@click.option("--allow-other", is_flag=True, help="Other users may come in too, as the files' modes allow.")
@click.option("--show-versions", is_flag=True, help="List .versions in every folder.")
@click.option("--at", "at", metavar="WHEN", help="Mount an old version, read-only: a number, a time, a snapshot.")
@click.option("--name", help="What a drive that is made now is called.")
@options.links_bytes
@options.passphrase_file
@options.card
@options.as_json
def command(
    words: tuple[str, ...],
    foreground: bool,
    read_only: bool,
    allow_other: bool,
    show_versions: bool,
    at: str | None,
    name: str | None,
    links_bytes: str | None,
    passphrase_file: Path | None,
    card: Path | None,
    as_json: bool,
) -> None:
    """Mount the drive in STORE at the folder DIR. A drive that is not there yet is made.

    Example:  hyperfs mount ~/Hyper

    Without STORE: the store in this user's data folder. Returns once the mount answers, unless --foreground.
    A mount whose process has died is detached and mounted again. A LINK that 'hyperfs share' printed mounts another's
    drive, read-only and live, also in a folder of your own drive; given as '-' it is read from standard input, where no
    other user sees it.
    """
    if len(words) > 2:
        raise click.UsageError("one STORE or LINK at most and one DIR are wanted")
    of, directory = words[0] if len(words) == 2 else None, Path(words[-1])
    link = mounting.link_of(of)
    if foreground:
        start_again_with_allocator()
    manager = Notifier.taken(os.environ)  # in the background too: what is started there is no service
    store = Path(of) if of is not None and link is None else None
    room = None if links_bytes is None else size_of(links_bytes)
    wanted = mounting.Wanted(
        store, directory, read_only, allow_other, show_versions, at, foreground, as_json, link, room
    )
    plan = mounting.prepare(wanted, name, passphrase_file, card)
    if plan.spec is None:
        _tell(plan.directory, plan.store, as_json, f"{plan.directory} is mounted already.")
        return
    if foreground:
        _serve(plan, as_json, manager)
        return
    with progress() as tell:
        why = mounting.start(plan.spec, tell)
    _tell(plan.directory, plan.store, as_json, f"Mounted at {plan.directory}", why)


def _tell(directory: Path, store: Path, as_json: bool, text: str, why_read_only: str | None = None) -> None:
    if as_json:
        print_json({"mounted_at": str(directory), "store": str(store), "read_only_because": why_read_only})
        return
    click.echo(text)
    if why_read_only is not None:
        click.echo(f"It can only be read: {shown(why_read_only)}.")


def _serve(plan: mounting.Plan, as_json: bool, manager: Notifier) -> None:
    import logging

    from hyperfs.daemon.wire import Message
    from hyperfs.daemon.worker import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)

    with ExitStack() as until_ready:
        tell = until_ready.enter_context(progress())

        def say(message: Message) -> None:
            if "progress" in message:
                tell(*message["progress"])
                manager.extend(PROGRESS_SECONDS)
                manager.status(f"Opening: {message['progress'][0]}")
            if "ready" in message:
                until_ready.close()
                manager.ready(f"Mounted at {plan.directory}")
                mounted = f"Mounted at {plan.directory}"
                _tell(plan.directory, plan.store, as_json, mounted, message["read_only_because"])
                sys.stdout.flush()

        assert plan.spec is not None
        serve(plan.spec, say, manager)
