"""What changed, in one line for people. Pure."""

from collections import Counter
from typing import Final

from hyperfs.volume.compare import ATTRIBUTES, CONTENT, Difference, Kind

_VERBS: Final[dict[Kind, str]] = {
    "removed": "removed",
    "added": "added",
    "moved": "moved",
    CONTENT: "changed",
    ATTRIBUTES: "attributes of",
}
_COUNTED: Final[dict[Kind, str]] = {**_VERBS, ATTRIBUTES: "with other attributes"}


def in_words(found: list[Difference], most: int = 3) -> str:
    """`removed d/a, d/b and 3 more; changed x`: what stands in a folder that came or went goes with it."""
    words = [f"{verb} {names}" for kind, verb in _VERBS.items() if (names := _names(found, kind, most))]
    return "; ".join(words) or "nothing that can be seen"


def counted_in_words(found: list[Difference], most: int = 2) -> str:
    """`5 removed: d/a, d/b and 3 more; 1 changed: x`."""
    counts = Counter(difference.kind for difference in found)
    words = [f"{counts[kind]} {verb}: {_names(found, kind, most)}" for kind, verb in _COUNTED.items() if counts[kind]]
    return "; ".join(words) or "nothing"


def _names(found: list[Difference], kind: Kind, most: int) -> str:
    tops = _topmost([difference for difference in found if difference.kind == kind])
    rest = f" and {len(tops) - most} more" if len(tops) > most else ""
    return ", ".join(_named(difference, count) for difference, count in tops[:most]) + rest


def _topmost(found: list[Difference]) -> list[tuple[Difference, int]]:
    """Without what lies in a folder that is listed too; that, with how many things lie in it."""
    tops: list[list[Difference]] = []
    for difference in sorted(found, key=lambda d: d.path.split(b"/")):
        top = tops[-1][0] if tops else None
        if top is not None and top.new_size is None and top.old_size is None and difference.path.startswith(
            top.path + b"/"
        ):
            tops[-1].append(difference)
        else:
            tops.append([difference])
    return [(group[0], len(group) - 1) for group in tops]


def _named(difference: Difference, below: int) -> str:
    path = difference.path.decode(errors="replace") or "the root"
    if difference.kind == "moved" and difference.old_path is not None:
        return f"{difference.old_path.decode(errors='replace')} to {path}"
    return f"{path} (with {below} below it)" if below else path
