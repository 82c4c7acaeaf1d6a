"""Half-dead packs: what is needed of them is stored anew, `place` says where, and the old blocks go.

A pack of small files stays while one of them is needed. So now and then all that is kept is walked, and of packs of
which less than half is needed the needed chunks are appended again. Extents go on naming the old block, as a hint; a
reader who finds it cleared asks the newest root. Left alone are packs that hold needed deltas, or bases of deltas:
stored alone these would be larger.

Called by a collection, with its locks held: since before its version, nothing new names a chunk that the newest version
does not hold, so what is not walked here is not named later either. Killed between the version with the places and the
intent, the old blocks stay; the next time finds the places and lets the blocks go.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import trio

from hyperfs.chunks.extents import WHOLE_BLOCK, Extent, Place
from hyperfs.errors import HyperfsError
from hyperfs.trie.node import Leaf, Ref
from hyperfs.trie.node_pack import Point
from hyperfs.values import BlockRef
from hyperfs.volume import keys
from hyperfs.volume.catalog import Change, chunk_change
from hyperfs.volume.clearing import Progress
from hyperfs.volume.entries import decode_place, encode_place, extent_in
from hyperfs.volume.parts import Parts
from hyperfs.volume.volume import Volume

LOOKED_AT_MOST: Final = 2000
"""Packs that are opened in one run; those of which the fewest chunks are needed first."""
APPEND_BYTES: Final = 32 << 20
"""Stored anew in one run at most: they are in memory."""
LEAST_BYTES: Final = 16 << 10
_NOWHERE_LOG: Final = 0

Hides = Callable[[int], bool]
Block = tuple[int, int]


class Root(NamedTuple):
    """A version's tree and which inodes it does not offer; None: it offers all."""

    root: Ref | None
    hides: Hides | None


@dataclass
class Needs:
    """What all kept versions need of packs. `used`: by log and block, a bit for each slot."""

    used: dict[Block, int] = field(default_factory=dict)
    left_alone: set[Block] = field(default_factory=set)
    placed: set[bytes] = field(default_factory=set)  # chunks with a `place`, of those that are needed


def needs_of(parts: Parts, roots: Iterable[Root], placed: Mapping[bytes, Place], progress: Progress) -> Needs:
    """In a worker thread. Those that offer all come first. `placed`: where chunks lie that have moved."""
    needs = Needs()
    whole: set[tuple[int, Point]] = set()
    for root, hides in roots:
        seen = whole if hides is None else set()
        stack = [] if root is None else [root]
        while stack:
            ref = stack.pop()
            place = (ref.log, ref.point)
            if place in whole or place in seen:
                continue
            seen.add(place)
            node = parts.nodes.read(ref)
            if isinstance(node, Leaf):
                entries = list(zip(node.keys, node.values, node.hints, strict=True))
            else:
                stack += [child for child in node.children if isinstance(child, Ref)]
                entries = [] if node.ends is None else [(node.prefix, *node.ends)]
            for key, value, hint in entries:
                extent = extent_in(key, (value, hint))
                if extent is not None and not (hides is not None and hides(int.from_bytes(key[:8], "big"))):
                    _note(needs, extent, placed)
            progress("looking for what is needed of packs", len(seen), 0)
    return needs


def _note(needs: Needs, extent: Extent, placed: Mapping[bytes, Place]) -> None:
    moved = placed.get(extent.chunk)
    if moved is not None:
        needs.placed.add(extent.chunk)
        _note_place(needs, moved)
    _note_place(needs, extent.place)


def _note_place(needs: Needs, place: Place) -> None:
    if place.bases:
        needs.left_alone.update((found.log, found.block) for found in (place, *place.bases))
    elif place.slot != WHOLE_BLOCK:
        block = (place.log, place.block)
        needs.used[block] = needs.used.get(block, 0) | 1 << place.slot


class Moving(NamedTuple):
    """Blocks that are to go, and of each the bytes of the chunks that are needed and lie nowhere else."""

    blocks: list[int]
    chunks: dict[int, dict[bytes, bytes]]


