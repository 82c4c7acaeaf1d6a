"""What an open drive holds in memory, each with its bound: for `queues` on the control socket, tests and soaks.

The page is docs/concurrency.md, "Queues and their bounds".
"""

from typing import Final, NamedTuple

from hyperfs.volume.flushing import DIRTY_LIMIT_BYTES
from hyperfs.volume.nodes import GENERATION_NODES
from hyperfs.volume.overlay import TABLE_LIMIT
from hyperfs.volume.volume import CHANGES_LIMIT_BYTES, JOURNAL_MOST_BYTES, Volume

UNBOUNDED: Final = 0
"""As many as something else has: what programs have open, or what other bounds let through."""


class Queue(NamedTuple):
    """How many (or bytes) are held, and how many ever may be; 0 where programs decide that."""

    name: str
    held: int
    most: int


def queues(volume: Volume) -> list[Queue]:
    """Reads only; quick."""
    overlay, parts = volume.overlay, volume.parts
    active, frozen = overlay.live.active, overlay.live.frozen
    return [
        Queue("dirty bytes", volume.files.dirty_bytes, DIRTY_LIMIT_BYTES),
        Queue("inodes in memory", len(overlay.table), TABLE_LIMIT),
        Queue("unlinked files", len(overlay.orphans), UNBOUNDED),
        Queue("bytes of changes", active.nbytes, CHANGES_LIMIT_BYTES),
        Queue("bytes of changes in a commit", frozen.nbytes if frozen is not None else 0, CHANGES_LIMIT_BYTES),
        Queue("journal bytes", parts.journal.live_bytes, JOURNAL_MOST_BYTES),
        Queue("nodes", parts.nodes.held, 2 * GENERATION_NODES),
        Queue("fresh chunks", volume.content.fresh, UNBOUNDED),
        Queue("block cache bytes", parts.chunkstore.cache.size_bytes, parts.chunkstore.cache.capacity_bytes),
        Queue("changes that the index could not take", parts.catalog.waiting, UNBOUNDED),
    ]
