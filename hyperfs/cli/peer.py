"""hyperfs peer"""

import importlib
from typing import Final

import click

_MODULES: Final = {
    # name -> (module, what it does), in the order of the help
    "add": ("peering", "Pair the drive with a peer."),
    "list": ("peering", "List the peers of a drive and how they fare."),
    "remove": ("peering", "Have the drive forget a peer."),
    "limit": ("peering", "Tell or set how fast bytes go."),
    "serve": ("peer_serving", "Be a peer: hold others' drives, sealed."),
    "invite": ("peer_serving", "Print a code that lets one drive in."),
    "drives": ("peer_holding", "List the drives that a peer holds."),
    "drop": ("peer_holding", "Have a peer hold a drive no more."),
}


class LazyPeer(click.Group):
    """Imports a subcommand only when it is called: a drive's needs nothing of a server, and the reverse."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f"hyperfs.cli.{_MODULES[cmd_name][0]}")
        command: click.Command = getattr(module, "list_" if cmd_name == "list" else cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in _MODULES.items()])


@click.group("peer", cls=LazyPeer)
def command() -> None:
    """Pair a drive with peers, which hold it sealed; or be a peer for others.

    Example:  hyperfs peer add CODE ~/Hyper

    CODE comes from 'hyperfs peer invite' at the peer. From then on the drive keeps itself there, as long as it is
    mounted: 'hyperfs peer list' tells how far, 'hyperfs sync --wait' waits for it.
    """
