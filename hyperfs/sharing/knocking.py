"""Asking a cloud peer about a drive as somebody who is none of its devices: he knows the key of one of its logs."""

from collections.abc import Iterator
from typing import Final

import trio

from hyperfs.errors import BadRequest, NotHeld, Unreachable
from hyperfs.log.cleared import Range
from hyperfs.log.heads import Head
from hyperfs.log.manifest import default_v1, discovery_key
from hyperfs.log.proof import Request, TreeProof
from hyperfs.replication.client import PeerClient
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.session import Exchanger

LET_IN_SECONDS: Final = 10.0


class Nothing:
    """A log of which nothing is here but its key."""

    def __init__(self, public_key: bytes) -> None:
        self.key = default_v1(public_key).key()
        self.discovery_key = discovery_key(self.key)

    def head(self) -> Head | None:
        return None

    def has(self, block: int) -> bool:
        return False

    def ranges(self, start: int = 0, end: int | None = None) -> Iterator[Range]:
        return iter(())

    def proof(self, request: Request) -> TreeProof:
        raise BadRequest("nothing of this log is here")


async def knock(exchanger: Exchanger, client: PeerClient, public_key: bytes) -> Replicating:
    """Shows that the key of this log is known; from then on the peer answers about its drive. Raises NotHeld."""
    log = Replicating(Nothing(public_key), default_v1(public_key))
    exchanger.add(log)
    exchanger.offer(client.session)
    await let_in(exchanger, client, log)
    return log


async def let_in(exchanger: Exchanger, client: PeerClient, log: Replicating) -> None:
    """Returns when the peer exchanges this log with us. Raises NotHeld where it won't, Unreachable."""
    with trio.move_on_after(LET_IN_SECONDS):
        while not log.exchanges:
            if client.session.ended.is_set():
                raise client.session.error or Unreachable("the peer has hung up")
            changed = exchanger.changed
            await changed.wait()
        return
    raise NotHeld(
        "the peer does not give this drive to readers: it holds it no more, or was told to serve the drive's own "
        "devices alone (--only-listed). Ask the drive's owner"
    )
