"""One log of this drive as one peer gets to see it: what it is shown, what it is given, and what it is asked for.

The log is on the disk of this device, whole but for what was cleared and what left. The peer takes what it is shown
(`revealing`). Blocks that left are asked of it one by one; what it gives is checked by `take` before anybody gets it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import trio

from hyperfs.errors import Corrupt, HyperfsError, Unreachable
from hyperfs.log.cleared import Range
from hyperfs.log.heads import Head
from hyperfs.log.held import Taking
from hyperfs.log.log import Log
from hyperfs.log.proof import BlockRequest, Request, TreeProof
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.exchange import Answered, Denied, Event, Exchange, Moved
from hyperfs.replication.messages import Ask
from hyperfs.replication.replicating import Replicating
from hyperfs.syncing.revealing import Revealing, lacking
from hyperfs.syncing.runs import NONE, Runs

SERVED_BYTES: Final = 512 << 10
"""Read, and handed to the connection, in one piece: what is quick about it is done on the mount's thread."""
STRETCH: Final = 1 << 21
"""Of so many blocks the peer is asked at once whether it has them."""


class Offered:
    """The log as `Held`. `may_go` says of a block whether the peer may have it; any thread may ask."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.may_go = NONE
        self.lent = NONE
        """Not on this device, and in memory for as long as the peer takes it."""

    @property
    def key(self) -> bytes:
        return self._log.key

    @property
    def discovery_key(self) -> bytes:
        return self._log.discovery_key

    def head(self) -> Head:
        return self._log.head()

    def has(self, block: int) -> bool:
        return block in self.lent or (block in self.may_go and not self._log.has_left(block))

    def ranges(self, start: int = 0, end: int | None = None) -> Iterator[Range]:
        """Nothing, to begin with: what there is comes step by step."""
        return iter(())

    def proof(self, request: Request) -> TreeProof:
        return self._log.proof(request)


class Wanted:
    """A block that is asked for."""

    __slots__ = ("block", "done", "error", "proof", "request")

    def __init__(self, block: int, nodes: int) -> None:
        self.block = block
        self.request = Request(BlockRequest(block, nodes))
        self.done = trio.Event()
        self.proof: TreeProof | None = None
        self.error: str | None = None

    def land(self, proof: TreeProof | None, error: str | None = None) -> None:
        self.proof, self.error = proof, error
        self.done.set()


class ShownLog(Replicating):
    """Of one connection. Owned by the trio thread, but for what `Replicating` does in a worker thread."""

    served_bytes = SERVED_BYTES

    def __init__(
        self, log: Log, is_metadata: bool, tell: Callable[["ShownLog"], None], taking: Taking | None = None
    ) -> None:
        """`tell` is called when there is something to send that no peer has asked for. `taking`: nothing is shown, and
        the log grows by what comes."""
        self.log = log
        self.is_metadata = is_metadata
        self.offered = Offered(log)
        super().__init__(taking or self.offered, log.manifest, taking)
        self.revealing = Revealing()
        self.is_known = taking is not None
        """Whether it was said what may go: nothing, of a log that is taken in."""
        self._looked = 0  # how long the log was when that was last said
        self._inquired = 0  # blocks before this one were asked about
        self._tell = tell
        self._queue: deque[Wanted] = deque()
        self._asked: dict[int, Wanted] = {}
        self.elsewhere = NONE
        """What is not here, may be at the peer, and can be brought to it."""
        self.moves = 0
        """Counts what the peer has said of what it has, and changes of what it may have."""
        self.damage: str | None = None
        """Why a block that was shown could not be given: it is damaged here."""

    # Showing

    @property
    def exchange(self) -> Exchange | None:
        """With the peer; None while the channel is not open."""
        return self.exchanges[0] if self.exchanges else None

    @property
    def remote_has(self) -> Bitfield:
        """What the peer says that it has; nothing while the channel is not open."""
        return self.exchanges[0].remote_has if self.exchanges else _NOTHING

    @property
    def knows_remote(self) -> bool:
        """Whether the peer has said where it stands."""
        return self.exchange is not None and self.exchange.is_synchronized

    def may_go(self, runs: Runs) -> None:
        """These blocks may be at the peer, and are here. What it was shown beside them and has not is shown no more."""
        length = self.log.signed_length
        before, self.offered.may_go = self.offered.may_go, runs
        gone = before - runs
        for low, high in gone:
            for run in self.revealing.hide(low, high):
                self.cleared(*run)
        if not self.is_known or runs.within(0, self._looked) - before:
            self.revealing.look_again(length)
        else:
            self.revealing.grow(length)
        self._looked = length
        self.is_known = True
        self.moves += 1
        self.grown()

    def show(self, room_bytes: int) -> int:
        """Shows what there is room for; how many blocks were new to the peer's eyes."""
        found = self.revealing.take(self.offered.may_go, self.remote_has, self.size, room_bytes)
        for run in found:
            self.appended(*run)
        return sum(high - low for low, high in found)

    def lend(self, runs: Runs) -> None:
        """These are not here, and can be had for now: `proof` finds them. Shown at once."""
        self.offered.lent = runs
        for run in runs:
            self.appended(*run)

    def unlend(self) -> None:
        """They are shown no more."""
        runs, self.offered.lent = self.offered.lent, NONE
        for run in runs - self.offered.may_go:
            self.cleared(*run)

    @property
    def wanted(self) -> Runs:
        """What is to be at the peer."""
        return self.offered.may_go | self.elsewhere

    def size(self, first: int, end: int) -> int:
        """Bytes of blocks [first, end), or about as many."""
        start, stop = self.log.bytes_about(first, end)
        return stop - start

    def missing(self) -> Runs:
        """What is to be at the peer, and is not there by its word."""
        has = self.remote_has
        return Runs(run for low, high in self.wanted for run in lacking(has, low, high))

    def lacking(self) -> int:
        """Of a log that is taken in: blocks that have not come, of those that the peer says there are."""
        exchange = self.exchange
        ahead = max(0, exchange.remote.length - self.log.signed_length) if exchange is not None else 0
        return ahead + self.under_way

    def inquire(self) -> bool:
        """Asks what the peer has of the log as long as it is; whether there was anything new to ask."""
        before = self._inquired
        while self.exchange is not None and self._inquired < self.log.signed_length:
            self.exchange.inquire(self._inquired)
            self._inquired += STRETCH
        return self._inquired > before

    # Asking for blocks

    async def bring(self, block: int) -> TreeProof:
        """What the peer has of a block, not checked. Raises Unreachable."""
        wanted = Wanted(block, self.log.missing(2 * block))
        self._queue.append(wanted)
        self._ask()
        self._tell(self)
        try:
            await wanted.done.wait()
        finally:
            self._withdraw(wanted)
        if wanted.proof is None:
            raise Unreachable(wanted.error or "it does not give the block")
        return wanted.proof

    def _ask(self) -> None:
        exchange = self.exchange
        while exchange is not None and self._queue and exchange.room > 0:
            wanted = self._queue.popleft()
            self._asked[id(wanted.request)] = wanted
            exchange.ask(wanted.request)

    def _withdraw(self, wanted: Wanted) -> None:
        """Nobody waits for it any more."""
        if wanted in self._queue:
            self._queue.remove(wanted)
        if self._asked.pop(id(wanted.request), None) is not None and self.exchange is not None:
            self.exchange.cancel(wanted.request)

    def join(self, exchange: Exchange) -> None:
        super().join(exchange)
        self.moves += 1
        self._ask()

    def leave(self, exchange: Exchange) -> None:
        super().leave(exchange)
        self._inquired = 0
        for wanted in [*self._asked.values(), *self._queue]:
            wanted.land(None, "the connection ended")
        self._asked.clear()
        self._queue.clear()

    def hear(self, exchange: Exchange, event: Event) -> None:
        match event:
            case Moved():
                self.moves += 1
            case Answered(request, proof) if id(request) in self._asked:
                self._asked.pop(id(request)).land(proof)
                self._ask()
                return
            case Denied(request, _) if id(request) in self._asked:
                self._asked.pop(id(request)).land(None, "it does not have the block")
                self._ask()
                return
        super().hear(exchange, event)
        self._ask()

    def _reply(self, exchange: Exchange, ask: Ask, answer: TreeProof | HyperfsError) -> None:
        if isinstance(answer, Corrupt):
            self.damage = str(answer)
        super()._reply(exchange, ask, answer)

    def tick(self) -> None:
        super().tick()
        exchange = self.exchange
        if exchange is not None and exchange.is_stalled:
            for wanted in self._asked.values():
                wanted.land(None, "it answers nothing")
            self._asked.clear()


_NOTHING: Final = Bitfield()
