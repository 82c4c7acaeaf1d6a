"""The program of `Warming`'s child process: has the kernel read stretches of files on the mount, ahead of programs.

Run alone, without the rest of hyperfs: `python -I -S warmer.py`. Standard input brings requests until it ends. A
stretch is asked for by posix_fadvise, so the kernel reads only pages that it does not hold, and nothing is waited for.
"""

import os
import select
import struct
import sys
from typing import Final

REQUEST: Final = struct.Struct("<QQH")
"""Offset and length in bytes, then the length of the path that follows."""
LINGER_MS: Final = 20
"""A file is kept open for the next request for so long: an open file keeps the drive from being unmounted."""
IDLE_MS: Final = 60_000
"""Then the process ends; the next request starts another."""


def main() -> None:
    requests = sys.stdin.fileno()
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    path, fd = b"", -1
    while True:
        if fd >= 0 and not poll.poll(LINGER_MS):
            os.close(fd)
            path, fd = b"", -1
        if not poll.poll(IDLE_MS):
            return
        # Requests are written whole, and are shorter than what a pipe keeps whole.
        head = os.read(requests, REQUEST.size)
        if len(head) < REQUEST.size:
            return
        offset, length, size = REQUEST.unpack(head)
        wanted = os.read(requests, size)
        if wanted != path:
            if fd >= 0:
                os.close(fd)
            path, fd = wanted, _opened(wanted)
        if fd >= 0:
            os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)


def _opened(path: bytes) -> int:
    """-1 where it can't be: the file has moved, or somebody holds a lease on it, which O_NONBLOCK does not wait for."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return -1


if __name__ == "__main__":
    main()
