"""What is mounted where: this machine's table of mounts, and taking a mount away."""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyperfs.errors import Refused

FSTYPE: Final = "fuse.hyperfs"
TABLE: Final = Path("/proc/self/mountinfo")

_ESCAPED: Final = re.compile(rb"\\([0-3][0-7]{2})")
_MNT_DETACH: Final = 2


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A line of the table. `inside` is the folder of the filesystem that is mounted, b"" for all of it."""

    point: bytes
    fstype: str
    source: bytes
    inside: bytes
    user: int | None

    @property
    def is_hyperfs(self) -> bool:
        return self.fstype == FSTYPE

    @property
    def store(self) -> Path:
        """Of a hyperfs mount: the store behind it."""
        return Path(os.fsdecode(self.source))


def mount_points(table: Path = TABLE) -> list[MountPoint]:
    """All mounts, in the order in which they were made: of two at one place the later one hides the other."""
    # Not splitlines(): the kernel escapes line ends in names, and leaves a carriage return as it is.
    lines = (_parse(line) for line in table.read_bytes().split(b"\n"))
    return [found for found in lines if found is not None]


def _parse(line: bytes) -> MountPoint | None:
    """None for a line that says no mount: a kernel to come may have more of them than we know."""
    before, _, after = line.partition(b" - ")
    fields, rest = before.split(b" "), after.split(b" ", 2)
    if len(fields) < 5 or len(rest) < 3:
        return None
    root, point = fields[3:5]
    fstype, source, options = rest
    user = re.search(rb"(?:^|,)user_id=(\d{1,10})", options)
    return MountPoint(
        _unescape(point),
        fstype.decode("ascii", "replace"),
        _unescape(source),
        _unescape(root).strip(b"/"),
        int(user[1]) if user else None,
    )


def _unescape(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), field)


def at(path: Path) -> MountPoint | None:
    """The mount whose mount point is exactly this absolute path."""
    wanted = os.fsencode(path)
    return next((mount for mount in reversed(mount_points()) if mount.point == wanted), None)


def containing(path: bytes) -> MountPoint | None:
    """The mount in which an absolute, resolved path lies."""
    best: MountPoint | None = None
    for mount in mount_points():
        point = mount.point.rstrip(b"/")
        if (path == point or path.startswith(point + b"/")) and (
            best is None or len(mount.point) >= len(best.point)
        ):
            best = mount
    return best


def of_store(store: Path) -> list[MountPoint]:
    """Where a store is mounted."""
    source = os.fsencode(store)
    return [mount for mount in mount_points() if mount.is_hyperfs and mount.source == source]


def is_dead(path: Path) -> bool:
    """Whether the process behind a mount has died. Not asked by stat, which the kernel answers from its cache."""
    try:
        os.statvfs(path)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def unmount(path: Path, lazy: bool = False) -> None:
    """Takes a mount away. Raises OSError EBUSY while it is in use, Refused with fusermount3's words.

    Lazy: it vanishes at once and ends when the last program has let go.
    """
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(path), _MNT_DETACH if lazy else 0):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
        return
    program = shutil.which("fusermount3")
    if program is None:
        raise Refused("the program fusermount3 is missing: install the package fuse3")
    command = [program, "-u", *(["-z"] if lazy else []), "--", str(path)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode == 0:
        return
    words = done.stderr.decode(errors="replace").strip()
    if "busy" in words:  # fusermount3 gives no code of its own for this
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
    raise Refused(f"{path} can't be unmounted: {words}")


def detach_dead(path: Path) -> bool:
    """Takes dead mounts at a path away, all of them; whether there was one."""
    found = False
    while is_dead(path):
        unmount(path, lazy=True)
        found = True
    return found


def detach_in_turn(store: Path, path: Path) -> bool:
    """`detach_dead` under a lock on the store's folder: of two who mend a dead mount, one must not detach what the
    other has just mounted."""
    fd = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return detach_dead(path)
    finally:
        os.close(fd)
