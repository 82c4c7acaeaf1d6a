"""A real volume, and cloud peers of the product behind TCP on loopback, which fail as they are told."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from hyperfs.cold.cold import Cold
from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.log.merkle import hash32
from hyperfs.log.proof import Request, TreeProof
from hyperfs.peer.blockstore import BlockStore
from hyperfs.peer.desk import Desk, Reply, Visitor
from hyperfs.peer.drive import HeldDrive
from hyperfs.peer.facts import Event
from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer.memory_store import MemoryStore
from hyperfs.peer.peer import Peer
from hyperfs.peer_server.serving import open_server
from hyperfs.policy.attributes import CLASS
from hyperfs.replication.address import Address, Endpoint
from hyperfs.replication.session import Exchanger
from hyperfs.syncing import feeding, link, synced_peer
from hyperfs.syncing.home import Home
from hyperfs.syncing.peers import Peers
from hyperfs.syncing.settings import Known
from hyperfs.syncing.synced_peer import SyncedPeer
from hyperfs.syncing.together import Together
from hyperfs.volume.moving import Mover
from hyperfs.volume.volume import Volume
from tests.volume.conftest import Clock, Store, empty_store, inode_of, store, write_file

__all__ = ["empty_store", "store"]

SEED = 1


class Spoiling:
    """A desk whose answers a server changes."""

    def __init__(self, desk: Desk, server: "Server") -> None:
        self._desk = desk
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)

    def answer(self, visitor: Visitor, method: int, body: bytes, now_ns: int) -> Reply:
        self._server.asked.append(method)
        reply = self._desk.answer(visitor, method, body, now_ns)
        return reply._replace(body=self._server.spoil(method, reply.body))


@dataclass
class Server:
    """A cloud peer in this process. `spoil` changes what it answers in `hyperfs/1`."""

    name: str
    clock: Clock
    store: BlockStore = field(default_factory=MemoryStore)
    spoil: Callable[[int, bytes], bytes] = lambda method, body: body
    port: int = 0
    asked: list[int] = field(default_factory=list)
    said: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seed = hash32(self.name.encode())
        self.peer = Peer(self.store, SigningKeyPair(self.seed), floor_bytes=0)
        self._exchanger: Exchanger | None = None
        self._scope = trio.CancelScope()

    @property
    def is_serving(self) -> bool:
        return self._exchanger is not None

    @property
    def known(self) -> Known:
        key = SigningKeyPair(self.seed).public_key
        return Known(self.name, Address(key, Endpoint("127.0.0.1", self.port)), self.clock.now_ns)

    def drive(self, volume: Volume) -> HeldDrive:
        return self.peer.drives[volume.drive_id]

    def held(self, volume: Volume, number: int) -> set[int]:
        """The blocks of a log that it has."""
        lent = self.drive(volume).lend(volume.parts.logs[number].discovery_key)
        return {block for low, high in lent.ranges() for block in range(low, high)}

    def lie(self, volume: Volume, number: int) -> None:
        """From now on it gives other bytes for the blocks of a log than it has."""
        lent = self.drive(volume).lend(volume.parts.logs[number].discovery_key)
        honest = lent.proof

        def proof(request: Request) -> TreeProof:
            found = honest(request)
            if found.block is None:
                return found
            return found._replace(block=found.block._replace(value=found.block.value[:-1] + b"?"))

        vars(lent)["proof"] = proof

    def hang_up(self) -> None:
        """On everybody."""
        for session in self._exchanger.sessions if self._exchanger is not None else ():
            session.close()

    async def stop(self) -> None:
        """Nobody can connect any more."""
        self._scope.cancel()
        while self._exchanger is not None:
            await trio.sleep(0)

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            with trio.CancelScope() as self._scope:
                async with open_server(self.peer, self.seed, self.said.append, now_ns=self.clock) as server:
                    vars(server)["_desk"] = Spoiling(server._desk, self)
                    self._exchanger = server.exchanger
                    [listener] = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
                    self.port = listener.socket.getsockname()[1]
                    task_status.started()
                    await server.exchanger.serve(listener)
        finally:
            self._exchanger = None


@dataclass
class Side:
    """A running volume with its peers. `mover` moves and surveys when a test says so."""

    volume: Volume
    cold: Cold
    peers: Peers
    servers: dict[str, Server]
    mover: Mover

    @property
    def log(self) -> int:
        return self.volume.content.number

    @property
    def metadata(self) -> int:
        return self.volume.parts.metadata_number

    @property
    def length(self) -> int:
        return self.volume.content.log.signed_length

    def peer(self, name: str = "cloud") -> SyncedPeer:
        found = self.peers.peer(name)
        assert found is not None
        return found

    async def write(self, path: bytes, size: int, seed: int = SEED) -> None:
        await write_file(self.volume, path, random.Random(seed).randbytes(size))
        await self.volume.commit()

    async def synced(self, *names: str) -> None:
        """All that is committed is attested."""
        await self.mover.turn()
        await self.peers.until_synced(names or sorted(self.servers), _silent)

    async def set(self, path: bytes, name: bytes, value: bytes) -> None:
        """A policy of a file or folder; all is looked at again."""
        self.volume.xattrs.set(inode_of(self.volume, path), name, value)
        await self.volume.commit()
        await self.mover.turn()

    async def leave(self, path: bytes, size: int, name: bytes = b"cloud") -> None:
        """A file that is there alone: it was written, proved and punched."""
        await self.write(path, size)
        await self.set(path, CLASS, b"cold")
        await self.synced()
        await self.mover.turn()
        self.volume.parts.chunkstore.cache.clear()
        assert self.volume.parts.residence.cold_bytes > 0

    async def read(self, path: bytes) -> bytes:
        inode = inode_of(self.volume, path)
        return await self.volume.returning.complete(
            lambda: self.volume.files.read_soon(inode, 0, inode.size), keep=False
        )

    async def until(self, true: Callable[[], bool]) -> None:
        """The test's timeout is the bound."""
        while not true():
            await trio.sleep(0.01)


