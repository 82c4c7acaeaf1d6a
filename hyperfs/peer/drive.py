"""One drive on a cloud peer: its control chain, its logs, what is held of them, and what speaks against their keys.

Knows nothing of what is in a block. The decisions are in `rules`, `clears`, `holds` and `evidence`; here they meet the
store. Records of a drive: `drive` (settings), `control`, `holds`, and those of its dossier.

Order: the chain is written before anything is done by it; what is held is derived from it by the next sweep. A clear
that is due is done, and only then its record forgotten.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import Final

from hyperfs.errors import Contradiction, Corrupt, Refused
from hyperfs.log.cleared import Cleared, Range
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import ROOT, LogEntry, Record, decode_file
from hyperfs.log.heads import Head, Signer
from hyperfs.log.manifest import default_v1, discovery_key
from hyperfs.log.proof import BlockRequest, Request, TreeProof, UpgradeRequest
from hyperfs.log.receipt import MOST_RANGES, MOST_VALID_NS, Receipt, SignedReceipt, sign_receipt
from hyperfs.log.verify_proof import Verified
from hyperfs.peer import holds as holding
from hyperfs.peer import rules, settings
from hyperfs.peer.account import Account
from hyperfs.peer.blockstore import BlockStore, Place
from hyperfs.peer.clears import Clears, clears_of, unwanted, waiting, without
from hyperfs.peer.dossier import Dossier
from hyperfs.peer.evidence import Statement
from hyperfs.peer.full import told_when_full
from hyperfs.peer.lent import LentLog
from hyperfs.peer.settings import Settings

SETTINGS: Final = "drive"
CONTROL: Final = "control"
HOLDS: Final = "holds"

MOST_CHAIN_BYTES: Final = 64 << 20
"""And as much again for what the root signs: who fills a chain with a stolen device key can't stop its revocation."""
MOST_AUDIT_BLOCKS: Final = 64
_NODE_BYTES: Final = 40


class Offered(Enum):
    """What a control chain that was offered is to the one that is here."""

    NEWER = "newer"
    SAME = "same"
    OLDER = "older"
    APART = "apart"


