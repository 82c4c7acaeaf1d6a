"""Costs beside each other on a small drive and on a huge one: `python -m tests.bench.scale --files 10000000 ...`.

    --files N --versions N --crowd N --extents N    of the huge drive; the small one has a thousandth of each
    --folder DIR     where the stores are made, and kept if they are there already (default: a new temporary folder)
    --seed N         of the corpora
    --skip find      leaves out rows that begin so, or prune; several times

What costs in proportion to a change has the same figures in both columns. Counts (nodes, blocks, bytes) do not depend
on the machine's mood; times do. Not a test. Needs /dev/fuse, and room: some 80 bytes a file and 3 KB a version.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.scale_below import Rows, below
from tests.bench.scale_corpus import Corpus
from tests.bench.scale_mounted import mounted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("files", 1_000_000), ("versions", 10_000), ("crowd", 100_000), ("extents", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--skip", action="append", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hyperfs-scale-") as temporary:
        folder = options.folder or Path(temporary)
        huge = (options.files, options.crowd, options.extents, options.versions)
        small = tuple(-(-count // 1000) for count in huge)
        columns = [measured(folder, of, options.seed, set(options.skip)) for of in (small, huge)]
    print(f"\nseed {options.seed}; {' '.join(sys.argv[1:])}\n")
    print(f"| | {small[0]:,} files, {small[3]:,} versions | {huge[0]:,} files, {huge[3]:,} versions |\n|---|---|---|")
    for name in columns[1]:
        print(f"| {name} | {columns[0].get(name, '')} | {columns[1][name]} |")


def measured(folder: Path, of: tuple[int, ...], seed: int, skip: set[str]) -> Rows:
    files, crowd, extents, versions = of
    home = folder / f"{files}-{crowd}-{extents}-{versions}-{seed}"
    tell = _teller(f"{files:,} files")
    if not (home / "made").exists():
        home.mkdir(parents=True, exist_ok=True)
        corpus = Corpus(home / "store", tell, seed)
        corpus.create()
        corpus.fill(files, crowd, extents, versions)
        (home / "made").touch()
    rows = below(home / "store", seed, skip, tell)
    rows.update(mounted(home, files, seed, skip, tell))
    return rows


def _teller(drive: str) -> Callable[[str], None]:
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"[{time.monotonic() - began:7.1f} s] {drive}: {what}", file=sys.stderr, flush=True)

    return tell


if __name__ == "__main__":
    main()
