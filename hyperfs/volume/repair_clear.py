"""Repair: a damaged block of which everything is somewhere else now is let go, as `prune` lets blocks go."""

from collections.abc import Iterable

from hyperfs.log.cleared import Cleared
from hyperfs.volume import clearing
from hyperfs.volume.options import Progress
from hyperfs.volume.parts import Parts


def clear_blocks(parts: Parts, log: int, blocks: Iterable[int], progress: Progress) -> None:
    """Of a log of this device's. What takes their place must be in a version, and durable. Raises OSError."""
    clear = clearing.clear_of(parts.logs[log], log, sorted(blocks))
    if clear is not None:
        clearing.announce(parts, [clear])
        parts.catalog.cleared = Cleared.of(parts.chain.records)
        clearing.do_announced(parts, progress)
