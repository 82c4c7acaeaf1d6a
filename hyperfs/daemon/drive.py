"""A drive as requests see it: the volume and, where it is mounted, the mount. The same for a store that is not."""

import math
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import trio
from tzlocal import get_localzone

from hyperfs.cold.cold import Cold
from hyperfs.crypto.keys import RootSeed
from hyperfs.daemon.cold_side import open_cold
from hyperfs.daemon.pages import Pages
from hyperfs.daemon.peer_side import open_peers
from hyperfs.errors import NotFound
from hyperfs.sharing.caches import Room
from hyperfs.sharing.reader import Reader
from hyperfs.syncing.peers import Peers
from hyperfs.values import ROOT_INO
from hyperfs.volume.moving import Mover
from hyperfs.volume.pace import Pace
from hyperfs.volume.paths import find, parts_of
from hyperfs.volume.queues import Queue
from hyperfs.volume.volume import Volume

if TYPE_CHECKING:
    from hyperfs.daemon.shared_folders import SharedFolders

T = TypeVar("T")

class Mounted(Protocol):
    """What requests want of a mount: the kernel told of what changed behind its back."""

    directory: Path

    async def forget_entry(self, parent: int, name: bytes) -> None: ...

    async def forget(
        self,
        names: Iterable[tuple[int, bytes]],
        inodes: Iterable[int],
        gone: Iterable[tuple[int, bytes, int]] = (),
    ) -> None: ...

    def queues(self) -> list[Queue]: ...

    async def forget_versions(self) -> None: ...

    def used_ago(self) -> float: ...


class InBackground(Protocol):
    """Work on the whole drive that can be done later."""

    def stand_aside(self) -> bool: ...


@dataclass
class Drive:
    """Owned by the trio thread. `failure` is set before `ended` where the volume could not be closed in peace."""

    volume: Volume
    store: Path
    mount: Mounted | None = None
    background: InBackground | None = None
    mover: Mover | None = None
    ended: trio.Event = field(default_factory=trio.Event)
    watched: OrderedDict[tuple[bytes, str], Iterator[Any]] = field(default_factory=OrderedDict)
    """Streams of changes that a page of was answered, by where they go on: see `watch_requests`."""
    pages: Pages = field(default_factory=Pages)
    """Long answers that somebody has the first pages of."""
    failure: BaseException | None = None
    root: RootSeed | None = None
    """Given to a store that is open in a command's own process, for what only the root may do; never to a mount."""
    reader: Reader | None = None
    """Of a drive that is open by a link: what follows it."""
    links_room: Room | None = None
    """How much of what is read by the link may be kept."""
    shared: "SharedFolders | None" = None
    """Its shared folders, while it is mounted and may be written to."""
    cold: Cold = field(init=False)
    """Its cold stores; fetches only while its `run` runs."""
    peers: Peers = field(init=False)
    """As `cold`."""

    def __post_init__(self) -> None:
        self.cold = open_cold(self.volume)
        self.peers = open_peers(self.volume, self.cold, self._used_ago)

    def _used_ago(self) -> float:
        """Seconds since a program asked something of the drive through its mount."""
        return self.mount.used_ago() if self.mount is not None else math.inf

    def resolve(self, when: str, path: bytes) -> int:
        """The version that a WHEN means for a path. Raises BadWhen, NoSuchVersion."""
        volume = self.volume
        return volume.versions.resolve(when, self.folder_of(path), volume.overlay.now_ns(), get_localzone())

    def folder_of(self, path: bytes) -> int:
        """The nearest live folder at or above a path: whose snapshots' names hold there."""
        live = self.volume.overlay.live
        ino: int = ROOT_INO
        for name in parts_of(path):
            dentry = live.dentry(ino, name)
            inode = live.inode(dentry[0]) if dentry is not None else None
            if inode is None or not inode.is_directory:
                break
            ino = inode.ino
        return ino

    def live_ino(self, path: bytes) -> int:
        """Raises NotFound."""
        ino = find(self.volume.overlay.live, path)
        if ino is None:
            raise NotFound(f"there is no {os.fsdecode(path)!r} in the drive now")
        return ino

    async def have_whole(self) -> None:
        """Before a prune or a verify: nothing in the background holds the drive."""
        if self.background is not None and self.background.stand_aside():
            async with self.volume.collecting:
                return

    def end(self, failure: BaseException | None = None) -> None:
        """The volume is closed: whoever waits for that hears of it."""
        self.failure = failure
        self.ended.set()


async def in_slices(items: Iterable[T]) -> list[T]:
    """All items of a lazy sequence, with the kernel and others served meanwhile."""
    found: list[T] = []
    pace = Pace()
    for item in items:
        found.append(item)
        await pace.turn()
    return found
