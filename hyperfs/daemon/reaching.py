"""The other places of a drive that is not mounted, for as long as somebody asks them: cold stores and peers."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from hyperfs.cold.cold import Cold
from hyperfs.daemon.cold_side import open_cold
from hyperfs.daemon.peer_side import open_peers
from hyperfs.errors import Corrupt, Unreachable
from hyperfs.replication.address import Address
from hyperfs.syncing.home import Home
from hyperfs.syncing.peers import Peers
from hyperfs.syncing.settings import Known
from hyperfs.syncing.together import Together
from hyperfs.volume.elsewhere import Elsewhere
from hyperfs.volume.volume import Volume


@asynccontextmanager
async def reach(volume: Volume, addresses: Sequence[Address] = ()) -> AsyncIterator[Elsewhere]:
    """They bring nothing anywhere, but give. `addresses`: peers to be asked in place of what the drive remembers, which
    may be damaged. Raises Unreachable where that can't be read."""
    cold, peers = _named(volume, addresses) if addresses else _remembered(volume)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cold.run, False)
        nursery.start_soon(peers.run, False)
        yield Together(cold, peers)
        nursery.cancel_scope.cancel()


def _remembered(volume: Volume) -> tuple[Cold, Peers]:
    try:
        cold = open_cold(volume)
        return cold, open_peers(volume, cold, lambda: math.inf)
    except Corrupt as error:
        raise Unreachable(
            f"which peers and cold stores there are can't be read ({error}). Name a peer with --peer ADDRESS"
        ) from error


def _named(volume: Volume, addresses: Sequence[Address]) -> tuple[Cold, Peers]:
    now_ns = volume.overlay.now_ns
    known = [Known(str(address.endpoint), address, now_ns()) for address in addresses]
    return Cold(volume.parts, volume.warnings, now_ns), Peers(Home(volume, now_ns), known)
