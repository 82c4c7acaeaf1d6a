"""What `hyperfs key split` and `key recover` do beside talking."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from hyperfs.cli import passphrases
from hyperfs.cli.root_key import root_of_texts
from hyperfs.crypto import recovery, shares
from hyperfs.crypto.keys import RootSeed
from hyperfs.daemon import key_files
from hyperfs.daemon.key_files import Ask
from hyperfs.errors import BadRecoveryKey, BadRequest, HyperfsError
from hyperfs.log.control import Chain

_STDIN_CHARACTERS_MOST: Final = shares.SHARES_MOST * shares.TEXT_CHARACTERS_MOST


@dataclass(frozen=True)
class Made:
    """One share: its number from 1, its words, and the card with them. A secret."""

    number: int
    words: str
    card: str


def root_for(chain: Chain, recovery_key: str | None, ask: Ask) -> RootSeed:
    """This machine's, or that of the recovery key, which must be the drive's. Raises KeyMissing, BadRecoveryKey."""
    from hyperfs.volume.enrolling import check_root

    if recovery_key is None:
        return key_files.load_root(chain.drive_id, ask)
    root = recovery.from_text(recovery_key)
    check_root(chain, root)
    return root


def split(
    root: RootSeed, count: int, threshold: int, passphrase_file: Path | None, name: str, drive_id: bytes
) -> list[Made]:
    """Makes the shares, and tries whether they give the root back before anybody relies on them."""
    passphrase = passphrases.of_file(passphrase_file) if passphrase_file is not None else b""
    try:
        made = shares.split(root, count, threshold, passphrase)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    for at in (0, count - threshold):
        tried = [shares.read(words) for words in made[at : at + threshold]]
        if shares.combine(tried, passphrase).root != root:
            raise HyperfsError("the shares that were made do not give the key back: none of them is shown")
    today = time.strftime("%d %B %Y")
    return [
        Made(number, words, shares.card_text(words, number, count, name, drive_id, today))
        for number, words in enumerate(made, 1)
    ]


def write(made: Sequence[Made], into: Path) -> list[Path]:
    """New files that only this user can read. Raises FileExistsError rather than write over one; then none is left."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for share in made:
            path = into / f"share-{share.number}-of-{len(made)}.txt"
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            written.append(path)
            with open(fd, "w", encoding="utf-8") as file:
                file.write(share.card)
    except BaseException:
        for path in written:
            path.unlink()
        raise
    return written


def typed(passphrase_file: Path | None) -> RootSeed:
    """Of shares that come in by standard input, one a line. Raises BadRequest for none, BadRecoveryKey."""
    if sys.stdin.isatty():
        return root_of_texts(_prompted(), passphrase_file)
    lines = [line for line in sys.stdin.read(_STDIN_CHARACTERS_MOST).splitlines() if line.strip()]
    if not lines:
        raise BadRequest("give the shares in files, with --share, or on standard input, one a line")
    return root_of_texts([(f"line {place}", line) for place, line in enumerate(lines, 1)], passphrase_file)


def _prompted() -> list[tuple[str, str]]:
    """Asks for as many as the first one says that are needed; one that is wrong is asked for again."""
    found: list[tuple[str, str]] = []
    needed = shares.THRESHOLD_LEAST
    while len(found) < needed:
        text = click.prompt(f"Share {len(found) + 1}, its {shares.WORDS} words", err=True)
        try:
            needed = shares.read(text).member_threshold
        except BadRecoveryKey as error:
            click.echo(f"hyperfs: {error}", err=True)
            continue
        found.append((f"share {len(found) + 1}", text))
    return found
