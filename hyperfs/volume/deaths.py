"""What a commit lets go of and brings back: the nodes and chunks of the parent version that it no longer reaches.

A node or chunk is reachable exactly from the versions in [born, died); collection frees what was born and died
between two kept versions, so these lists are its whole input.
"""

from collections.abc import Mapping

from hyperfs.chunks.extents import Place
from hyperfs.volume.catalog import NOWHERE, Catalog, Change, ChunkFacts, chunk_change
from hyperfs.volume.commit_record import Commit, DeadChunk, DeadNode, LogHead, Replaced
from hyperfs.volume.fold import Folded


def deaths(
    folded: Folded, catalog: Catalog, parent: Commit, stored: Mapping[bytes, Place]
) -> tuple[Replaced, list[Change]]:
    """The commit's lists, and what the index must know of the chunks whose use has changed.

    `stored` are the chunks that were appended since the parent: those that nothing names were born dead.
    """
    replaced, changes = Replaced(), []
    for ref in folded.gone:
        born = catalog.born_with_node(ref.log, ref.block)
        replaced.nodes.append(DeadNode(ref.log, ref.point, born or 0))
    for chunk, difference in folded.chunks.difference.items():
        place, length = folded.chunks.places[chunk]
        known = catalog.chunk(chunk)
        before = known.live if known is not None else 0
        live = max(0, before + difference)
        if before and not live:
            born = catalog.born_with_block(place.log, place.block)
            replaced.chunks.append(DeadChunk(chunk, place.log, place.block, born or 0))
        elif live and not before and (known is not None or _was_there(place, parent.content)):
            replaced.resurrected.append(chunk)
        # One that nobody had used may have been stored anew, and the older place may be about to go.
        if known is not None and before and known.place != NOWHERE:
            place = known.place
        changes.append(chunk_change(chunk, ChunkFacts(place, length, live)))
    for chunk, place in stored.items():
        if not folded.chunks.difference[chunk] and catalog.chunk(chunk) is None:
            replaced.chunks.append(DeadChunk(chunk, place.log, place.block, parent.version + 1))
    return replaced, changes


def _was_there(place: Place, parent_content: LogHead) -> bool:
    """Whether the block was there at the parent version: an index made anew knows only that one's chunks."""
    return place.log != parent_content.log or place.block < parent_content.length


def split_replaced(replaced: Replaced, most: int) -> list[Replaced]:
    """The same lists in parts of at most `most` entries; at least one part."""
    nodes, chunks, resurrected = replaced.nodes, replaced.chunks, replaced.resurrected
    parts: list[Replaced] = []
    start = 0
    while True:
        # The three lists count as one long one: [start, start + most) of it is the next part.
        after_nodes = start - len(nodes)
        after_chunks = after_nodes - len(chunks)
        parts.append(
            Replaced(
                nodes[start : start + most],
                chunks[max(0, after_nodes) : max(0, after_nodes + most)],
                resurrected[max(0, after_chunks) : max(0, after_chunks + most)],
            )
        )
        start += most
        if start >= len(nodes) + len(chunks) + len(resurrected):
            return parts
