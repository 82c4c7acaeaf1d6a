"""Trie nodes and other metadata by reference: read, opened, decoded, and kept in bounded caches."""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from hyperfs.chunks import codec
from hyperfs.chunks.extents import Place
from hyperfs.crypto.seal import KIND_COMMIT, KIND_NODES, BlockHeader, Sealer
from hyperfs.errors import Corrupt, FormatTooNew, NotResident
from hyperfs.log.log import Log
from hyperfs.trie import node_pack
from hyperfs.trie.node import Leaf, Node, Ref, decode
from hyperfs.trie.node_pack import NodePack, Point, block_of, point_of, slot_of
from hyperfs.values import BlockRef
from hyperfs.volume import keys

GENERATION_NODES: Final = 3000
"""Nodes per generation of the cache; two generations of some 6 KB a node are some 40 MB."""
PACKS_BYTES: Final = 1 << 20
"""Plaintext of packs per generation of their cache: some 60 of them."""

AROUND_BLOCKS: Final = 16
"""Fetched along with one that is not here: some 100 KB."""

FindPlace = Callable[[bytes], Place | None]
"""Where the node of an id was moved to; None when it lies where whoever names it says."""


def decode_node(data: bytes) -> Node:
    """A node of a drive's trie: every key in it names an inode and a kind at least. Raises Corrupt."""
    node = decode(data)
    if isinstance(node, Leaf):
        shortest = min(map(len, node.keys))
    else:
        shortest = keys.PREFIX_BYTES if node.ends is None else len(node.prefix)
    if shortest < keys.PREFIX_BYTES:
        raise Corrupt(f"a trie node has a key of {shortest} bytes, which is of no drive")
    return node


def node_at(place: Place) -> Point:
    """Where in its log a node lies that was moved to that place. Raises Corrupt for a place of another thing."""
    if place.slot >= node_pack.MAX_NODES:
        raise Corrupt("a trie node was moved to where no node can be", f"log {place.log} block {place.block}")
    return point_of(place.block, place.slot)


class Packs:
    """Encoded nodes, out of packs of which the last ones are kept: neighbours lie in one, and are asked for together.

    May be used from any thread: each access to the two generations is one step, and what is lost between two of them
    is read again.
    """

    def __init__(self, read: Callable[[int, int], NodePack]) -> None:
        """`read` gives a pack by log and block."""
        self._read = read
        self._young: dict[tuple[int, int], NodePack] = {}
        self._old: dict[tuple[int, int], NodePack] = {}
        self._young_bytes = 0

    def node(self, log: int, point: Point) -> bytes:
        """The encoded node. Raises Corrupt, or NotResident when its block isn't here."""
        place = (log, block_of(point))
        pack = self._young.get(place)
        if pack is None:
            pack = self._old.get(place) or self._read(*place)
            if self._young_bytes >= PACKS_BYTES:
                self._old, self._young, self._young_bytes = self._young, {}, 0
            self._young[place] = pack
            self._young_bytes += len(pack.plaintext)
        return pack.node(slot_of(point))


class Nodes:
    """Reads trie nodes and other blocks of metadata logs.

    The cache has two generations: a hit in the old one moves the node to the young one, and a full young one
    becomes the old one. That is nearly LRU at the price of one dict lookup.
    """

    COMMIT: Final = KIND_COMMIT

    def __init__(self, logs: Mapping[int, Log], sealer: Sealer) -> None:
        self._logs = logs
        self._sealer = sealer
        self._young: dict[tuple[int, Point], Node] = {}
        self._old: dict[tuple[int, Point], Node] = {}
        self._packs = Packs(self.pack)
        self._asking = threading.local()  # `on` while this thread asks where a node has moved to
        self.place: FindPlace = lambda moved: None
        """Where the newest root says that a node lies now. Set once, by who opens the drive."""

    def load(self, ref: Ref) -> Node:
        """The node, from memory or from its log. Raises Corrupt, or NotResident when the block isn't here.

        Where its block is of no use, the newest root is asked whether the node was moved.
        """
        place = (ref.log, ref.point)
        node = self._young.get(place)
        if node is not None:
            return node
        node = self._old.get(place)
        if node is None:
            node = self.read(ref)
        self.keep(place, node)
        return node

    def read(self, ref: Ref) -> Node:
        """As `load`, past the cache of nodes."""
        try:
            return decode_node(self._packs.node(ref.log, ref.point))
        except (Corrupt, FormatTooNew, NotResident):
            moved = self._moved(ref)
            if moved is None:
                raise
            return decode_node(self._packs.node(moved.log, node_at(moved)))

    def _moved(self, ref: Ref) -> Place | None:
        """None also while asking: a node that the newest root itself is made of is never looked for in this way."""
        if getattr(self._asking, "on", False):
            return None
        self._asking.on = True
        try:
            return self.place(ref.id)
        except (Corrupt, FormatTooNew, NotResident):
            return None
        finally:
            self._asking.on = False

    def keep(self, place: tuple[int, Point], node: Node) -> None:
        """Puts a node that has just been written or read into the cache."""
        if len(self._young) >= GENERATION_NODES:
            self._old, self._young = self._young, {}
        self._young[place] = node

    @property
    def held(self) -> int:
        """How many nodes are in memory."""
        return len(self._young) + len(self._old)

    def pack(self, log_number: int, block: int) -> NodePack:
        """The nodes of a block, as it lies on the disk. Raises Corrupt, FormatTooNew, NotResident."""
        return node_pack.parse(self.plaintext(log_number, block, KIND_NODES))

    def plaintext(self, log_number: int, index: int, kind: int) -> bytes:
        """The decoded payload of a block, which must be of the kind that the reference promises."""
        log = self._logs.get(log_number)
        if log is None:
            raise Corrupt("reference to a log that the roster does not have", f"log {log_number}")
        try:
            block = log.get(index)
        except IndexError:
            raise Corrupt(
                "reference past the end of a log", f"log {log_number} block {index}, length {log.length}"
            ) from None
        except NotResident as absent:
            raise NotResident(absent.blocks, _around(log, index)) from None
        header, payload = self._sealer.open(log_number, log.key, None, index, block)
        if header.kind != kind:
            raise Corrupt("block is of another kind", f"log {log_number} block {index}: {header.kind}")
        return codec.decode(header.codec, payload, header.decoded_length)

    def kind(self, log_number: int, index: int) -> int:
        """What a block says in clear that it is. Not authenticated: to be believed only where a lie harms nobody."""
        return BlockHeader.parse(self._logs[log_number].get(index)).kind


def _around(log: Log, index: int) -> list[BlockRef]:
    """What was written together lies together: who looks at one block is about to look at its neighbours."""
    first, end = max(0, index - AROUND_BLOCKS // 4), min(log.signed_length, index + AROUND_BLOCKS)
    return [BlockRef(log.number, at) for at in range(first, end) if at != index and log.has_left(at)]
