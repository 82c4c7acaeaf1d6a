"""Reading a drive's tree: the same questions of a version and of the live state.

`Tree` answers from one trie root; `LiveTree` answers from the layers of changes on top of the newest root.
Both are plain synchronous code; NotResident and Corrupt go up from any of their methods.
"""

from collections.abc import Callable, Iterator
from typing import Final

from hyperfs.chunks.extents import Extent, Place
from hyperfs.chunks.extents import decode as decode_extent
from hyperfs.trie.floor import floor
from hyperfs.trie.lookup import lookup
from hyperfs.trie.node import Node, Ref
from hyperfs.trie.walk import walk
from hyperfs.values import NAME_MAX_BYTES
from hyperfs.volume import keys
from hyperfs.volume.entries import Dentry, decode_place, decode_xattr, is_name
from hyperfs.volume.entries import decode_dentry as decode_dentry
from hyperfs.volume.inode import Inode
from hyperfs.volume.layer import Layer

MAX_EXTENT_BYTES: Final = 1 << 20
"""No extent is longer: a chunk has at most 256 KiB now, and layers are looked through so far for one that overlaps."""

Load = Callable[[Ref], Node]


ReadExtent = Callable[[Extent], bytes]


class Tree:
    """One version's tree, or a part of the live one."""

    def __init__(self, load: Load, root: Ref | None, read_extent: ReadExtent) -> None:
        """`read_extent` gives the bytes of an extent: long attributes lie in content."""
        self.load = load
        self.root = root
        self.read_extent = read_extent

    @property
    def whole(self) -> "Tree":
        """With what retention has made absent, whose bytes may be gone."""
        return self

    @property
    def whole_offered(self) -> bool:
        """Whether retention has made nothing of it absent."""
        return self.whole is self

    def hides(self, ino: int) -> bool:
        """Whether retention has made something absent that the version had."""
        return False

    def absent_below(self, ino: int) -> Iterator[int]:
        """The folders below one that retention has made absent with all below them."""
        return iter(())

    def inode(self, ino: int) -> Inode | None:
        found = lookup(self.load, self.root, keys.inode_key(ino))
        return None if found is None else Inode.decode(ino, found[0])

    def dentry(self, parent: int, name: bytes) -> Dentry | None:
        found = lookup(self.load, self.root, keys.dentry_key(parent, name))
        return None if found is None else decode_dentry(found[0], f"inode {parent}")

    def dentries(self, parent: int, after: bytes = b"") -> Iterator[tuple[bytes, Dentry]]:
        """The entries of a directory by name, those greater than `after`. What is no name is left out: whoever wrote
        it did not do so by this code, and a path made of it may lead anywhere."""
        prefix = keys.prefix(parent, keys.DENTRY)
        start = prefix + after + b"\0" if after else prefix
        for key, value, _ in walk(self.load, self.root, prefix, start):
            name = key[keys.PREFIX_BYTES :]
            if is_name(name) and len(name) <= NAME_MAX_BYTES:
                yield name, decode_dentry(value, f"inode {parent}")

    def extents(self, ino: int, start: int, end: int) -> list[Extent]:
        """The extents that have bytes in [start, end), by offset."""
        found = []
        before = floor(self.load, self.root, keys.extent_key(ino, start))
        if before is not None and before[0].startswith(keys.prefix(ino, keys.EXTENT)):
            # Extents never overlap: of those that begin before the range, only the last can reach into it.
            key, value, hint = before
            extent = decode_extent(keys.extent_offset(key), value, hint)
            if extent.end > start and extent.offset < end:
                found.append(extent)
                if extent.end >= end:
                    return found
        first = keys.extent_key(ino, start + 1)
        for key, value, hint in walk(self.load, self.root, keys.prefix(ino, keys.EXTENT), first):
            offset = keys.extent_offset(key)
            if offset >= end:
                break
            found.append(decode_extent(offset, value, hint))
        return found

    def extent(self, ino: int, offset: int) -> Extent | None:
        """The extent that begins at `offset`, if one does."""
        found = lookup(self.load, self.root, keys.extent_key(ino, offset))
        return None if found is None else decode_extent(offset, *found)

    def xattr(self, ino: int, name: bytes) -> bytes | None:
        found = lookup(self.load, self.root, keys.xattr_key(ino, name))
        return None if found is None else self._xattr_bytes(*found)

    def xattrs(self, ino: int) -> dict[bytes, bytes]:
        prefix = keys.prefix(ino, keys.XATTR)
        return {
            key[keys.PREFIX_BYTES :]: self._xattr_bytes(value, hint)
            for key, value, hint in walk(self.load, self.root, prefix)
        }

    def xattr_names(self, ino: int) -> set[bytes]:
        prefix = keys.prefix(ino, keys.XATTR)
        return {key[keys.PREFIX_BYTES :] for key, _, _ in walk(self.load, self.root, prefix)}

    def _xattr_bytes(self, value: bytes, hint: bytes) -> bytes:
        found = decode_xattr(value, hint)
        return self.read_extent(found) if isinstance(found, Extent) else found

    def fact(self, key: bytes) -> bytes | None:
        found = lookup(self.load, self.root, key)
        return None if found is None else found[0]

    def place(self, moved: bytes) -> Place | None:
        """Where the chunk or node of that id was moved to; None when it lies where whoever names it says."""
        value = self.fact(keys.place_key(moved))
        return None if value is None else decode_place(value, f"place {moved.hex()}")

    def facts(self, prefix: bytes) -> dict[bytes, bytes]:
        return {key: value for key, value, _ in walk(self.load, self.root, prefix)}


