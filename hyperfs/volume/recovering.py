"""Recovery of a store whose device key is gone: from the root, a new device is enrolled that goes on there.

    recovery key -> epoch keys (sealed to it in the control chain)
    new device   -> roster with it and its two logs, and every epoch's keys sealed to it: signed by the root
    journal      -> what the old device had fsynced and not committed becomes the new device's first version

The old device stays in the roster, for nobody has revoked it; its logs are closed where they stand, and are read.
Killed anywhere, it can be done again: the key file comes last, and a device that was enrolled in vain does no harm. The
store of a clone that may only read stays one.
"""

from pathlib import Path

import trio

from hyperfs.crypto.keys import DeviceKeys, RootSeed
from hyperfs.log.control import Chain
from hyperfs.log.heads import Head
from hyperfs.log.log import Log
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.store.folder import StoreLock
from hyperfs.volume.cloning import marker_of
from hyperfs.volume.device_logs import log_folder, open_log
from hyperfs.volume.enrolling import check_root, enrol
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.status import note_confirmed
from hyperfs.volume.volume import Volume
from hyperfs.volume.writers import may_write, open_logs_of

OLD_KEYS = f"{folder.KEYS}.before-recovery"


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
        reads_only = (marker := marker_of(disk)) is not None and not marker.former_lost
        heads = {} if reads_only else _heads(disk, chain)
        enrolled = enrol(chain, root, device_keys, device_name, heads, revokes=False)
        number = max(enrolled.devices)
        for entry in enrolled.logs.values():
            if entry.device == number:
                Log.create(disk, log_folder(entry), device_keys.log_signer(entry.kind, 0), entry.number).close()
        disk.replace(folder.CONTROL, enrolled.encode())
    if not reads_only:
        volume = open_volume(store, device_keys, Options(take_over=True))
        trio.run(_first_version, volume)
    if disk.exists(folder.KEYS):
        disk.replace(OLD_KEYS, disk.read_all(folder.KEYS))
    disk.replace(folder.KEYS, key_file)
    return number


def _heads(disk: Disk, chain: Chain) -> dict[int, Head]:
    """Where the logs stand that are closed, those of whoever may write."""
    heads: dict[int, Head] = {}
    lengths: dict[int, int] = {}
    for entry in chain.logs.values():
        log = open_log(disk, entry, None, Options(read_only=True), is_own=False)
        heads[entry.number], lengths[entry.number] = log.head(), log.signed_length
        log.close()
    return {entry.number: heads[entry.number] for entry in open_logs_of(chain, may_write(chain, lengths))}


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
