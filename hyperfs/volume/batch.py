"""The metadata blocks of one version, gathered before they are sealed: trie nodes in packs, lists of dead, the commit.

Nodes come in the order of keys, children before parents, so that neighbours share a block: what is compressed together
is alike, and whoever walks a stretch of keys, or down to one key, opens few blocks. A pack's block is known from its
first node on, so that a parent may name a child that lies before it in the same pack.
"""

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from hyperfs.chunks import codec
from hyperfs.crypto.seal import KIND_NODES, Sealer
from hyperfs.log.log import Log
from hyperfs.trie import node_pack
from hyperfs.trie.node_pack import Point, point_of

PACK_NODES: Final = 16
PACK_BYTES: Final = 32 << 10
"""Encoded nodes go into one pack up to this many and this much: see ADR 16 for what other bounds cost. A node that is
longer is a pack of its own."""


class Plain(NamedTuple):
    """A block that is to be sealed."""

    kind: int
    data: bytes


class Batch:
    """Plaintexts of the blocks from index `first` on, which get their indices before they are sealed."""

    def __init__(self, first: int) -> None:
        self.first = first
        self._blocks: list[Plain] = []
        self._pack: list[bytes] = []  # nodes of the last block, which is not in `_blocks` yet
        self._pack_bytes = 0

    def add_node(self, data: bytes) -> Point:
        """Where the encoded node will lie."""
        if len(self._pack) >= PACK_NODES or self._pack_bytes + len(data) > PACK_BYTES:
            self._close_pack()
        self._pack.append(data)
        self._pack_bytes += len(data)
        return point_of(self.first + len(self._blocks), len(self._pack) - 1)

    def add(self, kind: int, data: bytes) -> int:
        """The index of a block of another kind."""
        self._close_pack()
        self._blocks.append(Plain(kind, data))
        return self.first + len(self._blocks) - 1

    def blocks(self) -> list[Plain]:
        """All of them, in order."""
        self._close_pack()
        return self._blocks

    def _close_pack(self) -> None:
        if self._pack:
            self._blocks.append(Plain(KIND_NODES, node_pack.build(self._pack)))
            self._pack, self._pack_bytes = [], 0


def seal_blocks(sealer: Sealer, number: int, log: Log, first: int, blocks: Sequence[Plain], level: int) -> list[bytes]:
    """The blocks from index `first` of a log on, compressed and sealed."""
    sealed = []
    for index, (kind, data) in enumerate(blocks, first):
        code, payload = codec.encode(data, level)
        nonce = os.urandom(12)
        sealed.append(sealer.seal(number, log.key, log.fork, index, kind, code, len(data), payload, nonce))
    return sealed
