"""What a device asks of a cloud peer, one method each: values in, values or our own errors out.

An error is what the peer says (`the peer says: ...`): Refused, NotHeld, PlaceFull, Contradiction, BadRequest;
Unreachable where the connection ends first; Corrupt for an answer that says nothing. Nothing of an answer is verified
here but its form: chains, heads and receipts are for the caller to check.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from hyperfs.errors import BadRequest, Contradiction, HyperfsError, NotHeld, PlaceFull, Refused
from hyperfs.log.control_codec import Record, encode_records
from hyperfs.log.heads import Signer
from hyperfs.replication import dialogue_bodies as bodies
from hyperfs.replication.dialogue_bodies import MOST_RECORDS_BYTES, LogHead, OfferTaken, Outcome, Space
from hyperfs.replication.dialogue_codec import Method, Status, decode_words
from hyperfs.replication.invitation import Invitation, proof, verifier
from hyperfs.replication.one_session import Session
from hyperfs.replication.state_bodies import RootState, StateWanted

_ERRORS: Final[dict[int, type[HyperfsError]]] = {
    Status.REFUSED: Refused,
    Status.NOT_HERE: NotHeld,
    Status.FULL: PlaceFull,
    Status.CONTRADICTION: Contradiction,
    Status.BAD_REQUEST: BadRequest,
}
_FIRST: Final = bytes(32)
_T = TypeVar("_T")


class PeerClient:
    """Over one session, whose other side is the peer that was meant: `Exchanger.connect` sees to that."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def pair(self, invitation: Invitation, drive: bytes) -> int | None:
        """Have the peer hold this drive from now on; its quota. The chain is to be offered next, over this session."""
        known = verifier(invitation.id, invitation.secret)
        shown = proof(known, self.session.handshake_hash, drive)
        body = bodies.Pair(invitation.id, shown, drive).encode()
        return (await self._ask(Method.PAIR, body, bodies.Paired.decode)).quota_bytes

    async def drives(self, root: Signer) -> tuple[bytes, ...]:
        """The ids of the drives whose root this is. The session may then do for them what a device may."""
        body = bodies.ProveRoot.sign(root, self.session.handshake_hash).encode()
        return (await self._ask(Method.DRIVES, body, bodies.Drives.decode)).drives

    async def state(self, root: Signer, drive: bytes | None) -> RootState:
        """As `drives`, and with it the state of that drive, or of the only one. BadRequest of a peer that is older than
        this method: then `drives`, `chain` and `heads` say the same."""
        body = StateWanted(bodies.ProveRoot.sign(root, self.session.handshake_hash), drive).encode()
        return await self._ask(Method.STATE, body, RootState.decode)

    async def chain(self, drive: bytes, start: int = 0) -> tuple[int, bytes]:
        """(how many records the peer has, as many from `start` on as fit): see control_codec.decode_records."""
        body = bodies.ChainFrom(drive, start).encode()
        return await self._ask(Method.CHAIN, body, bodies.ChainPart.decode)

    async def offer(self, drive: bytes, records: Sequence[Record], start: int = 0) -> OfferTaken:
        """The records of a chain from `start` on, in as many pieces as it takes; what came of the last one, or of the
        first that does not join on (APART)."""
        taken = None
        while taken is None or (start < len(records) and taken.outcome != Outcome.APART):
            piece, count = encode_records(records[start:], MOST_RECORDS_BYTES)
            previous = records[start - 1].hash() if start else _FIRST
            body = bodies.Offer(drive, start, previous, piece).encode()
            taken = await self._ask(Method.OFFER, body, OfferTaken.decode)
            start += count
        return taken

    async def heads(self, drive: bytes) -> tuple[LogHead, ...]:
        """As the peer has them; the signatures are not checked."""
        return (await self._ask(Method.HEADS, bodies.OfDrive(drive).encode(), bodies.LogHeads.decode)).heads

    async def receipt(self, drive: bytes, log: bytes, challenge: bytes, start: int = 0) -> bytes:
        """What log/receipt.py `check` takes. `challenge`: 32 random bytes, used once."""
        body = bodies.ReceiptWanted(drive, log, challenge, start).encode()
        return await self._ask(Method.RECEIPT, body, bytes)

    async def audit(
        self, drive: bytes, log: bytes, fork: int, challenge: bytes, blocks: Sequence[int]
    ) -> tuple[tuple[bodies.Found, bytes], ...]:
        """For each block what was found, and where it is there the digest that `bodies.audit_digest` gives of it."""
        body = bodies.Audit(drive, log, fork, challenge, tuple(blocks)).encode()
        found = (await self._ask(Method.AUDIT, body, bodies.Audited.decode)).blocks
        if len(found) != len(blocks):
            raise BadRequest(f"the peer answers for {len(found)} blocks, and was asked about {len(blocks)}")
        return found

    async def space(self, drive: bytes) -> Space:
        return await self._ask(Method.SPACE, bodies.OfDrive(drive).encode(), Space.decode)

    async def admit(self, drive: bytes, part: bytes) -> int | None:
        """Have the peer hold a further drive, as a part of one whose device this is; the quota of both. Its chain is to
        be offered next, over this session."""
        return (await self._ask(Method.ADMIT, bodies.Part(drive, part).encode(), bodies.Paired.decode)).quota_bytes

    async def dismiss(self, drive: bytes, part: bytes) -> None:
        """All of such a drive goes there, at once."""
        await self._ask(Method.DISMISS, bodies.Part(drive, part).encode(), bytes)

    async def _ask(self, method: Method, body: bytes, decode: Callable[[bytes], _T]) -> _T:
        status, answer = await self.session.ask(method, body)
        if status != Status.OK:
            raise _ERRORS.get(status, Refused)(f"the peer says: {decode_words(answer)}")
        return decode(answer)
