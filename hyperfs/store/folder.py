"""The store folder: what lies where in it, what makes a folder one, and who has it open.

    STORE/hyperfs         text: this is a store, its format, its drive. Written last by init
    STORE/CACHEDIR.TAG    tells backup programs that know the convention to pass by
    STORE/lock            flock by the process that has the store open; its pid in it
    STORE/keys            this device's keys (docs/formats/keys.md)
    STORE/control         the control chain
    STORE/logs/DK/        blocks, tree and heads of the log with discovery key DK (hex)
    STORE/journal/        segments of changes not yet committed
    STORE/index/          derived, may be deleted
    STORE/reserve         preallocated space
    STORE/socket          of the daemon that has it mounted

Folders are 0700 and files 0600. The root's key file is not here. The page is docs/formats/store-folder.md.
"""

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import platformdirs

from hyperfs.errors import Corrupt, FormatTooNew, KeyMissing, NotAStore, Refused, StoreLocked
from hyperfs.values import FORMAT_VERSION

FORMAT_FILE: Final = "hyperfs"
CACHEDIR_TAG: Final = "CACHEDIR.TAG"
LOCK: Final = "lock"
KEYS: Final = "keys"
CONTROL: Final = "control"
LOGS: Final = "logs"
JOURNAL: Final = "journal"
INDEX: Final = "index"
RESERVE: Final = "reserve"
SOCKET: Final = "socket"

FOLDERS: Final = (LOGS, JOURNAL, INDEX)
DRIVE_ID_BYTES: Final = 32
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600

# The first line is fixed by https://bford.info/cachedir/; programs compare exactly these 43 bytes.
CACHEDIR_TEXT: Final = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# A hyperfs store: encrypted, changed all the time by a running program.\n"
    b"# Back up the mounted drive instead.\n"
)

_MAX_FORMAT_FILE_BYTES: Final = 4096
_FIRST_LINE: Final = b"hyperfs store\n"
_FORMAT_LINE: Final = re.compile(rb"hyperfs store\nformat ([1-9][0-9]{0,8})\n")
_WHOLE: Final = re.compile(rb"hyperfs store\nformat [1-9][0-9]*\ndrive ([0-9a-f]{64})\n")


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What the format file says. The opener compares `drive_id` with the control chain's."""

    path: Path
    format: int
    drive_id: bytes


def encode_format(drive_id: bytes) -> bytes:
    """The format file's text, present format."""
    if len(drive_id) != DRIVE_ID_BYTES:
        raise ValueError(f"a drive id has {DRIVE_ID_BYTES} bytes, not {len(drive_id)}")
    return b"%sformat %d\ndrive %s\n" % (_FIRST_LINE, FORMAT_VERSION, drive_id.hex().encode())


def decode_format(data: bytes, path: Path) -> StoreInfo:
    """Raises FormatTooNew by the number alone (a later text may go on differently), Corrupt otherwise."""
    found = _FORMAT_LINE.match(data)
    if found is None:
        raise Corrupt("the store's format file is damaged", str(path / FORMAT_FILE), _FORMAT_ADVICE)
    number = int(found[1])
    if number > FORMAT_VERSION:
        raise FormatTooNew(f"the store {path}", number, FORMAT_VERSION)
    whole = _WHOLE.fullmatch(data)
    if whole is None:
        raise Corrupt("the store's format file is damaged", str(path / FORMAT_FILE), _FORMAT_ADVICE)
    return StoreInfo(path, number, bytes.fromhex(whole[1].decode()))


_FORMAT_ADVICE: Final = (
    "it has three lines, 'hyperfs store', 'format 1' and 'drive ' with the drive's id in 64 hex digits; "
    "the key file beside your recovery key is named by that id"
)


