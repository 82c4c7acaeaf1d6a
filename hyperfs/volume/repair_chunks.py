"""Repair: chunks whose block is damaged, found again in another block or in files that somebody names.

Every byte is proven by the chunk's id. What is found gets a `place` in a new version, so that every version reads it
again; the damaged block is then let go. What is not found is nowhere, so that whoever stores it again is believed; its
block is kept, for a copy of that may turn up.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hyperfs.chunks.chunker import Chunker
from hyperfs.chunks.extents import Place
from hyperfs.errors import HyperfsError
from hyperfs.volume import keys
from hyperfs.volume.catalog import NOWHERE, Catalog, chunk_change, chunk_gone
from hyperfs.volume.check_findings import Losses, LostChunk
from hyperfs.volume.check_state import CheckState
from hyperfs.volume.entries import encode_place
from hyperfs.volume.options import Progress
from hyperfs.volume.repair_report import Repaired
from hyperfs.volume.volume import Volume

APPEND_BYTES: Final = 32 << 20
"""Chunks found in files wait in memory up to this much."""
WINDOW_BYTES: Final = 16 << 20
"""Of a file that is searched, so much is in memory at a time."""
CATALOG_BATCH: Final = 10_000


@dataclass
class Found:
    """Where lost chunks are to be had now."""

    places: dict[bytes, Place] = field(default_factory=dict)
    repaired: list[Repaired] = field(default_factory=list)


async def mend_chunks(
    volume: Volume, losses: Losses, state: CheckState, sources: list[Path], progress: Progress
) -> Found:
    """Finds what it can and makes one version of it. Raises OSError; then nothing is worse."""
    found = Found()
    for chunk, lost in losses.chunks.items():
        place = _copy(volume, chunk, state, losses.blocks)
        if place is not None:
            _note(found, chunk, place, lost, f"another copy of its bytes is in block {place.block}")
    wanted = {chunk: lost for chunk, lost in losses.chunks.items() if chunk not in found.places}
    if wanted and sources:
        await _search(volume, wanted, sources, progress, found)
    _tell_catalog(volume.parts.catalog, losses, found)
    live = volume.overlay.live
    for chunk in sorted(losses.chunks, key=lambda c: c not in found.places):
        if chunk not in found.places and _reads_again(volume, chunk, losses.chunks[chunk]):
            continue
        key, value = keys.place_key(chunk), encode_place(found.places.get(chunk, NOWHERE))
        if live.fact(key) != value:
            volume.overlay.set_fact(key, value)
    await volume.committer.commit()
    return found


def _reads_again(volume: Volume, chunk: bytes, lost: LostChunk) -> bool:
    """Whether all that was wrong with it was a base, which has been found."""
    return volume.parts.chunkstore.reads(chunk, Place(lost.log, lost.block, 0))


def _note(found: Found, chunk: bytes, place: Place, lost: LostChunk, how: str) -> None:
    found.places[chunk] = place
    found.repaired.append(Repaired(f"{lost.length} bytes: {how}", f"log {lost.log} block {lost.block}"))


def _copy(volume: Volume, chunk: bytes, state: CheckState, bad: set[tuple[int, int]]) -> Place | None:
    """A sound block that holds the chunk, looked at now."""
    for log, block in state.copies(chunk):
        if (log, block) in bad:
            continue
        try:
            facts = volume.parts.chunkstore.check_block(log, block)
        except HyperfsError:
            continue
        for held in facts.chunks:
            if held.chunk == chunk:
                return Place(log, block, held.slot)
    return None


# In files


async def _search(
    volume: Volume, wanted: dict[bytes, LostChunk], sources: list[Path], progress: Progress, found: Found
) -> None:
    chunker = volume.content.chunker
    batch: dict[bytes, bytes] = {}
    names: dict[bytes, Path] = {}
    files = [path for source in sources for path in _files(source)]
    for number, path in enumerate(files, 1):
        try:
            for chunk, data in _chunks_in(volume, chunker, path, wanted):
                if chunk in wanted and chunk not in batch:
                    batch[chunk], names[chunk] = data, path
        except OSError:
            continue  # a file of the user's that can't be read is no reason to end
        finally:
            progress("searching files", number, len(files))
        if sum(map(len, batch.values())) >= APPEND_BYTES:
            await _append(volume, wanted, batch, names, found)
    await _append(volume, wanted, batch, names, found)


async def _append(
    volume: Volume, wanted: dict[bytes, LostChunk], batch: dict[bytes, bytes], names: Mapping[bytes, Path], found: Found
) -> None:
    if not batch:
        return
    for chunk, place in (await volume.content.append_anew(batch)).items():
        _note(found, chunk, place, wanted.pop(chunk), f"found in {os.fsdecode(names[chunk])} and stored again")
    batch.clear()


def _files(source: Path) -> Iterator[Path]:
    """The regular files at and below a path, no links followed."""
    if source.is_symlink() or not source.is_dir():
        if source.is_file() and not source.is_symlink():
            yield source
        return
    for folder, _, names in os.walk(source):
        yield from (path for name in sorted(names) if (path := Path(folder, name)).is_file() and not path.is_symlink())


def _chunks_in(
    volume: Volume, chunker: Chunker, path: Path, wanted: Mapping[bytes, LostChunk]
) -> Iterator[tuple[bytes, bytes]]:
    """(id, bytes) of pieces of a file that may be wanted: where wanted ones stood in their files, and as the file
    would be cut if it were stored."""
    identify = volume.parts.chunkstore.identify
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        places = {(offset - skip, lost.length) for lost in wanted.values() for _, offset, skip in lost.uses}
        for start, length in sorted(places):
            if start >= 0 and start + length <= size:
                data = os.pread(file.fileno(), length, start)
                yield identify([data])[0], data
        start = 0
        while start < size:
            window = memoryview(os.pread(file.fileno(), WINDOW_BYTES, start))
            final = start + len(window) >= size
            begin = 0
            for end in chunker.cut(window, final):
                piece = bytes(window[begin:end])
                yield identify([piece])[0], piece
                begin = end
            if not begin:
                return
            start += begin


# The index


def _tell_catalog(catalog: Catalog, losses: Losses, found: Found) -> None:
    """No chunk is in a damaged block any more as far as the index goes: who stores such bytes again, stores them."""
    batch = []
    for chunk, facts in catalog.chunks():
        if (facts.place.log, facts.place.block) not in losses.blocks and chunk not in found.places:
            continue
        place = found.places.get(chunk, NOWHERE)
        known = facts.live or chunk in found.places
        batch.append(chunk_change(chunk, facts._replace(place=place)) if known else chunk_gone(chunk))
        if len(batch) >= CATALOG_BATCH:
            catalog.apply(batch)
            batch = []
    catalog.apply(batch)