class LiveTree(Tree):
    """The present: the active layer over the frozen one over the newest version's root."""

    def __init__(self, load: Load, root: Ref | None, read_extent: ReadExtent, active: Layer | None = None) -> None:
        super().__init__(load, root, read_extent)
        self.active = Layer() if active is None else active
        self.frozen: Layer | None = None

    def freeze(self) -> Layer:
        """Begins a new active layer. The old one stays readable, unchanged, until the commit has settled it."""
        self.frozen, self.active = self.active, Layer()
        return self.frozen

    def settle(self, root: Ref | None) -> None:
        """The frozen layer's changes are in `root` now."""
        self.root = root
        self.frozen = None

    def as_now(self, ino: int) -> "LiveTree":
        """A tree that goes on to answer for this inode's extents and attributes as now, after it was removed here."""
        past = LiveTree(self.load, self.root, self.read_extent, self.active.only(ino))
        if self.frozen is not None:
            past.frozen = self.frozen.only(ino)  # a file that is open for long must not hold all of it
        return past

    def only_attributes(self, ino: int) -> "LiveTree":
        """A tree that needs no node, and answers for this inode's attributes as now."""
        alone = LiveTree(self.load, None, self.read_extent)
        alone.active.xattrs[ino] = dict(self.xattrs(ino))
        return alone

    def _layers(self) -> tuple[Layer, ...]:
        return (self.active,) if self.frozen is None else (self.active, self.frozen)

    def inode(self, ino: int) -> Inode | None:
        """A changed inode is the live object itself, not a copy."""
        for layer in self._layers():
            if ino in layer.inodes:
                return layer.inodes[ino]
        return super().inode(ino)

    def dentry(self, parent: int, name: bytes) -> Dentry | None:
        names = self.active.dentries.get(parent)
        if names is not None and name in names:
            return names[name]
        if self.frozen is not None:
            names = self.frozen.dentries.get(parent)
            if names is not None and name in names:
                return names[name]
        return super().dentry(parent, name)

    def is_saved(self, parent: int, name: bytes) -> bool:
        """Whether the newest version, or the one that is being made, has the name."""
        if self.frozen is not None:
            names = self.frozen.dentries.get(parent)
            if names is not None and name in names:
                return names[name] is not None
        return super().dentry(parent, name) is not None

    def dentries(self, parent: int, after: bytes = b"") -> Iterator[tuple[bytes, Dentry]]:
        changed: dict[bytes, Dentry | None] = {}
        for layer in reversed(self._layers()):
            changed.update(layer.dentries.get(parent, {}))
        if not changed:
            yield from super().dentries(parent, after)
            return
        added = sorted(name for name, dentry in changed.items() if dentry is not None and name > after)
        position = 0
        for name, dentry in super().dentries(parent, after):
            while position < len(added) and added[position] < name:
                yield added[position], changed[added[position]]  # type: ignore[misc]
                position += 1
            if name not in changed:
                yield name, dentry
        for name in added[position:]:
            yield name, changed[name]  # type: ignore[misc]

    def extents(self, ino: int, start: int, end: int) -> list[Extent]:
        layers = [layer for layer in self._layers() if ino in layer.extents]
        if not layers:
            return super().extents(ino, start, end)
        merged: dict[int, Extent | None] = {e.offset: e for e in super().extents(ino, start, end)}
        for layer in reversed(layers):
            changed = layer.extents[ino]
            # Of what begins before the range, too, the layer's word counts; and it may have more of that.
            merged.update((offset, changed[offset]) for offset in list(merged) if offset < start and offset in changed)
            before = layer.extent_before(ino, start, start - MAX_EXTENT_BYTES)
            if before is not None and before.end > start:
                merged[before.offset] = before
            merged.update(layer.extents_between(ino, start, end))
        return [e for _, e in sorted(merged.items()) if e is not None and e.end > start]

    def extent(self, ino: int, offset: int) -> Extent | None:
        for layer in self._layers():
            extents = layer.extents.get(ino)
            if extents is not None and offset in extents:
                found: Extent | None = extents[offset]
                return found
            if ino in layer.inodes and layer.inodes[ino] is None:
                return None
        return super().extent(ino, offset)

    def xattr(self, ino: int, name: bytes) -> bytes | None:
        for layer in self._layers():
            values = layer.xattrs.get(ino)
            if values is not None and name in values:
                return values[name]
        return super().xattr(ino, name)

    def xattrs(self, ino: int) -> dict[bytes, bytes]:
        values: dict[bytes, bytes | None] = dict(super().xattrs(ino))
        for layer in reversed(self._layers()):
            values.update(layer.xattrs.get(ino, {}))
        return {name: value for name, value in values.items() if value is not None}

    def xattr_names(self, ino: int) -> set[bytes]:
        names = super().xattr_names(ino)
        for layer in reversed(self._layers()):
            for name, value in layer.xattrs.get(ino, {}).items():
                if value is None:
                    names.discard(name)
                else:
                    names.add(name)
        return names

    def fact(self, key: bytes) -> bytes | None:
        for layer in self._layers():
            if key in layer.facts:
                return layer.facts[key]
        return super().fact(key)

    def facts(self, prefix: bytes) -> dict[bytes, bytes]:
        values: dict[bytes, bytes | None] = dict(super().facts(prefix))
        for layer in reversed(self._layers()):
            values.update({key: value for key, value in layer.facts.items() if key.startswith(prefix)})
        return {key: value for key, value in values.items() if value is not None}
