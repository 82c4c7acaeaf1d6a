"""After a collection: the index loses chunks that are no more, and rows of versions that are gone."""

from contextlib import suppress
from itertools import chain
from typing import Final

import trio

from hyperfs.errors import IndexDamaged
from hyperfs.volume.catalog import LAPSED_AT_ONCE, Change
from hyperfs.volume.clearing import Progress
from hyperfs.volume.row_trimming import lapsed_rows
from hyperfs.volume.touched import Trees
from hyperfs.volume.volume import Volume

COMPACT_ROWS: Final = 10_000
"""From so many rows on that went the index is compacted; fewer are not worth writing it anew."""


def trim_index(volume: Volume, pins: frozenset[int], progress: Progress) -> None:
    """Chunks that are no more leave the index, and rows of versions that are gone, and that its room. In a worker
    thread. `pins`: the inodes that are kept alone."""
    catalog, batch, gone_rows = volume.parts.catalog, list[Change](), 0
    trees = Trees(volume.parts, volume.versions.newest)
    chunks = ([change] for change in catalog.cleared_chunks())
    for changes in chain(chunks, lapsed_rows(catalog, volume.changes.codec, trees, pins.__contains__)):
        batch += changes
        gone_rows += 1
        if len(batch) >= LAPSED_AT_ONCE:
            trio.from_thread.run_sync(catalog.apply, batch)
            batch = []
        progress("trimming the index", gone_rows, 0)
    trio.from_thread.run_sync(catalog.apply, batch)
    if gone_rows >= COMPACT_ROWS and catalog.trouble is None:
        with suppress(OSError, IndexDamaged):  # the next opening finds what is wrong with it
            catalog.compact()
