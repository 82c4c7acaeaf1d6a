"""Where a command gets a passphrase from: a file, the environment, or somebody at the terminal."""

import os
import sys
from pathlib import Path

import click

from hyperfs.crypto.wrap import MAX_PASSPHRASE_BYTES, normalise
from hyperfs.daemon.key_files import Ask
from hyperfs.daemon.process import PASSPHRASE_VARIABLE
from hyperfs.errors import BadRequest


def given(file: Path | None) -> bytes | None:
    """The passphrase of a file, else of the environment, else None. A file's line end does not count."""
    if file is not None:
        return of_file(file)
    text = os.environb.get(PASSPHRASE_VARIABLE.encode(), b"")
    return _checked(text, f"the passphrase in {PASSPHRASE_VARIABLE}") if text else None


def of_file(file: Path) -> bytes:
    """The passphrase of a file. A line end does not count. Raises BadRequest, OSError."""
    with file.open("rb") as source:
        return _checked(source.read(MAX_PASSPHRASE_BYTES + 3), f"the passphrase in {file}")


def _checked(text: bytes, what: str) -> bytes:
    passphrase = normalise(text)
    if not passphrase:
        raise BadRequest(f"{what} is empty")
    if len(passphrase) > MAX_PASSPHRASE_BYTES:
        raise BadRequest(f"{what} is longer than {MAX_PASSPHRASE_BYTES} bytes")
    return passphrase


def asker(file: Path | None) -> Ask:
    """For key files that turn out to need one: asked at the terminal once, if nothing gives it."""
    known: list[bytes | None] = []

    def ask(what: str) -> bytes | None:
        if not known:
            known.append(given(file) or _prompted(f"Passphrase of {what}"))
        return known[0]

    return ask


def _prompted(label: str) -> bytes | None:
    if not sys.stdin.isatty():
        return None
    return normalise(click.prompt(label, hide_input=True, err=True).encode("utf-8", "surrogateescape"))


def new(file: Path | None, ask: bool) -> bytes | None:
    """A passphrase to be set: None where nobody wants one. Typed ones are asked for twice."""
    passphrase = given(file)
    return _typed_twice() if passphrase is None and ask else passphrase


def _typed_twice() -> bytes:
    if not sys.stdin.isatty():
        raise BadRequest("there is no terminal to type a new passphrase at: give it in a file")
    typed: str = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return _checked(typed.encode("utf-8", "surrogateescape"), "the passphrase")


def chosen(file: Path | None) -> bytes:
    """A new passphrase that somebody does want: from a file, or typed twice. HYPERFS_PASSPHRASE is the old one."""
    return of_file(file) if file is not None else _typed_twice()
