"""How fast the trie is in this interpreter: `python tests/bench/bench_trie.py [entries]`. Not a test."""

import hashlib
import random
import struct
import sys
from collections.abc import Callable
from time import perf_counter

from hyperfs.trie import Node, Ref, decode, diff, encode, lookup, persist, reachable, update, walk
from hyperfs.trie.node import is_leaf
from hyperfs.trie.update import Change


class Blocks:
    """A log in memory with a cache that never forgets."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.cache: dict[Ref, Node] = {}
        self.cold_loads = 0

    def append(self, data: bytes) -> tuple[int, int]:
        self.blocks.append(data)
        return 1, len(self.blocks) - 1

    def load(self, ref: Ref) -> Node:
        node = self.cache.get(ref)
        if node is None:
            self.cold_loads += 1
            node = self.cache[ref] = decode(self.blocks[ref.block])
        return node

    def remember(self, ref: Ref, node: Node) -> None:
        self.cache[ref] = node


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


def timed(label: str, units: int, job: Callable[[], object]) -> None:
    begin = perf_counter()
    job()
    seconds = perf_counter() - begin
    print(f"{label:<58} {seconds * 1e6 / units:9.2f} us each {seconds:8.3f} s for {units}")


def main() -> None:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    rng = random.Random(1)
    log = Blocks()
    files = total // 3
    state: dict[str, Ref | None] = {"root": None}

    def commit(changes: list[Change]) -> None:
        root = update(log.load, state["root"], changes, lambda ref: None)
        state["root"] = persist(root, identify, log.append, log.remember)

    everything = new_files(2, files, rng)
    timed("one batch into an empty trie, entry", len(everything), lambda: commit(everything))
    leaves = [log.blocks[r.block] for r in reachable(log.load, state["root"], lambda r: False) if is_leaf(r)]
    branches = [
        log.blocks[r.block] for r in reachable(log.load, state["root"], lambda r: False) if not is_leaf(r)
    ]
    print(f"  {len(leaves)} leaves of {sum(map(len, leaves)) // len(leaves)} bytes,", end=" ")
    print(f"{len(branches)} branches of {sum(map(len, branches)) // len(branches)} bytes")

    first = 2 + files
    for size in (10_000, 1_000, 100, 1):
        batches = [new_files(first + size * i, size, rng) for i in range(5 if size > 100 else 100)]
        first += size * len(batches)
        entries = sum(map(len, batches))
        timed(f"batches of {size} new files, entry", entries, lambda b=batches: [commit(x) for x in b])
    known = [key for key, _ in everything]
    scattered = sorted(rng.sample(known, 5000))
    touched: list[Change] = [(key, (rng.randbytes(40), b"")) for key in scattered]
    before = state["root"]
    timed("one batch of 5,000 scattered changes, entry", 5000, lambda: commit(touched))
    timed("diff of that, difference", 5000, lambda: list(diff(log.load, before, state["root"])))
    before = state["root"]
    commit([(known[17], (b"x", b""))])
    timed("diff of one change", 1, lambda: list(diff(log.load, before, state["root"])))

    wanted = rng.sample(known, 50_000)
    root = state["root"]
    timed("cached lookup", len(wanted), lambda: [lookup(log.load, root, key) for key in wanted])
    timed("walk, entry", total, lambda: sum(1 for _ in walk(log.load, root)))
    timed("decode a leaf", len(leaves), lambda: sum(decode(data).count for data in leaves))
    nodes = [decode(data) for data in leaves]
    timed("encode a leaf", len(nodes), lambda: sum(len(encode(node)) for node in nodes))
    timed("decode a branch", len(branches), lambda: sum(decode(data).count for data in branches))
    nodes = [decode(data) for data in branches]
    timed("encode a branch", len(nodes), lambda: sum(len(encode(node)) for node in nodes))


if __name__ == "__main__":
    main()
