"""Making a new drive: its control chain, its two logs, its journal, its first version."""

import os
from dataclasses import dataclass
from pathlib import Path

import trio

from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA, DeviceKeys, EpochKeys, RootSeed
from hyperfs.crypto.seal import CIPHER_AES_256_GCM
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import Device, Epoch, LogEntry, Roster, SealedCopy
from hyperfs.log.log import Log
from hyperfs.store import folder
from hyperfs.store.files import Disk
from hyperfs.store.journal import Journal
from hyperfs.values import ROOT_INO
from hyperfs.volume import keys
from hyperfs.volume.device_logs import log_folder
from hyperfs.volume.inode import Inode
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.reserve import Reserve
from hyperfs.volume.volume import Volume

FIRST_DEVICE = 1
NAME_SETTING = b"name"


@dataclass(frozen=True)
class NewDrive:
    """What a new drive is made of. `randomness` gives that many fresh random bytes."""

    root: RootSeed
    device_keys: DeviceKeys
    epoch: EpochKeys
    drive_name: str
    device_name: str
    uid: int
    gid: int


def new_secrets(drive_name: str, device_name: str) -> NewDrive:
    """Fresh keys for a drive of the user who runs this."""
    return NewDrive(
        RootSeed(os.urandom(32)),
        DeviceKeys(*(os.urandom(32) for _ in range(4))),
        EpochKeys(1, os.urandom(32), os.urandom(32)),
        drive_name,
        device_name,
        os.getuid(),
        os.getgid(),
    )


def first_chain(drive: NewDrive) -> Chain:
    """The control chain of a drive with one device: a roster, then the first epoch."""
    root, device = drive.root.signing(), drive.device_keys
    roster = Roster(
        root.public_key,
        drive.root.recovery_box().public_key,
        (
            Device(
                FIRST_DEVICE,
                drive.device_name.encode()[:255],
                device.signing().public_key,
                device.box().public_key,
                device.transport().public_key,
            ),
        ),
        (
            LogEntry(1, FIRST_DEVICE, LOG_METADATA, device.log_signer(LOG_METADATA, 0).public_key),
            LogEntry(2, FIRST_DEVICE, LOG_CONTENT, device.log_signer(LOG_CONTENT, 0).public_key),
        ),
    )
    chain = Chain.start(roster, root)
    recipients = sorted([device.box().public_key, chain.recovery_key])
    copies = drive.epoch.sealed_copies([(public, os.urandom(32)) for public in recipients])
    epoch = Epoch(
        drive.epoch.epoch,
        drive.epoch.key_id,
        (CIPHER_AES_256_GCM,),
        tuple(SealedCopy(to, sealed) for to, sealed in copies),
    )
    return chain.append(chain.make(epoch, root))


def create_store(path: Path, drive: NewDrive, key_file: bytes, options: Options | None = None) -> bytes:
    """Makes the store folder of a new drive with its first version; returns the drive's id.

    `key_file` is the device's keys, wrapped. The format file comes last: until then the folder is no store.
    """
    options = options or Options()
    folder.lay_out(path)
    disk = options.disk(path)
    chain = first_chain(drive)
    disk.replace(folder.KEYS, key_file)
    disk.replace(folder.CONTROL, chain.encode())
    for entry in chain.logs.values():
        signer = drive.device_keys.log_signer(entry.kind, 0)
        Log.create(disk, log_folder(entry), signer, entry.number).close()
    Journal.create(disk)
    Reserve(path / folder.RESERVE).fill(options.reserve_bytes)
    folder.write_format(path, chain.drive_id)
    volume = open_volume(path, drive.device_keys, options)
    trio.run(_first_version, volume, drive)
    return chain.drive_id


async def _first_version(volume: Volume, drive: NewDrive) -> None:
    async with volume.running():
        overlay = volume.overlay
        root = Inode(ROOT_INO, 0o40755)
        root.uid, root.gid, root.nlink = drive.uid, drive.gid, 2
        root.atime_ns = root.mtime_ns = root.ctime_ns = root.btime_ns = overlay.now_ns()
        overlay.table[ROOT_INO] = root
        overlay.touch(root)
        overlay.directories += 1
        overlay.set_fact(keys.setting_key(NAME_SETTING), drive.drive_name.encode())
        await volume.commit(write_back=False)


def read_control(disk: Disk, drive_id: bytes) -> Chain:
    """The verified control chain of a store."""
    return Chain.parse(disk.read_all(folder.CONTROL), drive_id)
