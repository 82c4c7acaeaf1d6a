"""Recovery of a store whose device key is gone: from the root, a new device is enrolled that goes on there.

    recovery key -> epoch keys (sealed to it in the control chain)
    new device   -> roster with it and its two logs, and every epoch's keys sealed to it: signed by the root
    journal      -> what the old device had fsynced and not committed becomes the new device's first version

The old device stays in the roster, for nobody has revoked it; its logs stay and are read. Killed anywhere, it can
be done again: the key file comes last, and a device that was enrolled in vain does no harm.
"""

import os
from pathlib import Path

import trio

from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA, DeviceKeys, EpochKeys, RootSeed
from hyperfs.errors import BadRecoveryKey, Corrupt
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import Device, Epoch, LogEntry, Roster, SealedCopy
from hyperfs.log.log import Log
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.store.folder import StoreLock
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.status import note_confirmed
from hyperfs.volume.volume import Volume

OLD_KEYS = f"{folder.KEYS}.before-recovery"


def check_root(chain: Chain, root: RootSeed) -> None:
    """Raises BadRecoveryKey unless the seed is this drive's root."""
    if root.signing().public_key != chain.root_key:
        raise BadRecoveryKey("this is a recovery key, but another drive's: look for the card of this one")


def recover(store: Path, root: RootSeed, device_keys: DeviceKeys, device_name: str, key_file: bytes) -> int:
    """Enrols a device of fresh keys in a store, makes its first version, and puts `key_file` (its keys) there.

    Returns the device's number. A key file that is there already is kept aside. Raises BadRecoveryKey,
    StoreLocked, Corrupt, and what `folder.inspect` raises.
    """
    info = folder.inspect(store, need_keys=False)
    disk = Disk(store)
    with StoreLock(store):
        chain = Chain.parse(disk.read_all(folder.CONTROL), info.drive_id)
        check_root(chain, root)
        enrolled = enrol(chain, root, device_keys, device_name)
        number = max(enrolled.devices)
        for entry in enrolled.logs.values():
            if entry.device == number:
                Log.create(disk, log_folder(entry), device_keys.log_signer(entry.kind, 0), entry.number).close()
        disk.replace(folder.CONTROL, enrolled.encode())
    volume = open_volume(store, device_keys, Options(take_over=True))
    trio.run(_first_version, volume)
    if disk.exists(folder.KEYS):
        disk.replace(OLD_KEYS, disk.read_all(folder.KEYS))
    disk.replace(folder.KEYS, key_file)
    return number


def enrol(chain: Chain, root: RootSeed, keys: DeviceKeys, name: str) -> Chain:
    """The chain with a new device, a pair of logs of its own, and every epoch's keys sealed to it."""
    number, log = max(chain.devices) + 1, max(chain.logs) + 1
    device = Device(
        number,
        name.encode()[:255],
        keys.signing().public_key,
        keys.box().public_key,
        keys.transport().public_key,
    )
    logs = [
        LogEntry(log, number, LOG_METADATA, keys.log_signer(LOG_METADATA, 0).public_key),
        LogEntry(log + 1, number, LOG_CONTENT, keys.log_signer(LOG_CONTENT, 0).public_key),
    ]
    roster = Roster(
        chain.root_key, chain.recovery_key, (*chain.devices.values(), device), (*chain.logs.values(), *logs)
    )
    signer = root.signing()
    chain = chain.append(chain.make(roster, signer))
    for epoch in list(chain.epochs.values()):
        copy = SealedCopy(*_epoch_keys(chain, root, epoch).sealed_copies([(device.box_key, os.urandom(32))])[0])
        chain = chain.append(chain.make(epoch._replace(copies=(copy,)), signer))
    return chain


def _epoch_keys(chain: Chain, root: RootSeed, epoch: Epoch) -> EpochKeys:
    """What the epoch's record sealed to the recovery key."""
    box = root.recovery_box()
    sealed = chain.sealed_copies(box.public_key).get(epoch.number)
    if sealed is None:
        raise Corrupt("an epoch is not sealed to the recovery key", f"epoch {epoch.number}")
    keys = EpochKeys.from_payload(epoch.number, box.open(sealed))
    if keys.key_id != epoch.key_id:
        raise Corrupt("an epoch's sealed key is not the one that its record names", f"epoch {epoch.number}")
    return keys


async def _first_version(volume: Volume) -> None:
    _take_bytes_over(volume)
    async with volume.running():
        await note_confirmed(volume)  # the key has just been given; and so there is something to commit


def _take_bytes_over(volume: Volume) -> None:
    """Bytes in blocks that only the journal vouches for are written anew: the old log gets no head any more."""
    logs, overlay = volume.parts.logs, volume.overlay
    for ino, extents in overlay.live.active.extents.items():
        for extent in list(extents.values()):
            if extent is None or extent.log == volume.content.number or extent.block < logs[extent.log].signed_length:
                continue
            data = volume.content.read([extent], extent.offset, extent.length)
            volume.files.restore_bytes(overlay.inode(ino), extent.offset, data)
