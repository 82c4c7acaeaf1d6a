"""What a cloud peer answers in `hyperfs/1`: requests of one connection in, answers out. No network, no clock.

Who has shown nothing learns nothing: what is not held and what is not for it are refused in the same words.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from hyperfs import errors
from hyperfs.crypto.keys import verify_signature
from hyperfs.errors import Corrupt, NotHeld, NotResident, Refused
from hyperfs.log.control_codec import ROOT, Record, decode_records, encode_records
from hyperfs.log.proof import TreeProof
from hyperfs.peer import rules
from hyperfs.peer.drive import HeldDrive, Offered
from hyperfs.peer.facts import SHOWN, Event
from hyperfs.peer.invites import Invites
from hyperfs.peer.lent import LentLog
from hyperfs.peer.peer import Peer
from hyperfs.replication import curve
from hyperfs.replication import dialogue_bodies as bodies
from hyperfs.replication.dialogue_bodies import Found, Outcome
from hyperfs.replication.dialogue_codec import MOST_BODY_BYTES, Method, Status, encode_words
from hyperfs.replication.state_bodies import DriveState, RootState, StateWanted

NOT_HERE: Final = "no such drive is held here, or it is not for you"

_STATUS: Final[dict[type[Exception], Status]] = {
    errors.NotHeld: Status.NOT_HERE,
    errors.Contradiction: Status.CONTRADICTION,
    errors.Refused: Status.REFUSED,
    errors.NoSpace: Status.FULL,
    errors.Corrupt: Status.BAD_REQUEST,
    errors.FormatTooNew: Status.BAD_REQUEST,
    errors.BadRequest: Status.BAD_REQUEST,
    errors.NotResident: Status.NOT_HERE,
    errors.HyperfsError: Status.REFUSED,
    OSError: Status.REFUSED,
}
_OUTCOMES: Final = {
    Offered.NEWER: Outcome.NEWER,
    Offered.SAME: Outcome.SAME,
    Offered.OLDER: Outcome.OLDER,
    Offered.APART: Outcome.APART,
}


class Visitor:
    """The other side of one connection, and what it has shown. `key` and `handshake_hash` are the handshake's."""

    def __init__(self, key: bytes, handshake_hash: bytes) -> None:
        self.key = key
        self.handshake_hash = handshake_hash
        self.roots: set[bytes] = set()
        """Drives whose root it is."""
        self.paired: set[bytes] = set()
        """Drives for which it had an invite: their chain may come."""
        self.logs: frozenset[bytes] = frozenset()
        """Discovery keys of the logs that it exchanges: it has proved that it knows their keys."""
        self.is_trusted = False
        """It has been answered something that not everybody is."""

    def holds(self, transport_key: bytes) -> bool:
        return curve.is_of(self.key, transport_key)


class Reply(NamedTuple):
    """`grown`: the drive whose control chain has grown by this; `gone`: one that is not here any more. `events`: for
    the log."""

    status: Status
    body: bytes
    grown: bytes | None = None
    gone: bytes | None = None
    events: tuple[Event, ...] = ()


