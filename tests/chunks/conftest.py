"""A content log in a folder, with the keys to write and read it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hyperfs.chunks.cache import BlockCache
from hyperfs.chunks.chunkstore import ChunkStore
from hyperfs.chunks.extents import Extent, Place
from hyperfs.chunks.resolver import ContentCache
from hyperfs.crypto.keys import EpochKeys, SigningKeyPair
from hyperfs.crypto.seal import CIPHER_AES_256_GCM, Sealer
from hyperfs.log.log import Log
from hyperfs.store.files import Disk

NUMBER = 2
KEYS = EpochKeys(1, b"e" * 32, b"d" * 32)


class Content:
    """One log and its chunk store; writes as the owner thread would, without threads."""

    def __init__(self, folder: Path, cache_bytes: int = 64 << 20) -> None:
        self.folder = folder
        self.signer = SigningKeyPair(b"s" * 32)
        self.log = Log.create(Disk(folder), "log", self.signer, NUMBER)
        self.sealer = Sealer({1: KEYS}, {CIPHER_AES_256_GCM}, 1)
        self.places: dict[bytes, Place] = {}
        self.cache: ContentCache = BlockCache(cache_bytes)
        self.store = ChunkStore(
            {NUMBER: self.log}, self.sealer, KEYS.chunk_id_key(), self.cache, self.places.get
        )
        self.nonces = 0

    def nonce(self) -> bytes:
        self.nonces += 1
        return self.nonces.to_bytes(12, "little")

    def write(self, pieces: Sequence[bytes]) -> list[Extent]:
        """New blocks for the pieces; extents that put them side by side from offset 0 on."""
        chunks = dict(zip(self.store.identify(pieces), pieces, strict=True))
        plans = self.store.layout(list(chunks.items()))
        first = self.log.length
        nonces = [self.nonce() for _ in plans]
        sealed = self.store.seal_blocks(first, NUMBER, self.log.key, self.log.fork, plans, nonces)
        self.log.append([s.block for s in sealed], [s.leaf_hash for s in sealed])
        where: dict[bytes, Place] = {}
        for index, plan in enumerate(plans, first):
            for (chunk, _, _), place in zip(plan.chunks, plan.places(NUMBER, index), strict=True):
                where[chunk] = place
        extents = []
        offset = 0
        for chunk, piece in zip(self.store.identify(pieces), pieces, strict=True):
            extents.append(Extent(offset, len(piece), chunk, 0, len(piece), *where[chunk]))
            offset += len(piece)
        return extents

    def append(self, kind: int, codec: int, length: int, payload: bytes, **more: int | bytes | None) -> int:
        """A block made by hand; its index."""
        index = self.log.length
        block = self.sealer.seal(
            NUMBER,
            self.log.key,
            self.log.fork,
            index,
            kind,
            codec,
            length,
            payload,
            self.nonce(),
            **more,  # type: ignore[arg-type]
        )
        return self.log.append([block])


@pytest.fixture
def content(tmp_path: Path) -> Iterator[Content]:
    made = Content(tmp_path)
    yield made
    made.log.close()


@pytest.fixture
def make_content() -> Callable[[Path], Content]:
    return Content
