"""What all peers of an open drive share: its volume, its key, how fast bytes may go, and who may be waiting."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import Corrupt
from hyperfs.lan.listening import Listening
from hyperfs.log.log import Log
from hyperfs.log.proof import TreeProof
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.syncing.growing import Growing
from hyperfs.syncing.leading import Leads
from hyperfs.syncing.limits import Bucket
from hyperfs.syncing.runs import Runs
from hyperfs.syncing.settings import Limits
from hyperfs.volume.volume import Volume
from hyperfs.volume.writers import why_barred

log = logging.getLogger("hyperfs.syncing")

BUSY_SECONDS: Final = 0.5
"""So long after a program has asked something of the mount it counts as used."""


@dataclass
class Home:
    """Owned by the trio thread."""

    volume: Volume
    now_ns: Callable[[], int]
    used_ago: Callable[[], float] = lambda: 3600.0
    """Seconds since a program last asked something of the mount."""
    pick: Callable[[int], int] = secrets.randbelow
    up: Bucket = field(default_factory=Bucket)
    down: Bucket = field(default_factory=Bucket)
    limits: Limits = field(default_factory=Limits)
    system_is_metered: bool = False
    is_out: bool = False
    """This device was taken out of the drive: peers take nothing of it any more."""
    leads: Leads | None = None
    """Of a drive that another device writes to: what that one does is shown here."""
    proven: trio.Event = field(default_factory=trio.Event)
    """Set, and replaced, when more is proven, or the peers are others."""

    def __post_init__(self) -> None:
        self.key_pair = CurveKeyPair(self.volume.parts.transport.secret())
        self.listening = Listening(self.volume.parts.transport)
        self.is_out = why_barred(self.volume.parts.chain, self.volume.device) is not None
        self._taking: dict[int, trio.Lock] = {}

    @property
    def is_busy(self) -> bool:
        return self.used_ago() < BUSY_SECONDS

    @property
    def is_metered(self) -> bool:
        return self.limits.metered == "yes" or (self.limits.metered == "auto" and self.system_is_metered)

    def set_limits(self, limits: Limits) -> None:
        self.limits, self.up.rate, self.down.rate = limits, limits.up, limits.down

    def tell_proven(self) -> None:
        told, self.proven = self.proven, trio.Event()
        told.set()

    # The drive's logs

    def logs(self) -> list[tuple[int, Log]]:
        """(number, log), those of metadata first."""
        parts = self.volume.parts
        return sorted(parts.logs.items(), key=lambda found: (not self.is_metadata(found[0]), found[0]))

    def is_metadata(self, number: int) -> bool:
        return self.volume.parts.chain.logs[number].kind == LOG_METADATA

    def is_ours(self, number: int) -> bool:
        """Whether this device writes the log, and nobody else."""
        return self.volume.parts.chain.logs[number].device == self.volume.device

    def cleared(self, number: int) -> Runs:
        return Runs(self.volume.parts.catalog.cleared.ranges(number))

    def away(self, number: int) -> Runs:
        """The blocks of a log that are not on this device."""
        marks = self.volume.parts.logs[number].evicted
        return Runs(marks.runs()) if marks is not None and marks.count else Runs()

    @property
    def lacks_blocks(self) -> bool:
        """Whether any block is not on this device that was not let go of."""
        return any(found.evicted is not None and found.evicted.count for found in self.volume.parts.logs.values())

    async def take(self, number: int, block: int, proof: TreeProof) -> bytes | None:
        """The bytes that a peer gave for a block; None where they are not those of the signed tree."""
        found = self.volume.parts.logs[number]
        async with self._taking.setdefault(number, trio.Lock()):
            growing = self.leads.following.growing(number) if self.leads is not None else None
            return await trio.to_thread.run_sync(_taken, growing or found, block, proof)


def _taken(found: Log | Growing, block: int, proof: TreeProof) -> bytes | None:
    """In a worker thread. A log of which nodes are missing takes them from the proof."""
    if proof.block is None or proof.block.block != block:
        return None
    try:
        return found.take(proof)
    except Corrupt:
        return None


RUNS_COUNTED: Final = 1000
"""Of more runs the bytes are estimated: each takes a look into the tree."""


def bytes_of_runs(found: Log, runs: Runs) -> int:
    """Of all blocks of some runs, or about as many."""
    if len(runs) <= RUNS_COUNTED:
        return sum(bytes_of(found, *run) for run in runs)
    return runs.blocks * found.byte_length // max(1, found.length)


def bytes_of(found: Log, first: int, end: int) -> int:
    """Of blocks [first, end), or about as many."""
    start, stop = found.bytes_about(first, end)
    return stop - start
