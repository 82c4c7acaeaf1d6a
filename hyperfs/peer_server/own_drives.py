"""The drives that a peer's folder holds, for its owner's commands: with their sizes, and to let one go.

Beside the process that serves, if there is one: that does what is asked for; else it is done here, under the lock.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Corrupt, HyperfsError, InvalidArgument, NotFound, StoreLocked, Unreachable
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import ACTIVE
from hyperfs.peer import dropping, identity, settings
from hyperfs.peer.account import PART_OF, decode_part
from hyperfs.peer.drive import CONTROL, SETTINGS
from hyperfs.peer.facts import SHOWN
from hyperfs.peer.folder_store import Beside, FolderStore, OwnRecords
from hyperfs.peer.peer import Peer

LEAST_DIGITS: Final = 8
"""Of a drive's id, by which one may name it."""
DONE_SECONDS: Final = 60.0
"""The process that serves is waited for so long."""
_LOOK_SECONDS: Final = 0.1


class Held(NamedTuple):
    """`devices`: their names as the roster has them, those that are active; `part_of`: the drive that it counts with;
    `trouble`: why its records can't be read."""

    drive: bytes
    used_bytes: int
    quota_bytes: int | None
    devices: tuple[str, ...]
    logs: int
    part_of: bytes | None
    trouble: str | None


def drives(path: Path) -> list[Held]:
    """Those that are held, by their ids. Of one that is about to go: what is left of it."""
    store = Beside(path)
    return [_held(store, drive) for drive in store.drives()]


def named(path: Path, text: str) -> Held:
    """The one whose id begins so. InvalidArgument, NotFound."""
    wanted = text.lower()
    if len(wanted) < LEAST_DIGITS or set(wanted) - set("0123456789abcdef"):
        raise InvalidArgument(f"{text!r} is no drive's id: write at least {LEAST_DIGITS} of its hex digits")
    found = [held for held in drives(path) if held.drive.hex().startswith(wanted)]
    if len(found) != 1:
        many = "several drives have ids that begin so" if found else "no drive with that id is held here"
        raise NotFound(f"{text}: {many}; 'hyperfs peer drives --store {path}' tells all")
    return found[0]


def drop(path: Path, drive: bytes) -> int:
    """It and its parts go, and their blocks; how many bytes that frees. Durable. Unreachable where the process that
    serves does not do it in time; it does so later, or the next one."""
    nbytes = dropping.bytes_of(Beside(path), drive)
    try:
        store = FolderStore(path)
    except StoreLocked:
        _have_it_dropped(path, drive)
        return nbytes
    try:
        peer = Peer(store, SigningKeyPair(identity.seed_of(store, os.urandom(32))))
        try:
            if drive in store.drives():  # else the opening has done it, for it was noted
                peer.drop(drive)
        finally:
            for held in peer.drives.values():
                held.close()
    finally:
        store.close()
    return nbytes


def _have_it_dropped(path: Path, drive: bytes) -> None:
    records = OwnRecords(path)
    records.write(dropping.name_of(drive), dropping.ASKED)
    until = time.monotonic() + DONE_SECONDS
    while records.read(dropping.name_of(drive)) is not None:
        if time.monotonic() > until:
            raise Unreachable(
                f"the process that serves {path} has not dropped drive {drive.hex()[:SHOWN]} within "
                f"{DONE_SECONDS:.0f} s: it is noted, and done when it can be. Its log lines say what keeps it"
            )
        time.sleep(_LOOK_SECONDS)


def _held(store: Beside, drive: bytes) -> Held:
    used = sum(store.size_of(place) for place in store.places(drive))
    logs = len({place.log for place in store.places(drive)})
    try:
        quota, devices, part_of = _facts(store, drive)
    except (HyperfsError, OSError) as error:
        return Held(drive, used, None, (), logs, None, str(error))
    return Held(drive, used, quota, devices, logs, part_of, None)


def _facts(store: Beside, drive: bytes) -> tuple[int | None, tuple[str, ...], bytes | None]:
    found = {name: store.read(drive, name) for name in (SETTINGS, CONTROL, PART_OF)}
    quota = settings.decode(found[SETTINGS]).quota_bytes if found[SETTINGS] is not None else None
    part_of = decode_part(found[PART_OF]).drive if found[PART_OF] is not None else None
    return quota, tuple(_devices(found[CONTROL], drive)), part_of


def _devices(control: bytes | None, drive: bytes) -> Iterator[str]:
    if control is None:
        return
    chain = Chain.parse(control, drive)
    if chain.drive_id != drive:
        raise Corrupt("the control chain is another drive's", drive.hex()[:SHOWN])
    yield from (device.name.decode(errors="replace") for device in chain.devices.values() if device.state == ACTIVE)
