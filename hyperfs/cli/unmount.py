"""hyperfs unmount"""

import errno
import os
import select
import time
from pathlib import Path
from typing import Final

import click

from hyperfs.cli import following, options
from hyperfs.cli.output import print_json, shown
from hyperfs.daemon import busy, client, mounts
from hyperfs.errors import BadRequest, HyperfsError, Refused, Unreachable

TRY_AGAIN_SECONDS: Final = 0.5
OWN_SECONDS: Final = 10.0
"""How long helpers of the drive's own process, which write back and read ahead, may keep it busy."""


@click.command("unmount")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--wait", is_flag=True, help="Wait until no program uses the drive any more.")
@click.option("--lazy", is_flag=True, help="Take it away now; it ends when the last program has let go.")
@options.as_json
def command(directory: Path, wait: bool, lazy: bool, as_json: bool) -> None:
    """Commit what was written, sync it to disk, and unmount the drive at DIR.

    Example:  hyperfs unmount ~/Hyper

    A drive that is in use stays mounted, and the programs and files are named (exit code 5).
    """
    if wait and lazy:
        raise click.UsageError("--wait and --lazy are two different things")
    point = directory.resolve()
    mount = mounts.at(point)
    if mount is None or not mount.is_hyperfs:
        raise BadRequest(f"no hyperfs drive is mounted at {directory}")
    if mounts.is_dead(point):
        mounts.detach_dead(point)
        raise HyperfsError(
            f"the process of {point} had died; its dead mount is detached. What was not synced before may be lost: "
            f"'hyperfs mount {mount.store} {point}' shows what there is"
        )
    version = _end(point, mount.store, wait, lazy)
    if as_json:
        print_json({"unmounted": str(point), "store": str(mount.store), "version": version, "lazy": lazy})
    elif lazy:
        click.echo(f"{point} is taken away; its process ends when the last program has let go")
    else:
        click.echo(f"Unmounted {point}" + (f", all of it in version {version}" if version else ""))
        if (mount.store / following.RECORD).is_file():
            click.echo(f"What came of this drive stays in {shown(str(mount.store))}, until you delete that folder.")


def _end(point: Path, store: Path, wait: bool, lazy: bool) -> int | None:
    """The newest version, None where the drive's process would not tell."""
    try:
        connection = client.connect(store)
    except Unreachable:
        _take_away(point, wait, lazy, None)
        return None
    with connection:
        try:
            connection.check_version().begin()
            if not lazy:
                connection.request("commit")  # what can't be committed must be known while it is still mounted
            # Asked before it ends, for afterwards there may be nobody to ask.
            connection.ask("end")
            same_version = True
        except Unreachable:
            # Another hyperfs: it commits by itself when the kernel says goodbye, and can't tell us how that went.
            same_version = False
        _take_away(point, wait, lazy, connection.pid)
        if lazy:
            return None
        if same_version:
            version = int(connection.answer()["version"])
            _wait_for_process(connection.pid)
            return version
        _wait_for_process(connection.pid)
        return None


def _take_away(point: Path, wait: bool, lazy: bool, drive_pid: int | None) -> None:
    last_try = time.monotonic() + OWN_SECONDS
    while True:
        try:
            mounts.unmount(point, lazy)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        if wait:
            time.sleep(TRY_AGAIN_SECONDS)
            continue
        users = busy.users_of(point, drive_pid=drive_pid)
        if users or time.monotonic() > last_try:
            raise Refused(_in_use(point, users))
        time.sleep(TRY_AGAIN_SECONDS / 10)


def _in_use(point: Path, users: list[busy.User]) -> str:
    if not users:
        others = "" if os.geteuid() == 0 else " of another user"
        return f"{point} is in use by a program{others} that can't be seen from here: close it, or use --wait or --lazy"
    lines = [f"    {shown(user.program)} ({user.pid}): {shown(user.path)}" for user in users]
    return "\n".join([f"{point} is in use, so it stays mounted. Close these, or use --wait or --lazy:", *lines])


def _wait_for_process(pid: int) -> None:
    """Until it has ended: then nothing of it holds the store."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([fd], [], [])
    finally:
        os.close(fd)
