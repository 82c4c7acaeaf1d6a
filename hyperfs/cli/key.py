"""hyperfs key: show, confirm, passphrase, split, recover"""

from pathlib import Path

import click

from hyperfs.cli import creating, options, passphrases
from hyperfs.cli.output import print_json
from hyperfs.cli.root_key import root_of, root_of_shares, root_options, share_options
from hyperfs.cli.session import Place, locate, session
from hyperfs.crypto import recovery
from hyperfs.daemon import key_files
from hyperfs.daemon.hardening import keep_memory_private
from hyperfs.log.control import Chain
from hyperfs.store import folder
from hyperfs.store.files import Disk


@click.group("key")
def command() -> None:
    """Show, confirm, wrap and split the keys of a drive.

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
@root_options
@click.option("--forget", is_flag=True, help="Then remove the root key from this machine: only the card has it.")
@options.passphrase_file
@options.as_json
def confirm(
    where: Path,
    recovery_key: str | None,
    recovery_key_file: Path | None,
    shares: tuple[Path, ...],
    share_passphrase_file: Path | None,
    forget: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Give the recovery key back, from the card or its shares, so that it is known to be right.

    Example:  hyperfs key confirm ~/Hyper
    """
    place = locate(where)
    from hyperfs.volume.enrolling import check_root

    chain = _chain(place)
    check_root(chain, root_of(recovery_key, recovery_key_file, shares, share_passphrase_file))
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


@command.command("split")
@options.drive_argument
@click.option("--shares", "count", type=click.IntRange(2, 16), default=5, show_default=True, help="So many are made.")
@click.option("--threshold", type=click.IntRange(2, 16), default=3, show_default=True, help="So many are needed.")
@click.option("--into", metavar="FOLDER", type=click.Path(path_type=Path), help="Write a file for each share there.")
@click.option(
    "--share-passphrase-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Nobody can use the shares without this passphrase, you neither.",
)
@click.option("--recovery-key", metavar="KEY", help="The key, where this machine does not hold it any more.")
@options.passphrase_file
@options.as_json
def split(
    where: Path,
    count: int,
    threshold: int,
    into: Path | None,
    share_passphrase_file: Path | None,
    recovery_key: str | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Split the recovery key into shares for several people: some of them give it back, fewer tell nothing.

    Example:  hyperfs key split ~/Hyper --shares 5 --threshold 3 --into ~/shares

    Each share is 39 words (SLIP-39). The recovery key stays what it is; shares can be made as often as you like, and
    those of one time don't go together with those of another.
    """
    from hyperfs.cli import splitting

    if threshold > count:
        raise click.UsageError(f"of {count} shares, {threshold} can't be needed")
    place = locate(where)
    chain = _chain(place)
    root = splitting.root_for(chain, recovery_key, passphrases.asker(passphrase_file))
    name = _name(place, passphrase_file)
    made = splitting.split(root, count, threshold, share_passphrase_file, name, chain.drive_id)
    files = [] if into is None else splitting.write(made, into)
    if as_json:
        facts = {"drive": chain.drive_id.hex(), "threshold": threshold, "files": [str(file) for file in files]}
        print_json(facts | {"shares": None if files else [share.words for share in made]})
    elif files:
        click.echo(f"{count} shares, of which any {threshold} give the recovery key:")
        click.echo("\n".join(f"  {file}" for file in files))
        click.echo("Print them or hand them out, one to each person or place, then delete the files.")
    else:
        click.echo("\n\n".join(share.card for share in made))


@command.command("recover")
@share_options
@options.as_json
def recover(shares: tuple[Path, ...], share_passphrase_file: Path | None, as_json: bool) -> None:
    """Put the recovery key together again, from enough of its shares.

    Example:  hyperfs key recover --share anna.txt --share ben.txt --share carla.txt

    A file has the words of one share, as 'hyperfs key split' wrote them or typed from paper; of each word the first
    four letters are enough. Without --share, one line of standard input is one share.
    """
    from hyperfs.cli import splitting

    root = root_of_shares(shares, share_passphrase_file) if shares else splitting.typed(share_passphrase_file)
    text = recovery.to_text(root)
    if as_json:
        print_json({"recovery_key": text})
    else:
        click.echo(text)


def _chain(place: Place) -> Chain:
    """The control chain is public: no key is needed to read it."""
    info = folder.inspect(place.store, need_keys=False)
    return Chain.parse(Disk(place.store).read_all(folder.CONTROL), info.drive_id)


def _name(place: Place, passphrase_file: Path | None) -> str:
    with session(place, passphrase_file) as drive:
        return str(drive.request("status")["name"])
