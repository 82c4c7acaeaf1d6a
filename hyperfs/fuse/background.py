"""How many read-aheads and write-backs the kernel lets us answer at once: of those that wait for elsewhere, more.

The kernel sends a dozen and keeps the others to itself. A dozen that wait for a network would keep all that is here
from being read, until they are given up. So what waits there does not count: the bound is raised by as much. It is not
higher from the start, since each write that is under way is in our memory.

The bound is a file of the filesystem `fusectl`. Where that is not mounted, root mounts it for a moment; where it can't
be had, the bound stays as it is.
"""

import contextlib
import ctypes
import logging
import os
import tempfile
from pathlib import Path
from typing import Final

CONNECTIONS: Final = Path("/sys/fs/fuse/connections")
STEP: Final = 16
"""The bound goes by so many at a time."""
MOST_MORE: Final = 320
"""Less than there are tasks to answer with."""
_MNT_DETACH: Final = 2

log = logging.getLogger("hyperfs.fuse")


class Background:
    """Owned by the trio thread. Harmless where `open` found nothing."""

    def __init__(self) -> None:
        self._fd = -1
        self._usual = 0
        self._more = 0
        self.waiting = 0

    def open(self, directory: Path) -> None:
        """For the mount at a directory, which answers by now; from a worker thread."""
        name = f"{os.minor(os.stat(directory).st_dev)}/max_background"
        try:
            self._fd, self._usual = _opened(name)
        except (OSError, ValueError) as error:
            log.info("the kernel's bound of requests stays as it is: %s", error)

    def wait(self, more: int) -> None:
        """So many more requests wait for elsewhere; less, where it is negative."""
        self.waiting += more
        wanted = min(MOST_MORE, -(-self.waiting // STEP) * STEP)
        if self._usual and wanted != self._more:
            self._more = wanted
            with contextlib.suppress(OSError):
                os.write(self._fd, b"%d" % (self._usual + wanted))

    def close(self) -> None:
        fd, self._fd, self._usual = self._fd, -1, 0
        if fd >= 0:
            os.close(fd)


def _opened(name: str) -> tuple[int, int]:
    """The file to write to, and the bound as it is. Raises OSError, ValueError."""
    if (CONNECTIONS / name).exists() or os.geteuid() != 0:
        return _with_bound(CONNECTIONS / name)
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory() as folder:
        point = os.fsencode(folder)
        if libc.mount(b"none", point, b"fusectl", 0, None):
            raise OSError(ctypes.get_errno(), "fusectl can't be mounted")
        try:
            return _with_bound(Path(folder) / name)
        finally:
            libc.umount2(point, _MNT_DETACH)


def _with_bound(path: Path) -> tuple[int, int]:
    """Read by another descriptor than is written to: the kernel takes no write behind a read."""
    usual = int(path.read_text())
    return os.open(path, os.O_WRONLY | os.O_CLOEXEC), usual
