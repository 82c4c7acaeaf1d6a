"""One log on this machine and all the peers with whom it is exchanged: serves what is had, takes what is wanted.

The only place that knows both the log and the wire. What comes is heard at once and becomes work; `work` gives it out,
`perform` does it, in any one thread at a time since it reads and writes the log's files, and `finish` says what came of
it to the peers. All but `perform` is quick and belongs to the thread that owns the connections. Nothing is told to a
peer before it is durable here.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from hyperfs.errors import BadRequest, Corrupt, HyperfsError, NoSpace, NotResident, Refused
from hyperfs.log import flat_tree
from hyperfs.log.cleared import Range, runs_of
from hyperfs.log.held import Held, Taking
from hyperfs.log.manifest import Manifest
from hyperfs.log.proof import MAX_LENGTH, BlockRequest, Request, TreeProof, missing_nodes
from hyperfs.log.verify_proof import Verified
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.exchange import Answered, Asked, Contradicted, Denied, Event, Exchange, Withdrawn
from hyperfs.replication.messages import Ask
from hyperfs.replication.scheduler import ALL, Scheduler, Wish

_UNBOUNDED: Final = MAX_LENGTH
MOST_SERVED: Final = 16
SERVED_BYTES: Final = 4 << 20
"""Answers, and bytes of blocks, in one piece of work: what is read and not yet written to the connections."""
SYNC_BYTES: Final = 8 << 20
"""Bytes of blocks after which what came is made durable, if there is no reason to do so before."""


class Work(NamedTuple):
    asks: list[tuple[Exchange, Ask]]
    proofs: list[tuple[Exchange, TreeProof]]
    wishes: list[Wish]
    is_sync_due: bool
    """Nothing else is on its way, or enough time has passed: what came is made durable."""


class Done(NamedTuple):
    answers: list[tuple[Exchange, Ask, TreeProof | HyperfsError]]
    left: list[tuple[Exchange, Ask]]
    """Requests for which there was no room in this piece of work."""
    taken: list[TreeProof]
    refused: list[tuple[Exchange, HyperfsError]]
    """Whose proofs did not hold, or were not taken for want of room: their connections end."""
    requests: list[tuple[Wish, Request]]
    durable: list[int] | None
    """Blocks that are durable since; None: nothing was synced."""


class Replicating:
    """`taking` is the same log as `held` where blocks are to come; None where it is only served."""

    served_bytes = SERVED_BYTES

    def __init__(self, held: Held, manifest: Manifest, taking: Taking | None = None) -> None:
        if manifest.key() != held.key:
            raise BadRequest("the manifest is not that of the log")
        self.held = held
        self.taking = taking
        self.manifest = manifest
        self.have = Bitfield(_UNBOUNDED)
        for start, end in held.ranges():
            self.have.add(start, end)
        self.error: OSError | NoSpace | None = None
        """Why it is exchanged no more: its files failed, or the disk is full."""
        self.is_worked_on = False
        """A worker thread has it: what came of that is not known yet. Set by whoever calls `perform`."""
        self.contradictions: deque[TreeProof] = deque(maxlen=4)
        """Proofs of peers that the owner signed something else; not checked."""
        self.exchanges: list[Exchange] = []
        """With each peer that has joined. Changed by join and leave alone."""
        self._scheduler = Scheduler(taking.length if taking else 0, held.ranges(), ALL if taking else ())
        self._answers: dict[Exchange, int] = {}
        """By exchange that owed answers at the last tick: how many had come."""
        self._asks: deque[tuple[Exchange, Ask]] = deque()
        self._proofs: list[tuple[Exchange, TreeProof]] = []
        self._lengths: deque[int] = deque([self._scheduler.length], maxlen=64)
        """At which the tree has stood: from there an upgrade can be proved, even where blocks are missing."""
        self._unsynced: list[int] = []  # blocks kept since the last sync; changed in `perform` alone
        self._unsynced_bytes = 0
        self._is_sync_due = False

    @property
    def key(self) -> bytes:
        return self.held.key

    @property
    def discovery_key(self) -> bytes:
        return self.held.discovery_key

    def begin(self) -> Exchange:
        fork, length = self._standing()
        return Exchange(self.manifest, self.have, fork, length, self._can_prove)

    def join(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self._scheduler.join(exchange)

    def leave(self, exchange: Exchange) -> None:
        """It is gone, and with it what it asked."""
        self.exchanges.remove(exchange)
        self._scheduler.leave(exchange)
        self._asks = deque(found for found in self._asks if found[0] is not exchange)

    def want(self, wanted: Iterable[Range]) -> None:
        """Which blocks are to come, the most urgent first. All, unless this is said."""
        self._scheduler.want(wanted)

    def want_newest(self, count: int) -> None:
        """With each longer tree so many of its last blocks are asked for, wanted or not: they come without a wait of
        their own."""
        self._scheduler.along = count

    def appended(self, start: int, end: int) -> None:
        """The log's owner on this machine has made it longer, durably: blocks [start, end) are new."""
        self._announce([(start, end)])

    def grown(self) -> None:
        """The log is longer, durably; which of its blocks may be had is said by `appended`."""
        self._announce([])

    def cleared(self, start: int, end: int) -> None:
        """Blocks [start, end) were let go."""
        self.have.discard(start, end)
        for exchange in self.exchanges:
            exchange.retract(start, end)

    def hear(self, exchange: Exchange, event: Event) -> None:
        """What a channel says."""
        match event:
            case Asked(ask):
                self._asks.append((exchange, ask))
            case Withdrawn(ask):
                self._asks = deque(found for found in self._asks if found[1] is not ask)
            case Answered(_, proof) if self.taking is not None:
                self._proofs.append((exchange, proof))
            case Denied(request, _):
                if request.block is not None:
                    self._scheduler.denied(request.block.block)
                if request.upgrade is not None:
                    self._scheduler.upgrade_failed()
                    _give_up_past(self.taking.length if self.taking else 0, exchange)
            case Contradicted(proof):
                self.contradictions.append(proof)

    def work(self, may_serve: Callable[[Exchange], bool]) -> Work | None:
        """What is to be done now; None for nothing. `may_serve`: whether a peer takes in what it is sent."""
        asks = [found for found in self._asks if may_serve(found[0])][:MOST_SERVED]
        if asks:
            chosen = {id(ask) for _, ask in asks}
            self._asks = deque(found for found in self._asks if id(found[1]) not in chosen)
        proofs, self._proofs = self._proofs, []
        wishes = list(self._scheduler.wishes()) if self.taking else []
        if not wishes:
            for exchange, block in self._scheduler.inquiries():
                exchange.inquire(block)
        is_last = not wishes and self._scheduler.under_way <= len(proofs)
        is_due = self._is_sync_due or is_last
        self._is_sync_due = False
        if not (asks or proofs or wishes or (self._unsynced and is_due)):
            return None
        return Work(asks, proofs, wishes, is_due)

    def perform(self, work: Work) -> Done:
        """The part of it that reads and writes files. OSError, or NoSpace for a full disk: the log is to be closed and
        opened anew, and what was not synced is lost."""
        taken: list[TreeProof] = []
        refused: list[tuple[Exchange, HyperfsError]] = []
        for exchange, proof in work.proofs:
            assert self.taking is not None
            try:
                verified = self.taking.check_proof(proof)
            except (Corrupt, Refused, BadRequest, NoSpace) as error:
                refused.append((exchange, error))
                continue
            self._keep(proof, verified)
            taken.append(proof)
        durable = self._sync_if_due(work, taken)
        requests = [(wish, _request(self.taking, wish)) for wish in work.wishes] if self.taking else []
        answers: list[tuple[Exchange, Ask, TreeProof | HyperfsError]] = []
        room = self.served_bytes
        for exchange, ask in work.asks:
            if room <= 0:
                break
            answer = self._answer(ask)
            answers.append((exchange, ask, answer))
            room -= len(answer.block.value) if isinstance(answer, TreeProof) and answer.block else 0
        return Done(answers, work.asks[len(answers) :], taken, refused, requests, durable)

    def tick(self) -> None:
        """Call now and then: who has answered nothing since the last call is not waited for, what came is synced."""
        self._is_sync_due = True
        for exchange in self.exchanges:
            if exchange.requests and self._answers.get(exchange) == exchange.answers:
                exchange.cancel_all()
                exchange.is_stalled = True
                self._scheduler.release(exchange)
        self._answers = {exchange: exchange.answers for exchange in self.exchanges if exchange.requests}

    def finish(self, done: Done) -> list[tuple[Exchange, HyperfsError]]:
        """Tell the peers. Gives those whose connections are to end, and why.

        Whose proof did not hold has a `fault`, and if it may be the log's owner who lied, is asked for a proof of that:
        its connection ends when it has answered (`has_contradicted`) or too much time has passed.
        """
        self._asks.extendleft(reversed([found for found in done.left if found[0] in self.exchanges]))
        for proof in done.taken:
            if proof.block is not None:
                self._scheduler.came(proof.block.block)
            if proof.upgrade is not None and self.taking is not None:
                self._scheduler.upgraded(self.taking.length)
                self._lengths.append(self.taking.length)
        if done.durable is not None:
            self._announce(list(runs_of(sorted(done.durable))))
        for wish, request in done.requests:
            if wish.exchange in self.exchanges:
                wish.exchange.ask(request)
        ending = [found for found in done.refused if not _asks_why(self._standing(), *found)]
        for exchange, ask, answer in done.answers:
            try:
                self._reply(exchange, ask, answer)
            except HyperfsError as error:
                ending.append((exchange, error))
        return ending

    @property
    def is_unsettled(self) -> bool:
        """Something has come and is not durable yet."""
        return bool(self._proofs or self._unsynced)

    @property
    def is_idle(self) -> bool:
        """Nothing is asked for that was not answered, and all that came is durable."""
        return not self.is_unsettled and not self.is_worked_on and self._scheduler.under_way == 0

    @property
    def under_way(self) -> int:
        """Requests that were not answered."""
        return self._scheduler.under_way

    @property
    def newest_fork(self) -> int:
        """The highest that a peer claims. Nothing of another fork is taken in: that is a log of its own."""
        return max((exchange.remote.fork for exchange in self.exchanges), default=0)

    @property
    def is_whole(self) -> bool:
        """All that is wanted is here and durable, as far as any peer has said how much there is."""
        longest = max((found.remote.length for found in self.exchanges if found.remote.fork == found.fork), default=0)
        scheduler = self._scheduler
        return scheduler.under_way == 0 and not scheduler.missing() and longest <= self._standing()[1]

    def _answer(self, ask: Ask) -> TreeProof | HyperfsError:
        return _answer(self.held, ask)

    def _reply(self, exchange: Exchange, ask: Ask, answer: TreeProof | HyperfsError) -> None:
        if isinstance(answer, TreeProof):
            exchange.answer(ask, answer)
        else:
            exchange.refuse(ask, is_invalid=isinstance(answer, BadRequest))

    def _keep(self, proof: TreeProof, verified: Verified) -> None:
        assert self.taking is not None
        self.taking.keep(verified)
        if proof.block is not None:
            self._unsynced.append(proof.block.block)
            self._unsynced_bytes += len(proof.block.value)

    def _sync_if_due(self, work: Work, taken: list[TreeProof]) -> list[int] | None:
        is_longer = any(proof.upgrade for proof in taken)
        if not (is_longer or self._unsynced_bytes >= SYNC_BYTES or (work.is_sync_due and self._unsynced)):
            return None
        assert self.taking is not None
        self.taking.sync()
        kept, self._unsynced, self._unsynced_bytes = self._unsynced, [], 0
        return [block for block in kept if self.taking.has(block)]  # another's failed sync may have lost some

    def _announce(self, runs: list[Range]) -> None:
        for start, end in runs:
            self.have.add(start, end)
        fork, length = self._standing()
        for exchange in self.exchanges:
            exchange.stand(fork, length)
            for start, end in runs:
                exchange.announce(start, end)

    def _standing(self) -> tuple[int, int]:
        head = self.held.head()
        if head is not None:
            return head.fork, head.length
        return (self.taking.fork if self.taking is not None else 0), 0

    def _can_prove(self, length: int) -> bool:
        """Whether the nodes are surely here from which an upgrade of a tree of that length is made."""
        end = self._standing()[1]
        return self.taking is None or length in self._lengths or self.have.next_unset(0, end) == end


