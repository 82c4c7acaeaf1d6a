"""A device that listens on the local network for its peers."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import trio

from hyperfs.crypto.keys import BoxKeyPair
from hyperfs.errors import Corrupt
from hyperfs.lan import names
from hyperfs.lan.child import keep_running, log
from hyperfs.lan.mdns import LINE_BYTES_MOST
from hyperfs.lan.nearby import Nearby, parse

_READ_BYTES: Final = 1 << 14


class Listening:
    """Owned by the trio thread. Peers are named by their Ed25519 keys."""

    def __init__(
        self,
        transport: BoxKeyPair,
        told: Callable[[bytes], None] = lambda peer: None,
        now_ns: Callable[[], int] = time.time_ns,
        addresses: Sequence[str] = (),
        allow_loopback: bool = False,
    ) -> None:
        """`told` hears of a peer for which there is a new place to try."""
        self._transport = transport
        self.told = told
        self._now_ns = now_ns
        self._addresses = addresses
        self._allow_loopback = allow_loopback
        self._secrets: dict[bytes, bytes] = {}
        self._nearby: dict[bytes, Nearby] = {}

    def listen_for(self, peer: bytes) -> None:
        secret = names.secret_of_device(self._transport, peer)
        if secret is not None and peer not in self._nearby:
            self._secrets[peer] = secret
            self._nearby[peer] = Nearby(self._allow_loopback)

    def forget(self, peer: bytes) -> None:
        self._secrets.pop(peer, None)
        self._nearby.pop(peer, None)

    def places(self, peer: bytes) -> list[tuple[str, int]]:
        """Where somebody has said that this peer is: to be tried, never to be believed."""
        found = self._nearby.get(peer)
        return [] if found is None else found.places()

    def lose(self, peer: bytes, place: tuple[str, int]) -> None:
        """Nobody answered there: it is not tried again before it is heard again."""
        if peer in self._nearby:
            self._nearby[peer].lose(place)

    def shun(self, peer: bytes, place: tuple[str, int]) -> None:
        """Another one answered there."""
        if peer in self._nearby:
            self._nearby[peer].shun(place, trio.current_time())

    async def run(self) -> None:
        """Until it is cancelled."""
        await keep_running("look", self._addresses, self._hear)

    async def _hear(self, process: trio.Process) -> None:
        assert process.stdout is not None
        waiting = b""
        while data := await process.stdout.receive_some(_READ_BYTES):
            *lines, waiting = (waiting + data).split(b"\n")
            if len(waiting) > LINE_BYTES_MOST:
                return
            for line in lines:
                self.hear(line)

    def hear(self, line: bytes) -> None:
        """One line of the child."""
        try:
            heard, gone = parse(line)
        except Corrupt as error:
            log.info("what was heard on the local network is ignored: %s", error)
            return
        slot = names.slot_at(self._now_ns())
        for peer, secret in self._secrets.items():
            around = names.names_around(secret, slot)
            if gone in around:
                self._nearby[peer].gone(gone)
            new = [self._nearby[peer].hear(found, around, trio.current_time()) for found in heard]
            if any(new):
                self.told(peer)