class Desk:
    """One thread at a time, the peer's."""

    def __init__(self, peer: Peer, default_quota_bytes: int | None = None) -> None:
        self._peer = peer
        self._invites = Invites(peer.store)
        self._default_quota_bytes = default_quota_bytes
        self._methods: dict[int, Callable[[Visitor, bytes, int], Reply]] = {
            Method.PAIR: self._pair,
            Method.DRIVES: self._drives,
            Method.CHAIN: self._chain,
            Method.OFFER: self._offer,
            Method.HEADS: self._heads,
            Method.RECEIPT: self._receipt,
            Method.AUDIT: self._audit,
            Method.SPACE: self._space,
            Method.ADMIT: self._admit,
            Method.DISMISS: self._dismiss,
            Method.STATE: self._state,
        }

    def answer(self, visitor: Visitor, method: int, body: bytes, now_ns: int) -> Reply:
        """Never raises what a visitor or the disk can bring about."""
        answer = self._methods.get(method)
        if answer is None:
            return Reply(Status.BAD_REQUEST, encode_words(f"method {method} is not known here"))
        try:
            reply = answer(visitor, body, now_ns)
        except (errors.HyperfsError, OSError) as error:
            return _failed(error)
        if len(reply.body) > MOST_BODY_BYTES:
            return reply._replace(status=Status.REFUSED, body=encode_words("the answer is too long for one message"))
        return reply

    def lend(self, visitor: Visitor, log: bytes) -> LentLog | None:
        """The log of a discovery key for this visitor, who is about to prove that it knows the log's key."""
        try:
            return self._peer.lend(log, visitor.holds, knows_log_key=True, roots=visitor.roots)
        except Refused:
            return None

    def tidy(self, now_ns: int) -> None:
        self._invites.tidy(now_ns)

    def _pair(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        asked = bodies.Pair.decode(body)
        shown = asked.drive.hex()[:SHOWN]
        try:
            invite = self._invites.redeem(asked, visitor.handshake_hash, now_ns)
        except Refused as error:
            event = Event("warning", "pairing refused", shown, {"invite": asked.invite.hex()})
            return _failed(error)._replace(events=(event,))
        quota = self._default_quota_bytes if invite.is_default_quota else invite.quota_bytes
        self._peer.admit(asked.drive, quota)
        self._invites.bind(asked, invite)
        visitor.paired.add(asked.drive)
        visitor.is_trusted = True
        event = Event("info", "paired", shown, {"invite": asked.invite.hex()})
        return Reply(Status.OK, bodies.Paired(quota).encode(), events=(event,))

    def _drives(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        found = self._of_root(visitor, bodies.ProveRoot.decode(body))
        return Reply(Status.OK, bodies.Drives(found).encode())

    def _of_root(self, visitor: Visitor, asked: bodies.ProveRoot) -> tuple[bytes, ...]:
        """The root's drives: the visitor may ask about them from now on."""
        if not verify_signature(asked.root_key, bodies.root_message(visitor.handshake_hash), asked.signature):
            raise Refused("this is not signed by that root, for this connection")
        found = [
            drive.id
            for drive in self._peer.drives.values()
            if drive.chain is not None and drive.chain.root_key == asked.root_key
        ]
        if found:
            visitor.roots |= set(found)
            visitor.is_trusted = True
        return tuple(sorted(found))

    def _state(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        """What `_drives`, `_chain` and `_heads` would say one after the other."""
        asked = StateWanted.decode(body)
        drives = self._of_root(visitor, asked.root)
        meant = [drive for drive in drives if asked.drive in (None, drive)]
        reply = Reply(Status.OK, RootState(bodies.Drives(drives), None).encode())
        if len(meant) != 1:
            return reply
        heads = _heads_of(self._admitted(visitor, meant[0]))
        room = bodies.MOST_RECORDS_BYTES - len(heads.encode()) - len(reply.body)
        found = DriveState(meant[0], _part_of(self._records(visitor, meant[0]), 0, room), heads)
        whole = RootState(bodies.Drives(drives), found).encode()
        return reply._replace(body=whole) if len(whole) <= MOST_BODY_BYTES else reply

    def _chain(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        asked = bodies.ChainFrom.decode(body)
        part = _part_of(self._records(visitor, asked.drive), asked.start, bodies.MOST_RECORDS_BYTES)
        return Reply(Status.OK, part.encode())

    def _records(self, visitor: Visitor, drive: bytes) -> Sequence[Record]:
        """Of the drive's chain, those that this visitor may read: a device that was taken out, up to where it was. So
        it learns of that, and of nothing later."""
        held = self._peer.drives.get(drive)
        out = rules.taken_out_by(visitor.holds, held.chain) if held is not None else None
        if held is not None and held.chain is not None and out is not None and drive not in visitor.roots:
            visitor.is_trusted = True
            return held.chain.records[: out + 1]
        held = self._admitted(visitor, drive, or_paired=True, or_reader=True)
        return held.chain.records if held.chain is not None else ()

    def _offer(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        asked = bodies.Offer.decode(body)
        drive = self._admitted(visitor, asked.drive, or_paired=True)
        outcome = drive.offer_records(asked.start, asked.previous, decode_records(asked.records))
        grown = asked.drive if outcome is Offered.NEWER else None
        if grown is not None:
            drive.sweep(now_ns)  # what was cleared is held from now on
        total = len(drive.chain.records) if drive.chain is not None else 0
        return Reply(Status.OK, bodies.OfferTaken(_OUTCOMES[outcome], total).encode(), grown)

    def _heads(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        drive = self._admitted(visitor, bodies.OfDrive.decode(body).drive, or_reader=True)
        return Reply(Status.OK, _heads_of(drive).encode())

    def _receipt(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        asked = bodies.ReceiptWanted.decode(body)
        self._admitted(visitor, asked.drive)
        signed = self._peer.receipt(asked.drive, asked.log, asked.challenge, now_ns, asked.start)
        return Reply(Status.OK, signed.encode())

    def _audit(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        asked = bodies.Audit.decode(body)
        drive = self._admitted(visitor, asked.drive)
        if len(asked.blocks) > bodies.MOST_AUDITED:
            raise Refused(f"an audit of {len(asked.blocks)} blocks: at most {bodies.MOST_AUDITED} at once")
        show = partial(_shown, drive, asked)
        return Reply(Status.OK, bodies.Audited(tuple(map(show, asked.blocks))).encode())

    def _space(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        drive = self._admitted(visitor, bodies.OfDrive.decode(body).drive, or_paired=True)
        free = max(0, self._peer.store.free_bytes() - self._peer.floor_bytes)
        account = drive.account
        return Reply(Status.OK, bodies.Space(account.used_bytes, account.quota_bytes, free).encode())

    def _admit(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        asked = bodies.Part.decode(body)
        of = self._admitted(visitor, asked.drive)
        self._peer.admit_part(of, rules.device_of(visitor.holds, of.chain) or ROOT, asked.part)
        visitor.paired.add(asked.part)
        event = Event("info", "part admitted", asked.part.hex()[:SHOWN], {"of": asked.drive.hex()[:SHOWN]})
        return Reply(Status.OK, bodies.Paired(of.account.quota_bytes).encode(), events=(event,))

    def _dismiss(self, visitor: Visitor, body: bytes, now_ns: int) -> Reply:
        asked = bodies.Part.decode(body)
        self._peer.dismiss(self._admitted(visitor, asked.drive), asked.part)
        event = Event("info", "part dismissed", asked.part.hex()[:SHOWN], {"of": asked.drive.hex()[:SHOWN]})
        return Reply(Status.OK, b"", gone=asked.part, events=(event,))

    def _admitted(
        self, visitor: Visitor, drive: bytes, or_paired: bool = False, or_reader: bool = False
    ) -> HeldDrive:
        """The drive, if it is here and this visitor may ask about it. `or_reader`: who exchanges a log of it may."""
        held = self._peer.drives.get(drive)
        may = held is not None and (
            drive in visitor.roots
            or (or_paired and drive in visitor.paired)
            or (or_reader and not self._peer.only_listed and any(map(held.has_log, visitor.logs)))
            or rules.is_listed(visitor.holds, held.chain)
        )
        if held is None or not may:
            raise NotHeld(NOT_HERE)
        visitor.is_trusted = True
        return held


def _part_of(records: Sequence[Record], start: int, most_bytes: int) -> bodies.ChainPart:
    data, _ = encode_records(records[start:], most_bytes)
    return bodies.ChainPart(len(records), data)


def _heads_of(drive: HeldDrive) -> bodies.LogHeads:
    found = []
    for lent in drive.lend_all():
        if (head := lent.head()) is not None:
            named = lent.discovery_key, head.fork, head.length, head.byte_length, head.tree_hash, head.signature
            found.append(bodies.LogHead(*named))
    return bodies.LogHeads(tuple(found))


def _shown(drive: HeldDrive, asked: bodies.Audit, block: int) -> tuple[Found, bytes]:
    proof: TreeProof
    try:
        (proof,) = drive.audit(asked.log, [block], asked.fork)
    except Corrupt:
        return Found.DAMAGED, b""
    except (NotResident, errors.BadRequest):
        return Found.MISSING, b""
    if proof.block is None:
        return Found.MISSING, b""
    return Found.HERE, bodies.audit_digest(asked.challenge, block, proof.block.value)


def _failed(error: Exception) -> Reply:
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    if isinstance(error, OSError):
        words = f"this peer's disk fails: {error.strerror or error}"
        return Reply(status, encode_words(words), events=(Event("error", "disk", "", {"why": str(error)}),))
    return Reply(status, encode_words(str(error)))