def _request(taking: Taking, wish: Wish) -> Request:
    if wish.block is None:
        return Request(upgrade=wish.upgrade)
    leaf = 2 * wish.block
    if wish.within is None:
        return Request(BlockRequest(wish.block, taking.missing(leaf)))
    roots = flat_tree.full_roots(wish.within)  # which the upgrade brings
    return Request(BlockRequest(wish.block, missing_nodes(roots.__contains__, leaf, wish.within)))


def _give_up_past(length: int, exchange: Exchange) -> None:
    """Blocks that were asked for along with a longer tree which does not come."""
    for request in exchange.requests:
        if request.block is not None and request.block.block >= length:
            exchange.cancel(request)


def _answer(held: Held, ask: Ask) -> TreeProof | HyperfsError:
    block = ask.request.block
    try:
        if block is not None and not held.has(block.block):
            return NotResident([])
        return held.proof(ask.request) if any(ask.request) else TreeProof(ask.fork)
    except (BadRequest, NotResident, Corrupt) as error:
        return error


def _asks_why(standing: tuple[int, int], exchange: Exchange, error: HyperfsError) -> bool:
    """Whether it may be the log's owner who lied: then the proof of that is asked for. `standing`: fork and length."""
    fork, length = standing
    length = min(length, exchange.remote.length)
    if not isinstance(error, Corrupt) or fork != exchange.remote.fork or length == 0 or exchange.fault:
        return False
    exchange.fault = error
    exchange.contradict(length)
    return True
