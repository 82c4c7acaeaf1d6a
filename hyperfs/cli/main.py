"""The command `hyperfs`: finds the subcommand, and turns what went wrong into a message and an exit code."""

import importlib
import os
import select
import signal
import sys
from typing import Any, Final

import click

from hyperfs import __version__

COMMANDS: Final = {
    # name -> what it does, in the order of the help. The module of the same name is imported when it is called.
    "mount": "Mount a drive, made on first use.",
    "unmount": "Commit, sync and unmount a drive.",
    "init": "Make a new drive.",
    "clone": "Get a drive from a cloud peer onto this machine.",
    "status": "Tell how a drive is.",
    "versions": "List the versions of a file or folder.",
    "find": "Find what was deleted.",
    "log": "List what was committed.",
    "diff": "Tell what changed between two versions.",
    "cat": "Print a file as it was.",
    "restore": "Put a file or folder back as it was.",
    "undo": "Take back the last burst of changes.",
    "redo": "Do again what an undo took back.",
    "watch": "Print changes as they happen.",
    "snapshot": "Keep the present version under a name.",
    "policy": "Show and set which versions stay.",
    "follow": "Keep importing a plain folder.",
    "service": "Have systemd mount, follow or serve.",
    "web": "Look at a drive through time in the browser.",
    "cold": "Add, list and remove cold stores.",
    "peer": "Pair with peers, and be one.",
    "sync": "Bring everything to the peers.",
    "share": "Print a link by which others read a drive.",
    "brake": "Tell what stopped that old versions go, and release it.",
    "prune": "Let old versions go and return their space.",
    "verify": "Check everything that a store holds.",
    "key": "Show, confirm and wrap keys.",
    "device": "List the devices of a drive.",
    "recover": "Open a store whose key file is gone.",
    "doctor": "Check this machine.",
    "completion": "Print the completion of a shell.",
}


class LazyGroup(click.Group):
    """Imports a subcommand only when it is called: the help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"hyperfs.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hyperfs")
def cli() -> None:
    """A filesystem that never forgets: every change is a version, and only you can read it.

    Example:  hyperfs mount ~/Hyper

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 corrupt data, 4 not reachable, 5 refused.
    """


def main() -> None:
    """The entry point. No traceback ever reaches the user unless HYPERFS_DEBUG is set."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _end_as_whom_nobody_reads()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """One command; returns its exit code."""
    try:
        result: Any = cli.main(arguments, prog_name="hyperfs", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("hyperfs: stopped", err=True)
        return 1
    except Exception as error:  # noqa: BLE001  # the last place before the user: every error gets its message here
        return _report(error)
    return result if isinstance(result, int) else 0


def _report(error: BaseException) -> int:
    from hyperfs.daemon.exit_codes import exit_code_of, words_of
    from hyperfs.errors import innermost

    if os.environ.get("HYPERFS_DEBUG"):
        raise error
    error = innermost(error)
    if isinstance(error, BrokenPipeError) and _nobody_reads():
        _end_as_whom_nobody_reads()
    click.echo(f"hyperfs: {words_of(error)}", err=True)
    return exit_code_of(error)


def _nobody_reads() -> bool:
    """Whether what the standard output leads to is closed at its other end."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _end_as_whom_nobody_reads() -> None:
    """`hyperfs log | head` ends as quietly as any other program. Python's own way, an error at the write, holds until
    then: a peer that hangs up must not end a command by the signal."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.raise_signal(signal.SIGPIPE)
