"""Repair: trie nodes are looked for by their ids in all metadata blocks. A node may lie in the logs twice."""

from collections.abc import Iterator
from contextlib import suppress

from hyperfs.crypto.ids import node_id
from hyperfs.crypto.keys import LOG_METADATA
from hyperfs.errors import Corrupt, HyperfsError
from hyperfs.trie.node import Node, Ref, canonical_size, decode
from hyperfs.trie.node_pack import block_of, point_of
from hyperfs.volume.check_logs import place_of
from hyperfs.volume.nodes import Nodes, Packs
from hyperfs.volume.opening import Ground
from hyperfs.volume.repair_commit import Place


class CheckedNodes:
    """Reads nodes and recomputes their ids."""

    def __init__(self, ground: Ground) -> None:
        self._packs = Packs(ground.nodes.pack)
        self._key = ground.epoch.node_id_key()

    def load(self, ref: Ref) -> Node:
        """Raises Corrupt, FormatTooNew, NotResident."""
        data = self._packs.node(ref.log, ref.point)
        node = decode(data)
        if node_id(self._key, data[: canonical_size(data)]) != ref.id:
            raise Corrupt("a trie node is not the one that its id names", place_of(ref.log, ref.block))
        return node


def moved_to(ref: Ref, place: Place | None) -> Ref:
    """The reference to the copy there, if there is one."""
    return ref if place is None else ref._replace(log=place[0], point=place[1])


def words_of(place: Place) -> str:
    return place_of(place[0], block_of(place[1]))


def nodes_in(nodes: Nodes, key: bytes, log: int, block: int) -> Iterator[tuple[Place, bytes, Node]]:
    """The nodes of a block, with their ids; none where it is damaged, or something else than a pack of nodes."""
    with suppress(HyperfsError):
        pack = nodes.pack(log, block)
        for slot in range(len(pack)):
            data = pack.node(slot)
            yield (log, point_of(block, slot)), node_id(key, data[: canonical_size(data)]), decode(data)


def find_nodes(ground: Ground, wanted: set[bytes]) -> dict[bytes, Place]:
    """Where nodes of these ids lie in any log. Reads all metadata blocks."""
    found: dict[bytes, Place] = {}
    key = ground.epoch.node_id_key()
    for number, log in ground.logs.items():
        if not wanted or ground.chain.logs[number].kind != LOG_METADATA:
            continue
        for index in range(log.signed_length):
            found.update((id_, place) for place, id_, _ in nodes_in(ground.nodes, key, number, index) if id_ in wanted)
    return found
