"""Where a command gets a drive's root from when somebody has to give it: the recovery key, or enough shares of it."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from hyperfs.cli import passphrases
from hyperfs.crypto import recovery
from hyperfs.crypto.keys import RootSeed
from hyperfs.errors import BadRecoveryKey, BadRequest

_KEY: Final = click.option(
    "--recovery-key", metavar="KEY", help="The key. Else it is asked for, or read from standard input."
)
_KEY_FILE: Final = click.option(
    "--recovery-key-file", metavar="FILE", type=click.Path(path_type=Path), help="Read the key from this file."
)
_SHARES: Final = click.option(
    "--share",
    "shares",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Take shares of it instead ('hyperfs key split'), one in each file: give this as often as are needed.",
)
_SHARE_PASSPHRASE: Final = click.option(
    "--share-passphrase-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The passphrase that the shares were made with, if there was one.",
)
_OPTIONS: Final = (_KEY, _KEY_FILE, _SHARES, _SHARE_PASSPHRASE)


def root_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options whose values `root_of` takes: recovery_key, recovery_key_file, shares, share_passphrase_file."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def share_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Those that are about shares alone."""
    return _SHARES(_SHARE_PASSPHRASE(function))


def root_of(
    recovery_key: str | None,
    recovery_key_file: Path | None,
    shares: tuple[Path, ...],
    share_passphrase_file: Path | None,
) -> RootSeed:
    """The root seed. Raises BadRecoveryKey for what gives none, BadRequest for more than one way to give it."""
    ways = [recovery_key is not None, recovery_key_file is not None, bool(shares)]
    if sum(ways) > 1:
        raise BadRequest("--recovery-key, --recovery-key-file and --share are three ways to give one key: take one")
    if share_passphrase_file is not None and not shares:
        raise BadRequest("--share-passphrase-file goes with --share")
    if shares:
        return root_of_shares(shares, share_passphrase_file)
    if recovery_key_file is not None:
        return recovery.from_text(_text_of(recovery_key_file, recovery.MAX_TEXT_CHARACTERS))
    return recovery.from_text(recovery_key if recovery_key is not None else asked_key())


def root_of_shares(files: tuple[Path, ...], passphrase_file: Path | None) -> RootSeed:
    """Says on standard error which shares, of more than are needed, are wrong."""
    from hyperfs.crypto.shares import TEXT_CHARACTERS_MOST

    texts = [(str(file), _text_of(file, TEXT_CHARACTERS_MOST)) for file in files]
    return root_of_texts(texts, passphrase_file)


def root_of_texts(texts: Sequence[tuple[str, str]], passphrase_file: Path | None) -> RootSeed:
    """As `root_of_shares`, of texts with what each is called in messages."""
    from hyperfs.crypto import shares

    passphrase = passphrases.of_file(passphrase_file) if passphrase_file is not None else b""
    found = []
    for name, text in texts:
        try:
            found.append(shares.read(text))
        except BadRecoveryKey as error:
            raise BadRecoveryKey(f"{name}: {error}") from None
    try:
        combined = shares.combine(found, passphrase)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    for place in combined.odd:
        click.echo(f"hyperfs: warning: {texts[place][0]} is no share of this key: it was changed", err=True)
    return combined.root


def asked_key() -> str:
    """The recovery key, typed or from standard input. Raises BadRequest for none."""
    if sys.stdin.isatty():
        return str(click.prompt("Recovery key", hide_input=False, err=True))
    text = sys.stdin.read(recovery.MAX_TEXT_CHARACTERS)
    if not text.strip():
        raise BadRequest("give the recovery key with --recovery-key, or on standard input")
    return text


def _text_of(file: Path, most: int) -> str:
    with file.open("rb") as source:
        return source.read(4 * most).decode("utf-8", "replace")
