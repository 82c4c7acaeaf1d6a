"""Two texts side by side, as rows. Pure."""

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Final, NamedTuple

LINES_MOST: Final = 4000
CONTEXT: Final = 3


class Row(NamedTuple):
    """Numbers from 1; None and "" on a side that has no such line. `kind`: same, changed, removed, added, or skipped:
    `old_number` lines that are the same."""

    kind: str
    old_number: int | None
    old: str
    new_number: int | None
    new: str


def rows(old: str, new: str) -> list[Row] | None:
    """None where the texts are too long to be compared."""
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > LINES_MOST:
        return None
    found: list[Row] = []
    matcher = SequenceMatcher(None, before, after, autojunk=True)
    blocks = matcher.get_opcodes()
    for number, (tag, a, b, c, d) in enumerate(blocks):
        if tag == "equal":
            found += _equal(before, after, (a, b, c), number == 0, number == len(blocks) - 1)
        else:
            found += _differing(before[a:b], after[c:d], a, c)
    return found


def _equal(before: list[str], after: list[str], span: tuple[int, int, int], first: bool, last: bool) -> Iterator[Row]:
    """Lines near a difference; of the rest how many they are."""
    a, b, c = span
    head, tail = 0 if first else CONTEXT, 0 if last else CONTEXT
    skipped = b - a - head - tail
    for place in range(b - a):
        if skipped > 1 and head <= place < head + skipped:
            if place == head:
                yield Row("skipped", skipped, "", None, "")
            continue
        yield Row("same", a + place + 1, before[a + place], c + place + 1, after[c + place])


def _differing(old: list[str], new: list[str], a: int, c: int) -> Iterator[Row]:
    for place in range(max(len(old), len(new))):
        has_old, has_new = place < len(old), place < len(new)
        yield Row(
            "changed" if has_old and has_new else "removed" if has_old else "added",
            a + place + 1 if has_old else None,
            old[place] if has_old else "",
            c + place + 1 if has_new else None,
            new[place] if has_new else "",
        )