async def _silent(what: str, done: int, of: int) -> None:
    await trio.lowlevel.checkpoint()


@asynccontextmanager
async def running(
    store: Store,
    *names: str,
    servers: dict[str, Server] | None = None,
    background: bool = True,
    memory_index: bool = True,
    folders: Path | None = None,
) -> AsyncIterator[Side]:
    """With peers of these names, each with a server, which is made where `servers` does not have it. All are paired."""
    kept = servers if servers is not None else {}
    async with store.opened(memory_index=memory_index) as volume, trio.open_nursery() as nursery:
        for name in names:
            if name not in kept:
                kept[name] = Server(name, store.clock, FolderStore(folders / name) if folders else MemoryStore())
                kept[name].peer.admit(volume.drive_id).offer_chain(volume.parts.chain.encode())
            await nursery.start(kept[name].serve)
        cold = Cold(volume.parts, volume.warnings, store.clock, random.Random(SEED).randrange)
        peers = Peers(Home(volume, store.clock, pick=random.Random(SEED).randrange))
        for name in names:
            peers.add(kept[name].known)
        volume.returning.elsewhere = Together(cold, peers)
        nursery.start_soon(peers.run, background)
        nursery.start_soon(cold.run)
        side = Side(volume, cold, peers, kept, Mover(volume))
        await side.mover.turn()
        yield side
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at now and then is looked at all the time; who can't be reached is tried again at once."""
    monkeypatch.setattr(feeding, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(feeding, "STEP_SECONDS", 0.001)
    monkeypatch.setattr(link, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(link, "LEAST_SECONDS", 0.01)
    monkeypatch.setattr(synced_peer, "wait_after", lambda failures, pick: 0.02)
    monkeypatch.setattr(synced_peer, "STANDS_SECONDS", 0.02)
