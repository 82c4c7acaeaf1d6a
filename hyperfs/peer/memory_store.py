"""The folder's twin in memory: for tests, and the shape of what an object store must do. See BlockStore."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hyperfs.errors import BadRequest, Corrupt, NotResident
from hyperfs.log import flat_tree, heads
from hyperfs.log.cleared import Range, runs_of
from hyperfs.log.heads import Head
from hyperfs.log.manifest import default_v1, discovery_key
from hyperfs.log.merkle import MerkleTree, Node, leaf_hash
from hyperfs.log.proof import Request, TreeProof, missing_nodes, prove
from hyperfs.log.verify_proof import Verified, verify_proof
from hyperfs.peer.blockstore import Place
from hyperfs.values import BlockRef

_PLENTY: Final = 1 << 62
_NODE_BYTES: Final = 40


@dataclass
class _Synced:
    """What a place holds for good."""

    head: Head | None = None
    nodes: dict[int, Node] = field(default_factory=dict)
    blocks: dict[int, bytes] = field(default_factory=dict)


class MemoryLog:
    def __init__(self, synced: _Synced, public_key: bytes, fork: int, number: int) -> None:
        self.manifest = default_v1(public_key)
        self.key = self.manifest.key()
        self.discovery_key = discovery_key(self.key)
        self.fork = fork
        self.number = number
        self._synced = synced
        self._new = _Synced(synced.head)
        length = synced.head.length if synced.head is not None else 0
        self._tree = MerkleTree([synced.nodes[index] for index in flat_tree.full_roots(length)])

    @property
    def length(self) -> int:
        return self._tree.length

    def head(self) -> Head | None:
        return self._synced.head

    def has(self, block: int) -> bool:
        return block in self._synced.blocks

    def ranges(self, start: int = 0, end: int | None = None) -> Iterator[Range]:
        end = self.length if end is None else end
        return runs_of(block for block in sorted(self._synced.blocks) if start <= block < end)

    def node(self, index: int) -> Node:
        found = self._new.nodes.get(index) or self._synced.nodes.get(index)
        if found is None or flat_tree.right_span(index) >= 2 * self.length:
            raise NotResident([BlockRef(self.number, flat_tree.left_span(index) >> 1)])
        return found

    def missing(self, node: int) -> int:
        known = self._synced.nodes.keys() | self._new.nodes.keys()
        return missing_nodes(known.__contains__, node, self.length)

    def get_verified(self, block: int) -> bytes:
        data = self._synced.blocks.get(block)
        if data is None:
            raise NotResident([BlockRef(self.number, block)])
        if leaf_hash(data) != self.node(2 * block).hash:
            raise Corrupt(f"block {block} of log {self.number}: its bytes do not fit the signed tree")
        return data

    def proof(self, request: Request) -> TreeProof:
        head = self.head()
        if head is None:
            raise BadRequest("a proof is asked for of a log of which nothing is here")
        return prove(self.node, self.get_verified, head.length, head.fork, head.signature, request)

    def prefix_hash(self, length: int) -> bytes:
        return MerkleTree([self.node(index) for index in flat_tree.full_roots(length)]).hash()

    def check_proof(self, proof: TreeProof) -> Verified:
        if proof.hash is not None or proof.seek is not None:
            raise BadRequest("only blocks and upgrades are kept")
        if proof.fork != self.fork:
            raise Corrupt(f"a proof is of fork {proof.fork}, the log is at {self.fork}")
        return verify_proof(proof, self._tree.roots, self.fork, self._known, self._check_signature)

    def keep(self, verified: Verified) -> None:
        self._tree = verified.tree
        self._new.nodes.update((node.index, node) for node in verified.nodes)
        if verified.signature is not None:
            tree = verified.tree
            self._new.head = Head(self.fork, tree.length, tree.byte_length, tree.hash(), verified.signature)
        if verified.block is not None:
            self._new.blocks[verified.block[0]] = verified.block[1]

    def sync(self) -> Head | None:
        self._synced.nodes |= self._new.nodes
        self._synced.blocks |= self._new.blocks
        self._synced.head = self._new.head
        self._new = _Synced(self._synced.head)
        return self.head()

    def clear(self, start: int, end: int) -> None:
        self.forget(start, end)

    def forget(self, start: int, end: int) -> None:
        for blocks in (self._synced.blocks, self._new.blocks):
            for block in [block for block in blocks if start <= block < end]:
                del blocks[block]

    def damaged(self, start: int, end: int) -> list[int]:
        found = []
        for block in sorted(self._synced.blocks):
            if start <= block < end and leaf_hash(self._synced.blocks[block]) != self.node(2 * block).hash:
                found.append(block)
        return found

    def size_on_disk(self) -> int:
        return _size(self._synced)

    def close(self) -> None:
        self._new = _Synced(self._synced.head)

    def _known(self, index: int) -> Node:
        try:
            return self.node(index)
        except NotResident:
            raise Corrupt(f"a proof leads to node {index}, which is not known here") from None

    def _check_signature(self, tree_hash: bytes, length: int, fork: int, signature: bytes) -> bool:
        return heads.check_signature(self.manifest, tree_hash, length, fork, signature)


class MemoryStore:
    """`free` is what free_bytes says."""

    def __init__(self, free: int = _PLENTY) -> None:
        self.free = free
        self._records: dict[bytes, dict[str, bytes]] = {}
        self._logs: dict[Place, _Synced] = {}

    def drives(self) -> list[bytes]:
        return sorted(owner for owner, records in self._records.items() if owner and records)

    def names(self, owner: bytes) -> list[str]:
        return sorted(self._records.get(owner, ()))

    def read(self, owner: bytes, name: str) -> bytes | None:
        return self._records.get(owner, {}).get(name)

    def write(self, owner: bytes, name: str, data: bytes) -> None:
        self._records.setdefault(owner, {})[name] = data

    def discard(self, owner: bytes, name: str) -> None:
        self._records.get(owner, {}).pop(name, None)

    def places(self, drive: bytes) -> list[Place]:
        return sorted(place for place, synced in self._logs.items() if place.drive == drive and synced.head)

    def open(self, place: Place, public_key: bytes, number: int) -> MemoryLog:
        return MemoryLog(self._logs.setdefault(place, _Synced()), public_key, place.fork, number)

    def remove(self, place: Place) -> None:
        self._logs.pop(place, None)

    def size_of(self, place: Place) -> int:
        return _size(self._logs.get(place, _Synced()))

    def free_bytes(self) -> int:
        return self.free

    def close(self) -> None:
        """What was synced stays, for whoever opens a log again."""


def _size(synced: _Synced) -> int:
    return sum(map(len, synced.blocks.values())) + _NODE_BYTES * len(synced.nodes) + (512 if synced.head else 0)
