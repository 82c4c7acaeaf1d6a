"""`hyperfs peer serve` from its start to its end: the folder, the sockets, what is printed, and an end in order."""

import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import trio

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import StoreLocked, Unreachable
from hyperfs.lan.announcing import announce
from hyperfs.lan.names import secret_of_peer
from hyperfs.log.control_codec import ACTIVE
from hyperfs.peer import identity
from hyperfs.peer.facts import SHOWN, Event, PeerFacts, Traffic
from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer.peer import Peer
from hyperfs.peer_server import health_page
from hyperfs.peer_server.own_folder import remember
from hyperfs.peer_server.serving import PeerServer, open_server
from hyperfs.replication.address import Address, Endpoint
from hyperfs.service.beating import beat
from hyperfs.service.notify import Notifier

LOCK_SECONDS: Final = 3.0
"""An owner's command may have the folder for a moment."""
MOST_FILES: Final = 1 << 16
ENDING_SECONDS: Final = 60.0
_EVERYWHERE: Final = ("::", "0.0.0.0")


class Options(NamedTuple):
    """`public`: where others reach it, if that is not where it listens. `quota_bytes`: of a drive whose invite names
    none. `lan`: announce it on the local network."""

    store: Path
    listen: Endpoint
    public: Endpoint | None = None
    metrics: Endpoint | None = None
    quota_bytes: int | None = None
    only_listed: bool = False
    lan: bool = False


async def serve(options: Options, say: Callable[[Event], None], manager: Notifier) -> None:
    """Until SIGTERM or SIGINT; then in order. Errors of the start: those of FolderStore, Unreachable for an address."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        _allow_files()
        manager.extend(ENDING_SECONDS)
        store = await _open_store(options.store)
        peer: Peer | None = None
        try:
            seed = identity.seed_of(store, os.urandom(32))
            peer = Peer(store, SigningKeyPair(seed), options.only_listed)
            for drive, why in peer.survey().items():
                say(Event("error", "log can't be opened", drive.hex()[:SHOWN], {"why": why}))
            async with open_server(peer, seed, say, options.quota_bytes) as server:
                await _run(options, server, peer, say, manager, signals, partial(secrets_of, seed, peer))
        finally:
            if peer is not None:
                peer.close()
            else:
                store.close()


async def _run(
    options: Options,
    server: PeerServer,
    peer: Peer,
    say: Callable[[Event], None],
    manager: Notifier,
    signals: AsyncIterator[int],
    secrets: Callable[[], list[bytes]],
) -> None:
    listeners = await _listen(options.listen)
    port = listeners[0].socket.getsockname()[1]
    public = options.public or Endpoint(_reachable(options.listen.host), port)
    await trio.to_thread.run_sync(partial(remember, peer.store, public), limiter=server.limiter)
    address = Address(peer.key, public)
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(server.exchanger.serve, listener)
        if options.metrics is not None:
            for listener in await _listen(options.metrics):
                nursery.start_soon(health_page.serve, listener, partial(_look, server))
        nursery.start_soon(beat, manager)
        if options.lan:
            only = () if options.listen.host in _EVERYWHERE else (options.listen.host,)
            nursery.start_soon(partial(announce, port, secrets, addresses=only))
        about = {"address": str(address), "port": port, "drives": len(peer.drives)}
        say(Event("info", "serving", "", about))
        for drive, why in sorted(peer.broken.items()):
            say(Event("error", "drive can't be served", drive.hex()[:SHOWN], {"why": why}))
        manager.ready(f"{len(peer.drives)} drives; listening on {Endpoint(options.listen.host, port)}")
        number = await anext(signals)
        manager.stopping("ending connections")
        say(Event("info", "stopping", "", {"signal": signal.Signals(number).name}))
        nursery.cancel_scope.cancel()
    with trio.move_on_after(ENDING_SECONDS):
        await server.drain()
    say(Event("info", "stopped", "", {}))


def secrets_of(seed: bytes, peer: Peer) -> list[bytes]:
    """What the peer shares with each device that is active in a drive of its."""
    chains = [drive.chain for drive in list(peer.drives.values())]
    devices = [device for chain in chains if chain for device in chain.devices.values() if device.state == ACTIVE]
    secrets = {secret_of_peer(seed, device.transport_key) for device in devices}
    return [secret for secret in secrets if secret is not None]


async def _look(server: PeerServer) -> tuple[PeerFacts, Traffic]:
    return await server.look(), server.traffic


async def _open_store(path: Path) -> FolderStore:
    """StoreLocked where another process has it for longer than a command would."""
    until = trio.current_time() + LOCK_SECONDS
    while True:
        try:
            return FolderStore(path)
        except StoreLocked:
            if trio.current_time() > until:
                raise
            await trio.sleep(0.1)


async def _listen(where: Endpoint) -> list[trio.SocketListener]:
    """`::` is every address of the machine, IPv4 too."""
    try:
        return await trio.open_tcp_listeners(where.port, host=None if where.host == "::" else where.host)
    except OSError as error:
        raise Unreachable(f"can't listen on {where}: {error.strerror or error}") from error


def _reachable(host: str) -> str:
    """What others may know a host by, that was listened on."""
    return socket.gethostname() if host in _EVERYWHERE else host


def _allow_files() -> None:
    """Each open log takes four."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
