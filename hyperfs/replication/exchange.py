"""One log and one peer: the state of Hypercore's channel, from when it is open on both sides.

Both say where they stand (Synchronize) and what they have (Range, Bitfield); either asks, the other answers with a
proof. Messages in, events out; `take` has what is to be sent. Nothing is read or checked here: an Asked is answered
by whoever holds the log, what an Answered brings has proved nothing until `check_proof` says so.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from hyperfs.errors import HyperfsError, Misbehaved
from hyperfs.log.manifest import Manifest, unwrap_signature, wrap_signature
from hyperfs.log.proof import MAX_LENGTH, Request, TreeProof, UpgradeRequest
from hyperfs.replication import messages
from hyperfs.replication.announcing import Announcing
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.messages import INVALID_REQUEST, NOT_AVAILABLE, Ask, Data, Message, NoData, Synchronize

MOST_HELD: Final = 1024
"""Requests of the other side that wait for their answer. npm has at most 512 under way, and as many withdrawn."""
MOST_INVALID: Final = 64
"""Requests of the other side that make no sense, before the connection ends; npm bears as many."""
MOST_IN_FLIGHT: Final = 64
"""Requests of ours to one peer. npm over TCP: 48."""


class Asked(NamedTuple):
    """Answer with `answer` or `refuse`, unless it is withdrawn before."""

    ask: Ask


class Withdrawn(NamedTuple):
    ask: Ask


class Answered(NamedTuple):
    """To a request of ours; the proof has what was asked for, and is not checked."""

    request: Request
    proof: TreeProof


class Denied(NamedTuple):
    """The other side will not or can not answer a request of ours."""

    request: Request
    reason: int


class Moved(NamedTuple):
    """The other side stands elsewhere, or has other blocks, than before."""


class Contradicted(NamedTuple):
    """The other side proves, unasked, that the owner signed what contradicts it. Not checked."""

    proof: TreeProof


class Extended(NamedTuple):
    name: str
    message: bytes


Event = Asked | Withdrawn | Answered | Denied | Moved | Contradicted | Extended


class Exchange:
    """The channel's state. One owner; nothing here is shared with other peers but `have`, which the owner keeps."""

    def __init__(
        self,
        manifest: Manifest,
        have: Bitfield,
        fork: int,
        length: int,
        can_prove: Callable[[int], bool] = lambda length: True,
    ) -> None:
        """`have`: the blocks that may be announced, kept up to date by the owner, who then calls `announce`.

        `can_prove(length)`: whether an upgrade from that length can be proved here.
        """
        self.manifest = manifest
        self.fork, self.length = fork, length
        self.remote = Synchronize(0, 0, 0, can_upgrade=False)
        """What the other side said last of where it stands."""
        self.is_synchronized = False
        """It has said so at least once."""
        self.remote_has = Bitfield()
        self.fault: HyperfsError | None = None
        """What was wrong with something that it sent: it is asked for nothing more."""
        self.has_contradicted = False
        """It has answered `contradict`."""
        self.is_stalled = False
        """It owes answers and sends none."""
        self.answers = 0
        """How many have come, of any kind."""
        self._can_prove = can_prove
        self._announcing = Announcing(have, self.remote_has)
        self._in_flight: dict[int, Request] = {}
        self._free_ids: list[int] = []
        self._last_id = 0
        self._held: dict[int, Ask] = {}
        self._invalid = 0
        self._extension = ""
        self._out: list[Message] = []
        self._synchronize()
        self._out += self._announcing.begin(length)

    # What is sent

    def take(self, *, is_busy: bool = False) -> list[tuple[int, bytes]]:
        """(type, payload) of what is to be sent since the last call.

        `is_busy`: much waits to be written already; then what may be long is left for later, and so it is beyond a
        bound. As long as something is given, there may be more.
        """
        out, self._out = self._out, []
        if not is_busy:
            out += self._announcing.answers(self.length)
        return [messages.encode(message) for message in out]

    def stand(self, fork: int, length: int) -> None:
        """The log here has grown, durably, or is of another fork."""
        if (fork, length) != (self.fork, self.length):
            self.fork, self.length = fork, length
            self._synchronize()

    def announce(self, start: int, end: int) -> None:
        """Blocks [start, end) are here now, durably."""
        self._out += self._announcing.gained(start, end, self.length)

    def retract(self, start: int, end: int) -> None:
        """They are here no more."""
        self._out += self._announcing.lost(start, end)

    def answer(self, ask: Ask, proof: TreeProof) -> None:
        """Nothing is sent for one that was withdrawn."""
        if self._held.get(ask.id) is not ask:
            return
        del self._held[ask.id]
        self._out.append(Data(ask.id, self._wrapped(proof), self.manifest if ask.manifest else None))

    def refuse(self, ask: Ask, *, is_invalid: bool = False) -> None:
        """It can't be answered; `is_invalid`: it makes no sense. Misbehaved where that has come too often."""
        if is_invalid:
            self._invalid += 1
            if self._invalid >= MOST_INVALID:
                raise Misbehaved(f"{MOST_INVALID} requests that make no sense")
        if self._held.get(ask.id) is ask:
            del self._held[ask.id]
            self._out.append(NoData(ask.id, INVALID_REQUEST if is_invalid else NOT_AVAILABLE))

    def ask(self, request: Request) -> None:
        """Of the fork at which the other side stands."""
        if self._free_ids:
            number = self._free_ids.pop()
        else:
            self._last_id = number = self._last_id + 1
        self._in_flight[number] = request
        self._out.append(Ask(number, self.remote.fork, request))

    def cancel(self, request: Request) -> None:
        """The answer is not wanted any more. Its number is not used again: the answer may be on its way."""
        for number, asked in self._in_flight.items():
            if asked is request:
                del self._in_flight[number]
                self._out.append(messages.Cancel(number))
                return

    def cancel_all(self) -> None:
        for request in self.requests:
            self.cancel(request)

    def contradict(self, length: int) -> None:
        """Ask for the proof of all `length` blocks, which Contradicted answers: its data did not fit what is here.

        If the owner of the log has signed two histories, that proves it; if not, the other side has lied.
        """
        self._out.append(Ask(0, self.remote.fork, Request(upgrade=UpgradeRequest(0, length))))

    def inquire(self, block: int) -> None:
        """Ask which blocks around this one the other side has; once."""
        self._out += self._announcing.inquire(block)

    def extend(self, name: str, message: bytes) -> None:
        self._out.append(messages.Extension(name, message))

    # What is known of the other side

    @property
    def room(self) -> int:
        """How many more requests it may get now."""
        if self.fault is not None or self.is_stalled or not self.remote.uploading:
            return 0
        return max(0, MOST_IN_FLIGHT - len(self._in_flight))

    @property
    def requests(self) -> list[Request]:
        """Those under way."""
        return list(self._in_flight.values())

    @property
    def can_upgrade(self) -> bool:
        """Whether it offers a longer tree than the one here, and knows how long this one is."""
        remote = self.remote
        is_ahead = remote.fork == self.fork and remote.length > self.length and remote.can_upgrade
        return is_ahead and remote.remote_length == self.length

    # What comes

    def receive(self, kind: int, payload: bytes) -> Iterator[Event]:
        """Corrupt or Misbehaved end the connection. Iterate to the end."""
        message = messages.decode(kind, payload)
        self.is_stalled = False
        match message:
            case Synchronize():
                yield from self._on_synchronize(message)
            case Ask():
                yield from self._on_ask(message)
            case messages.Cancel():
                if ask := self._held.pop(message.id, None):
                    yield Withdrawn(ask)
            case Data():
                yield from self._on_data(message)
            case NoData():
                if message.id == 0:
                    self.has_contradicted = True
                elif request := self._done(message.id):
                    yield Denied(request, message.reason)
            case messages.Want():
                self._announcing.wanted(message)
            case messages.Unwant():
                self._announcing.unwanted(message)
            case messages.Bitfield() | messages.Range():
                self._announcing.told(message)
                yield Moved()
            case messages.Extension():
                self._extension = message.name or self._extension
                yield Extended(self._extension, message.message)

    def _on_synchronize(self, message: Synchronize) -> Iterator[Event]:
        if max(message.length, message.remote_length) > MAX_LENGTH:
            raise Misbehaved(f"a log of {message.length} blocks")
        if message.fork != self.remote.fork:
            self.remote_has.discard(0, MAX_LENGTH)
        self.remote = message
        self.is_synchronized = True
        if message.fork == self.fork and message.length < self.length:
            # It asks for more only once it hears that its length is known.
            self._synchronize()
        yield Moved()

    def _on_ask(self, ask: Ask) -> Iterator[Event]:
        if withdrawn := self._held.pop(ask.id, None):
            yield Withdrawn(withdrawn)
        if len(self._held) >= MOST_HELD:
            raise Misbehaved(f"more than {MOST_HELD} requests at a time")
        self._held[ask.id] = ask
        if ask.fork != self.fork or self.length == 0:
            self._refuse_old(ask)
        else:
            yield Asked(ask)

    def _refuse_old(self, ask: Ask) -> None:
        """Of another fork; but the manifest, which is the log's, can be had all the same."""
        if ask.manifest:
            self.answer(ask, TreeProof(self.fork))
        else:
            self.refuse(ask)

    def _on_data(self, data: Data) -> Iterator[Event]:
        if data.manifest is not None and data.manifest.key() != self.manifest.key():
            raise Misbehaved("the manifest of another log")
        proof = self._unwrapped(data.proof)
        if data.id == 0:
            self.has_contradicted = True
            if proof.upgrade is not None and proof.upgrade.start == 0:
                yield Contradicted(proof)
            return
        request = self._done(data.id)
        if request is None:
            return
        yield Answered(request, _fitting(request, proof))

    def _done(self, number: int) -> Request | None:
        """The request of that number, now answered. None for one that was cancelled."""
        if not 0 < number <= self._last_id:
            raise Misbehaved(f"an answer to request {number}, which was never sent")
        self.answers += 1
        request = self._in_flight.pop(number, None)
        if request is not None:
            self._free_ids.append(number)
        return request

    def _synchronize(self) -> None:
        remote = self.remote
        is_same = remote.fork == self.fork
        is_behind = remote.length < self.length or not self.is_synchronized
        can_upgrade = is_same and is_behind and (remote.length == 0 or self._can_prove(remote.length))
        if self._out and isinstance(self._out[-1], Synchronize):
            self._out.pop()  # only the last one counts
        self._out.append(Synchronize(self.fork, self.length, remote.length if is_same else 0, can_upgrade))

    def _wrapped(self, proof: TreeProof) -> TreeProof:
        if proof.upgrade is None or self.manifest.version == 0:
            return proof
        return proof._replace(upgrade=proof.upgrade._replace(signature=wrap_signature(proof.upgrade.signature)))

    def _unwrapped(self, proof: TreeProof) -> TreeProof:
        if proof.upgrade is None or self.manifest.version == 0:
            return proof
        return proof._replace(upgrade=proof.upgrade._replace(signature=unwrap_signature(proof.upgrade.signature)))


def _fitting(request: Request, proof: TreeProof) -> TreeProof:
    """The proof, if it is of what was asked for."""
    block, hash_, seek, upgrade = request
    fits = (
        (block.block if block else None) == (proof.block.block if proof.block else None)
        and (hash_.node if hash_ else None) == (proof.hash.node if proof.hash else None)
        and (proof.seek is None or (seek is not None and seek.bytes == proof.seek.bytes))
        and (upgrade is not None) == (proof.upgrade is not None)
    )
    if not fits:
        raise Misbehaved("an answer to something else than was asked")
    if seek is not None and proof.seek is not None:
        return proof._replace(seek=proof.seek._replace(padding=seek.padding))
    return proof
