"""A volume as a mounted filesystem: the options, the main loop, what the kernel is told."""

import gc
import logging
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyfuse3
import trio
from tzlocal import get_localzone

from hyperfs.fuse.contents import ContentOperations
from hyperfs.fuse.event_loop import Turns, short_ways
from hyperfs.fuse.folders import FolderOperations
from hyperfs.fuse.metadata import MetadataOperations
from hyperfs.fuse.names import NameOperations
from hyperfs.fuse.own_mount import OwnMount
from hyperfs.fuse.past import VERSIONS_NAME, Past
from hyperfs.fuse.state import State
from hyperfs.fuse.using import note_uses
from hyperfs.fuse.warming import Warming
from hyperfs.volume.advancing import Advanced
from hyperfs.volume.queues import UNBOUNDED, Queue
from hyperfs.volume.volume import Volume

log = logging.getLogger("hyperfs.fuse")

READ_AHEAD_KIB: Final = 1024
MAX_TASKS: Final = 500
"""Requests that are being answered at once. One that waits for the disk takes a place: when writers have taken all,
nobody is answered until one of them is. More than programs' threads there can't be."""
IDLE_TASKS: Final = 8
"""Tasks that stay though no request waits for them. To start one costs as much as half a request."""
SETTLE_SECONDS: Final = 1.0
"""By then the kernel has told what it forgot; on a busy machine not all of it."""


@dataclass(frozen=True)
class MountOptions:
    """How to mount. `fsname` is what `mount` and `df` show as the source. `is_all_readable`: to whoever mounts it, for
    he has the keys; owners and modes are those of another machine, where the numbers of users mean others."""

    fsname: str
    allow_other: bool = False
    read_only: bool = False
    show_versions: bool = False
    is_all_readable: bool = False

    @property
    def asks_modes(self) -> bool:
        return self.allow_other or not self.is_all_readable


class Operations(NameOperations, ContentOperations, MetadataOperations, FolderOperations):
    """All handlers, by family in their own modules."""

    supports_dot_lookup = True
    def __init__(self, state: State, may_write: bool, asks_modes: bool) -> None:
        """Where nothing is written the kernel keeps no bytes back: files whose bytes it might hold have for it the
        size that it knows, whatever we say; and another device may change them."""
        super().__init__()
        self.state = state
        self.enable_writeback_cache = may_write
        self.enable_acl = asks_modes  # with them the kernel goes by modes, whatever the mount's options say

    def stacktrace(self) -> None:
        """Asked for by a magic attribute on the root; nothing of ours is shown to whoever sets one."""


