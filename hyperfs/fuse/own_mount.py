"""The mount by the system call itself, where we may: for one flag that neither libfuse nor fusermount3 can pass on.

A directory's default ACL stands in the place of the umask. The kernel takes the umask's bits away before it asks
us, whatever the directory has, unless the filesystem was mounted with MS_POSIXACL: only then do we get the mode that
the program gave, and the umask beside it. See docs/adr/0010-acls.md.
"""

import ctypes
import os
import select
from pathlib import Path
from typing import Final

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_POSIXACL: Final = 1 << 16
MNT_DETACH: Final = 2
TYPE: Final = b"fuse.hyperfs"
DEVICE: Final = "/dev/fuse"

_libc = ctypes.CDLL(None, use_errno=True)


class OwnMount:
    """A mount and the connection that belongs to it. libfuse takes the connection over, and closes it."""

    def __init__(self, directory: Path, source: str, read_only: bool, allow_other: bool) -> None:
        """Raises OSError; PermissionError where only fusermount3 may mount."""
        self._directory = os.fsencode(directory.absolute())
        self._connection = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        options = [
            f"fd={self._connection}",
            f"rootmode={os.stat(directory).st_mode:o}",
            f"user_id={os.getuid()}",
            f"group_id={os.getgid()}",
            "default_permissions",
            *(["allow_other"] if allow_other else []),
        ]
        flags = MS_NOSUID | MS_NODEV | MS_POSIXACL | (MS_RDONLY if read_only else 0)
        data = ",".join(options).encode()
        if _libc.mount(os.fsencode(source), self._directory, TYPE, ctypes.c_ulong(flags), data):
            number = ctypes.get_errno()
            os.close(self._connection)
            raise OSError(number, os.strerror(number), os.fspath(directory))

    @property
    def name(self) -> str:
        """What libfuse takes as a mount point that is mounted already."""
        return f"/dev/fd/{self._connection}"

    def unmount(self) -> None:
        """Takes the mount away if nobody else has; before libfuse closes the connection."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        if not any(events & select.POLLERR for _, events in poll.poll(0)):
            _libc.umount2(self._directory, MNT_DETACH)
