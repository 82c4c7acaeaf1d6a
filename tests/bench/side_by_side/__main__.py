"""The same work on several folders in turn.

    python -m tests.bench.side_by_side hyperfs gocryptfs disk memory [NAME=FOLDER] [--rounds 3] [--scale 0.25]
        [--only sequential,small] [--json FILE] [--plot FILE]

Each round does every piece of work on every place before the next round begins, so that a slow moment of the machine
hits all of them. Prints the medians as a table, and their ratio to the first place named, as "how many times better".
Cold rows need root. `--plot` needs matplotlib.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from tests.bench.side_by_side import plot
from tests.bench.side_by_side.inputs import Inputs
from tests.bench.side_by_side.places import PLACES, Missing
from tests.bench.side_by_side.rows import WORKS, Row, Work

Figures = dict[str, dict[str, list[Row]]]
"""By place and row, one of each round."""
Medians = dict[str, dict[str, Row]]


def measure(folders: dict[str, Path], works: dict[str, Work], inputs: Inputs, rounds: int) -> tuple[Figures, list[str]]:
    """All rows, and what failed."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    failures = []
    for number in range(1, rounds + 1):
        for what, work in works.items():
            for place, folder in folders.items():
                root = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
                print(f"round {number} of {rounds}: {what} on {place}", file=sys.stderr)
                try:
                    for row in work(root, inputs):
                        figures[place][row.name].append(row)
                except (OSError, subprocess.CalledProcessError) as error:
                    failures.append(f"round {number}: {what} on {place}: {error}")
                shutil.rmtree(root, ignore_errors=True)
    return figures, failures


def medians(figures: Figures) -> Medians:
    return {place: {name: median(found) for name, found in of.items()} for place, of in figures.items()}


def median(found: list[Row]) -> Row:
    return found[0]._replace(value=statistics.median([row.value for row in found]))


def better(row: Row, base: Row) -> float:
    """How many times better than the base."""
    return row.value / base.value if row.more_is_better else base.value / row.value


def table(found: Medians) -> str:
    """In Markdown; ratios are to the first place."""
    first, *others = found
    lines = [f"| row | {first} | {' | '.join(others)} |", "|---" * (2 + len(others)) + "|"]
    for name, base in found[first].items():
        cells = [f"{base.value:,.4g}"]
        for place in others:
            row = found[place].get(name)
            cells.append("failed" if row is None else f"{row.value:,.4g} ({better(row, base):.2f}x)")
        lines.append(f"| {name}, {base.unit} | {' | '.join(cells)} |")
    return "\n".join(lines)


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.release()}, Python {platform.python_version()}"


def arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m tests.bench.side_by_side", description=__doc__, formatter_class=raw)
    parser.add_argument("places", nargs="+", metavar="PLACE", help=f"{', '.join(PLACES)}, or NAME=FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=0.25)
    parser.add_argument("--only", default=",".join(WORKS), help="pieces of work, with commas between")
    parser.add_argument("--tree", type=Path, default=Path(sysconfig.get_paths()["stdlib"]), help="a tree to copy")
    parser.add_argument("--json", type=Path, help="all figures go there")
    parser.add_argument("--plot", type=Path, help="a picture of the ratios goes there")
    return parser.parse_args()


def prepare(places: list[str], base: Path, stack: ExitStack) -> dict[str, Path]:
    """The folder of each place, mounted until the stack is left; those whose program is missing are left out."""
    folders = {}
    for place in places:
        name, _, folder = place.partition("=")
        if folder:
            folders[name] = Path(folder)
            continue
        own = base / name
        own.mkdir()
        try:
            folders[name] = stack.enter_context(PLACES[name](own))
        except Missing as error:
            print(f"without {name}: {error}", file=sys.stderr)
    return folders


def write(figures: Figures, digests: dict[str, str], file: Path) -> None:
    values = {place: {name: [r.value for r in found] for name, found in of.items()} for place, of in figures.items()}
    file.write_text(json.dumps({"machine": machine(), "inputs": digests, "figures": values}, indent=1))


def main() -> int:
    chosen = arguments()
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hyperfs-bench-")))
        folders = prepare(chosen.places, base, stack)
        made = base / "inputs"
        made.mkdir()
        inputs = Inputs(made, chosen.scale, chosen.tree)
        works = {name: WORKS[name] for name in chosen.only.split(",")}
        figures, failures = measure(folders, works, inputs, chosen.rounds)
        digests = inputs.digests()
    found = medians(figures)
    print(table(found))
    print(f"\n{machine()}; scale {chosen.scale}, {chosen.rounds} rounds; SHA-256 of the inputs:")
    print("\n".join(f"    {digest}  {name}" for name, digest in digests.items()))
    print("\n".join(failures))
    if chosen.json:
        write(figures, digests, chosen.json)
    if chosen.plot:
        first = next(iter(found.values()))
        plot.ratios({p: {n: better(row, first[n]) for n, row in of.items()} for p, of in found.items()}, chosen.plot)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