def half_dead(
    parts: Parts, number: int, needs: Needs, without: set[Block], placed: dict[bytes, Place], progress: Progress
) -> Moving:
    """The packs of a content log to be written anew. In a worker thread."""
    log, cleared = parts.logs[number], parts.catalog.cleared
    moving = Moving([], {})
    candidates = [
        (used.bit_count(), block)
        for (in_log, block), used in needs.used.items()
        if in_log == number and (in_log, block) not in needs.left_alone | without and not cleared.has(in_log, block)
    ]
    size = 0
    for looked_at, (_, block) in enumerate(sorted(candidates)[:LOOKED_AT_MOST]):
        progress("looking into packs", looked_at, len(candidates))
        if log.block_range(block)[1] < LEAST_BYTES:
            continue
        try:
            held = parts.chunkstore.check_block(number, block).chunks
        except HyperfsError:
            continue  # verify's matter
        wanted = [chunk for chunk in held if needs.used[number, block] >> chunk.slot & 1]
        needed = sum(chunk.length for chunk in wanted)
        if 2 * needed >= sum(chunk.length for chunk in held) or any(chunk.base is not None for chunk in wanted):
            continue
        if size + needed > APPEND_BYTES:
            break
        size += needed
        moving.blocks.append(block)
        for chunk in wanted:
            known = placed.get(chunk.chunk)
            if known is None or cleared.has(known.log, known.block) or (known.log, known.block) == (number, block):
                extent = Extent(0, chunk.length, chunk.chunk, 0, chunk.length, number, block, chunk.slot)
                moving.chunks.setdefault(block, {})[chunk.chunk] = parts.chunkstore.read_chunk(extent)
    return moving


def places_of(volume: Volume) -> dict[bytes, Place]:
    """Where the newest root says that chunks are that have moved. Nowhere is not a place to move from."""
    prefix = keys.prefix(keys.NO_INO, keys.PLACE)
    facts = volume.overlay.live.facts(prefix)
    found = {key[keys.PREFIX_BYTES :]: decode_place(value) for key, value in facts.items()}
    return {chunk: place for chunk, place in found.items() if place.log != _NOWHERE_LOG}


async def repack(volume: Volume, roots: list[Root], kept_open: list[Extent], progress: Progress) -> list[int]:
    """Stores anew what is needed of half-dead packs, in a version that says where; the blocks that may go now.

    `roots`: of all that is kept, those that offer all first; `kept_open`: of files without a name.
    """
    parts, content = volume.parts, volume.content
    placed = places_of(volume)
    needs = await trio.to_thread.run_sync(needs_of, parts, roots, placed, progress)
    without = {(place.log, place.block) for extent in kept_open for place in (extent.place, *extent.bases)}
    moving = Moving([], {})
    if volume.survey is not None or not volume.overlay.policies.names_places:  # else nobody knows what may lie together
        moving = await trio.to_thread.run_sync(half_dead, parts, content.number, needs, without, placed, progress)
    places: dict[bytes, Place] = {}
    for chunks in _alike(volume, moving).values():
        places |= await content.append_anew(chunks)
    for chunk, place in places.items():
        volume.overlay.set_fact(keys.place_key(chunk), encode_place(place))
    lapsed = {chunk for chunk, place in placed.items() if place.log == content.number} - needs.placed
    for chunk in lapsed:
        volume.overlay.set_fact(keys.place_key(chunk), None)  # nothing needs it any more
    if places or lapsed:
        await volume.committer.commit()
        parts.catalog.apply(_moved(volume, places))
    return sorted(moving.blocks)


def _alike(volume: Volume, moving: Moving) -> dict[frozenset[str] | None, dict[bytes, bytes]]:
    """The chunks by where they may be: what is stored together may share a block."""
    made = volume.survey
    found: dict[frozenset[str] | None, dict[bytes, bytes]] = {}
    for block, chunks in moving.chunks.items():
        may_be = made.survey.needs(BlockRef(volume.content.number, block)).places if made is not None else None
        found.setdefault(may_be, {}).update(chunks)
    return found


def _moved(volume: Volume, places: dict[bytes, Place]) -> list[Change]:
    changes = []
    for chunk, place in places.items():
        known = volume.parts.catalog.chunk(chunk)
        if known is not None:
            changes.append(chunk_change(chunk, known._replace(place=place)))
    return changes
