"""A cloud peer that serves in this process, on loopback."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.peer.facts import Event
from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer.identity import seed_of
from hyperfs.peer.peer import Peer
from hyperfs.peer_server import own_folder
from hyperfs.peer_server.serving import PeerServer, open_server
from hyperfs.replication.address import Address, Endpoint
from tests.peer.conftest import CONTENT, DAY, METADATA, NOW, Owner

SEED = b"\x21" * 32


class Served:
    """A peer that is served, with what it said."""

    def __init__(self, path: Path, peer: Peer, server: PeerServer, address: Address, said: list[Event]) -> None:
        self.path = path
        self.peer = peer
        self.server = server
        self.address = address
        self.said = said

    def code(self, quota_bytes: int | None = None) -> str:
        return own_folder.invite(self.path, self.address.endpoint, NOW, DAY, quota_bytes, quota_bytes is None).code()

    def heard(self, what: str) -> list[Event]:
        return [event for event in self.said if event.what == what]


Serving = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    clock = [NOW]

    @asynccontextmanager
    async def serve(
        only_listed: bool = False, floor_bytes: int = 0, now_ns: Callable[[], int] = lambda: clock[0]
    ) -> AsyncIterator[Served]:
        path = tmp_path / "peer"
        store = FolderStore(path)
        seed = seed_of(store, SEED)
        peer = Peer(store, SigningKeyPair(seed), only_listed, floor_bytes)
        said: list[Event] = []
        try:
            async with open_server(peer, seed, said.append, now_ns=now_ns) as server, trio.open_nursery() as nursery:
                (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
                nursery.start_soon(server.exchanger.serve, listener)
                where = Endpoint("127.0.0.1", listener.socket.getsockname()[1])
                yield Served(path, peer, server, Address(peer.key, where), said)
                nursery.cancel_scope.cancel()
        finally:
            peer.close()

    return serve


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(tmp_path / "owner")
    owner.append(METADATA, 20)
    owner.append(CONTENT, 50)
    yield owner
    owner.close()
