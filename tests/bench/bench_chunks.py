"""How fast file bytes become sealed blocks and come back, without a volume. Not a test:

    pytest tests/bench/bench_chunks.py [--benchmark-only] [--benchmark-json FILE]

needs pytest-benchmark (`pip install -c packaging/constraints.txt -e .[bench]`). HYPERFS_MIB sets the size, 32 by
default. `extra_info` says how many bytes a round works on, and what is stored of one byte.
"""

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hyperfs.chunks.blocks import BlockPlan
from hyperfs.chunks.cache import BlockCache
from hyperfs.chunks.chunker import Chunker
from hyperfs.chunks.chunkstore import ChunkStore, SealedBlock
from hyperfs.chunks.extents import Extent
from hyperfs.crypto.keys import EpochKeys, SigningKeyPair
from hyperfs.crypto.seal import CIPHER_AES_256_GCM, Sealer
from hyperfs.log.log import Log
from hyperfs.store.files import Disk

MIB = 1 << 20
SIZE = int(os.environ.get("HYPERFS_MIB", "32")) * MIB
JOB_BYTES = 4 * MIB  # what one worker is handed at a time
SEALED_AT_ONCE = 8  # blocks
THREADS = 2
Benchmark = Any
"""pytest-benchmark's fixture."""


def text(size: int, seed: int = 1) -> bytes:
    words = [b"%x " % random.Random(n).getrandbits(n % 40 + 4) for n in range(500)]
    parts = [b"".join(random.Random(seed + n).choices(words, k=100_000))[: MIB // 4] for n in range(4 * size // MIB)]
    return b"".join(parts)


def half(size: int) -> bytes:
    """64 KiB of random bytes and of text in turn."""
    words, noise = text(size // 2), random.Random(2).randbytes(size // 2)
    return b"".join(part[at : at + (64 << 10)] for at in range(0, size // 2, 64 << 10) for part in (noise, words))


INPUTS: dict[str, Callable[[int], bytes]] = {
    "text": text,
    "half": half,
    "random": lambda size: random.Random(3).randbytes(size),
}


class Encoder:
    """The steps of a write, on a log of its own."""

    def __init__(self, folder: Path, level: int) -> None:
        keys = EpochKeys(1, os.urandom(32), os.urandom(32))
        self.log = Log.create(Disk(folder), "log", SigningKeyPair(os.urandom(32)), 2)
        self.cache = BlockCache(256 * MIB)
        sealer = Sealer({1: keys}, {CIPHER_AES_256_GCM}, 1)
        self.store = ChunkStore({2: self.log}, sealer, keys.chunk_id_key(), self.cache)
        self.pool = ThreadPoolExecutor(THREADS)
        self.level = level
        self._chunker = Chunker(1)

    def cut_and_identify(self, data: memoryview) -> list[tuple[bytes, memoryview]]:
        ends = self._chunker.cut(data, final=True)
        pieces = [data[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        return list(zip(self.store.identify(pieces), pieces, strict=True))

    def seal(self, first: int, plans: list[BlockPlan]) -> tuple[list[SealedBlock], bytes]:
        nonces = [os.urandom(12) for _ in plans]
        sealed = self.store.seal_blocks(first, 2, self.log.key, 0, plans, nonces, self.level)
        return sealed, b"".join([s.block for s in sealed])

    def encode(self, data: bytes, keep: bool = False) -> list[Extent]:
        """All steps; with `keep` into the log, as the owner thread would, else thrown away."""
        view = memoryview(data)
        jobs = [view[at : at + JOB_BYTES] for at in range(0, len(view), JOB_BYTES)]
        extents: list[Extent] = []
        offset, index = 0, self.log.length
        sealing = []
        for chunks in self.pool.map(self.cut_and_identify, jobs):
            plans = self.store.layout(chunks)
            for number, plan in enumerate(plans, index):
                for (chunk, piece, _), place in zip(plan.chunks, plan.places(2, number), strict=True):
                    extents.append(Extent(offset, len(piece), chunk, 0, len(piece), *place))
                    offset += len(piece)
            for at in range(0, len(plans), SEALED_AT_ONCE):
                sealing.append(self.pool.submit(self.seal, index + at, plans[at : at + SEALED_AT_ONCE]))
            index += len(plans)
        for job in sealing:
            sealed, joined = job.result()
            if keep:
                pending = self.log.prepare([len(s.block) for s in sealed], [s.leaf_hash for s in sealed])
                self.log.write(pending, joined)
        return extents


@pytest.fixture
def encoder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Encoder]:
    made = Encoder(tmp_path, getattr(request, "param", 1))
    yield made
    made.pool.shutdown()
    made.log.close()


def measure(benchmark: Benchmark, size: int, job: Callable[[], object]) -> None:
    benchmark.extra_info["bytes a round"] = size
    benchmark.pedantic(job, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("encoder", [-3, 1, 9], indirect=True)
@pytest.mark.parametrize("what", INPUTS)
def test_encoding(benchmark: Benchmark, encoder: Encoder, what: str) -> None:
    data = INPUTS[what](SIZE)
    encoder.encode(data, keep=True)
    benchmark.extra_info["stored of a byte"] = round(encoder.log.byte_length / len(data), 3)
    measure(benchmark, SIZE, lambda: encoder.encode(data))


@pytest.mark.parametrize("cached", [False, True], ids=["decoding", "cached"])
@pytest.mark.parametrize("step", [128 << 10, MIB])
def test_reading_in_order(benchmark: Benchmark, encoder: Encoder, step: int, cached: bool) -> None:
    extents = encoder.encode(half(SIZE), keep=True)
    end = extents[-1].end  # packed chunks stand behind the big ones of their job: offsets are those of the blocks

    def read() -> None:
        if not cached:
            encoder.cache.clear()
        for at in range(0, end - step, step):
            encoder.store.read(extents, at, step)

    measure(benchmark, end, read)


def test_reading_4_kib_at_random_out_of_the_cache(benchmark: Benchmark, encoder: Encoder) -> None:
    extents = encoder.encode(half(SIZE), keep=True)
    places = [random.Random(1).randrange(extents[-1].end - 4096) for _ in range(5_000)]
    measure(benchmark, 4096 * len(places), lambda: [encoder.store.read(extents, at, 4096) for at in places])


def test_packing_files_of_4_kib(benchmark: Benchmark, encoder: Encoder) -> None:
    files = [text(SIZE // 8)[at : at + 4096] for at in range(0, SIZE // 8, 4096)]
    chunks = [(number.to_bytes(16, "big"), data) for number, data in enumerate(files)]

    def pack() -> None:
        encoder.store.identify(files)
        plans = encoder.store.layout(chunks)
        list(encoder.pool.map(lambda at: encoder.seal(at, plans[at : at + 4]), range(0, len(plans), 4)))

    measure(benchmark, 4096 * len(files), pack)
