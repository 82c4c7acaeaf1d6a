"""Verify, second part: every kept version's tree, from its root to its last extent. Shared subtrees are read once."""

from typing import Final

from hyperfs.chunks.extents import Extent, Place
from hyperfs.crypto.ids import node_id
from hyperfs.errors import Corrupt, FormatTooNew, HyperfsError, NotResident
from hyperfs.trie.lookup import lookup
from hyperfs.trie.node import Branch, Leaf, Node, Ref, canonical_size
from hyperfs.trie.node_pack import Point, block_of
from hyperfs.trie.walk import walk
from hyperfs.volume import keys
from hyperfs.volume.check_findings import EVERYTHING, Findings, Losses, Range, inode_range
from hyperfs.volume.check_logs import LogCheck, Progress, place_of
from hyperfs.volume.check_state import CheckState, Held, StateDamaged
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.entries import decode_dentry, decode_place, decode_xattr, extent_in
from hyperfs.volume.inode import Inode
from hyperfs.volume.nodes import Packs, decode_node, node_at
from hyperfs.volume.offers import Offer, Offers
from hyperfs.volume.parts import Parts
from hyperfs.volume.pins import Pin
from hyperfs.volume.tree import Tree

TELL_NODES: Final = 100
WALKING: Final = "walking versions"
_NOTHING: Final[frozenset[str]] = frozenset()
_SNAPSHOT_VALUE_BYTES: Final = 16
_UNUSABLE: Final = (Corrupt, FormatTooNew, NotResident)


