"""How fast the trie is in this interpreter, with nodes in memory and no sealing. Not a test:

    pytest tests/bench/bench_trie.py [--benchmark-only] [--benchmark-json FILE]

needs pytest-benchmark (`pip install -c packaging/constraints.txt -e .[bench]`). HYPERFS_ENTRIES sets the size, 90,000
by default. What a round works on says `extra_info`: so many entries, nodes or lookups.
"""

import hashlib
import os
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

from hyperfs.trie import Node, Ref, decode, diff, encode, lookup, persist, reachable, update, walk
from hyperfs.trie.node import is_leaf
from hyperfs.trie.update import Change

ENTRIES = int(os.environ.get("HYPERFS_ENTRIES", "90000"))
Benchmark = Any
"""pytest-benchmark's fixture: called with a function and its arguments."""


class Blocks:
    """A log in memory with a cache that never forgets."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.cache: dict[Ref, Node] = {}
        self.root: Ref | None = None

    def append(self, data: bytes) -> tuple[int, int]:
        self.blocks.append(data)
        return 1, len(self.blocks) - 1

    def load(self, ref: Ref) -> Node:
        node = self.cache.get(ref)
        if node is None:
            node = self.cache[ref] = decode(self.blocks[ref.block])
        return node

    def remember(self, ref: Ref, node: Node) -> None:
        self.cache[ref] = node

    def commit(self, changes: list[Change]) -> Ref | None:
        """The root before."""
        before = self.root
        root = update(self.load, before, changes, lambda ref: None)
        self.root = persist(root, identify, self.append, self.remember)
        return before


def identify(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16, key=b"k" * 32).digest()


def new_files(first: int, count: int, rng: random.Random) -> list[Change]:
    """What `count` new files of one extent each add: inode, dentry and extent."""
    changes: list[Change] = []
    for ino in range(first, first + count):
        head = struct.pack(">QB", ino, 1)
        name = f"file-{rng.randrange(1 << 30):x}.txt".encode()
        changes.append((head, (rng.randbytes(24) + bytes(64), b"")))
        changes.append((struct.pack(">QB", 1 + ino // 100, 2) + name, (struct.pack(">QB", ino, 1), b"")))
        extent = rng.randbytes(16) + struct.pack("<II", 0, 4096)
        hint = struct.pack("<IQI", 2, ino // 40, ino % 40)
        changes.append((struct.pack(">QBQ", ino, 3, 0), (extent, hint)))
    return sorted(dict(changes).items())


@pytest.fixture(scope="module")
def everything() -> list[Change]:
    return new_files(2, ENTRIES // 3, random.Random(1))


@pytest.fixture
def filled(everything: list[Change]) -> Blocks:
    log = Blocks()
    log.commit(everything)
    return log


def stored(log: Blocks, leaves: bool) -> list[bytes]:
    return [log.blocks[r.block] for r in reachable(log.load, log.root, lambda r: False) if is_leaf(r) == leaves]


def measure(benchmark: Benchmark, units: int, job: Callable[[], object]) -> None:
    benchmark.extra_info["units a round"] = units
    benchmark.pedantic(job, rounds=5, warmup_rounds=1)


def test_one_batch_into_an_empty_trie(benchmark: Benchmark, everything: list[Change]) -> None:
    measure(benchmark, len(everything), lambda: Blocks().commit(everything))


@pytest.mark.parametrize("size", [10_000, 1_000, 100, 1])
def test_a_batch_of_new_files(benchmark: Benchmark, filled: Blocks, size: int) -> None:
    numbers = iter(range(2 + ENTRIES, 1 << 60, size))
    rng = random.Random(2)

    def batch() -> tuple[tuple[list[Change]], dict[str, object]]:
        return (new_files(next(numbers), size, rng),), {}

    benchmark.extra_info["units a round"] = 3 * size
    benchmark.pedantic(filled.commit, setup=batch, rounds=5 if size > 100 else 50)


def test_a_diff_of_scattered_changes(benchmark: Benchmark, filled: Blocks, everything: list[Change]) -> None:
    rng = random.Random(3)
    touched = sorted(rng.sample([key for key, _ in everything], ENTRIES // 60))
    before = filled.commit([(key, (rng.randbytes(40), b"")) for key in touched])
    measure(benchmark, len(touched), lambda: list(diff(filled.load, before, filled.root)))


def test_a_diff_of_one_change(benchmark: Benchmark, filled: Blocks, everything: list[Change]) -> None:
    before = filled.commit([(everything[17][0], (b"x", b""))])
    measure(benchmark, 1, lambda: list(diff(filled.load, before, filled.root)))


def test_cached_lookups(benchmark: Benchmark, filled: Blocks, everything: list[Change]) -> None:
    wanted = random.Random(4).sample([key for key, _ in everything], ENTRIES // 6)
    measure(benchmark, len(wanted), lambda: [lookup(filled.load, filled.root, key) for key in wanted])


def test_a_walk(benchmark: Benchmark, filled: Blocks) -> None:
    measure(benchmark, ENTRIES, lambda: sum(1 for _ in walk(filled.load, filled.root)))


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "branches"])
def test_decoding(benchmark: Benchmark, filled: Blocks, leaves: bool) -> None:
    blocks = stored(filled, leaves)
    measure(benchmark, len(blocks), lambda: [decode(data) for data in blocks])


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "branches"])
def test_encoding(benchmark: Benchmark, filled: Blocks, leaves: bool) -> None:
    nodes = [decode(data) for data in stored(filled, leaves)]
    measure(benchmark, len(nodes), lambda: [encode(node) for node in nodes])
