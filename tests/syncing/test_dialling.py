"""Where a drive looks for its peer: nearby first, and whatever was said there, the key decides."""

import json
import logging
import socket

import pytest
import trio

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.lan import names
from hyperfs.lan.listening import Listening
from hyperfs.replication.address import Address, Endpoint
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.noise import MESSAGE_BYTES
from hyperfs.replication.secret_stream import HEADER_BYTES, SecretStream
from hyperfs.syncing import dialling
from tests.volume.conftest import Store

from .conftest import Server, Side, running

FRAME_LENGTH_BYTES = 3
NOWHERE = 1
"""A port on which nobody listens."""


def announced(side: Side, server: Server, port: int) -> None:
    """Somebody says on the local network that the peer is there, as the peer itself would."""
    secret = names.secret_of_peer(server.seed, side.volume.parts.transport.public_key)
    assert secret is not None
    name = names.name(secret, names.slot_at(side.volume.overlay.now_ns()))
    line = json.dumps({"name": name, "hosts": ["127.0.0.1"], "port": port})
    side.peers.home.listening.hear(line.encode())


def listens(side: Side, server: Server) -> None:
    """As the drive does, on this machine alone."""
    home = side.peers.home
    told = home.listening.told
    home.listening = Listening(side.volume.parts.transport, told, side.volume.overlay.now_ns, allow_loopback=True)
    home.listening.listen_for(SigningKeyPair(server.seed).public_key)


def move(side: Side, server: Server, port: int) -> None:
    """The address that the drive knows is another one."""
    key = SigningKeyPair(server.seed).public_key
    side.peers.add(server.known._replace(address=Address(key, Endpoint("127.0.0.1", port))))


class Rogue:
    """Listens where it has announced somebody else's name. Answers with a key of its own, or not at all."""

    def __init__(self, answers: bool) -> None:
        self._answers = answers
        self.heard = b""
        self.ended = trio.Event()
        self._listener = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    async def serve(self, task_status: trio.TaskStatus[int]) -> None:
        await self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        task_status.started(self._listener.getsockname()[1])
        with self._listener:
            connection, _ = await self._listener.accept()
        own = SecretStream(False, CurveKeyPair(b"\7" * 32), b"\x08" * 32, bytes(HEADER_BYTES))
        async with trio.SocketStream(connection) as stream:
            async for data in stream:
                self.heard += data
                if self._answers:
                    list(own.receive(bytes(data)))
                    await stream.send_all(own.data_to_send())
        self.ended.set()


async def test_a_peer_that_was_heard_of_nearby_is_tried_there_first(store: Store) -> None:
    async with running(store, "cloud") as side:
        server = side.servers["cloud"]
        listens(side, server)
        move(side, server, NOWHERE)
        await side.until(lambda: side.peer().trouble is not None)
        announced(side, server, server.port)
        await side.write(b"file", 100_000)
        await side.synced()
        assert side.peer().is_connected


async def test_attack_n07_whoever_repeats_a_peers_name_learns_nothing_and_keeps_nobody(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A rogue announcement leads to the rogue, which hears the first message of a handshake: 32 random bytes."""
    rogue = Rogue(answers=True)
    async with running(store, "cloud") as side, trio.open_nursery() as nursery:
        server = side.servers["cloud"]
        listens(side, server)
        port = await nursery.start(rogue.serve)
        announced(side, server, port)
        with caplog.at_level(logging.WARNING):
            server.hang_up()
            await rogue.ended.wait()
        assert len(rogue.heard) == FRAME_LENGTH_BYTES + MESSAGE_BYTES[0]
        await side.write(b"file", 100_000)
        await side.synced()
        assert side.peers.home.listening.places(SigningKeyPair(server.seed).public_key) == []
        announced(side, server, port)
        assert side.peers.home.listening.places(SigningKeyPair(server.seed).public_key) == [], "it is shunned"
    words = [record.getMessage() for record in caplog.records if "says that it is" in record.getMessage()]
    assert len(words) == 1
    assert f"127.0.0.1:{port} says that it is the peer cloud, and is not" in words[0]


async def test_attack_n07_whoever_says_nothing_holds_nobody_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "NEARBY_SECONDS", 0.05)
    rogue = Rogue(answers=False)
    async with running(store, "cloud") as side, trio.open_nursery() as nursery:
        server = side.servers["cloud"]
        listens(side, server)
        announced(side, server, await nursery.start(rogue.serve))
        server.hang_up()
        await rogue.ended.wait()
        await side.write(b"file", 100_000)
        await side.synced()
