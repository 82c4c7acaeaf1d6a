"""hyperfs key: show, confirm, passphrase"""

import sys
from pathlib import Path

import click

from hyperfs.cli import creating, options, passphrases
from hyperfs.cli.output import print_json
from hyperfs.cli.session import Place, locate, session
from hyperfs.crypto import recovery
from hyperfs.daemon import key_files
from hyperfs.daemon.hardening import keep_memory_private
from hyperfs.errors import BadRequest
from hyperfs.log.control import Chain
from hyperfs.store import folder
from hyperfs.store.files import Disk


@click.group("key")
def command() -> None:
    """Show, confirm and wrap the keys of a drive.

    Example:  hyperfs key show --card card.svg
    """
    keep_memory_private()


@command.command("show")
@options.drive_argument
@options.card
@click.option("--qr", is_flag=True, help="Show it as a QR code too.")
@options.passphrase_file
@options.as_json
def show(where: Path, card: Path | None, qr: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Show the recovery key: whoever has it can read the whole drive.

    Example:  hyperfs key show ~/Hyper --card card.svg
    """
    place = locate(where)
    chain = _chain(place)
    root = key_files.load_root(chain.drive_id, passphrases.asker(passphrase_file))
    text = recovery.to_text(root)
    if card is not None:
        creating.write_card(card, root, _name(place, passphrase_file), chain.drive_id)
    if as_json:
        print_json({"drive": chain.drive_id.hex(), "recovery_key": text, "card": str(card) if card else None})
        return
    if card is not None:
        click.echo(f"The card is {card}: print it, then delete the file.")
        return
    click.echo(text)
    if qr:
        click.echo(recovery.terminal_qr(root))


@command.command("confirm")
@options.drive_argument
@click.option("--recovery-key", metavar="KEY", help="The key. Else it is asked for, or read from standard input.")
@click.option("--forget", is_flag=True, help="Then remove the root key from this machine: only the card has it.")
@options.passphrase_file
@options.as_json
def confirm(
    where: Path, recovery_key: str | None, forget: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Give the recovery key back, from the card, so that it is known to be right.

    Example:  hyperfs key confirm ~/Hyper
    """
    place = locate(where)
    from hyperfs.volume.enrolling import check_root

    chain = _chain(place)
    check_root(chain, recovery.from_text(recovery_key if recovery_key is not None else asked_key()))
    with session(place, passphrase_file) as drive:
        drive.request("confirm")
    forgotten = forget and key_files.has_root(chain.drive_id)
    if forgotten:
        key_files.forget_root(chain.drive_id)
    if as_json:
        here = key_files.has_root(chain.drive_id)
        print_json({"drive": chain.drive_id.hex(), "confirmed": True, "root_key_here": here})
        return
    click.echo("That is the drive's recovery key. Keep the card away from this computer.")
    if forgotten:
        click.echo("The root key is removed from this machine: what needs it will ask for the recovery key.")


@command.command("passphrase")
@options.drive_argument
@options.passphrase_file
@click.option("--new-passphrase-file", type=click.Path(path_type=Path), help="Read the new passphrase from this file.")
@click.option("--remove", is_flag=True, help="Wrap the keys by nothing but the modes of their files.")
@options.as_json
def passphrase(
    where: Path, passphrase_file: Path | None, new_passphrase_file: Path | None, remove: bool, as_json: bool
) -> None:
    """Set, change or remove the passphrase that wraps the keys on this machine.

    Example:  hyperfs key passphrase ~/Hyper

    A mounted drive goes on; the next mount asks for the new one. The recovery key stays what it is.
    """
    if remove and new_passphrase_file is not None:
        raise click.UsageError("--remove and --new-passphrase-file are two different things")
    place = locate(where)
    drive_id = folder.inspect(place.store).drive_id
    ask = passphrases.asker(passphrase_file)
    device = key_files.load_device(place.store, ask)
    root = key_files.load_root(drive_id, ask) if key_files.has_root(drive_id) else None
    new = None if remove else passphrases.chosen(new_passphrase_file)
    key_files.save_device(place.store, device, new)
    if root is not None:
        key_files.save_root(drive_id, root, new)
    if as_json:
        print_json({"drive": drive_id.hex(), "wrapped": new is not None})
    else:
        click.echo("The keys are wrapped by the new passphrase." if new else "No passphrase wraps the keys any more.")


def _chain(place: Place) -> Chain:
    """The control chain is public: no key is needed to read it."""
    info = folder.inspect(place.store, need_keys=False)
    return Chain.parse(Disk(place.store).read_all(folder.CONTROL), info.drive_id)


def _name(place: Place, passphrase_file: Path | None) -> str:
    with session(place, passphrase_file) as drive:
        return str(drive.request("status")["name"])


def asked_key() -> str:
    """The recovery key, typed or from standard input. Raises BadRequest for none."""
    if sys.stdin.isatty():
        return str(click.prompt("Recovery key", hide_input=False, err=True))
    text = sys.stdin.read(recovery.MAX_TEXT_CHARACTERS)
    if not text.strip():
        raise BadRequest("give the recovery key with --recovery-key, or on standard input")
    return text
