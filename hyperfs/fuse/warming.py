"""Warming: a file that is read here and there gets into the kernel's cache by whole stretches.

To answer a read of 4 KiB from a cold file a chunk of some 128 KiB is read, opened and decompressed. A program that
reads at random comes back to the same stretch, long after the chunk has left our cache; and the kernel, which has
room, has asked for nothing but those 4 KiB. So on the second such read of a stretch the kernel is made to read all of
it, once. Why by a child process: ADR 0030.
"""

import contextlib
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Final

from hyperfs.errors import HyperfsError
from hyperfs.fuse import warmer
from hyperfs.volume.inode import Inode
from hyperfs.volume.overlay import Overlay
from hyperfs.volume.paths import near_path

STRETCH_BYTES: Final = 256 << 10
SMALL_BYTES: Final = 32 << 10
"""What is asked for in larger pieces is read in sequence, or by a program that knows what it needs."""
ASKED_AT: Final = 2
"""The scattered read of a stretch with which the kernel is made to read all of it."""
ASKED_AGAIN_AT: Final = 8
"""Some come while that is on its way. After so many the kernel has dropped what it had."""
STRETCHES_KEPT: Final = 4096
NAMES_MOST: Final = 2000
"""So many names of a folder are looked through for the way to a file; where that is not enough, it is not warmed."""
PATH_MOST_BYTES: Final = 4000
"""Less than PIPE_BUF with the rest of the request, so that it is written whole or not at all."""


class Warming:
    """Owned by the trio thread. Nothing that it does is needed by anybody: whatever fails is left out."""

    def __init__(self, directory: Path, overlay: Overlay) -> None:
        self._directory = os.fsencode(directory)
        self._overlay = overlay
        self._seen: OrderedDict[tuple[int, int], int] = OrderedDict()  # scattered reads of stretches, oldest first
        self._paths: OrderedDict[int, bytes | None] = OrderedDict()
        self._child: subprocess.Popen[bytes] | None = None

    def scattered_read(self, inode: Inode, offset: int) -> None:
        """A small read that does not go on where the last one ended."""
        if inode.size < STRETCH_BYTES:
            return
        stretch = inode.ino, offset // STRETCH_BYTES
        reads = self._seen[stretch] = self._seen.get(stretch, 0) + 1
        if len(self._seen) > STRETCHES_KEPT:
            self._seen.popitem(last=False)
        if reads in (ASKED_AT, ASKED_AGAIN_AT):
            self._seen[stretch] = ASKED_AT
            path = self._path_of(inode)
            if path is not None:
                self._ask(path, stretch[1] * STRETCH_BYTES)

    def _path_of(self, inode: Inode) -> bytes | None:
        """May be out of date: then another file is warmed, or none."""
        if inode.ino not in self._paths:
            try:
                relative = near_path(self._overlay.live, inode, NAMES_MOST)
            except HyperfsError:
                relative = None
            self._paths[inode.ino] = None if relative is None else self._directory + b"/" + relative
            if len(self._paths) > STRETCHES_KEPT:
                self._paths.popitem(last=False)
        return self._paths[inode.ino]

    def _ask(self, path: bytes, offset: int) -> None:
        if len(path) > PATH_MOST_BYTES:
            return
        request = warmer.REQUEST.pack(offset, STRETCH_BYTES, len(path)) + path
        if self._child is None or self._child.poll() is not None:
            self._start()
        if self._child is not None and self._child.stdin is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._child.stdin.fileno(), request)  # a child that is behind is not waited for

    def _start(self) -> None:
        self.close()
        command = [sys.executable, "-I", "-S", warmer.__file__]
        try:
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/")
        except OSError:
            return
        assert self._child.stdin is not None
        os.set_blocking(self._child.stdin.fileno(), False)

    def close(self) -> None:
        """Ends the child, which is not waited for: it may be waiting for an answer of ours."""
        child, self._child = self._child, None
        if child is not None:
            assert child.stdin is not None
            child.stdin.close()
            child.kill()
