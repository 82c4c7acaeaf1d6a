"""How much was tried: the runs that compare, kill and flip add their counts here, and the summary shows the sums."""

import json
import os
from collections import Counter
from pathlib import Path

FOLDER_VARIABLE = "HYPERFS_TALLY"
"""Names the folder in which every test process leaves its counts; set by `conftest.py` before workers start."""

_counts: Counter[str] = Counter()
_seeds: dict[str, set[str]] = {}


def add(what: str, count: int, seed: object = None) -> None:
    """Counts `count` more of `what` ("crash states opened"); `seed` is what would do the same again."""
    _counts[what] += count
    if seed is not None:
        _seeds.setdefault(what, set()).add(str(seed))


def leave() -> None:
    """Writes this process's counts where `collect` finds them; called once, when the process's tests are over."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and _counts:
        path = Path(folder) / f"{os.getpid()}.json"
        path.write_text(json.dumps({what: [_counts[what], sorted(_seeds.get(what, ()))] for what in _counts}))


def collect(folder: Path) -> list[str]:
    """One line for each thing counted by any process of the run: `1234 crash states opened (seeds 1, 2)`."""
    counts: Counter[str] = Counter()
    seeds: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.json")):
        for what, (count, its_seeds) in json.loads(path.read_text()).items():
            counts[what] += count
            seeds.setdefault(what, set()).update(its_seeds)
    return [f"{counts[what]:>12,} {what}{_shown(sorted(seeds[what]))}" for what in sorted(counts)]


def _shown(seeds: list[str]) -> str:
    if not seeds:
        return ""
    few = ", ".join(seeds[:5]) + (", ..." if len(seeds) > 5 else "")
    return f" (seed{'s' if len(seeds) > 1 else ''} {few})"
