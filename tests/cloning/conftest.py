"""A drive, a cloud peer that has it, and clones of it, in one process over TCP on loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from hyperfs.cloning.bringing import Progress
from hyperfs.cloning.clone import KeysFor, Made, Wanted, clone
from hyperfs.cloning.sparse_opening import open_clone
from hyperfs.crypto.keys import DeviceKeys, RootSeed
from hyperfs.daemon.following import is_follower
from hyperfs.peer.peer import Peer
from hyperfs.peer_server.serving import open_server
from hyperfs.replication.address import Address, Endpoint
from hyperfs.replication.dialogue_codec import Method
from hyperfs.store.files import Disk
from hyperfs.syncing.following import Following
from hyperfs.syncing.home import Home
from hyperfs.syncing.leading import Leads
from hyperfs.syncing.peers import Peers
from hyperfs.syncing.settings import Known
from hyperfs.volume import cloning
from hyperfs.volume.advancing import Advanced
from hyperfs.volume.completing import Completing
from hyperfs.volume.moving import Mover
from hyperfs.volume.options import Options
from hyperfs.volume.volume import Volume
from tests.syncing.conftest import Server, _nobody_waits, running
from tests.volume.conftest import DRIVE, Clock, Store, empty_store, make_folder, read_file, store, write_file

__all__ = ["_nobody_waits", "empty_store", "store"]

LONG = [Random(number).randbytes(300_000) for number in range(4)]


async def fill(volume: Volume) -> dict[int, dict[bytes, bytes]]:
    """Writes some versions; what each of them has."""
    states: dict[int, dict[bytes, bytes]] = {}
    now: dict[bytes, bytes] = {}
    make_folder(volume, b"/deep")
    for number, text in enumerate(LONG):
        now |= {b"/long": text, b"/deep/%d" % number: text[::-1], b"/small": b"%d" % number}
        for path, data in now.items():
            await write_file(volume, path, data)
        states[(await volume.commit()).version] = dict(now)
    return states


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


@dataclass
class Cloud:
    """The product's cloud peer in this process."""

    peer: Peer
    seed: bytes
    clock: Clock
    known: Known
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    lacks: tuple[Method, ...] = ()
    """What it does not know, as an older one."""

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        with self.scope:
            async with open_server(self.peer, self.seed, lambda event: None, None, self.clock) as server:
                for method in self.lacks:
                    del server._desk._methods[method]
                [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
                endpoint = Endpoint("127.0.0.1", listener.socket.getsockname()[1])
                self.known = self.known._replace(address=Address(self.peer.key, endpoint))
                task_status.started()
                await server.exchanger.serve(listener)


class Machine:
    """A bare one: what it knows of the drive is in its store folder. `peers` are those of its open drive."""

    def __init__(self, path: Path, server: Cloud, name: str = "other", root: RootSeed = DRIVE.root) -> None:
        self.path = path
        self.server = server
        self.name = name
        self.root = root
        self.keys = DeviceKeys(*(Random(f"{name}{n}").randbytes(32) for n in range(4)))
        self.shown: list[Advanced] = []
        """What the kernel would have been told."""

    def wanted(self, lost: bool = True) -> Wanted:
        return Wanted(self.server.known.address, self.path, self.root, self.name, lost, reserve_bytes=1 << 20)

    @property
    def given(self) -> tuple[KeysFor, Callable[[], DeviceKeys], Progress]:
        """What `clone` takes beside what is wanted."""
        return lambda: (self.keys, b"keys"), lambda: self.keys, no_progress

    async def clone(self, lost: bool = True) -> Made:
        return await clone(self.wanted(lost), *self.given)

    def options(self, read_only: bool = False) -> Options:
        return Options(read_only=read_only, memory_index=True, reserve_bytes=1 << 20, wall_ns=self.server.clock)

    async def _show(self, found: Advanced) -> None:
        await trio.lowlevel.checkpoint()
        self.shown.append(found)

    @property
    def marker(self) -> cloning.Marker | None:
        return cloning.marker_of(Disk(self.path))

    @asynccontextmanager
    async def opened(self, completes: bool = True) -> AsyncIterator[Volume]:
        """With the peer that it was cloned from, which keeps what is written here. `completes`: all names and versions
        have come. One that only reads follows who writes."""
        volume = await trio.to_thread.run_sync(open_clone, self.path, self.keys, self.options())
        async with volume.running(), trio.open_nursery() as nursery:
            peers = Peers(Home(volume, self.server.clock, pick=Random(1).randrange))
            if is_follower(volume):
                peers.home.leads = Leads(Following(volume, self._show, from_start=False))
            peers.add(self.server.known)
            volume.returning.elsewhere = peers
            nursery.start_soon(peers.run, True)
            completing = Completing(volume)
            completing.bar()
            if completes:
                await completing.run()
            yield volume
            nursery.cancel_scope.cancel()


async def synced(volume: Volume) -> None:
    """All that is committed, by this device or another, is attested by the peer."""
    peers = volume.returning.elsewhere
    assert isinstance(peers, Peers)
    await Mover(volume).turn()

    async def tell(what: str, done: int, of: int) -> None:
        await trio.lowlevel.checkpoint()

    with trio.fail_after(20):
        await peers.until_synced(["cloud"], tell)


@asynccontextmanager
async def held(
    store: Store, folders: Path, lacks: tuple[Method, ...] = ()
) -> AsyncIterator[tuple[Cloud, dict[int, dict[bytes, bytes]]]]:
    """A cloud peer that has all of a drive that is closed now; what each version of it has."""
    servers: dict[str, Server] = {}
    async with running(store, "cloud", servers=servers, folders=folders) as side:
        states = await fill(side.volume)
        await side.synced()
    before = servers["cloud"]
    cloud = Cloud(before.peer, before.seed, store.clock, before.known, lacks=lacks)
    async with trio.open_nursery() as nursery:
        await nursery.start(cloud.serve)
        yield cloud, states
        nursery.cancel_scope.cancel()


async def read(volume: Volume, path: bytes) -> bytes:
    """As a program would, of which the kernel asks again when what it lacked has come."""

    async def look() -> bytes:
        return read_file(volume, path)

    return await volume.returning.complete(look)
