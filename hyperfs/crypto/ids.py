"""Ids of nodes and chunks: keyed hashes, which find equal things and tell nobody what they are.

Both keys live as long as the drive (`EpochKeys.node_id_key`, `EpochKeys.chunk_id_key`): an id never changes
when keys rotate, and nothing is stored again because of a rotation.
"""

from hashlib import blake2b
from typing import Final

from blake3 import blake3

ID_BYTES: Final = 16


def node_id(key: bytes, canonical: bytes) -> bytes:
    """Keyed BLAKE2b-128 of a node's canonical plaintext (no log, no index, no hint in it). Key: 32 bytes."""
    return blake2b(canonical, digest_size=ID_BYTES, key=key).digest()


def chunk_id(key: bytes, data: bytes | bytearray | memoryview) -> bytes:
    """The first 16 bytes of the keyed BLAKE3 of a chunk's bytes, before any compression. Key: 32 bytes.

    Releases the GIL for more than a few KiB; `data` must not change meanwhile.
    """
    return blake3(data, key=key).digest(ID_BYTES)
