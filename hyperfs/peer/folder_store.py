"""A cloud peer's store in a folder.

    PEER/hyperfs-peer                   text: this is a peer's folder, its format. Written last when it is made
    PEER/lock                           flock by the process that has it open
    PEER/own/NAME                       records of the peer itself
    PEER/drives/ID/records/NAME         records of a drive
    PEER/drives/ID/logs/DK/FORK/        blocks, tree, heads, have: a replica (docs/formats/log.md)

Folders are 0700 and files 0600. The page is docs/formats/peer-folder.md.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hyperfs.errors import Corrupt, FormatTooNew, NotAStore
from hyperfs.log import heads
from hyperfs.log.log import HEADS_FILE
from hyperfs.log.replica import FILES, Replica
from hyperfs.peer.blockstore import OWN, Place
from hyperfs.store.files import FOLDER_MODE, Disk
from hyperfs.store.folder import LOCK, StoreLock

PEER_FORMAT: Final = 1
FORMAT_FILE: Final = "hyperfs-peer"
_FORMAT: Final = re.compile(rb"hyperfs peer\nformat ([1-9][0-9]{0,8})\n")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,19}")
_NAME: Final = re.compile(r"[a-z0-9-]+")


class FolderStore:
    """Owned by one process; see BlockStore."""

    def __init__(self, path: Path, disk: Callable[[Path], Disk] = Disk) -> None:
        """Opens a peer's folder, and makes one of a new or empty folder. NotAStore for a folder of something else,
        StoreLocked, FormatTooNew, Corrupt, OSError."""
        path.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        found = set(os.listdir(path)) - {LOCK}
        self._disk = disk(path)
        if FORMAT_FILE not in found and not found <= {"own", "drives"} | _unfinished(found):
            raise NotAStore(f"{path} is no cloud peer's folder: the file {FORMAT_FILE} is missing in it")
        self._lock = StoreLock(path)
        try:
            if FORMAT_FILE in found:
                _check_format(self._disk.read_all(FORMAT_FILE), path)
            else:
                for name in ("own", "drives"):
                    self._disk.makedirs(name)
                self._disk.replace(FORMAT_FILE, b"hyperfs peer\nformat %d\n" % PEER_FORMAT)
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        self._lock.release()

    def drives(self) -> list[bytes]:
        names = [name for name in self._disk.listdir("drives") if _HEX.fullmatch(name)]
        return [bytes.fromhex(name) for name in names if self.names(bytes.fromhex(name))]

    def names(self, owner: bytes) -> list[str]:
        folder = _records(owner)
        return [name for name in self._list(folder) if _NAME.fullmatch(name)]

    def read(self, owner: bytes, name: str) -> bytes | None:
        path = f"{_records(owner)}/{_checked(name)}"
        if not self._disk.exists(path):
            return None
        file = self._disk.open(path)
        try:
            file.refresh()
            self._disk.sync_folder(_records(owner))
            return file.pread(file.size(), 0)
        finally:
            file.close()

    def write(self, owner: bytes, name: str, data: bytes) -> None:
        self._disk.makedirs(_records(owner))
        self._disk.replace(f"{_records(owner)}/{_checked(name)}", data)

    def discard(self, owner: bytes, name: str) -> None:
        path = f"{_records(owner)}/{_checked(name)}"
        if self._disk.exists(path):
            self._disk.remove(path)
            self._disk.sync_folder(_records(owner))

    def places(self, drive: bytes) -> list[Place]:
        logs = f"drives/{drive.hex()}/logs"
        return [
            Place(drive, bytes.fromhex(log), int(fork))
            for log in self._list(logs)
            if _HEX.fullmatch(log)
            for fork in sorted(filter(_NUMBER.fullmatch, self._list(f"{logs}/{log}")), key=int)
            if self._disk.exists(f"{logs}/{log}/{fork}/{HEADS_FILE}")
        ]

    def open(self, place: Place, public_key: bytes, number: int) -> Replica:
        return Replica(self._disk, _folder(place), public_key, place.fork, number)

    def remove(self, place: Place) -> None:
        """The heads go first: what is left without them is no log, and is overwritten by the next one."""
        folder = _folder(place)
        for names in ((HEADS_FILE,), FILES):
            for name in names:
                if self._disk.exists(f"{folder}/{name}"):
                    self._disk.remove(f"{folder}/{name}")
            if self._disk.exists(folder):
                self._disk.sync_folder(folder)

    def size_of(self, place: Place) -> int:
        folder = self._disk.root / _folder(place)
        sizes = [os.stat(folder / name).st_blocks * 512 for name in FILES if (folder / name).exists()]
        return sum(sizes) + (heads.FILE_BYTES if (folder / HEADS_FILE).exists() else 0)

    def free_bytes(self) -> int:
        found = os.statvfs(self._disk.root)
        return found.f_bavail * found.f_frsize

    def _list(self, folder: str) -> list[str]:
        return self._disk.listdir(folder) if self._disk.exists(folder) else []


class Beside(FolderStore):
    """To look at, beside the process that has the folder open: what is read of it may be half of a change."""

    def __init__(self, path: Path) -> None:
        """NotAStore for a folder that is no peer's, FormatTooNew, Corrupt, OSError."""
        self._disk = _checked_disk(path)

    def close(self) -> None:
        """It has no lock."""


class OwnRecords:
    """The records of the peer itself, for its owner's commands, beside the process that has the folder open."""

    def __init__(self, path: Path) -> None:
        """NotAStore for a folder that is no peer's, FormatTooNew, Corrupt, OSError."""
        self._disk = _checked_disk(path)

    def read(self, name: str) -> bytes | None:
        path = f"own/{_checked(name)}"
        return self._disk.read_all(path) if self._disk.exists(path) else None

    def write(self, name: str, data: bytes) -> None:
        self._disk.replace(f"own/{_checked(name)}", data)


def _checked_disk(path: Path) -> Disk:
    disk = Disk(path)
    if not disk.exists(FORMAT_FILE):
        raise NotAStore(f"{path} is no cloud peer's folder: the file {FORMAT_FILE} is missing in it")
    _check_format(disk.read_all(FORMAT_FILE), path)
    return disk


def _unfinished(found: set[str]) -> set[str]:
    """What a making that was killed leaves of the format file."""
    return {name for name in found if name.startswith(f"{FORMAT_FILE}.")}


def _check_format(data: bytes, path: Path) -> None:
    found = _FORMAT.match(data)
    if found is None:
        raise Corrupt("a cloud peer's format file is damaged", str(path / FORMAT_FILE))
    if int(found[1]) > PEER_FORMAT:
        raise FormatTooNew(f"the cloud peer's folder {path}", int(found[1]), PEER_FORMAT)
    if found[0] != data:
        raise Corrupt("a cloud peer's format file is damaged", str(path / FORMAT_FILE))


def _records(owner: bytes) -> str:
    return "own" if owner == OWN else f"drives/{owner.hex()}/records"


def _folder(place: Place) -> str:
    return f"drives/{place.drive.hex()}/logs/{place.log.hex()}/{place.fork}"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no record's name")
    return name