def inspect(path: Path, need_keys: bool = True) -> StoreInfo:
    """Looks, changes nothing. Raises NotAStore for what is none or only half of one, FormatTooNew, Corrupt.

    Without the device's key file: KeyMissing, unless the caller (recovery) does not need it. OSError where
    the folder can't be read at all.
    """
    if not path.exists():
        raise NotAStore(f"{path} does not exist: 'hyperfs init {path}' makes a store there")
    if not path.is_dir():
        raise NotAStore(f"{path} is not a folder, so it is no store")
    names = {entry.name for entry in os.scandir(path)}
    if FORMAT_FILE not in names:
        raise NotAStore(_why_no_store(path, names))
    info = decode_format(_read_start(path / FORMAT_FILE), path)
    missing = [name for name in (CONTROL, LOGS) if name not in names]
    if missing:
        raise NotAStore(
            f"{path} is half a store: {' and '.join(missing)} missing. Put back what was taken out of it, "
            f"or clone the drive from a peer into a new folder"
        )
    if need_keys and KEYS not in names:
        raise KeyMissing(
            f"{path} has no key file ({KEYS}): put it back, or run "
            f"'hyperfs recover {path} --recovery-key KEY' with the drive's recovery key"
        )
    return info


def _read_start(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return os.read(fd, _MAX_FORMAT_FILE_BYTES)
    finally:
        os.close(fd)


def _why_no_store(path: Path, names: set[str]) -> str:
    parts = sorted(names & {CONTROL, KEYS, LOGS, JOURNAL})
    if not names:
        return f"{path} is empty and no store: 'hyperfs init {path}' makes one there"
    if CONTROL in parts:
        return (
            f"{path} is half a store: {FORMAT_FILE} is missing beside {', '.join(parts)}. Put the file back; "
            f"{_FORMAT_ADVICE}"
        )
    if parts:
        return f"{path} is half a store, an init that did not finish: delete the folder and run init again"
    return f"{path} is no hyperfs store: the file {FORMAT_FILE} is missing in it"


def lay_out(path: Path) -> None:
    """Makes the folder, its subfolders and tag: the first step of init; the format file is the last.

    Parents are made as the user's umask has it. Raises Refused when something is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    found = sorted(entry.name for entry in os.scandir(path))
    if found:
        shown = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
        raise Refused(f"{path} is not empty ({shown}): a new store needs a new or empty folder")
    path.chmod(FOLDER_MODE)
    for name in FOLDERS:
        (path / name).mkdir(mode=FOLDER_MODE)
    _write_new(path / CACHEDIR_TAG, CACHEDIR_TEXT)


def write_format(path: Path, drive_id: bytes) -> None:
    """Makes a laid-out folder a store: durable when it returns. All else must be on the disk before."""
    temporary = path / f"{FORMAT_FILE}.new"
    _write_new(temporary, encode_format(drive_id))
    temporary.rename(path / FORMAT_FILE)
    _sync_folder(path)
    _sync_folder(path.parent)


def _write_new(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, FILE_MODE)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class StoreLock:
    """Held by the one process that has the store open. The kernel lets it go when that process ends.

    Survives a fork (daemonising): the child calls `note_owner`, the parent leaves by os._exit.
    """

    def __init__(self, path: Path) -> None:
        """Raises StoreLocked, with the holder's pid if it can be read; OSError (EROFS, EACCES) as it is."""
        self._fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid_in(self._fd)
            os.close(self._fd)
            raise StoreLocked(str(path), pid) from None
        except OSError:
            os.close(self._fd)
            raise
        self.note_owner()

    def note_owner(self) -> None:
        """Writes this process's pid: for people and messages only, the lock itself is the flock."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Idempotent. The file stays: removing it would let two processes lock two files."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.ftruncate(fd, 0)
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _pid_in(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None


def locked_by(path: Path) -> int | None:
    """The pid of the process that has the store open, 0 when open by one unknown, None when not open."""
    try:
        with StoreLock(path):
            return None
    except StoreLocked as locked:
        return locked.pid or 0


def default_store() -> Path:
    """Where `mount` without a store looks."""
    return Path(platformdirs.user_data_dir("hyperfs")) / "store"


def root_key_path(drive_id: bytes) -> Path:
    """The file of a drive's root seed: apart from the store, so that a copied store can't admit devices."""
    return Path(platformdirs.user_config_dir("hyperfs")) / "roots" / f"{drive_id.hex()}.key"
