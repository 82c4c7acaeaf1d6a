"""Logs of a drive, from a peer into a folder: the heads of all, and all blocks of some; of the logs of names in which
the newest version most likely lies, the last blocks with their heads.

Each goes into its place in the store, as a replica: what was proved and synced stays when this is killed.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final

import trio

from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import Corrupt, Unreachable
from hyperfs.log.control import Chain
from hyperfs.log.heads import Head
from hyperfs.log.replica import Replica
from hyperfs.replication.client import PeerClient
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.session import Exchanger
from hyperfs.store.files import Disk
from hyperfs.volume.cloning import wanted_of
from hyperfs.volume.device_logs import log_folder

STALLED_SECONDS: Final = 60.0
"""Without anything new coming."""
LOOK_SECONDS: Final = 0.02
"""Between two looks at what has come."""

NEWEST_BLOCKS: Final = 16
NEWEST_LOGS: Final = 2
"""A device that has just begun to write goes on from another's tree."""

Progress = Callable[[str, int, int], None]


class _Coming:
    """One log on its way."""

    def __init__(self, disk: Disk, chain: Chain, number: int, head: Head, whole: bool, newest: int) -> None:
        entry = chain.logs[number]
        self.head = head
        self.replica = Replica(disk, log_folder(entry), entry.public_key, head.fork, number)
        self.wanted = [(low, min(high, head.length)) for low, high in wanted_of(chain, number)] if whole else []
        self.log = Replicating(self.replica, self.replica.manifest, self.replica)
        self.log.want(self.wanted)
        self.log.want_newest(newest)

    @property
    def blocks(self) -> int:
        return sum(max(0, high - low) for low, high in self.wanted)

    def here(self) -> int:
        """Of the wanted blocks those that are durable."""
        return sum(high - low for want in self.wanted for low, high in self.log.have.runs(*want)) if self.wanted else 0

    @property
    def is_here(self) -> bool:
        head = self.replica.head()
        is_as_long = head is not None and head.length >= self.head.length
        return is_as_long and self.here() == self.blocks and (bool(self.wanted) or self.log.is_idle)


async def bring(
    exchanger: Exchanger,
    client: PeerClient,
    disk: Disk,
    chain: Chain,
    heads: Mapping[int, Head],
    whole: Collection[int],
    progress: Progress,
) -> dict[int, Head]:
    """The heads of these logs as they are here then, which may be newer; of those in `whole` all blocks are here that
    were not cleared. Raises Unreachable where the peer goes or does not have them all, Corrupt, OSError."""
    newest = newest_logs(chain, heads)
    coming = {
        number: _Coming(disk, chain, number, head, number in whole, NEWEST_BLOCKS if number in newest else 0)
        for number, head in heads.items()
    }
    try:
        for found in coming.values():
            exchanger.add(found.log)
        exchanger.offer(client.session)
        await _all_here(exchanger, client, coming, progress)
        for found in coming.values():
            if exchanger.has(found.log):
                exchanger.remove(found.log)
            await trio.to_thread.run_sync(found.replica.sync)
        return {number: _checked(found) for number, found in coming.items()}
    finally:
        for found in coming.values():
            if exchanger.has(found.log):
                exchanger.remove(found.log)
            found.replica.close()


def newest_logs(chain: Chain, heads: Mapping[int, Head]) -> list[int]:
    """The logs in which an opening will look first."""
    return sorted(number for number in heads if chain.logs[number].kind == LOG_METADATA)[-NEWEST_LOGS:]


async def _all_here(
    exchanger: Exchanger, client: PeerClient, coming: Mapping[int, _Coming], progress: Progress
) -> None:
    of = sum(found.blocks for found in coming.values())
    last, since = -1, trio.current_time()
    while True:
        changed = exchanger.changed
        for found in coming.values():
            if found.log.error is not None:
                raise found.log.error
        here = sum(found.here() for found in coming.values())
        progress("fetching names and versions", here, of)
        if all(found.is_here for found in coming.values()):
            return
        if client.session.ended.is_set():
            raise client.session.error or Unreachable("the peer has hung up")
        at = here + sum(found.replica.length for found in coming.values())
        if at != last:
            last, since = at, trio.current_time()
        with trio.move_on_at(since + STALLED_SECONDS) as waiting:
            await changed.wait()
        if waiting.cancelled_caught:
            raise Unreachable(_lacking(coming))
        await trio.sleep(LOOK_SECONDS)


def _lacking(coming: Mapping[int, _Coming]) -> str:
    lacking = {number: found.blocks - found.here() for number, found in coming.items() if not found.is_here}
    shown = ", ".join(f"{count} blocks of log {number}" for number, count in lacking.items())
    return (
        f"nothing has come from the peer for {STALLED_SECONDS:.0f} s, and there still lack {shown}: "
        "it may never have got them. Try again, or another peer"
    )


def _checked(found: _Coming) -> Head:
    """That what came goes on from the head that the peer named before."""
    head = found.replica.head()
    assert head is not None
    if head.length == found.head.length and head.tree_hash != found.head.tree_hash:
        raise Corrupt(f"the peer shows two histories of log {found.replica.number}")
    return head
