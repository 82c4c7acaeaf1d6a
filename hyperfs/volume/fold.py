"""Folding a frozen layer into the trie: which keys change, and what that lets go of.

Runs in slices between which handlers may run: the frozen layer and the old root do not change meanwhile.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import trio

from hyperfs.chunks.extents import Extent, Place
from hyperfs.trie.lookup import lookup
from hyperfs.trie.node import Child, Ref
from hyperfs.trie.update import update
from hyperfs.trie.walk import walk
from hyperfs.volume import entries, keys
from hyperfs.volume.layer import Layer
from hyperfs.volume.tree import Load

SLICE_ENTRIES: Final = 256
"""Changes folded between two checkpoints: some 8 ms."""

KeyChange = tuple[bytes, tuple[bytes, bytes] | None]


@dataclass
class ChunkUse:
    """How the fold changes the number of extents cut from each chunk, and what is known of each chunk."""

    difference: Counter[bytes] = field(default_factory=Counter)
    places: dict[bytes, tuple[Place, int]] = field(default_factory=dict)

    def add(self, extent: Extent, count: int) -> None:
        self.difference[extent.chunk] += count
        self.places[extent.chunk] = (extent.place, extent.chunk_length)


@dataclass
class Folded:
    """The new root, not stored yet; the stored nodes that it no longer reaches; the chunks' use."""

    root: Child | None
    gone: list[Ref]
    chunks: ChunkUse


LongXattrs = dict[tuple[int, bytes], Extent]


def key_changes(
    layer: Layer, records: dict[int, bytes | None], long_xattrs: LongXattrs, load: Load, root: Ref | None
) -> Iterator[KeyChange]:
    """The layer as trie changes in key order. `records` are the inodes' bytes as they were at the freeze."""
    for key, value in sorted(layer.facts.items()):
        yield key, None if value is None else (value, b"")
    inos = sorted({*records, *layer.dentries, *layer.extents, *layer.xattrs})
    for ino in inos:
        if ino in records and records[ino] is None:
            for key, _, _ in walk(load, root, keys.whole(ino)):
                yield key, None
            continue
        record = records.get(ino)
        if record is not None:
            yield keys.inode_key(ino), (record, b"")
        if ino in layer.dentries:  # most inodes have some of one kind, and none of the others
            for name, dentry in sorted(layer.dentries[ino].items()):
                yield keys.dentry_key(ino, name), None if dentry is None else entries.encode_dentry(dentry)
        for offset, extent in layer.extents_of(ino):
            yield keys.extent_key(ino, offset), None if extent is None else entries.encode_extent(extent)
        if ino in layer.xattrs:
            for name, value in sorted(layer.xattrs[ino].items()):
                held = long_xattrs.get((ino, name), value)
                yield keys.xattr_key(ino, name), None if held is None else entries.encode_xattr(held)


async def fold(
    layer: Layer,
    records: dict[int, bytes | None],
    long_xattrs: LongXattrs,
    load: Load,
    root: Ref | None,
    new_from: int,
) -> Folded:
    """Applies the layer to `root`. Inodes numbered from `new_from` on are in no version: nothing to look up."""
    gone: list[Ref] = []
    chunks = ChunkUse()
    changes = key_changes(layer, records, long_xattrs, load, root)
    result: Child | None = root
    while batch := list(islice(changes, SLICE_ENTRIES)):
        for key, entry in batch:
            if entries.kind_of_key(key) in (keys.EXTENT, keys.XATTR):
                _count(chunks, load, root, key, entry, int.from_bytes(key[:8], "big") < new_from)
        result = update(load, result, batch, gone.append)
        await trio.lowlevel.checkpoint()
    return Folded(result, gone, chunks)


def _count(
    chunks: ChunkUse, load: Load, root: Ref | None, key: bytes, entry: tuple[bytes, bytes] | None, old: bool
) -> None:
    before = entries.extent_in(key, lookup(load, root, key) if old else None)
    after = entries.extent_in(key, entry)
    if before is not None:
        chunks.add(before, -1)
    if after is not None:
        chunks.add(after, 1)


def freeze_records(layer: Layer, version: int) -> dict[int, bytes | None]:
    """The bytes of every changed inode as it is now. New ones are born in `version`."""
    records: dict[int, bytes | None] = {}
    for ino, inode in layer.inodes.items():
        if inode is None:
            records[ino] = None
            continue
        if not inode.born:
            inode.born = version
        inode.durable_size = inode.size
        records[ino] = inode.encode()
    return records


def long_values(layer: Layer) -> dict[tuple[int, bytes], bytes]:
    """The layer's attributes that are too long for the trie: their bytes must get into chunks first."""
    return {
        (ino, name): value
        for ino, values in layer.xattrs.items()
        for name, value in values.items()
        if value is not None and len(value) > entries.XATTR_INLINE_BYTES
    }