class HeldDrive:
    """One thread at a time. Made by Peer."""

    def __init__(self, store: BlockStore, drive: bytes, floor_bytes: int) -> None:
        """Reads the drive's records: Corrupt, FormatTooNew, OSError."""
        self.id = drive
        self._store = store
        self._floor_bytes = floor_bytes
        found = store.read(drive, SETTINGS)
        self.settings = settings.decode(found) if found is not None else Settings()
        self.holds = holding.read(store.read(drive, HOLDS))
        self.account = Account(self)
        self.dossier = Dossier(store, drive)
        self.damaged: list[tuple[Place, int]] = []  # blocks, found since the peer was started
        self._lent: dict[Place, LentLog] = {}
        self._sizes = {place: store.size_of(place) for place in store.places(drive)}
        self.heads: dict[Place, Head] = {}  # durable ones, of the places opened since the peer was started
        self._unsynced_bytes = 0
        found = store.read(drive, CONTROL)
        self.chain: Chain | None = None
        self.clears = Clears({}, ())
        if found is not None:
            self._take(Chain.parse(found, drive))

    def close(self) -> None:
        for lent in self._lent.values():
            lent.close()

    def rest(self) -> None:
        """Close the files of logs in which nothing waits for a sync; whoever asks such a log opens it again."""
        for lent in self._lent.values():
            if not lent.is_unsynced:
                lent.close()

    def set_quota(self, quota_bytes: int | None) -> None:
        self._write(SETTINGS, Settings(quota_bytes).encode())
        self.settings = Settings(quota_bytes)

    @property
    def used_bytes(self) -> int:
        return sum(self._sizes.values()) + self._unsynced_bytes

    # The control chain

    def offer_chain(self, data: bytes) -> Offered:
        """Take the file `control` that somebody has, if it goes on from what is here; durable when it returns.

        An older one changes nothing. Contradiction where both are signed and part: then the one that is here stays, and
        the evidence is kept. Corrupt, Refused, FormatTooNew for what is no chain of this drive.
        """
        _check_size(len(data), 2 * MOST_CHAIN_BYTES)
        return self._offer(decode_file(data), len(data))

    def offer_records(self, start: int, previous: bytes, records: Sequence[Record]) -> Offered:
        """As offer_chain, of the records from `start` on; `previous` is the hash of the one before.

        APART where that one is not here, or is another: then nothing is taken, and nobody has contradicted anybody."""
        held = self.chain.records if self.chain is not None else ()
        if start > len(held) or (start and held[start - 1].hash() != previous):
            return Offered.APART
        whole = [*held[:start], *records]
        size = sum(len(record.encode()) for record in whole)
        _check_size(size, 2 * MOST_CHAIN_BYTES)
        return self._offer(whole, size)

    def _offer(self, records: Sequence[Record], size: int) -> Offered:
        held = self.chain
        if held is None:
            return self._store_chain(Chain.parse_records(records, self.id))
        both = min(len(records), len(held.records))
        if tuple(records[:both]) != held.records[:both]:
            self._meet_other_chain(held, Chain.parse_records(records, self.id))
        if len(records) <= both:
            return Offered.SAME if len(records) == len(held.records) else Offered.OLDER
        if any(record.signer != ROOT for record in records[both:]):
            _check_size(size, MOST_CHAIN_BYTES)
        return self._store_chain(held.extend(records[both:]))

    def _store_chain(self, chain: Chain) -> Offered:
        self._write(CONTROL, chain.encode())
        self._take(chain)
        return Offered.NEWER

    def _take(self, chain: Chain) -> None:
        self.chain = chain
        self._entries = {_discovery_key(entry): entry for entry in chain.logs.values()}
        self._permitted = {number: rules.permitted_forks(chain, number) for number in chain.logs}
        self.clears = clears_of(chain.records)
        self._judge_clears(chain)

    def _judge_clears(self, chain: Chain) -> None:
        self._unwanted: Mapping[int, Cleared] = unwanted(self.clears, self.holds.cancelled, chain.devices)
        self._waiting: Mapping[int, Cleared] = waiting(self.clears, self.holds.waiting(self.clears))

    def _meet_other_chain(self, held: Chain, other: Chain) -> None:
        at = self.dossier.parted_chains(held, other)
        raise Contradiction(
            f"drive {self.id.hex()[:16]}: two control chains part at record {at}, signed by "
            f"{_who(held.records[at])} here and by {_who(other.records[at])} there. What is here stays; find out "
            "which device or key is not yours"
        )

    # Logs

    def has_log(self, log: bytes) -> bool:
        """Whether the roster has a log of this discovery key."""
        return self.chain is not None and log in self._entries

    def lend(self, log: bytes, fork: int | None = None) -> LentLog:
        """The log of a discovery key, at its present fork or another. Refused for what is not in the roster."""
        entry = self.entry(log)
        permitted = self._permitted[entry.number]
        place = Place(self.id, log, max(permitted) if fork is None else fork)
        if place.fork not in permitted:  # one that was replaced may still be read
            rules.check_fork(entry, permitted, place.fork)
        if place not in self._lent:
            lent = self._lent[place] = LentLog(self._store, place, entry.public_key, entry.number, self)
            if (head := lent.head()) is not None:
                self.heads[place] = head
        return self._lent[place]

    def lend_all(self) -> list[LentLog]:
        """Every log of the roster, at its present fork."""
        return [self.lend(log) for log in self._entries] if self.chain is not None else []

    def before(self, place: Place, proof: TreeProof, here: int) -> None:
        entry, chain = self.entry(place.log), self._need_chain()
        self.account.check_takes(self)
        self._check_fork(entry, proof)
        length = rules.claimed_length(proof)
        if length is not None:
            rules.check_growth(chain, entry, here, length)
        if proof.block is not None:
            rules.check_wanted(entry, self._unwanted.get(place.fork), proof.block.block)

    def after(self, place: Place, verified: Verified) -> None:
        rules.check_tree(self.entry(place.log), verified)
        more = _NODE_BYTES * len(verified.nodes) + (len(verified.block[1]) if verified.block is not None else 0)
        free = self._store.free_bytes()
        used, quota = self.account.used_bytes, self.account.quota_bytes
        rules.check_room(self.id, used, more, quota, free, self._floor_bytes)
        self._unsynced_bytes += more

    def synced(self, place: Place, size_bytes: int, head: Head | None) -> None:
        self._sizes[place] = size_bytes
        if head is not None:
            self.heads[place] = head
        self._unsynced_bytes = 0  # of other logs too: they are counted when they are synced

    def is_damaged(self, place: Place, block: int) -> None:
        self.damaged.append((place, block))

    def witness(self, log: bytes, proof: TreeProof) -> None:
        """Look at what the log's key signed elsewhere: the answer to UpgradeRequest(0, n), n at most our length.

        Contradiction, and the evidence is kept, where it is another history than ours. Corrupt where the key did not
        sign it; NotResident where we can't tell, for want of a node."""
        entry = self.entry(log)
        if proof.upgrade is None or proof.upgrade.start:
            raise Corrupt("what is witnessed is no upgrade from nothing")
        statement = Statement(proof.fork, proof.upgrade)
        statement.verified(entry.public_key)
        self._check_fork(entry, proof)
        lent = self.lend(log, proof.fork)
        head, length = lent.head(), proof.upgrade.length
        if head is None or length > head.length or lent.prefix_hash(length) == statement.prefix_hash():
            return
        ours = lent.proof(Request(upgrade=UpgradeRequest(0, length))).upgrade
        if ours is not None:
            self.dossier.parted_logs(entry, Statement(proof.fork, ours), statement)
        raise Contradiction(
            f"log {entry.number} of device {entry.device}, drive {self.id.hex()[:16]}: its key has signed two "
            f"histories, different within the first {length} blocks. What is here stays; the device was "
            "restored from an old image, or its key is stolen"
        )

    def _check_fork(self, entry: LogEntry, proof: TreeProof) -> None:
        permitted = self._permitted[entry.number]
        if proof.fork not in permitted:
            self.dossier.unpermitted_fork(entry, proof)
        rules.check_fork(entry, permitted, proof.fork)

    # What is promised, and shown

    def receipt(self, log: bytes, challenge: bytes, signer: Signer, now_ns: int, start: int = 0) -> SignedReceipt:
        """What is here of a log from block `start` on, in at most MOST_RANGES runs. Synced before it is signed; what is
        on its way out is not in it. Refused where nothing is here."""
        lent = self.lend(log)
        head = lent.sync()
        if head is None:
            raise Refused(f"nothing of log {lent.number} is here")
        going = self._waiting.get(lent.fork)
        ranges = without(lent.ranges(start), going.ranges(lent.number) if going is not None else ())
        few = tuple(islice(ranges, MOST_RANGES))
        until = now_ns + MOST_VALID_NS
        fields = (
            self.id,
            signer.public_key,
            challenge,
            now_ns,
            until,
            log,
            head.fork,
            head.length,
            head.tree_hash,
            few,
        )
        return sign_receipt(signer, Receipt(*fields))

    def audit(self, log: bytes, blocks: Sequence[int], fork: int | None = None) -> list[TreeProof]:
        """The blocks, read from the disk and compared. NotResident for one that is not here, Corrupt for a damaged one,
        which is then not had any more."""
        if len(blocks) > MOST_AUDIT_BLOCKS:
            raise Refused(f"an audit of {len(blocks)} blocks: at most {MOST_AUDIT_BLOCKS} at once")
        lent = self.lend(log, fork)
        return [lent.proof(Request(block=BlockRequest(block))) for block in blocks]

    # What goes

    def sweep(self, now_ns: int) -> None:
        """Count the time, begin to hold what has come since the last sweep, and let go of what has been held long
        enough. Safe to be killed in, and to be called at any time; once an hour will do."""
        self.holds = self.holds.look(now_ns)
        if (chain := self.chain) is not None:
            let_go = [(place.log, place.fork) for place in self._store.places(self.id) if not self.is_current(place)]
            self.holds = self.holds.schedule(self.clears, len(chain.records), chain.devices, let_go)
            clears, forks = self.holds.due_clears(), self.holds.due_forks()
            for sequence in clears:
                self._do(sequence)
            for held in forks:
                self._remove(Place(self.id, held.log, held.fork))
            self.holds = self.holds.without(clears, forks)
            self._judge_clears(chain)
        self._write(HOLDS, self.holds.encode())

    def unwanted(self, lent: LentLog) -> tuple[Range, ...]:
        """Blocks of a log that are not to come: its owner has cleared them."""
        found = self._unwanted.get(lent.fork)
        return tuple(found.ranges(lent.number)) if found is not None else ()

    def _do(self, sequence: int) -> None:
        deed = self.clears.deeds[sequence]
        place = Place(self.id, _discovery_key(self._need_chain().logs[deed.log]), deed.fork)
        if place in self._sizes:
            for start, end in deed.ranges:
                self.lend(*place[1:]).clear(start, end)

    def _remove(self, place: Place) -> None:
        if (lent := self._lent.pop(place, None)) is not None:
            lent.close()
        self._store.remove(place)
        self._sizes.pop(place, None)
        self.heads.pop(place, None)

    def is_current(self, place: Place) -> bool:
        """Whether it was not let go by the root."""
        entry = self._entries.get(place.log)
        return entry is None or place.fork >= max(self._permitted[entry.number])

    def _write(self, name: str, data: bytes) -> None:
        with told_when_full():
            self._store.write(self.id, name, data)

    def entry(self, log: bytes) -> LogEntry:
        """The roster's of a discovery key; Refused if there is none."""
        self._need_chain()
        if log not in self._entries:
            raise Refused(f"the log with discovery key {log.hex()[:16]} is not in the drive's roster")
        return self._entries[log]

    def _need_chain(self) -> Chain:
        if self.chain is None:
            raise Refused(f"drive {self.id.hex()[:16]}: its control chain has not come yet")
        return self.chain


def _check_size(found: int, most: int) -> None:
    if found > most:
        raise Refused(f"a control chain of {found} bytes: at most {most}")


def _discovery_key(entry: LogEntry) -> bytes:
    return discovery_key(default_v1(entry.public_key).key())


def _who(record: Record) -> str:
    return "the root" if record.signer == ROOT else f"device {record.signer}"
