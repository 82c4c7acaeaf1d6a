"""What the clears of a control chain mean for who holds the blocks. Pure.

A device announces a clear (intent) and does it (deed). The peer goes by the deed: what it names goes 30 days after the
peer has first seen it, unless the root has by then revoked the device that signed it. So the key of one device, stolen,
deletes nothing that the owner misses within 30 days. What the root signed itself is held as long, and not taken back.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from hyperfs.log.cleared import Cleared, Range
from hyperfs.log.control_codec import REVOKED, ROOT, ClearDeed, ClearIntent, Device, Record
from hyperfs.log.control_rules import subtract


class Deed(NamedTuple):
    """A clear that was done: `sequence` is its record's, `log` the number in the roster."""

    sequence: int
    signer: int
    log: int
    fork: int
    ranges: tuple[Range, ...]


class Clears(NamedTuple):
    """All of a chain's. `intents`: announced and not done, as deeds would be."""

    deeds: Mapping[int, Deed]
    intents: tuple[Deed, ...]


def clears_of(records: Iterable[Record]) -> Clears:
    """Of the records of a chain, from its first on. A deed without ranges is for what its intent had left."""
    deeds: dict[int, Deed] = {}
    intents: dict[int, Deed] = {}
    for record in records:
        body = record.body
        if isinstance(body, ClearIntent):
            clear = body.clear
            intents[record.sequence] = Deed(record.sequence, record.signer, clear.log, clear.fork, clear.ranges)
        elif isinstance(body, ClearDeed):
            intent = intents[body.intent]
            ranges = body.clear.ranges or intent.ranges
            deeds[record.sequence] = Deed(record.sequence, record.signer, intent.log, intent.fork, ranges)
            intents[body.intent] = intent._replace(ranges=subtract(intent.ranges, ranges))
    return Clears(deeds, tuple(intent for intent in intents.values() if intent.ranges))


def is_taken_back(deed: Deed, devices: Mapping[int, Device]) -> bool:
    """Whether the device that signed it has been revoked since."""
    return deed.signer != ROOT and devices[deed.signer].state == REVOKED


def unwanted(clears: Clears, cancelled: Container[int], devices: Mapping[int, Device]) -> Mapping[int, Cleared]:
    """By fork, the blocks that are not taken any more: cleared, or announced to be."""
    named = [deed for deed in clears.deeds.values() if deed.sequence not in cancelled]
    named += [intent for intent in clears.intents if not is_taken_back(intent, devices)]
    return _by_fork(named)


def waiting(clears: Clears, pending: Iterable[int]) -> Mapping[int, Cleared]:
    """By fork, the blocks whose clear is on its way: still here, and no longer attested."""
    return _by_fork([clears.deeds[sequence] for sequence in pending])


def without(ranges: Iterable[Range], cut: Iterable[Range]) -> Iterator[Range]:
    """What is in the ranges and not in those that are cut out; both ascending and apart."""
    cuts = iter(cut)
    gap = next(cuts, None)
    for start, end in ranges:
        while gap is not None and gap[1] <= start:
            gap = next(cuts, None)
        while gap is not None and gap[0] < end:
            if start < gap[0]:
                yield start, gap[0]
            start = gap[1]
            if start >= end:
                break
            gap = next(cuts, None)
        if start < end:
            yield start, end


def _by_fork(deeds: Iterable[Deed]) -> Mapping[int, Cleared]:
    found: dict[int, dict[int, list[Range]]] = {}
    for deed in deeds:
        found.setdefault(deed.fork, {}).setdefault(deed.log, []).extend(deed.ranges)
    return {fork: Cleared(ranges) for fork, ranges in found.items()}
