"""hyperfs follow"""

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hyperfs.cli import options
from hyperfs.cli.output import progress, shown, size_text
from hyperfs.daemon.exit_codes import DONE, FAILED
from hyperfs.errors import Refused
from hyperfs.follow.places import Follow, prepare
from hyperfs.service.notify import Notifier


@click.command("follow")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("into", metavar="INTO", type=click.Path(path_type=Path))
@click.option(
    "--ignore-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=True),
    help="Patterns of what is left out, in gitignore's syntax, as in a .hyperfsignore.",
)
@click.option(
    "--rescan",
    metavar="MINUTES",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Compare everything so often, for what events don't tell.",
)
@click.option("--once", is_flag=True, help="Make INTO equal, then end.")
@click.option("--force", is_flag=True, help="Take FOLDER and INTO as they are now: emptied, another one, not empty.")
@options.as_json
def command(
    folder: Path, into: Path, ignore_file: Path | None, rescan: float, once: bool, force: bool, as_json: bool
) -> int:
    """Keep INTO, in a mounted drive, equal to the plain folder FOLDER: a backup of every state.

    Example:  hyperfs follow ~/Documents ~/Hyper/documents

    Files are taken when they have been at rest for half a second; each batch makes a version. What is deleted in
    FOLDER goes from INTO too, and stays in its history; a FOLDER that is empty or not there deletes nothing. Runs
    until it is ended.
    """
    manager = Notifier.taken(os.environ)
    follow = prepare(folder, into, force)
    teller = Teller(follow, once, as_json, manager)
    with _alone(follow), _ended_in_order():
        return _run(follow, teller, ignore_file, rescan * 60, once, force)


def _run(
    follow: Follow, teller: "Teller", ignore_file: Path | None, rescan_seconds: float, once: bool, force: bool
) -> int:
    from hyperfs.follow.changes import Changes
    from hyperfs.follow.follower import Follower, Options
    from hyperfs.follow.records import Records

    os.umask(0)  # copies are made with the modes of their sources, in one call
    wanted = Options(ignore_file.read_bytes if ignore_file else bytes, rescan_seconds, force, teller.manager.alive)
    with (
        Records(follow.state, follow.mark.key) as records,
        Changes(follow.folder, teller.unwatched, watch=not once) as changes,
        progress() as bar,
    ):
        follower = Follower(follow, records, changes, wanted, teller.tell, bar)
        teller.tell("following", {"folder": str(follow.folder), "into": str(follow.into)})
        try:
            if once:
                follower.once()
            else:
                follower.forever()
        except KeyboardInterrupt:
            teller.manager.stopping("Ending")
            if once:
                raise
        notes = len(follower.report.notes)
        teller.tell("ended", {"notes": notes})
    return FAILED if once and notes else DONE


@contextmanager
def _alone(follow: Follow) -> Iterator[None]:
    """One process at a time. Raises Refused."""
    follow.state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(follow.state.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Refused(f"{follow.into} is being followed into by another process already") from None
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM is as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Teller:
    """Says what happens: in words, or as JSON, one object a line."""

    def __init__(self, follow: Follow, once: bool, as_json: bool, manager: Notifier) -> None:
        self._follow = follow
        self._once = once
        self._as_json = as_json
        self.manager = manager

    def tell(self, event: str, facts: dict[str, Any]) -> None:
        if "path" in facts:
            facts = facts | {"path": os.fsdecode(facts["path"]) or "."}
        self._tell_manager(event, facts)
        if self._as_json:
            click.echo(json.dumps({"event": event, **facts}))
        else:
            getattr(self, f"_{event}")(facts)

    def _tell_manager(self, event: str, facts: dict[str, Any]) -> None:
        match event:
            case "following":
                self.manager.ready(f"Following {facts['folder']} into {facts['into']}")
            case "batch":
                self.manager.status(f"Version {facts['version']} is the last one")
            case "waiting":
                self.manager.status(f"Waiting: {facts['why']}")

    def unwatched(self, why: str) -> None:
        self.tell("unwatched", {"why": why})

    def _following(self, facts: dict[str, Any]) -> None:
        if not self._once:
            click.echo(f"Following {shown(facts['folder'])} into {shown(facts['into'])}")

    def _batch(self, facts: dict[str, Any]) -> None:
        words = {"taken": "taken", "moved": "moved", "linked": "linked", "changed": "changed", "removed": "removed"}
        parts = [f"{facts[name]:,} {word}" for name, word in words.items() if facts[name]]
        size = f" ({size_text(facts['bytes'])})" if facts["bytes"] else ""
        click.echo(f"version {facts['version']}: {', '.join(parts) or 'equal'}{size}")

    def _waiting(self, facts: dict[str, Any]) -> None:
        click.echo(f"hyperfs: waiting: {facts['why']}", err=True)

    def _note(self, facts: dict[str, Any]) -> None:
        click.echo(f"hyperfs: {shown(facts['path'])}: {facts['why']}", err=True)

    def _unwatched(self, facts: dict[str, Any]) -> None:
        click.echo(
            f"hyperfs: {shown(str(self._follow.folder))} can't be watched: {facts['why']}. Everything is compared "
            "every five minutes at least",
            err=True,
        )

    def _ended(self, facts: dict[str, Any]) -> None:
        if facts["notes"]:
            click.echo(f"hyperfs: {facts['notes']:,} names could not be copied, see above", err=True)
