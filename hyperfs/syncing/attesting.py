"""Asking a peer for its word: a receipt for a fresh challenge, then blocks chosen at random.

What the receipt says is compared with the log here, what the peer reads with the blocks here; a block that has left
this device is fetched instead. Nothing is kept of a word that did not hold.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import trio

from hyperfs.errors import Corrupt, NotResident, Refused
from hyperfs.log import receipt
from hyperfs.log.log import Log
from hyperfs.log.receipt import MOST_RANGES, Receipt, SignedReceipt
from hyperfs.replication.client import PeerClient
from hyperfs.replication.dialogue_bodies import Found, audit_digest
from hyperfs.syncing.attested import MOST_PAGES, judge
from hyperfs.syncing.runs import Runs

AUDITED_BLOCKS: Final = 16
"""In one audit."""
MOST_FETCHED: Final = 2
"""Of these, blocks that are not on this device, which are fetched for it."""


class Broken(Corrupt):
    """A peer's word does not hold: it lies, or has lost what it promised to keep."""


class Attesting(NamedTuple):
    """Of one drive with one peer. `fetch` gives a block's bytes, checked, over the log's channel; `pick(n)` a random
    number below n; `challenge()` 32 random bytes."""

    client: PeerClient
    drive: bytes
    peer_key: bytes
    now_ns: Callable[[], int]
    pick: Callable[[int], int]
    challenge: Callable[[], bytes]
    fetch: Callable[[Log, int], Awaitable[bytes]]

    async def receive(self, log: Log, is_ours: bool) -> tuple[SignedReceipt, ...]:
        """What the peer attests of a log now, in as many receipts as it takes. Raises Broken for what is no such word,
        Contradiction, and what the peer refuses."""
        found: list[SignedReceipt] = []
        start = 0
        while len(found) < MOST_PAGES:
            challenge = self.challenge()
            data = await self.client.receipt(self.drive, log.discovery_key, challenge, start)
            try:
                got = receipt.check(data, self.peer_key, self.drive, log.discovery_key, challenge, self.now_ns())
            except (Corrupt, Refused) as error:
                raise Broken(str(error)) from None
            await trio.to_thread.run_sync(judge, log, got, is_ours)
            found.append(receipt.decode(data))
            if len(got.ranges) < MOST_RANGES:
                break
            start = got.ranges[-1][1]
        return tuple(found)

    async def audit(self, log: Log, attested: Receipt, runs: Runs, number: int = AUDITED_BLOCKS) -> int:
        """Has so many blocks of these looked at, chosen at random; when that was done, in ns. Raises Broken where one
        is not there as it was signed, and what asking raises."""
        total = runs.blocks
        if total:
            blocks = sorted({runs.nth(self.pick(total)) for _ in range(number)})
            await self._look(log, attested.fork, blocks)
        return self.now_ns()

    async def _look(self, log: Log, fork: int, blocks: Sequence[int]) -> None:
        challenge = self.challenge()
        ours = await trio.to_thread.run_sync(_digests, log, challenge, blocks)
        answer = await self.client.audit(self.drive, log.discovery_key, fork, challenge, blocks)
        fetched = 0
        for block, (found, digest) in zip(blocks, answer, strict=True):
            if found is not Found.HERE:
                what = "can't read" if found is Found.DAMAGED else "does not have"
                raise Broken(f"it {what} block {block} of log {log.number}, for which it has signed a receipt")
            if block in ours:
                if digest != ours[block]:
                    raise Broken(f"it has other bytes for block {block} of log {log.number} than were written")
            elif fetched < MOST_FETCHED:
                fetched += 1
                data = await self.fetch(log, block)
                if digest != audit_digest(challenge, block, data):
                    raise Broken(f"it says one thing of block {block} of log {log.number} and gives another")


def _digests(log: Log, challenge: bytes, blocks: Sequence[int]) -> dict[int, bytes]:
    """In a worker thread; of the blocks that are here and whole."""
    found = {}
    for block in blocks:
        try:
            found[block] = audit_digest(challenge, block, log.get_verified(block))
        except (NotResident, Corrupt):
            continue
    return found
