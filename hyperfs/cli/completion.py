"""hyperfs completion"""

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what a shell must run to complete hyperfs's commands and options.

    Example:  hyperfs completion bash >> ~/.bashrc

    For zsh append it to ~/.zshrc, for fish write it to ~/.config/fish/completions/hyperfs.fish.
    """
    from click.shell_completion import get_completion_class

    from hyperfs.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "hyperfs", "_HYPERFS_COMPLETE").source())