class TreeCheck:
    """Walks versions' trees. `newest`: the root that knows what has moved and what is gone."""

    def __init__(
        self,
        parts: Parts,
        state: CheckState,
        logs: LogCheck,
        findings: Findings,
        newest: Ref | None,
        progress: Progress,
    ) -> None:
        self._parts = parts
        self._progress = progress
        self._state = state
        self._logs = logs
        self._findings = findings
        self._newest = newest
        self._touches: dict[tuple[int, Point], frozenset[str]] = {}  # damages at or below a node, if any
        self._packs = Packs(parts.nodes.pack)  # of our own: what a reader has in memory may be gone from the disk
        self._wanted: dict[str, tuple[str, int]] = {}  # what was cleared and a tree names: words, inode
        self.losses = Losses()
        self._has_places, self._offers = self._read_marks()
        self.nodes = state.nodes_known()

    def _read_marks(self) -> tuple[bool, Offers]:
        """What the newest root says; nothing where that can't be read, which is found with its tree."""
        load = self._parts.nodes.load
        try:
            places = next(walk(load, self._newest, keys.prefix(keys.NO_INO, keys.PLACE)), None)
            return places is not None, Offers(self._tree(self._newest))
        except _UNUSABLE:
            return False, Offers(self._tree(None))

    def _tree(self, root: Ref | None) -> Tree:
        return Tree(self._parts.nodes.load, root, self._parts.chunkstore.read_chunk)

    def is_kept(self, version: int) -> bool:
        return not self._offers.gone.has(version)

    @property
    def pins(self) -> list[Pin]:
        """What is kept of versions for what was deleted after them."""
        return self._offers.pins

    def version(self, commit: Commit) -> None:
        """Everything that the version reaches, or of one that is not kept whole what it still offers."""
        if commit.root is None or not (self.is_kept(commit.version) or self._offers.pinned(commit.version)):
            return
        offer = self._offers.of(commit.version, commit.device)
        for where in self._node(commit.root, EVERYTHING):
            if where in self._wanted:
                what, ino = self._wanted[where]
                if offer is not None and self._is_hidden(offer, commit, ino):
                    continue
                self._findings.add(what, where).inos.add(ino)
            finding = self._findings.at(where)
            assert finding is not None
            finding.versions.append(commit.version)

    def _is_hidden(self, offer: Offer, commit: Commit, ino: int) -> bool:
        """Whether the version does not offer the inode; not where that can't be told, which is damage."""
        try:
            return offer.hides(self._tree(commit.root), ino)
        except _UNUSABLE:
            return False

    # Nodes

    def load(self, ref: Ref) -> Node:
        """The node as it lies on the disk, past every cache, its id recomputed. Raises Corrupt, NotResident."""
        try:
            return self._load_at(ref, ref.log, ref.point)
        except _UNUSABLE:
            moved = self._moved(ref.id)
            if moved is None:
                raise
            return self._load_at(ref, moved.log, node_at(moved))

    def _load_at(self, ref: Ref, log: int, point: Point) -> Node:
        data, block = self._packs.node(log, point), block_of(point)
        node = decode_node(data)
        if node_id(self._parts.node_id_key, data[: canonical_size(data)]) != ref.id:
            raise Corrupt("a trie node is not the one that its id names", place_of(log, block))
        if node.weight != ref.weight or node.count != ref.count:
            raise Corrupt("a trie node has another weight than its parent says", place_of(log, block))
        return node

    def _moved(self, id_: bytes) -> Place | None:
        """Where the newest root says that a chunk or node lies now."""
        if not self._has_places:
            return None
        try:
            found = lookup(self._parts.nodes.load, self._newest, keys.place_key(id_))
            return None if found is None else decode_place(found[0])
        except _UNUSABLE:
            return None

    def _node(self, ref: Ref, inos: Range) -> frozenset[str]:
        """The damages at or below the node. Recursion goes no deeper than a key has nibbles."""
        place = (ref.log, ref.point)
        touched = self._touches.get(place)
        if touched is not None:
            return touched
        seen = self._state.node(*place)
        if seen == ref.id:
            return _NOTHING
        where = place_of(ref.log, ref.block)
        try:
            node = self.load(ref)
        except StateDamaged:
            raise
        except (HyperfsError, RecursionError) as error:
            touched = frozenset((where,))
            self._findings.add(f"trie node: {error}", where).lost.add(inos)
            self.losses.nodes[ref.id] = ref
        else:
            touched = self._leaf(node, where) if isinstance(node, Leaf) else self._branch(node, where)
        if seen is None:
            self.nodes += 1
            self._state.nodes += 1
            if touched:
                self._touches[place] = touched
            else:
                self._state.node_done(*place, ref.id)
            if self.nodes % TELL_NODES == 0:
                self._progress(WALKING, self.nodes, self._logs.nodes)
        return touched

    def _branch(self, branch: Branch, where: str) -> frozenset[str]:
        touched: set[str] = set()
        if branch.ends is not None:
            touched |= self._entry(branch.prefix, *branch.ends, where)
        for nibble, child in enumerate(branch.children):
            if isinstance(child, Ref):
                prefix = branch.prefix.hex()[: branch.depth] + f"{nibble:x}"
                inos = inode_range(bytes.fromhex(prefix + "0" * (len(prefix) % 2)), len(prefix))
                touched |= self._node(child, inos)
        return frozenset(touched)

    def _leaf(self, leaf: Leaf, where: str) -> frozenset[str]:
        touched: set[str] = set()
        for key, value, hint in zip(leaf.keys, leaf.values, leaf.hints, strict=True):
            touched |= self._entry(key, value, hint, where)
        return frozenset(touched)

    # Entries

    def _entry(self, key: bytes, value: bytes, hint: bytes, where: str) -> set[str]:
        ino = int.from_bytes(key[:8], "big")
        try:
            place = self._check_entry(key, value, hint, ino)
        except StateDamaged:
            raise
        except (HyperfsError, IndexError) as error:
            place = f"{where} key {key.hex()}"
            self._findings.add(f"an entry that says nothing sensible: {error}", place)
        if place is None:
            return set()
        finding = self._findings.at(place)
        if finding is not None:
            finding.inos.add(ino)
        return {place}

    def _check_entry(self, key: bytes, value: bytes, hint: bytes, ino: int) -> str | None:
        """The place of the damage that the entry names, if it does. Raises Corrupt when it is damage itself."""
        match key[keys.PREFIX_BYTES - 1]:
            case keys.INODE:
                Inode.decode(ino, value)
            case keys.DENTRY:
                decode_dentry(value, f"inode {ino}")
            case keys.SNAPSHOT:
                if len(value) != _SNAPSHOT_VALUE_BYTES:
                    raise Corrupt("a snapshot of an impossible length")
            case keys.XATTR:
                decode_xattr(value, hint)
        extent = extent_in(key, (value, hint))
        return None if extent is None else self._extent(extent, ino)

    def _extent(self, extent: Extent, ino: int) -> str | None:
        held = self._held(extent.chunk, extent.log, extent.block)
        place = place_of(extent.log, extent.block)
        if held is None and (extent.log, extent.block) in self._logs.bad:
            return self._gone_or_damaged(extent, ino, extent.log, extent.block)
        length = None if held is None else held.length
        if held is None:
            try:
                length = len(self._parts.chunkstore.read_chunk(extent))
            except NotResident as absent:
                if any(self._parts.residence.has_left(ref) for ref in absent.blocks):
                    return None  # it can't be looked at here; whoever holds it proves that
                return self._gone_or_damaged(extent, ino, *absent.blocks[0])
            except HyperfsError as error:
                where = f"chunk {extent.chunk.hex()} ({place})"
                self._findings.add(f"chunk: {error}", where)
                self._lose(extent, ino)
                return where
        if length != extent.chunk_length:
            raise Corrupt(f"an extent of a chunk of {extent.chunk_length} bytes, which has {length}", place)
        self._check_bases(extent, held)
        return None

    def _check_bases(self, extent: Extent, held: Held | None) -> None:
        """Of a delta the extent must say where its bases lie: a prune keeps only those. Raises Corrupt."""
        if held is None or self._state.held(extent.chunk, extent.log, extent.block) is None:
            return  # moved: its new place says it
        place = extent.place
        for base in extent.bases:
            held = None if held is None or held.base is None else self._held(held.base, base.log, base.block)
            if held is None:
                raise Corrupt("an extent says that a delta's base is where it is not", place_of(base.log, base.block))
        if held is not None and held.base is not None:
            raise Corrupt("an extent does not say where its delta's base lies", place_of(place.log, place.block))

    def _held(self, chunk: bytes, log: int, block: int) -> Held | None:
        """The chunk as a sound block holds it: the one that is named, or the one where it was moved to."""
        held = self._state.held(chunk, log, block)
        if held is None:
            moved = self._moved(chunk)
            if moved is not None:
                held = self._state.held(chunk, moved.log, moved.block)
        return held

    def _lose(self, extent: Extent, ino: int) -> None:
        """The chunk, and those of its bases that can't be read, are to be found again."""
        self.losses.chunk(extent, ino)
        for base, place in self._parts.chunkstore.chain(extent.chunk, extent.place):
            if self._held(base, place.log, place.block) is None:
                self.losses.base(base, place, extent, ino)

    def _gone_or_damaged(self, extent: Extent, ino: int, log: int, block: int) -> str:
        """A block that is let go is damage only where a kept version still wants it: see `version`."""
        place = place_of(log, block)
        self._lose(extent, ino)
        if not self._logs.was_cleared(log, block):
            self._findings.add(f"block {block} is not here", place)
            return place
        where = f"{place} inode {ino}"
        self._wanted[where] = (f"block {block} was cleared, and a kept version needs it", ino)
        return where
