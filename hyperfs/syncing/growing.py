"""Another device's log in the store of who only reads, as a session takes it in: it grows while others read it."""

from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Final

from hyperfs.errors import BadRequest, Corrupt, NotResident
from hyperfs.log.cleared import Range
from hyperfs.log.heads import Head, HeadFile, new_file
from hyperfs.log.log import HEADS_FILE
from hyperfs.log.proof import Request, TreeProof
from hyperfs.log.sparse import SparseLog
from hyperfs.log.verify_proof import Verified
from hyperfs.store.files import Disk

LOOKED_BACK: Final = 4096
"""Blocks at the end of a log that are looked at when it is opened: a kill may have kept some of them from coming. One
before them that lacks all the same is fetched when it is asked for."""


class Growing:
    """`Taking` over an open log. `first`: what comes before that block is others' to bring."""

    def __init__(self, disk: Disk, folder: str, log: SparseLog, first: int = 0) -> None:
        self.log = log
        self.wanted: list[Range] = []
        """What is kept whole, of a log of names and versions."""
        self._first = first
        self._disk = disk
        self._folder = folder
        self._one_at_a_time = Lock()

    def want(self, wanted: Iterable[Range]) -> None:
        self.wanted = [(max(low, self._first), high) for low, high in wanted if high > self._first]

    @property
    def key(self) -> bytes:
        return self.log.key

    @property
    def discovery_key(self) -> bytes:
        return self.log.discovery_key

    @property
    def fork(self) -> int:
        return self.log.fork

    @property
    def length(self) -> int:
        return self.log.length

    def head(self) -> Head | None:
        return self.log.head() if self.log.has_head else None

    def has(self, block: int) -> bool:
        """Nobody gets a block from a reader."""
        return False

    def ranges(self, start: int = 0, end: int | None = None) -> Iterator[Range]:
        """Of what is kept whole."""
        length = self.log.signed_length
        tail = max(0, length - LOOKED_BACK)
        for low, high in self.wanted:
            low, high = max(low, start), min(high, length if end is None else min(end, length))
            if low < min(high, tail):
                yield low, min(high, tail)
            for block in range(max(low, tail), high):
                if self.log.holds(block):
                    yield block, block + 1

    def proof(self, request: Request) -> TreeProof:
        raise NotResident([])

    def missing(self, node: int) -> int:
        with self._one_at_a_time:
            return self.log.missing(node)

    def check_proof(self, proof: TreeProof) -> Verified:
        if proof.hash is not None or proof.seek is not None:
            raise BadRequest("only blocks and upgrades are kept")
        if proof.fork != self.fork:
            raise Corrupt(f"a proof is of fork {proof.fork}, the log is at {self.fork}")
        return self.log.check_proof(proof)

    def keep(self, verified: Verified) -> None:
        with self._one_at_a_time:
            self.log.grow(verified)

    def sync(self) -> Head | None:
        with self._one_at_a_time:
            self.log.sync_grown(self._first_head)
        return self.head()

    def take(self, proof: TreeProof) -> bytes:
        """The bytes of a block that was asked for beside all this. Raises Corrupt."""
        with self._one_at_a_time:
            return self.log.take(proof)

    def close(self) -> None:
        """The log is its volume's."""

    def _first_head(self, head: Head) -> HeadFile:
        name = f"{self._folder}/{HEADS_FILE}"
        self._disk.replace(name, new_file(head))
        return HeadFile(self._disk.open(name), self.log.manifest)
