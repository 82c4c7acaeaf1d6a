"""What comes before a mount: is the folder fit for it, is FUSE there, is the drive there, who has it already."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from hyperfs.cli import following, passphrases
from hyperfs.crypto.keys import DeviceKeys
from hyperfs.daemon import key_files, mounts
from hyperfs.daemon.exit_codes import Reported
from hyperfs.daemon.hardening import keep_memory_private
from hyperfs.daemon.process import Spec, start_in_background
from hyperfs.errors import BadRequest, HyperfsError, Refused, StoreLocked
from hyperfs.store import folder

if TYPE_CHECKING:
    from hyperfs.sharing.link import Link

FUSE_DEVICE: Final = Path("/dev/fuse")
FOLLOWER_SECONDS: Final = 20.0
"""How long a drive that was just started by somebody else may take until its mount answers."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Wanted:
    """What somebody asked for, as typed."""

    store: Path | None
    directory: Path
    read_only: bool
    allow_other: bool
    show_versions: bool
    at: str | None
    foreground: bool
    as_json: bool
    link: "Link | None" = None
    links_bytes: int | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be done; no spec where the drive is mounted there already."""

    store: Path
    directory: Path
    spec: Spec | None


def link_of(words: str | None) -> "Link | None":
    """What was given in place of a store, if it is a link. Raises BadRequest for a torn one."""
    if words == "-":
        words = sys.stdin.readline()
    elif words is None or not words.lower().startswith("hyper://"):
        return None
    from hyperfs.sharing import link as links

    return links.parse(words)


def prepare(wanted: Wanted, name: str | None, passphrase_file: Path | None, card: Path | None) -> Plan:
    """Checks everything that can be checked before, detaches a dead mount, makes a drive that is not there.

    Raises Refused, NotAStore, WrongPassphrase and so on, each with what to do.
    """
    link = wanted.link
    if link is not None:
        store = following.place_of(link)
    else:
        store = (wanted.store or folder.default_store()).absolute().resolve()
        link = following.link_at(store)
    directory = wanted.directory.resolve()
    there = _what_is_mounted(directory, store)
    if there is not None:
        if wanted.foreground:
            raise Refused(f"{directory} is mounted already, by another process: unmount it first")
        return Plan(store, directory, None)
    check_fuse()
    check_folder(directory)
    if directory.is_relative_to(store) or store.is_relative_to(directory):
        raise Refused(f"the store {store} and the folder {directory} may not lie one in the other")
    elsewhere = [mount for mount in mounts.of_store(store) if not mounts.is_dead(Path(os.fsdecode(mount.point)))]
    if elsewhere:
        raise Refused(f"{store} is mounted already, at {os.fsdecode(elsewhere[-1].point)}: a drive has one mount")
    keep_memory_private()
    if link is not None:
        keys = following.brought(link, store, wanted.at)
    else:
        keys = _keys(store, wanted, name, passphrase_file, card)
    how = wanted.read_only, wanted.allow_other, wanted.show_versions, wanted.at
    spec = Spec(store, directory, keys, *how, None if link is None else str(link), wanted.links_bytes)
    return Plan(store, directory, spec)


def _what_is_mounted(directory: Path, store: Path) -> mounts.MountPoint | None:
    """The same drive, alive and well at that folder. A dead one is detached first."""
    mount = mounts.at(directory)
    if mount is None:
        return None
    if mounts.is_dead(directory):
        if not mount.is_hyperfs:
            raise Refused(f"a dead mount ({mount.fstype}) is at {directory}: 'fusermount3 -uz {directory}' detaches it")
        mounts.detach_in_turn(mount.store if mount.store.is_dir() else directory.parent, directory)
        return _what_is_mounted(directory, store)
    if mount.is_hyperfs and mount.store == store:
        return mount
    what = f"the drive of {mount.store}" if mount.is_hyperfs else f"another filesystem ({mount.fstype})"
    raise Refused(f"{directory} is busy: {what} is mounted there. Unmount it, or choose another folder")


def check_fuse(device: Path = FUSE_DEVICE) -> None:
    """Raises HyperfsError where this machine can't mount anything."""
    if not device.exists():
        raise HyperfsError(
            f"FUSE is missing: there is no {device}. Load the module ('modprobe fuse') or, in a container, start it "
            "with --device /dev/fuse --cap-add SYS_ADMIN; 'hyperfs doctor' tells more"
        )
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        raise HyperfsError(
            "FUSE is missing: the program fusermount3 mounts for users who are not root. Install the package fuse3"
        )


def check_folder(directory: Path) -> None:
    """Raises BadRequest, Refused for a folder that nothing can be mounted at."""
    if not directory.exists():
        raise HyperfsError(f"there is no folder {directory}: make it first ('mkdir -p {directory}')")
    if not directory.is_dir():
        raise BadRequest(f"{directory} is no folder: a drive is mounted at a folder")
    if os.geteuid() != 0 and not os.access(directory, os.W_OK):
        raise Refused(f"{directory} is not yours to mount at: choose a folder that you may write to")
    try:
        names = os.listdir(directory)
    except PermissionError:
        raise Refused(f"{directory} can't be looked into: choose a folder of yours") from None
    if names:
        raise Refused(
            f"{directory} is not empty ({len(names)} entries): they would be hidden while the drive is mounted. "
            "Choose an empty folder"
        )


def _keys(
    store: Path, wanted: Wanted, name: str | None, passphrase_file: Path | None, card: Path | None
) -> DeviceKeys:
    """The device's keys, of a drive that is made now if there is none."""
    if store.exists() and (not store.is_dir() or any(store.iterdir())):
        return key_files.load_device(store, passphrases.asker(passphrase_file))
    if wanted.read_only or wanted.at is not None:
        raise BadRequest(f"there is no drive in {store} yet: the first mount makes it, and can't be read-only")
    from hyperfs.cli import creating

    created = creating.create(store, name, passphrases.new(passphrase_file, ask=False))
    into_log = wanted.foreground and not sys.stdout.isatty()
    creating.show_recovery_key(created, card, wanted.as_json, into_log)
    return created.device_keys


def start(spec: Spec, progress: Progress) -> str | None:
    """Starts the drive's process; why it takes no writes from this device, if so.

    Where another one was quicker, and mounts the same drive there, that is as good. One that has just been unmounted
    is waited for: when a file manager or fusermount3 takes a drive away, the kernel lets it go before its process has
    committed the last of it.
    """
    until = time.monotonic() + FOLLOWER_SECONDS
    while True:
        try:
            return start_in_background(spec, progress)
        except Reported as error:
            if error.kind != StoreLocked.__name__:
                raise
            if _follow(spec):
                return None
            if time.monotonic() > until or folder.locked_by(spec.store) is not None:
                raise


def _follow(spec: Spec) -> bool:
    """Whether whoever has the store open comes to serve it at the same folder."""
    until = time.monotonic() + FOLLOWER_SECONDS
    while folder.locked_by(spec.store) is not None and time.monotonic() < until:
        mount = mounts.at(spec.directory)
        if mount is not None and mount.store == spec.store and not mounts.is_dead(spec.directory):
            click.echo("another process has just mounted it")
            return True
        time.sleep(0.1)
    return False
