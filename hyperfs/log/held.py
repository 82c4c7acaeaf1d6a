"""What a session may ask of a log that is held here, whole or in part, and how it hands in what a peer brought.

Whoever holds a log (a device its own, a device another's, a cloud peer anybody's) has an object of this shape, so a
session needs to know nothing of files, keys and rules. Types only. `Replica` is one; so is what a cloud peer lends out.
"""

from collections.abc import Iterator
from typing import Protocol

from hyperfs.log.cleared import Range
from hyperfs.log.heads import Head
from hyperfs.log.proof import Request, TreeProof
from hyperfs.log.verify_proof import Verified


class Held(Protocol):
    """A log that can be announced and served. Only what is durable here is told to anybody."""

    @property
    def key(self) -> bytes:
        """The log's key: the hash of its manifest."""

    @property
    def discovery_key(self) -> bytes: ...

    def head(self) -> Head | None:
        """The newest head that is durable here; None as long as nothing is."""

    def has(self, block: int) -> bool:
        """Whether the block's bytes are here, durably. False for what was cleared and for what never came."""

    def ranges(self, start: int = 0, end: int | None = None) -> Iterator[Range]:
        """The runs of blocks in [start, end) of which `has` holds, ascending and apart."""

    def proof(self, request: Request) -> TreeProof:
        """The answer to a peer, out of the durable head. NotResident for a block, or a node above it, that is not
        here; Corrupt for one that no longer fits the tree; BadRequest for a request that makes no sense."""


class Taking(Held, Protocol):
    """A log that grows by what peers bring: check, keep any number of times, then sync.

    After an OSError of keep or sync the object is spent: close it and open the log again.
    """

    @property
    def length(self) -> int:
        """Blocks of the tree as far as it was kept, synced or not: where the next upgrade starts."""

    @property
    def fork(self) -> int: ...

    def missing(self, node: int) -> int:
        """The `nodes` to ask with for a block (its flat index is 2 x block); see proof.missing_nodes."""

    def check_proof(self, proof: TreeProof) -> Verified:
        """What the proof proves. Corrupt where it does not hold, Refused where a rule forbids it; keeps nothing."""

    def keep(self, verified: Verified) -> None:
        """Put down what check_proof has just given. Not durable, not announced, not yet had."""

    def sync(self) -> Head | None:
        """Durable when it returns, and only then had: all that was kept before the call. The head that now is."""

    def close(self) -> None:
        """What was not synced is forgotten."""
