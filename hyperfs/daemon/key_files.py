"""The two key files: the device's in the store, the root's apart from it. Each 0600, plain or under a passphrase."""

import os
from collections.abc import Callable
from pathlib import Path

from hyperfs.crypto import wrap
from hyperfs.crypto.keys import DeviceKeys, RootSeed
from hyperfs.errors import BadRequest, Corrupt, KeyMissing
from hyperfs.store import folder
from hyperfs.store.files import Disk

Ask = Callable[[str], bytes | None]
"""Gives the passphrase for what is named, or None when there is nobody to ask."""


def wrapped(kind: int, body: bytes, passphrase: bytes | None) -> bytes:
    """A key file with fresh salt and nonce. Raises BadRequest for a passphrase that can't be one."""
    if passphrase is None:
        return wrap.wrap(kind, body)
    try:
        return wrap.wrap(kind, body, passphrase, os.urandom(wrap.SALT_BYTES), os.urandom(wrap.NONCE_BYTES))
    except ValueError as error:
        raise BadRequest(str(error)) from None


def opened(data: bytes, kind: int, what: str, ask: Ask) -> bytes:
    """The body of a key file; asks only for one that needs it. Raises Corrupt, WrongPassphrase."""
    passphrase = ask(what) if wrap.is_wrapped(data) else None
    return wrap.unwrap(data, kind, passphrase)


def _read(disk: Disk, name: str) -> bytes:
    data = disk.read_all(name)
    if len(data) > wrap.MAX_FILE_BYTES:
        raise Corrupt("this is no key file: it is far too long", str(disk.root / name))
    return data


def load_device(store: Path, ask: Ask) -> DeviceKeys:
    """Raises what `folder.inspect` does for what is no store, Corrupt, WrongPassphrase."""
    folder.inspect(store)
    return read_device(store, ask)


def read_device(store: Path, ask: Ask) -> DeviceKeys:
    """As load_device, of a folder that need not be a store yet."""
    data = _read(Disk(store), folder.KEYS)
    return DeviceKeys.from_bytes(opened(data, wrap.KIND_DEVICE, f"the store {store}", ask))


def save_device(store: Path, keys: DeviceKeys, passphrase: bytes | None) -> None:
    Disk(store).replace(folder.KEYS, wrapped(wrap.KIND_DEVICE, keys.to_bytes(), passphrase))


def _root_disk(drive_id: bytes) -> tuple[Disk, str]:
    path = folder.root_key_path(drive_id)
    return Disk(path.parent), path.name


def has_root(drive_id: bytes) -> bool:
    return folder.root_key_path(drive_id).exists()


def load_root(drive_id: bytes, ask: Ask) -> RootSeed:
    """Raises KeyMissing where this machine does not have it, Corrupt, WrongPassphrase."""
    path = folder.root_key_path(drive_id)
    if not path.exists():
        raise KeyMissing(
            f"this machine does not hold the drive's root key ({path} is not there): "
            "what needs it needs the recovery key from your card"
        )
    disk, name = _root_disk(drive_id)
    return RootSeed.from_bytes(opened(_read(disk, name), wrap.KIND_ROOT, "the drive's root key", ask))


def save_root(drive_id: bytes, root: RootSeed, passphrase: bytes | None) -> None:
    """Replaces the file durably; its folder is made, for this user only."""
    path = folder.root_key_path(drive_id)
    path.parent.mkdir(mode=folder.FOLDER_MODE, parents=True, exist_ok=True)
    disk, name = _root_disk(drive_id)
    disk.replace(name, wrapped(wrap.KIND_ROOT, root.to_bytes(), passphrase))


def forget_root(drive_id: bytes) -> None:
    """Removes the file. Its bytes may live on in the disk's free space, as with any file."""
    disk, name = _root_disk(drive_id)
    disk.remove(name)
    disk.sync_folder()
