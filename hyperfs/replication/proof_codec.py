"""The parts of a proof as a Data message holds them, in the order block, hash, seek, upgrade.

    node     = index (uint), size (uint), hash (32 bytes);   nodes = number (uint), as many nodes
    block    = index (uint), value (buffer), nodes
    hash     = flat index (uint), nodes
    seek     = bytes (uint), nodes
    upgrade  = start (uint), length (uint), nodes, additional nodes, signature (buffer)

A seek's padding is not sent back: whoever asked knows it.
"""

from typing import Final

from hyperfs.log import compact
from hyperfs.log.merkle import HASH_BYTES, Node
from hyperfs.log.proof import BlockProof, HashProof, SeekProof, TreeProof, UpgradeProof

BLOCK, HASH, SEEK, UPGRADE = 1, 2, 4, 8
_LEAST_NODE_BYTES: Final = 2 + HASH_BYTES


def encode_parts(proof: TreeProof) -> list[bytes]:
    """All but the fork, and which parts there are: that stands before them. To be joined: no block is copied here."""
    parts: list[bytes] = []
    if block := proof.block:
        parts += [compact.uint(block.block), compact.uint(len(block.value)), block.value, _nodes(block.nodes)]
    if proof.hash:
        parts += [compact.uint(proof.hash.node), _nodes(proof.hash.nodes)]
    if proof.seek:
        parts += [compact.uint(proof.seek.bytes), _nodes(proof.seek.nodes)]
    if upgrade := proof.upgrade:
        parts += [compact.uint(upgrade.start), compact.uint(upgrade.length)]
        parts += [_nodes(upgrade.nodes), _nodes(upgrade.additional), compact.buffer(upgrade.signature)]
    return parts


def decode_parts(reader: compact.Reader, flags: int, fork: int) -> TreeProof:
    """The parts that `flags` names. Corrupt where they end too early; nothing else is checked."""
    return TreeProof(
        fork,
        BlockProof(reader.uint(), reader.buffer(), _read_nodes(reader)) if flags & BLOCK else None,
        HashProof(reader.uint(), _read_nodes(reader)) if flags & HASH else None,
        SeekProof(reader.uint(), _read_nodes(reader)) if flags & SEEK else None,
        UpgradeProof(reader.uint(), reader.uint(), _read_nodes(reader), _read_nodes(reader), reader.buffer())
        if flags & UPGRADE
        else None,
    )


def _nodes(nodes: tuple[Node, ...]) -> bytes:
    parts = [compact.uint(len(nodes))]
    for index, size, digest in nodes:
        parts += [compact.uint(index), compact.uint(size), digest]
    return b"".join(parts)


def _read_nodes(reader: compact.Reader) -> tuple[Node, ...]:
    count = reader.count(_LEAST_NODE_BYTES)
    return tuple(Node(reader.uint(), reader.uint(), reader.take(HASH_BYTES)) for _ in range(count))
