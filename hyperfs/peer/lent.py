"""A log as the cloud peer lends it to a session: what is stored, behind what the drive's control chain allows."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol

from hyperfs.errors import Corrupt
from hyperfs.log.cleared import Range
from hyperfs.log.heads import Head
from hyperfs.log.proof import Request, TreeProof
from hyperfs.log.verify_proof import Verified
from hyperfs.peer.blockstore import BlockStore, Place, StoredLog
from hyperfs.peer.full import told_when_full


class Ruling(Protocol):
    """What the drive says to what comes and goes. Each raises Refused (or NoSpace) with the rule that forbids it."""

    def before(self, place: Place, proof: TreeProof, here: int) -> None:
        """A proof that was not verified yet, for a log that is `here` blocks long."""

    def after(self, place: Place, verified: Verified) -> None:
        """What is about to be kept."""

    def synced(self, place: Place, size_bytes: int, head: Head | None) -> None:
        """What a place takes now, and how far it is."""

    def is_damaged(self, place: Place, block: int) -> None:
        """A block that was had is not as signed: it is not had any more."""


class LentLog:
    """See Taking (log/held.py). After a failed write it opens what is durable again by itself: what was kept and not
    synced has then not been kept."""

    def __init__(self, store: BlockStore, place: Place, public_key: bytes, number: int, ruling: Ruling) -> None:
        self.place = place
        self.number = number
        self._store = store
        self._public_key = public_key
        self._ruling = ruling
        self._opening = Lock()  # a session looks at the head from its own thread
        self._log: StoredLog | None = store.open(place, public_key, number)
        self.key = self._log.key
        self.is_unsynced = False
        """Something was kept since the last sync."""
        self.losses = 0
        """How often what was kept was lost before its sync."""

    @property
    def discovery_key(self) -> bytes:
        return self.place.log

    @property
    def fork(self) -> int:
        return self.place.fork

    @property
    def length(self) -> int:
        return self._stored().length

    def head(self) -> Head | None:
        return self._stored().head()

    def has(self, block: int) -> bool:
        return self._stored().has(block)

    def ranges(self, start: int = 0, end: int | None = None) -> Iterator[Range]:
        return self._stored().ranges(start, end)

    def missing(self, node: int) -> int:
        return self._stored().missing(node)

    def prefix_hash(self, length: int) -> bytes:
        return self._stored().prefix_hash(length)

    def proof(self, request: Request) -> TreeProof:
        """A block that turns out to be damaged is not had from then on, so that it may come again."""
        try:
            return self._stored().proof(request)
        except Corrupt:
            if request.block is not None and self.has(request.block.block):
                self.forget(request.block.block)
            raise

    def check_proof(self, proof: TreeProof) -> Verified:
        self._ruling.before(self.place, proof, self.length)
        verified = self._stored().check_proof(proof)
        self._ruling.after(self.place, verified)
        return verified

    def keep(self, verified: Verified) -> None:
        self.is_unsynced = True
        with self._writing() as log:
            log.keep(verified)

    def sync(self) -> Head | None:
        with self._writing() as log:
            head = log.sync()
        self.is_unsynced = False
        self._ruling.synced(self.place, log.size_on_disk(), head)
        return head

    def clear(self, start: int, end: int) -> None:
        with self._writing() as log:
            log.clear(start, end)
        self._ruling.synced(self.place, log.size_on_disk(), log.head())

    def forget(self, block: int) -> None:
        with self._writing() as log:
            log.forget(block, block + 1)
        self._ruling.is_damaged(self.place, block)

    def scrub(self, start: int, end: int) -> list[int]:
        """Reads blocks [start, end) and forgets those that are damaged; which they were."""
        found = self._stored().damaged(start, end)
        for block in found:
            self.forget(block)
        return found

    def close(self) -> None:
        """What was not synced is forgotten. It opens again by itself when it is asked anything."""
        self.losses += self.is_unsynced
        self.is_unsynced = False
        with self._opening:
            if self._log is not None:
                self._log.close()
                self._log = None

    def _stored(self) -> StoredLog:
        with self._opening:
            if self._log is None:
                self._log = self._store.open(self.place, self._public_key, self.number)
            return self._log

    @contextmanager
    def _writing(self) -> Iterator[StoredLog]:
        with told_when_full():
            try:
                yield self._stored()
            except OSError:
                self.close()
                raise