class Mount:
    """One mounted volume. Made in the main thread, before `serve`."""

    def __init__(self, volume: Volume, directory: Path, options: MountOptions) -> None:
        """Raises OSError or RuntimeError when the kernel refuses the mount."""
        self.volume = volume
        self.directory = directory
        self._options = options
        self._turns = Turns()
        past = Past(volume, get_localzone(), volume.overlay.now_ns)
        self.state = State(volume, past, Warming(directory, volume.overlay), options.show_versions)
        self._operations = Operations(self.state, not options.read_only, options.asks_modes)
        self._own = _own_mount(directory, options)
        point = str(directory) if self._own is None else self._own.name
        try:
            pyfuse3.init(self._operations, point, set(_kernel_options(options)))
        except BaseException:
            if self._own is not None:
                self._own.unmount()
            raise

    async def serve(self, ready: Callable[[], None], *beside: Callable[[], Awaitable[object]]) -> None:
        """Answers the kernel until the filesystem is unmounted, then returns with all of it committed.

        What runs `beside` may use the volume, and is cancelled before that is closed.
        """
        gc.freeze()  # what is alive now stays; the collector need not look at it again
        async with self.volume.running():
            self.volume.making.write_back = self._write_back
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._announce, ready)
                nursery.start_soon(self._relieve_past)
                nursery.start_soon(note_uses, self.volume)
                for work in beside:
                    nursery.start_soon(work)
                with short_ways(self._turns), closing(self.state.warming), closing(self.state.absences.background):
                    await pyfuse3.main(min_tasks=IDLE_TASKS, max_tasks=MAX_TASKS)
                nursery.cancel_scope.cancel()
            self.volume.making.write_back = None

    async def _announce(self, ready: Callable[[], None]) -> None:
        await trio.to_thread.run_sync(_set_read_ahead, self.directory, abandon_on_cancel=True)
        await trio.to_thread.run_sync(self.state.absences.background.open, self.directory, abandon_on_cancel=True)
        ready()

    async def _relieve_past(self) -> None:
        """Has the kernel forget what no program uses of old versions, when it knows too many of them."""
        past = self.state.past
        while True:
            await past.crowded.wait()
            try:
                for directory in past.directories():
                    await self.forget_entry(directory, VERSIONS_NAME)
            except OSError as error:
                log.info("the kernel was not told what it may forget: %s", error)
            await trio.sleep(SETTLE_SECONDS)
            past.relieve()

    async def _write_back(self) -> None:
        """Has the kernel send what programs wrote to it.

        In a process of its own: a thread of this one that waits in syncfs could not be killed, would keep the
        FUSE device open, and so would keep the kernel waiting for a daemon that a SIGKILL has ended.
        """
        await trio.run_process(["sync", "-f", os.fspath(self.directory)], check=False, stderr=subprocess.DEVNULL)

    def used_ago(self) -> float:
        """Seconds since the kernel last asked anything."""
        return time.monotonic() - self._turns.asked_at

    async def forget_entry(self, parent: int, name: bytes) -> None:
        """Has the kernel ask again for a name that changed without its doing; from a worker thread."""
        try:
            await trio.to_thread.run_sync(pyfuse3.invalidate_entry, parent, name)
        except FileNotFoundError:
            return  # the kernel did not know it

    async def forget(
        self,
        names: Iterable[tuple[int, bytes]],
        inodes: Iterable[int],
        gone: Iterable[tuple[int, bytes, int]] = (),
    ) -> None:
        """Has the kernel ask again for all these names, and for the attributes of these inodes.

        `gone`: names with the inodes that they meant and that are no more, what is in a folder before the folder: who
        watches one of these hears of it.
        """
        told = list(gone), list(names), list(inodes)
        await trio.to_thread.run_sync(_forget, *told)

    async def show_newer(self, found: Advanced) -> None:
        """Another device has made a version: has the kernel ask again for what it changed, bytes included."""
        for ino in found.inodes:
            with suppress(FileNotFoundError):  # the kernel did not know it
                await trio.to_thread.run_sync(pyfuse3.invalidate_inode, ino, False)
        await self.forget(found.names, ())
        await self.forget_versions()

    def queues(self) -> list[Queue]:
        """What programs and the kernel have of us."""
        return [
            Queue("open files", self.state.open_count, UNBOUNDED),
            Queue("open folders", self.state.open_folders, UNBOUNDED),
            Queue("views of versions", self.state.past.held, UNBOUNDED),
        ]

    async def forget_versions(self) -> None:
        """Has the kernel ask again for the entries of every `.versions` whose version is no more."""
        for parent, name in self.state.past.lapsed():
            await self.forget_entry(parent, name)

    def stop(self) -> None:
        """Has `serve` return though the kernel has not unmounted; from the trio thread."""
        pyfuse3.terminate()

    def close(self) -> None:
        """After `serve` has returned or failed: the mount is taken away if it is still there."""
        if self._own is not None:
            self._own.unmount()
        pyfuse3.close(unmount=True)


def _forget(gone: list[tuple[int, bytes, int]], names: list[tuple[int, bytes]], inodes: list[int]) -> None:
    for parent, name, ino in gone:
        # Where the kernel did not know it, or a mount or a watch holds something in it, it was told to ask again.
        with suppress(OSError):
            pyfuse3.invalidate_entry(parent, name, ino)
    for parent, name in names:
        with suppress(FileNotFoundError):  # the kernel did not know it
            pyfuse3.invalidate_entry(parent, name)
    for inode in inodes:
        with suppress(FileNotFoundError):
            pyfuse3.invalidate_inode(inode, attr_only=True)


def _own_mount(directory: Path, options: MountOptions) -> OwnMount | None:
    """None where we may not mount: pyfuse3 has fusermount3 do it then."""
    if os.geteuid() != 0:
        return None
    try:
        return OwnMount(directory, options.fsname, options.read_only, options.allow_other)
    except PermissionError:
        return None


def _kernel_options(options: MountOptions) -> list[str]:
    # libfuse splits its options at commas and takes a backslash before one as its escape.
    source = options.fsname.replace("\\", "\\\\").replace(",", "\\,")
    chosen = [f"fsname={source}", "subtype=hyperfs"]
    if options.asks_modes:
        chosen.append("default_permissions")
    if options.allow_other:
        chosen.append("allow_other")
    if options.read_only:
        chosen.append("ro")
    return chosen


def _set_read_ahead(directory: Path) -> None:
    """Larger reads from the kernel, where we may (root): otherwise it asks for 128 KiB at a time."""
    device = os.stat(directory).st_dev
    knob = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    try:
        knob.write_text(str(READ_AHEAD_KIB))
    except OSError as error:
        log.info("read-ahead stays as the kernel has it: %s", error)
