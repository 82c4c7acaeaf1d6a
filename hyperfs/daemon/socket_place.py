"""Where a drive's control socket is: STORE/socket, or in a folder of this user's where the store can't have one."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from hyperfs.errors import Refused
from hyperfs.store.folder import SOCKET

Place = tuple[Path, str]
"""A folder and the socket's name in it."""


def _own_folder() -> Path:
    """A folder of this user alone, made if need be. Raises Refused when somebody else has put one there."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    path = Path(runtime) / "hyperfs" if runtime else Path(f"/tmp/hyperfs-{os.getuid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Refused(f"{path} must be a folder of yours alone (mode 0700): remove or mend it")
    return path


def in_store(store: Path) -> Place:
    return store, SOCKET


def outside(store: Path) -> Place:
    """For a store on a read-only disk."""
    return _own_folder(), blake2b(os.fsencode(store), digest_size=8).hexdigest()


def for_new(store: Path) -> Place:
    """Where a drive that begins to serve puts its socket."""
    return in_store(store) if os.access(store, os.W_OK) else outside(store)


@contextmanager
def short_path(place: Place) -> Iterator[str]:
    """A path that the kernel takes for a socket however deep the folder lies (its limit is 107 bytes)."""
    folder, name = place
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)
