"""How fast file bytes become sealed blocks and come back. A plain script: python tests/bench/bench_chunks.py

Figures are MB/s of file bytes (10^6). Compare within one run only: other work on the machine moves them.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
JOB_BYTES = MIB  # what one worker is handed at a time


def half_compressible(size: int) -> bytes:
    """Alternating 64 KiB of random bytes and of text-like bytes."""
    words = [b"%x " % random.Random(7).getrandbits(n % 40 + 4) for n in range(500)]
    out = []
    for number in range(size // (128 << 10)):
        chosen = b"".join(random.Random(number).choices(words, k=20_000))
        out += [os.urandom(64 << 10), chosen[: 64 << 10]]
    return b"".join(out)


def text(size: int) -> bytes:
    words = [b"%x " % random.Random(n).getrandbits(n % 40 + 4) for n in range(500)]
    return b"".join(
        [b"".join(random.Random(n).choices(words, k=100_000))[: MIB // 4] for n in range(4 * size // MIB)]
    )


class Bench:
    def __init__(self, folder: str, threads: int, level: int) -> None:
        keys = EpochKeys(1, os.urandom(32), os.urandom(32))
        self.log = Log.create(Disk(Path(folder)), "log", SigningKeyPair(os.urandom(32)), 2)
        self.cache = BlockCache(256 * MIB)
        self.store = ChunkStore(
            {2: self.log}, Sealer({1: keys}, {CIPHER_AES_256_GCM}, 1), keys.chunk_id_key(), self.cache
        )
        self.chunker = Chunker(1)
        self.pool = ThreadPoolExecutor(threads)
        self.threads = threads
        self.level = level

    def cut_and_identify(self, data: memoryview) -> list[tuple[bytes, memoryview]]:
        ends = self.chunker.cut(data, final=True)
        pieces = [data[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        return list(zip(self.store.identify(pieces), pieces, strict=True))

    def seal(self, first: int, plans: list[BlockPlan]) -> tuple[list[SealedBlock], bytes]:
        nonces = [os.urandom(12) for _ in plans]
        sealed = self.store.seal_blocks(first, 2, self.log.key, 0, plans, nonces, self.level)
        return sealed, b"".join([s.block for s in sealed])

    def encode(self, data: bytes, keep: bool) -> list[Extent]:
        """All steps; with `keep` into the log, as the owner thread would, else thrown away."""
        view = memoryview(data)
        jobs = [view[at : at + 4 * JOB_BYTES] for at in range(0, len(view), 4 * JOB_BYTES)]
        extents: list[Extent] = []
        offset, index = 0, self.log.length
        sealing = []
        for chunks in self.pool.map(self.cut_and_identify, jobs):
            plans = self.store.layout(chunks)
            for number, plan in enumerate(plans, index):
                for (chunk, piece, _), place in zip(plan.chunks, plan.places(2, number), strict=True):
                    extents.append(Extent(offset, len(piece), chunk, 0, len(piece), *place))
                    offset += len(piece)
            for at in range(0, len(plans), 8):
                sealing.append(self.pool.submit(self.seal, index + at, plans[at : at + 8]))
            index += len(plans)
        for job in sealing:
            sealed, joined = job.result()
            if keep:
                pending = self.log.prepare([len(s.block) for s in sealed], [s.leaf_hash for s in sealed])
                self.log.write(pending, joined)
        return extents


def best(what: str, size: int, rounds: int, work: Callable[[], object]) -> None:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    times.sort()
    print(f"  {what:34} {size / times[0] / 1e6:8.0f} best {size / times[len(times) // 2] / 1e6:8.0f} median")


def run(name: str, data: bytes, threads: int, level: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder, threads, level)
        print(f"{name}, {len(data) // MIB} MiB, {threads} threads, zstd {level}")
        best("encode (cut, id, seal, leaf)", len(data), rounds, lambda: bench.encode(data, keep=False))
        extents = bench.encode(data, keep=True)
        # Packed chunks stand behind the big ones of their job: offsets here are those of the blocks.
        stored = bench.log.byte_length
        end = extents[-1].end

        def read(step: int, cold: bool) -> None:
            if cold:
                bench.cache.clear()
            for at in range(0, end - step, step):
                bench.store.read(extents, at, step)

        best("read 1 MiB, decoding", end, rounds, lambda: read(MIB, cold=True))
        best("read 128 KiB, decoding", end, rounds, lambda: read(128 << 10, cold=True))
        best("read 128 KiB, cached", end, rounds, lambda: read(128 << 10, cold=False))
        places = [random.Random(1).randrange(end - 4096) for _ in range(20_000)]
        start = time.perf_counter()
        for at in places:
            bench.store.read(extents, at, 4096)
        print(f"  read 4 KiB at random, cached       {(time.perf_counter() - start) / 20_000 * 1e6:8.1f} us")
        print(f"  stored                             {stored / len(data):8.3f} of the size")
        bench.log.close()


def small_files(threads: int, rounds: int) -> None:
    """4 KiB files: packs."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder, threads, 1)
        files = [text(MIB)[at : at + 4096] for at in range(0, MIB, 4096)] * 16
        chunks = [(number.to_bytes(16, "big"), data) for number, data in enumerate(files)]

        def work() -> None:
            bench.store.identify(files)
            plans = bench.store.layout(chunks)
            list(bench.pool.map(lambda at: bench.seal(at, plans[at : at + 4]), range(0, len(plans), 4)))

        print(f"{len(files)} files of 4 KiB, {threads} threads, zstd 1")
        best("identify, pack, seal, leaf", len(files) * 4096, rounds, work)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mib", type=int, default=128)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    half = half_compressible(given.mib * MIB)
    for level in (1, -3):
        run("half-compressible", half, given.threads, level, given.rounds)
    run("half-compressible", half, 1, 1, given.rounds)
    run("text", text(given.mib * MIB), given.threads, 1, given.rounds)
    run("random", os.urandom(given.mib * MIB), given.threads, 1, given.rounds)
    small_files(given.threads, given.rounds)


if __name__ == "__main__":
    main()
