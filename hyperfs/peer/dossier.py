"""The evidence that a cloud peer has of one drive, in records `evidence-0001` and so on. Kept for good."""

from typing import Final

from hyperfs.errors import Corrupt
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import ROOT, LogEntry, Record
from hyperfs.log.proof import TreeProof
from hyperfs.peer import evidence as codec
from hyperfs.peer.blockstore import BlockStore
from hyperfs.peer.evidence import Evidence, ForkedChain, ForkedLog, Statement, UnpermittedFork

_PREFIX: Final = "evidence-"
MOST_EVIDENCE: Final = 64


class Dossier:
    """One piece of a kind against one key is enough, and a thief could make any number."""

    def __init__(self, store: BlockStore, drive: bytes) -> None:
        self._store = store
        self._drive = drive
        self.found: list[Evidence] = []
        self._last = 0
        for name in store.names(drive):
            if name.startswith(_PREFIX) and name[len(_PREFIX) :].isdecimal():
                self._last = max(self._last, int(name[len(_PREFIX) :]))
                self._read(name)

    def parted_chains(self, held: Chain, other: Chain) -> int:
        """Two signed chains of the drive that part; at which record."""
        pairs = enumerate(zip(held.records, other.records, strict=False))
        at = next(number for number, (ours, theirs) in pairs if ours != theirs)
        before = Chain.parse_records(held.records[:at])
        ours, theirs = held.records[at], other.records[at]
        self._note(ForkedChain(self._drive, at, _signer(before, ours), ours, _signer(before, theirs), theirs))
        return at

    def parted_logs(self, entry: LogEntry, held: Statement, offered: Statement) -> None:
        """Both verified, of one fork and length, with different trees."""
        self._note(ForkedLog(self._drive, entry.public_key, held, offered))

    def unpermitted_fork(self, entry: LogEntry, proof: TreeProof) -> None:
        """Kept if the log's own key signed it: else it says nothing of the device."""
        if proof.upgrade is None or proof.upgrade.start:
            return
        statement = Statement(proof.fork, proof.upgrade)
        try:
            statement.verified(entry.public_key)
        except Corrupt:
            return  # whoever sent it has made it up
        self._note(UnpermittedFork(self._drive, entry.public_key, statement))

    def against(self, public_key: bytes) -> bool:
        """Whether there is any against a log's key."""
        return any(not isinstance(found, ForkedChain) and found.public_key == public_key for found in self.found)

    def _note(self, evidence: Evidence) -> None:
        if len(self.found) >= MOST_EVIDENCE or any(_about(known) == _about(evidence) for known in self.found):
            return
        self._store.write(self._drive, f"{_PREFIX}{self._last + 1:04}", codec.encode(evidence))
        self._last += 1
        self.found.append(evidence)

    def _read(self, name: str) -> None:
        try:
            found = codec.decode(self._store.read(self._drive, name) or b"")
        except Corrupt:
            return  # it proves nothing any more, and the drive is served all the same
        self.found.append(found)


def _signer(before: Chain, record: Record) -> bytes:
    return before.root_key if record.signer == ROOT else before.devices[record.signer].signing_key


def _about(evidence: Evidence) -> tuple[object, ...]:
    match evidence:
        case ForkedLog(_, key, held, _):
            return ForkedLog, key, held.fork
        case UnpermittedFork(_, key, _):
            return UnpermittedFork, key
        case ForkedChain():
            return (ForkedChain,)
