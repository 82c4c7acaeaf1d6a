"""The logs that a cloud peer exchanges now, and what is to be told when something has changed behind a log's back: a
clear that was carried out, a damaged block, another fork. No event loop.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hyperfs.log.cleared import Range
from hyperfs.log.manifest import default_v1
from hyperfs.peer.drive import HeldDrive
from hyperfs.peer.lent import LentLog
from hyperfs.replication.bitfield import Bitfield
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.scheduler import ALL


class Lending(NamedTuple):
    """A log that is exchanged, of which drive, and as what it was lent. `losses`: the lent log's, when it began."""

    log: Replicating
    drive: HeldDrive
    lent: LentLog
    losses: int

    @property
    def is_good(self) -> bool:
        """What it knows of the log is right: nothing was lost since it began."""
        return self.log.error is None and self.losses == self.lent.losses


def begin(drive: HeldDrive, lent: LentLog) -> Lending:
    """Reads which blocks are here."""
    manifest = default_v1(drive.entry(lent.discovery_key).public_key)
    log = Replicating(lent, manifest, lent)
    log.want(without(drive.unwanted(lent)))
    return Lending(log, drive, lent, lent.losses)


def without(unwanted: Iterable[Range]) -> Iterator[Range]:
    """All blocks but these."""
    ((start, end),) = ALL
    for low, high in unwanted:
        if start < low:
            yield start, low
        start = max(start, high)
    if start < end:
        yield start, end


def had(have: Bitfield) -> tuple[Range, ...]:
    """What a log is known to have, to be compared with `lost` later."""
    ((start, end),) = ALL
    return tuple(have.runs(start, end))


def lost(before: Iterable[Range], now: Iterable[Range]) -> Iterator[Range]:
    """What of the one is not in the other any more. Both ascend and are apart."""
    found = iter(now)
    low, high = next(found, (0, 0))
    for start, end in before:
        while start < end:
            while high <= start and (following := next(found, None)) is not None:
                low, high = following
            if high <= start or end <= low:
                yield start, end
                break
            if start < low:
                yield start, low
            start = high


def is_within(runs: Iterable[Range], others: Iterable[Range]) -> bool:
    """Whether all blocks of the one are in the other."""
    return next(lost(runs, others), None) is None
