"""Making a drive and its key files, as `init` does and `mount` on first use; and telling of the recovery key."""

import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import click

from hyperfs.crypto import recovery
from hyperfs.crypto.keys import DeviceKeys, RootSeed
from hyperfs.crypto.wrap import KIND_DEVICE
from hyperfs.daemon import key_files
from hyperfs.daemon.hardening import keep_memory_private
from hyperfs.errors import BadRequest, Refused
from hyperfs.store import folder
from hyperfs.volume.creating import create_store, new_secrets


@dataclass(frozen=True)
class Created:
    """A new drive. Whoever holds this must show the recovery key: it is shown by itself only once."""

    store: Path
    name: str
    drive_id: bytes
    root: RootSeed
    device_keys: DeviceKeys


def create(store: Path, name: str | None, passphrase: bytes | None) -> Created:
    """Makes the store and both key files. When it fails, nothing of it stays.

    Raises BadRequest for a name that is no text, Refused for a folder that is not empty, OSError.
    """
    keep_memory_private()
    there_before = store.exists()
    drive = new_secrets(_drive_name(store, name), socket.gethostname())
    key_file = key_files.wrapped(KIND_DEVICE, drive.device_keys.to_bytes(), passphrase)
    _check_empty(store)
    try:
        drive_id = create_store(store, drive, key_file)
        key_files.save_root(drive_id, drive.root, passphrase)
    except BaseException:
        _remove(store, there_before)
        raise
    return Created(store, drive.drive_name, drive_id, drive.root, drive.device_keys)


def _drive_name(store: Path, name: str | None) -> str:
    """Drives are named in UTF-8. The name of a folder need not be: what is none in it is replaced."""
    if not name:
        return os.fsencode(store.name).decode(errors="replace")
    if not name.isprintable():  # which what was no UTF-8 is not either
        raise BadRequest(f"{name!r} can't name a drive: take a name of one line, in UTF-8")
    return name


def _check_empty(store: Path) -> None:
    """Before anything of ours may have to be removed again: what is there is somebody's."""
    if store.exists() and not store.is_dir():
        raise Refused(f"{store} is no folder: a new store needs a new or empty folder")
    if store.exists() and any(store.iterdir()):
        folder.lay_out(store)  # refuses, and says what is there


def _remove(store: Path, there_before: bool) -> None:
    if not store.is_dir():
        return
    for entry in os.scandir(store):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    if not there_before:
        store.rmdir()


def show_recovery_key(created: Created, card: Path | None, aside: bool, into_log: bool = False) -> None:
    """Tells of the key, once, and how to keep it. `aside`: on standard error, for the output is JSON.

    `into_log`: whatever is printed is kept by some log, where a key must not be; then only how to see it is told.
    """
    if card is not None:
        write_card(card, created.root, created.name, created.drive_id)
    lines = [f"New drive {created.name!r} in {created.store}", ""]
    if into_log:
        lines += [f"Its recovery key opens it when this computer is gone: 'hyperfs key show {created.store}'", ""]
    else:
        groups = recovery.to_text(created.root).split("-")
        half = len(groups) // 2
        lines += ["Its recovery key, which opens it when this computer is gone:", ""]
        lines += [f"    {'-'.join(groups[:half])}-", f"    {'-'.join(groups[half:])}", ""]
    if card is not None:
        lines.append(f"It is on the card {card}: print it, and delete the file.")
    else:
        lines.append("Write it down, or print it: 'hyperfs key show --card card.svg' makes a page for that.")
    lines += ["Then give it back to 'hyperfs key confirm', so that it is known to be right.", ""]
    click.echo("\n".join(lines), err=aside)


def write_card(path: Path, root: RootSeed, name: str, drive_id: bytes) -> None:
    """A new file with the card, readable by this user only: SVG when it is called so, else text.

    Raises FileExistsError rather than write over anything.
    """
    make = recovery.card_svg if path.suffix == ".svg" else recovery.card_text
    text = make(root, name, drive_id, time.strftime("%d %B %Y"))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)
