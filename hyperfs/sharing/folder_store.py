"""Where the drive of a shared folder lies: a store of its own in the store of the drive that the folder is in.

    STORE/shared/SALT/          a store; SALT: 32 hex digits
    STORE/shared/SALT/share     of which folder. Written last: without it the making was killed
    STORE/shared/SALT/ended     it is not shared any more, and peers may have to be told

Its keys follow from the device's keys and the salt, so that no further secret lies on the disk, and a passphrase of the
device protects this drive too. Its root is used once, to make it.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from hyperfs.crypto.keys import BoxKeyPair, DeviceKeys, EpochKeys, RootSeed, derive
from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.store import folder
from hyperfs.store.files import FOLDER_MODE, Disk
from hyperfs.volume.creating import NewDrive, create_store
from hyperfs.volume.inode import Inode
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume

ROOM: Final = "shared"
RECORD: Final = "share"
ENDED: Final = "ended"
SHARE_FORMAT: Final = 1
SALT_BYTES: Final = 16
RESERVE_BYTES: Final = 1 << 20
"""The drive itself has one; what can't be written here waits."""
DEVICE_NAME: Final = "a shared folder"
NO_KEYS: Final = b"The keys of this drive follow from those of the device that shares the folder.\n"
_DOMAIN: Final = b"hyperfs/v1/shared-folder"
_KEY_DOMAIN: Final = b"hyperfs/v1/shared-folder/key"
_SALT: Final = re.compile(rf"[0-9a-f]{{{2 * SALT_BYTES}}}")
_FORMAT: Final = re.compile(rb"hyperfs shared folder\nformat ([1-9][0-9]{0,8})\n")
_WHOLE: Final = re.compile(
    rb"hyperfs shared folder\nformat 1\nfolder ([1-9][0-9]{0,19})\nmade (0|[1-9][0-9]{0,18})\npath ([!-~]*)\n"
)


class ShareRecord(NamedTuple):
    """`folder`: its inode number in the drive. `path`: where it lay then. `made_ns`: since 1970."""

    folder: int
    made_ns: int
    path: bytes

    def encode(self) -> bytes:
        return (
            f"hyperfs shared folder\nformat {SHARE_FORMAT}\nfolder {self.folder}\nmade {self.made_ns}\n"
            f"path {quote_from_bytes(self.path)}\n"
        ).encode()


def decode_record(data: bytes) -> ShareRecord:
    """Corrupt for what encode could not have made, FormatTooNew by the number alone."""
    found = _FORMAT.match(data)
    if found is not None and int(found[1]) > SHARE_FORMAT:
        raise FormatTooNew("the record of a shared folder", int(found[1]), SHARE_FORMAT)
    whole = _WHOLE.fullmatch(data)
    if whole is None:
        raise Corrupt("the record of a shared folder is damaged", f"file {RECORD}")
    record = ShareRecord(int(whole[1]), int(whole[2]), unquote_to_bytes(whole[3]))
    if record.encode() != data:
        raise Corrupt("the record of a shared folder is written in another way than hyperfs does", f"file {RECORD}")
    return record


class FolderKeys(NamedTuple):
    root: RootSeed
    device: DeviceKeys
    secret: bytes
    """By which the drive's facts name the folder's inodes: see Mirrored."""


def keys_of(transport: BoxKeyPair, salt: bytes) -> FolderKeys:
    """`transport`: the device's own."""
    base = derive(transport.secret(), _DOMAIN, salt)
    root, *device, secret = (derive(base, _KEY_DOMAIN, bytes([number])) for number in range(6))
    return FolderKeys(RootSeed(root), DeviceKeys(*device), secret)


class FolderStore:
    """One of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.salt = bytes.fromhex(path.name)

    @property
    def is_made(self) -> bool:
        return (self.path / RECORD).exists()

    @property
    def is_ended(self) -> bool:
        return (self.path / ENDED).exists()

    def record(self) -> ShareRecord:
        return decode_record(Disk(self.path).read_all(RECORD))

    def make(self, transport: BoxKeyPair, top: Inode, record: ShareRecord) -> bytes:
        """The new drive's id; empty but for its root."""
        keys, name = keys_of(transport, self.salt), record.path.rpartition(b"/")[2]
        epoch = EpochKeys(1, os.urandom(32), os.urandom(32))
        shown = name.decode(errors="replace")
        drive = NewDrive(keys.root, keys.device, epoch, shown, DEVICE_NAME, top.uid, top.gid)
        self.path.parent.mkdir(FOLDER_MODE, exist_ok=True)
        made = create_store(self.path, drive, NO_KEYS, Options(reserve_bytes=RESERVE_BYTES))
        Disk(self.path).replace(RECORD, record.encode())
        return made

    def open(self, transport: BoxKeyPair) -> Volume:
        return open_volume(self.path, keys_of(transport, self.salt).device)

    def end(self) -> None:
        """It is not shared any more; what the drive took goes. Not open. What stays tells peers what to let go."""
        drive_id = folder.inspect(self.path, need_keys=False).drive_id
        Disk(self.path).replace(ENDED, drive_id.hex().encode())
        for entry in list(os.scandir(self.path)):
            if entry.name not in (RECORD, ENDED):
                shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)

    def ended_drive(self) -> bytes | None:
        """The id of the drive that was ended; None where that can't be read."""
        words = Disk(self.path).read_all(ENDED)
        return bytes.fromhex(words.decode()) if re.fullmatch(rb"[0-9a-f]{64}", words) else None

    def remove(self) -> None:
        shutil.rmtree(self.path)


def new_store(store: Path) -> FolderStore:
    return FolderStore(store / ROOM / os.urandom(SALT_BYTES).hex())


def stores_in(store: Path) -> Iterator[FolderStore]:
    """Whole ones, half ones and ended ones."""
    room = store / ROOM
    for path in sorted(room.iterdir()) if room.is_dir() else ():
        if _SALT.fullmatch(path.name):
            yield FolderStore(path)
